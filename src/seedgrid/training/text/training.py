"""Text as a kind of training: what its numbers depend on, and one fine-tuning under its seeds.

Torch is imported where it is needed: who only looks whether trials can run does without.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedgrid.errors import InputError, one_line
from seedgrid.scale import Scale
from seedgrid.settings import steps_per_epoch
from seedgrid.training.contract import Facts, Prepared, Training
from seedgrid.training.text.card import card
from seedgrid.training.text.checks import check_classes, check_fit, model_length, say_if_not_recorded
from seedgrid.training.text.data.remarks import remarks
from seedgrid.training.text.data.sources import TaskData, load
from seedgrid.training.text.data.tokens import cached_tokens, read_cut, read_tokens
from seedgrid.training.text.memory import memory_of_a_trial
from seedgrid.training.text.model.pretrained import digested_files, locate, weights_digest
from seedgrid.training.text.settings import TextSettings, total_steps
from seedgrid.training.text.tasks import majority_score

if TYPE_CHECKING:
    import numpy as np
    import torch

    from seedgrid.training.text.fine_tuning import FineTuningRun


@dataclass(frozen=True)
class Files:
    """What a sweep's trials read.

    Attributes:
        model: folder of the pretrained weights and the tokenizer.
        train, validation, test: files of tokens; ``test`` is None unless the task has one.
    """

    model: Path
    train: Path
    validation: Path
    test: Path | None


def files_of(settings: TextSettings, prepared: Prepared) -> Files:
    """The files of a sweep, in whose folder they lie."""
    cache = Path(settings.sweep) / ".cache"
    tokens = {name: prepared.content[name] for name in ("train", "validation", "test")}
    found = {name: None if file is None else cache / file for name, file in tokens.items()}
    return Files(Path(prepared.content["model_folder"]), **found)


class TextTraining(Training):
    """Fine-tunes a pretrained encoder to classify text."""

    settings: TextSettings
    mixes = True
    plain = True

    def look(self, device: str, precision: str) -> Facts:
        settings = self.settings
        folder = locate(settings.model)
        model_files = _state(folder)
        check_fit(settings, folder)
        if device == "gpu" and settings.trainer.capture:
            say_if_not_recorded(settings.model, folder, precision)
        self.data = data = load(settings.task, settings.data)
        check_classes(settings, data)
        if data.test is not None and not settings.keep_best:
            raise InputError(
                "keep_best=false: task.source.test is scored by the best model; keep it, or set it to null"
            )
        metric, diverged_at = settings.task.metric, settings.task.diverged_at
        majority = majority_score(data.validation.label, metric)
        return Facts(
            identity=self.identity_of(data.labels, _digests(data), weights_digest(folder)),
            task=settings.task.name,
            model=settings.model.name,
            metric=metric,
            direction="max",
            range=Scale.of(metric).known_limits,
            diverged_at=majority if diverged_at is None else diverged_at,
            majority=majority,
            labels=data.labels,
            predictions=True,
            train_examples=len(data.train),
            validation_examples=len(data.validation),
            steps_per_epoch=steps_per_epoch(len(data.train), settings.recipe.batch_size),
            steps=total_steps(len(data.train), settings.recipe),
            content={"model_folder": str(folder), "model_files": model_files},
        )

    def prepare(self, facts: Facts, cache: Path, before: Prepared | None) -> Facts:
        """Tokenize, once a sweep; and let the network classify a batch."""
        data, folder, length = self.data, Path(facts.content["model_folder"]), self.settings.data.max_length
        examples = {"train": data.train, "validation": data.validation, "test": data.test}
        files = {
            name: None if each is None else cached_tokens(each, folder, length, cache)
            for name, each in examples.items()
        }
        if before is None:
            self._try_network(facts, files)
        cut = {name: read_cut(path) for name, path in files.items() if path is not None}
        names = {name: None if path is None else path.name for name, path in files.items()}
        said = remarks(self.settings.task, data, cut, length, model_length(folder))
        return replace(facts, content=facts.content | names, remarks=tuple(said))

    def _try_network(self, facts: Facts, files: dict[str, Path | None]) -> None:
        from seedgrid.training import borrowed
        from seedgrid.training.text.model.first_pass import check_network
        from seedgrid.training.text.quiet import keep_quiet

        borrowed.note()
        keep_quiet()
        settings, folder = self.settings, Path(facts.content["model_folder"])
        parts = [read_tokens(path) for path in files.values() if path is not None]
        check_network(folder, facts.labels, settings.model, settings.recipe, parts, settings.data.max_length)

    def identity_now(self, prepared: Prepared) -> dict[str, Any]:
        folder = Path(prepared.content["model_folder"])
        if not folder.is_dir():
            raise InputError(f"model: {folder} is gone, since the sweep was started; put it back")
        weights = prepared.identity["model.weights"]
        if _state(folder) != prepared.content["model_files"]:
            weights = weights_digest(folder)
        digests = {name: prepared.identity[f"data.{name}"] for name in ("train", "validation")}
        return self.identity_of(prepared.labels, digests, weights)

    def labels(self, prepared: Prepared) -> np.ndarray:
        from seedgrid.training.text.worker import tokens_of

        return tokens_of(files_of(self.settings, prepared).validation).label

    def seconds(self, prepared: Prepared) -> float:
        from seedgrid.training.text.estimate import estimate_seconds

        try:
            return estimate_seconds(self.settings, prepared)
        except InputError:
            raise
        except Exception as error:  # each library has its own kinds
            raise InputError(f"a trial would fail: {one_line(error)}") from None

    def memory(self, prepared: Prepared) -> tuple[float, float]:
        return memory_of_a_trial(self.settings, files_of(self.settings, prepared).model)

    def begin(self, prepared: Prepared, device: torch.device, state: dict[str, Any] | None) -> FineTuningRun:
        from seedgrid.training.text.fine_tuning import FineTuningRun

        return FineTuningRun(self.settings, prepared, device, state)

    def card(self, facts: dict[str, Any], chosen: str) -> str:
        return card(facts, chosen)

    def test_score(self, prepared: Prepared, model: Path, facts: dict[str, Any]) -> float | None:
        if prepared.content["test"] is None:
            return None
        from seedgrid.training.text.held_out import score_test

        return score_test(self.settings, prepared, model, facts)

    def identity_of(self, labels: tuple[str, ...], digests: dict[str, str], weights: str) -> dict[str, Any]:
        """Data and weights count by content, wherever they lie; labels taken from the data as if they were given."""
        settings = self.settings
        parts = {
            "task": {"labels": list(labels), "metric": settings.task.metric},
            "data": {"max_length": settings.data.max_length, **digests},
            "model": {
                "weights": weights,
                **settings.model.model_dump(exclude={"name", "path", "package", "learning_rate"}),
            },
            "recipe": settings.recipe.model_dump(exclude={"name"}),
            "evaluation": {"batch_size": settings.evaluation.batch_size},
        }
        return {f"{group}.{key}": value for group, values in parts.items() for key, value in values.items()}


def _digests(data: TaskData) -> dict[str, str]:
    return {"train": data.train.digest()[:16], "validation": data.validation.digest()[:16]}


def _state(model_folder: Path) -> dict[str, list[int]]:
    """What tells at no cost that a model's files were not written since: their sizes and times."""
    states = {path.name: path.stat() for path in digested_files(model_folder)}
    return {name: [state.st_size, state.st_mtime_ns] for name, state in states.items()}
