"""What all trials of a sweep share, made once: everything found and checked, and the fingerprint."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seedgrid.errors import InputError
from seedgrid.files import write_json
from seedgrid.records.index import index_of
from seedgrid.records.store import differences, is_running, locked_trials, read_trial, trial_folders, trial_name
from seedgrid.settings import Settings, fingerprint, identity
from seedgrid.training.contract import Prepared
from seedgrid.training.kinds import training_of
from seedgrid.trials import best_model
from seedgrid.trials.devices import resolve
from seedgrid.trials.environment import refuse_other_arithmetic
from seedgrid.trials.loggers import check_logger


def prepare(settings: Settings, elsewhere: bool = False) -> Prepared:
    """Check everything that trials need before any starts, and leave it in the sweep's folder.

    Args:
        settings: the trials'.
        elsewhere: they run on other machines, which may have a GPU where this one has none.

    Raises:
        InputError: data, model or device cannot be used, the folder holds trials of another configuration, or what the
            sweep was started with has changed since.
    """
    folder, training = Path(settings.sweep), training_of(settings)
    refuse_other_arithmetic(settings.trainer.threads)
    if settings.prepared is not None:
        prepared = _read(folder, settings.prepared)
        _refuse_changes(settings, prepared)
        return prepared
    logger, checked = settings.logger.model_dump(mode="json"), folder / ".cache" / "logger.json"
    # Once a sweep: a logger may import what a look at trials need not.
    if not checked.exists() or json.loads(checked.read_text()) != logger:
        check_logger(settings.logger, folder / trial_name(settings.seed))
    device, precision = resolve(settings.trainer, elsewhere, training.mixes)
    facts = training.look(device, precision)
    if settings.keep_best:
        best_model.read_facts(folder / best_model.FOLDER)  # damaged, it would fail each trial
    contents = identity(settings, device, precision, facts.identity)
    refuse_other_configuration(folder, contents)
    digest = fingerprint(contents)
    path = _path(_make_writable(folder), digest)
    path.parent.mkdir(exist_ok=True)
    before = None
    with suppress(InputError):  # there is none, or one that another version of this code wrote
        before = _read(folder, digest)
    facts = training.prepare(facts, path.parent, before)
    known = vars(facts) | {"identity": contents}
    prepared = Prepared(**known, fingerprint=digest, device=device, precision=precision)
    write_json(path, asdict(prepared))
    write_json(checked, logger)
    return prepared


def _path(folder: Path, digest: str) -> Path:
    return folder / ".cache" / f"prepared-{digest}.json"


def _read(folder: Path, digest: str) -> Prepared:
    try:
        values = json.loads(_path(folder, digest).read_text())
        for name in ("labels", "remarks", "range"):
            values[name] = tuple(values[name])
        return Prepared(**values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"prepared={digest}: not in {folder}/.cache ({type(error).__name__}); where the folder was moved or its"
            " .cache removed while the sweep ran, the same command goes on"
        ) from None


def _refuse_changes(settings: Settings, prepared: Prepared) -> None:
    """Raise InputError unless a trial is still what its sweep was started with: code, settings and what it starts from.

    Workers start late: after an edit, a ``git pull``, or a training that saved its model into the same folder.
    """
    now = identity(settings, prepared.device, prepared.precision, training_of(settings).identity_now(prepared))
    changes = differences(prepared.identity, now)
    if changes:
        raise InputError(
            f"changed since the sweep was started: {changes}; change it back, or name another sweep=FOLDER"
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
