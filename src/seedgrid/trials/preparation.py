"""What all trials of a sweep share, made once: data and weights found and checked, texts tokenized, the fingerprint."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seedgrid.errors import InputError
from seedgrid.files import write_json
from seedgrid.records.index import index_of
from seedgrid.records.store import differences, is_running, locked_trials, read_trial, trial_folders
from seedgrid.settings import ModelSettings, Settings, fingerprint, identity, total_steps
from seedgrid.training.text.data.remarks import remarks
from seedgrid.training.text.data.sources import TaskData, load
from seedgrid.training.text.data.tokens import cached_tokens, read_cut, read_tokens
from seedgrid.training.text.model.pretrained import PACKABLE, digested_files, locate, weights_digest
from seedgrid.training.text.tasks import majority_score
from seedgrid.trials import best_model
from seedgrid.trials.devices import resolve
from seedgrid.trials.environment import refuse_other_arithmetic


@dataclass(frozen=True)
class Prepared:
    """What every trial of a sweep starts from.

    Attributes:
        identity: everything that changes a trial's numbers, seeds aside.
        fingerprint: its digest.
        device, precision: what ``auto`` came to.
        model_folder: pretrained weights and tokenizer.
        model_files: sizes and times of the files that the weights' digest covers.
        train, validation, test: files of tokens; ``test`` is None unless the task has one.
        labels: class names.
        train_examples, validation_examples: sizes.
        steps: optimizer steps of a whole trial.
        diverged_at: best found at or below it means diverged.
        remarks: what is to be known of the examples before the numbers, a line each.
    """

    identity: dict[str, Any]
    fingerprint: str
    device: str
    precision: str
    model_folder: Path
    model_files: dict[str, list[int]]
    train: Path
    validation: Path
    test: Path | None
    labels: tuple[str, ...]
    train_examples: int
    validation_examples: int
    steps: int
    diverged_at: float
    remarks: tuple[str, ...]


def prepare(settings: Settings, elsewhere: bool = False) -> Prepared:
    """Check everything that trials need before any starts, and leave it in the sweep's folder.

    Args:
        settings: the trials'.
        elsewhere: they run on other machines, which may have a GPU where this one has none.

    Raises:
        InputError: data, model or device cannot be used, the folder holds trials of another configuration, or what the
            sweep was started with has changed since.
    """
    folder = Path(settings.sweep)
    refuse_other_arithmetic(settings.trainer.threads)
    if settings.prepared is not None:
        prepared = _read(folder, settings.prepared)
        _refuse_changes(settings, prepared)
        return prepared
    device, precision = resolve(settings.trainer, elsewhere)
    model_folder = locate(settings.model)
    model_files = _state(model_folder)
    check_fit(settings, model_folder)
    if device == "gpu" and settings.trainer.capture:
        say_if_not_recorded(settings.model, model_folder, precision)
    asked = settings.task
    data = load(asked, settings.data)
    _check_classes(settings, data)
    # Labels that were taken from the data are the same configuration as labels that were given.
    settings = settings.model_copy(update={"task": asked.model_copy(update={"labels": list(data.labels)})})
    if data.test is not None and not settings.keep_best:
        raise InputError("keep_best=false: task.source.test is scored by the best model; keep it, or set it to null")
    if settings.keep_best:
        best_model.read_facts(folder / best_model.FOLDER)  # damaged, it would fail each trial
    digests = {"train": data.train.digest()[:16], "validation": data.validation.digest()[:16]}
    contents = identity(settings, device, precision, digests, weights_digest(model_folder))
    refuse_other_configuration(folder, contents)
    cache = _make_writable(folder) / ".cache"
    train, validation, test = (
        None if examples is None else cached_tokens(examples, model_folder, settings.data.max_length, cache)
        for examples in (data.train, data.validation, data.test)
    )
    cut = {
        name: read_cut(path)
        for name, path in (("train", train), ("validation", validation), ("test", test))
        if path is not None
    }
    if settings.task.diverged_at is None:
        diverged_at = majority_score(data.validation.label, settings.task.metric)
    else:
        diverged_at = settings.task.diverged_at
    prepared = Prepared(
        identity=contents,
        fingerprint=fingerprint(contents),
        device=device,
        precision=precision,
        model_folder=model_folder,
        model_files=model_files,
        train=train,
        validation=validation,
        test=test,
        labels=data.labels,
        train_examples=len(data.train),
        validation_examples=len(data.validation),
        steps=total_steps(len(data.train), settings.recipe),
        diverged_at=diverged_at,
        remarks=tuple(remarks(asked, data, cut, settings.data.max_length, model_length(model_folder))),
    )
    values = {
        **vars(prepared),
        "model_folder": str(model_folder),
        **{
            name: None if path is None else path.name
            for name, path in (("train", train), ("validation", validation), ("test", test))
        },
    }
    path = _path(folder, prepared.fingerprint)
    if not path.exists():
        from seedgrid.training.text.model.first_pass import check_network
        from seedgrid.trials import borrowed

        borrowed.note()
        parts = [read_tokens(part) for part in (train, validation, test) if part is not None]
        check_network(model_folder, data.labels, settings.model, settings.recipe, parts, settings.data.max_length)
    write_json(path, values)
    return prepared


def _path(folder: Path, digest: str) -> Path:
    return folder / ".cache" / f"prepared-{digest}.json"


def _read(folder: Path, digest: str) -> Prepared:
    try:
        values = json.loads(_path(folder, digest).read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"prepared={digest}: not in {folder}/.cache ({type(error).__name__}); where the folder was moved or its"
            " .cache removed while the sweep ran, the same command goes on"
        ) from None
    for name in ("train", "validation", "test"):
        values[name] = None if values[name] is None else folder / ".cache" / values[name]
    values["model_folder"] = Path(values["model_folder"])
    for name in ("labels", "remarks"):
        values[name] = tuple(values[name])
    return Prepared(**values)


def _state(model_folder: Path) -> dict[str, list[int]]:
    """What tells at no cost that a model's files were not written since: their sizes and times."""
    states = {path.name: path.stat() for path in digested_files(model_folder)}
    return {name: [state.st_size, state.st_mtime_ns] for name, state in states.items()}


def _refuse_changes(settings: Settings, prepared: Prepared) -> None:
    """Raise InputError unless a trial is still what its sweep was started with: code, settings and weights.

    Workers start late: after an edit, a ``git pull``, or a training that saved its model into the same folder.
    """
    if not prepared.model_folder.is_dir():
        raise InputError(f"model: {prepared.model_folder} is gone, since the sweep was started; put it back")
    weights = prepared.identity["model.weights"]
    if _state(prepared.model_folder) != prepared.model_files:
        weights = weights_digest(prepared.model_folder)
    digests = {name: prepared.identity[f"data.{name}"] for name in ("train", "validation")}
    task = settings.task.model_copy(update={"labels": list(prepared.labels)})
    now = identity(settings.model_copy(update={"task": task}), prepared.device, prepared.precision, digests, weights)
    changes = differences(prepared.identity, now)
    if changes:
        raise InputError(
            f"changed since the sweep was started: {changes}; change it back, or name another sweep=FOLDER"
        )


def check_fit(settings: Settings, model_folder: Path) -> None:
    """Raise InputError unless the model has the layers to keep and positions for the longest example.

    A model that cannot be packed is no error: a line says so.
    """
    path = model_folder / "config.json"
    try:
        config = json.loads(path.read_text())
        depth = next((config[key] for key in ("num_hidden_layers", "n_layers", "num_layers") if key in config), None)
        # DeBERTa-v3 counts distances alone.
        numbered = config.get("position_biased_input", True)
        positions = config.get("max_position_embeddings") if numbered else None
        architecture = config.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__}); fetch or save the model again") from None
    layers, length = settings.model.layers, settings.data.max_length
    if layers is not None and depth is not None and layers > depth:
        raise InputError(f"model.layers={layers}: the model has only {depth}; give at most that")
    recipe, kept = settings.recipe, layers or depth
    for key, count in (("reinitialize", recipe.reinitialize), ("freeze", recipe.freeze or 0)):
        if count and kept is not None and count > kept:
            raise InputError(f"recipe.{key}={count}: the model has only {kept} layers; give at most that")
    if "num_hidden_groups" in config and (recipe.reinitialize or recipe.freeze or recipe.layer_decay < 1):
        raise InputError(
            f"recipe={recipe.name}: the layers of {architecture} share their weights; leave recipe.reinitialize=0,"
            " recipe.layer_decay=1 and recipe.freeze=null or 0"
        )
    if isinstance(positions, int) and 0 < positions < length:
        raise InputError(f"data.max_length={length}: the model has only {positions} positions; give at most that")
    if settings.model.packing and architecture not in PACKABLE:
        print(
            f"model.packing=true: {architecture} is padded all the same; packed are {', '.join(sorted(PACKABLE))}",
            file=sys.stderr,
        )


def say_if_not_recorded(model: ModelSettings, model_folder: Path, precision: str) -> None:
    """Print a line if a GPU's steps cannot be recorded (``trainer.capture``)."""
    architecture = json.loads((model_folder / "config.json").read_text()).get("model_type")
    if precision == "16-mixed":
        reason = "trainer.precision=16-mixed looks into each step's gradients; bf16-mixed does not"
    elif not model.packing:
        reason = "model.packing=false"
    elif architecture not in PACKABLE:
        reason = f"{architecture} is padded, to lengths that differ; recorded are {', '.join(sorted(PACKABLE))}"
    else:
        return
    print(f"trainer.capture=true: steps are not recorded but called, since {reason}", file=sys.stderr)


def model_length(folder: Path) -> int | None:
    """Word pieces that the model can read at once, by its positions and its tokenizer; None if neither says."""
    lengths = []
    for name, key in (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")):
        path = folder / name
        value = json.loads(path.read_text()).get(key) if path.exists() else None
        if isinstance(value, int) and 0 < value < 10**9:  # a tokenizer without a limit says 10**30
            lengths.append(value)
    return min(lengths, default=None)


def _check_classes(settings: Settings, data: TaskData) -> None:
    """Raise InputError where no score can tell trials apart, or nothing is to be learnt."""
    for name, examples in (("train", data.train), ("validation", data.validation)):
        classes, size = np.unique(examples.label), getattr(settings.data, f"{name}_size")
        if len(classes) == 1:
            key = f"task={settings.task.name}" if size is None else f"data.{name}_size={size}"
            remedy = "give some of another" if size is None else "give more, or null for all"
            raise InputError(
                f"{key}: all {name} examples ({len(examples)}) are of the class {data.labels[classes[0]]}; {remedy}"
            )


def refuse_other_configuration(folder: Path, contents: dict[str, Any]) -> None:
    """Raise InputError if the folder's trials were run with another configuration; names the keys that differ."""
    index = index_of(folder)
    for _, path in trial_folders(folder):
        try:
            before = read_trial(path, index)["identity"]
        except InputError:
            continue  # damaged: said where the trial is read, with the remedy
        changes = differences(before, contents)
        if changes:
            remedy = "choose another sweep=FOLDER"
            if before | {"trainer.precision": contents["trainer.precision"]} == json.loads(json.dumps(contents)):
                # Most likely the trials there were run on another kind of CPU, where auto means another precision.
                remedy = f"give trainer.precision={before['trainer.precision']} to go on with them, or {remedy}"
            raise InputError(f"sweep={folder} holds trials of another configuration ({changes}); {remedy}")


def claim(folder: Path, prepared: Prepared) -> None:
    """Take the sweep's folder for trials of one configuration.

    Two commands that start at once in a new folder both find it empty; the first trial of either decides. Only one
    process may call this at a time.

    Raises:
        InputError: trials of another configuration are there, or run there.
    """
    path = folder / ".cache" / "configuration"
    claimed = path.read_text() if path.exists() else None
    if claimed == prepared.fingerprint:
        return
    refuse_other_configuration(folder, prepared.identity)
    if claimed is not None and any(is_running(folder / name) for name in locked_trials(folder)):
        raise InputError(f"sweep={folder}: another command runs another configuration there; name another sweep=FOLDER")
    path.write_text(prepared.fingerprint)


def _make_writable(folder: Path) -> Path:
    """The sweep's folder, made if need be."""
    reason = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            reason = "Permission denied"
    except OSError as error:
        reason = error.strerror
    if reason is not None:
        raise InputError(f"sweep={folder}: cannot be written ({reason}); name another folder")
    return folder
