"""A training of the user's own: what its numbers depend on, and one training under its seeds."""

from __future__ import annotations

import hashlib
import inspect
import math
import multiprocessing
import traceback
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedgrid.errors import InputError, one_line
from seedgrid.evaluation.schedule import schedule_of
from seedgrid.files import write_json
from seedgrid.seeds import data_address, module_address, seed_generators
from seedgrid.targets import find, make
from seedgrid.training.contract import Course, Facts, Prepared, Run, Training
from seedgrid.training.own.settings import OwnSettings

if TYPE_CHECKING:
    import torch

# Of training: what changes no number of a trial, or is said otherwise.
_NO_IDENTITY = {"kind", "name", "module", "data", "callbacks", "range", "diverged_at"}
_REHEARSED = 4  # optimizer steps by which a trial's time is told, the first of them unmeasured


class OwnTraining(Training):
    """A LightningModule and a LightningDataModule of the user's own."""

    settings: OwnSettings

    def look(self, device: str, precision: str) -> Facts:
        from seedgrid.training import borrowed
        from seedgrid.training.own.order import check_loader, generators_kept, order_matters

        borrowed.note()
        self.device, self.precision = device, precision
        asked = self.settings.training
        find("training.module", asked.module)
        with generators_kept(), _their_code("training.data"):
            data = make_data(self.settings)
            seed_generators(*data_address())  # as before the data of a trial are set up
            data.prepare_data()
            data.setup("fit")
            loader = data.train_dataloader()
            validation = data.val_dataloader()
            fingerprint = str(data.fingerprint()) if hasattr(data, "fingerprint") else None
        check_loader(loader)
        batches = len(loader)
        if not batches:
            raise InputError("training.data: train_dataloader has no batch; give examples, or drop_last=False")
        remarks = []
        if not order_matters(loader):
            remarks.append("the order seed changes nothing: the training loader's sampler draws nothing")
        per_epoch = math.ceil(batches / asked.accumulate_grad_batches)
        return Facts(
            identity=self._identity(fingerprint),
            task=asked.name,
            model=asked.module["_target_"],
            metric=asked.score,
            direction=asked.direction,
            range=tuple(asked.range),
            diverged_at=asked.diverged_at,
            majority=None,
            labels=(),
            predictions=False,
            train_examples=len(loader.dataset),
            validation_examples=_examples(validation),
            steps_per_epoch=per_epoch,
            steps=asked.epochs * per_epoch,
            remarks=tuple(remarks),
            content={"fingerprint": fingerprint},
        )

    def prepare(self, facts: Facts, cache: Path, before: Prepared | None) -> Facts:
        """Take a step and a part of a validation, which tells what the module logs and returns."""
        if before is not None:
            return replace(facts, predictions=before.predictions)
        rehearsal = self._rehearsed(self.device, self.precision, steps=1, whole=False)
        score = self.settings.training.score
        if score not in rehearsal.metrics:
            if not rehearsal.metrics:
                raise InputError(
                    f"training.score={score}: validation logs nothing for its end; give a validation loader, and log it"
                    " in validation_step or in on_validation_epoch_end"
                )
            there = ", ".join(rehearsal.metrics)
            raise InputError(
                f"training.score={score}: validation logs {there}; give one of these, or log it in validation_step"
            )
        return replace(facts, predictions=rehearsal.predictions)

    def identity_now(self, prepared: Prepared) -> dict[str, Any]:
        return self._identity(prepared.content["fingerprint"])

    def seconds(self, prepared: Prepared) -> float:
        rehearsal = self._rehearsed(prepared.device, prepared.precision, steps=_REHEARSED, whole=True)
        schedule = schedule_of(self.settings.evaluation, prepared.steps, prepared.steps_per_epoch)
        return rehearsal.step_seconds * prepared.steps + rehearsal.validation_seconds * len(schedule)

    def begin(self, prepared: Prepared, device: torch.device, state: dict[str, Any] | None) -> Run:
        return OwnRun(self.settings, prepared, device, state)

    def card(self, facts: dict[str, Any], chosen: str) -> str:
        return f"""# {facts["model"]}, trained as {facts["task"]}

| | |
|---|---|
| score | {facts["metric"]} {facts["score"]:.6g} on the validation set |
| seeds | init {facts["init"]}, order {facts["order"]}, dropout {facts["dropout"]} |
| weights after | step {facts["step"]}, epoch {facts["epoch"]:.2f} |
| chosen | the best evaluation of {chosen}, which differ in nothing but their seeds |

The score was used to choose, so it overstates what new data will show.

```python
import json

from hydra.utils import instantiate
from safetensors.torch import load_file

with open("best_model/training.json") as file:
    module = instantiate(json.load(file)["module"])
module.load_state_dict(load_file("best_model/model.safetensors"))
```
"""

    def _identity(self, fingerprint: str | None) -> dict[str, Any]:
        """The classes, their arguments, and the files that they are written in; the data's by their own digest."""
        asked = self.settings.training
        own = asked.model_dump(mode="json", exclude=_NO_IDENTITY)
        own |= _flat("module", asked.module) | _flat("callbacks", asked.callbacks)
        own |= _flat("data", asked.data) if fingerprint is None else {"data": fingerprint}
        targets = list(_targets("training.module", asked.module))
        for name, callback in asked.callbacks.items():
            targets += _targets(f"training.callbacks.{name}", callback)
        if fingerprint is None:
            targets += _targets("training.data", asked.data)
        sources = {f"source.{target}": _source_digest(key, target) for key, target in targets}
        return {f"training.{key}": value for key, value in (own | sources).items()}

    def _rehearsed(self, device: str, precision: str, steps: int, whole: bool) -> Rehearsal:
        job = (self.settings, device, precision, steps, whole)
        with _their_code("training"):
            if device == "cpu":
                return rehearse(*job)
            # In a process of its own, which leaves the GPU and its memory to the trials.
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as child:
                return child.submit(rehearse, *job).result()


def make_data(settings: OwnSettings) -> Any:
    """The data module; raises InputError if it is none."""
    import pytorch_lightning as pl

    seed_generators(*data_address())
    data = make("training.data", settings.training.data)
    if not isinstance(data, pl.LightningDataModule):
        raise InputError(
            f"training.data._target_={settings.training.data['_target_']}: gives a {type(data).__name__}; give a"
            " LightningDataModule"
        )
    return data


def make_module(settings: OwnSettings) -> Any:
    """The module, drawn by the init seed; raises InputError if it is none."""
    import pytorch_lightning as pl

    seed_generators(*module_address(settings.seed.init))
    module = make("training.module", settings.training.module)
    if not isinstance(module, pl.LightningModule):
        raise InputError(
            f"training.module._target_={settings.training.module['_target_']}: gives a {type(module).__name__}; give a"
            " LightningModule"
        )
    if "dataloader_iter" in inspect.signature(module.training_step).parameters:
        raise InputError(
            f"training.module._target_={settings.training.module['_target_']}: its training_step takes dataloader_iter,"
            " whose batches begin unseen; let it take batch, batch_idx"
        )
    return module


def _callbacks(settings: OwnSettings) -> list[Any]:
    import pytorch_lightning as pl

    made = []
    for name, config in settings.training.callbacks.items():
        key = f"training.callbacks.{name}"
        callback = make(key, config)
        if not isinstance(callback, pl.Callback) or isinstance(callback, pl.callbacks.Checkpoint):
            raise InputError(
                f"{key}._target_={config['_target_']}: gives a {type(callback).__name__}; give a Lightning callback,"
                " and leave checkpoints to the trials"
            )
        made.append(callback)
    return made


def _trainer(settings: OwnSettings, device: str, precision: str, callbacks: list[Any], **more: Any) -> Any:
    from seedgrid.training.lone_trainer import lone_trainer

    asked = settings.training
    given = {
        "accelerator": device,
        "precision": precision,
        "deterministic": settings.trainer.deterministic,
        "max_epochs": asked.epochs,
        "limit_val_batches": 1.0,
        "num_sanity_val_steps": 0,
        "accumulate_grad_batches": asked.accumulate_grad_batches,
        "gradient_clip_val": asked.gradient_clip_val,
        "gradient_clip_algorithm": None if asked.gradient_clip_val is None else asked.gradient_clip_algorithm,
        "callbacks": callbacks,
    }
    return lone_trainer(**given | more)


class OwnRun(Run):
    """As :meth:`seedgrid.training.contract.Training.begin` makes it."""

    def __init__(
        self, settings: OwnSettings, prepared: Prepared, device: torch.device, state: dict[str, Any] | None
    ) -> None:
        self.settings = settings
        self.prepared = prepared
        self.device = device
        self._state = state
        self.data = make_data(settings)
        self.module = make_module(settings)

    def fit(self, course: Course) -> None:
        from seedgrid.training.own.loop import Left, Steering, set_counters
        from seedgrid.training.own.order import SeededEpochs

        settings, prepared, state = self.settings, self.prepared, self._state
        order = SeededEpochs(settings.seed.order, *((0, 0) if state is None else (state["epoch"], state["batch"])))
        theirs = self.data.train_dataloader
        self.data.train_dataloader = lambda: order.take_over(theirs())
        self.steering = Steering(
            course,
            settings.seed,
            order,
            score=prepared.metric,
            steps_per_epoch=prepared.steps_per_epoch,
            predictions=prepared.predictions,
            norms_every=settings.gradient_norms,
            keep_weights=settings.keep_best,
            state=state,
        )
        self.trainer = _trainer(
            settings,
            prepared.device,
            prepared.precision,
            [self.steering, *_callbacks(settings)],
            devices=[self.device.index] if self.device.type == "cuda" else 1,
        )
        if state is not None:
            set_counters(self.trainer, state)
        seed_generators(*data_address())
        try:
            self.trainer.fit(self.module, datamodule=self.data)
        except Left:
            return
        self.steering.finish_step()
        if course.step < prepared.steps and not course.ended:
            raise InputError(
                f"training: ended by itself after step {course.step} of {prepared.steps}; trials are compared at equal"
                " steps, so leave out what ends them early"
            )

    def state(self) -> dict[str, Any]:
        from seedgrid.training.own.loop import state_of

        return self.steering.last_state or state_of(self.trainer, self.module, self.steering)

    def take_gradient_norms(self) -> list[dict[str, float]]:
        from seedgrid.training.own.loop import layer_groups

        waiting, self.steering.norms = self.steering.norms, []
        names = layer_groups(self.module)
        return [{"step": step, **{name: float(norms.get(name, 0.0)) for name in names}} for step, norms in waiting]

    def weights(self) -> dict[str, torch.Tensor]:
        return self.steering.weights

    def whole(self, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return weights

    def furnish(self, folder: Path) -> None:
        asked = self.settings.training
        write_json(folder / "training.json", {"module": asked.module, "data": asked.data})


@dataclass(frozen=True)
class Rehearsal:
    """What a few steps and a validation have shown.

    Attributes:
        metrics: names of what the validation logged.
        predictions: whether validation steps return logits and labels.
        step_seconds, validation_seconds: of an optimizer step, and of the validation.
    """

    metrics: tuple[str, ...]
    predictions: bool
    step_seconds: float
    validation_seconds: float


def rehearse(settings: OwnSettings, device: str, precision: str, steps: int, whole: bool) -> Rehearsal:
    """Take the first steps of a training and validate, with nothing recorded.

    Args:
        settings: of the trials.
        device, precision: what ``auto`` came to.
        steps: how many.
        whole: whether to pass all of the validation set, or one batch of each of its loaders.
    """
    from seedgrid.training.own.order import generators_kept
    from seedgrid.training.own.watch import Watch
    from seedgrid.training.process import configure_process

    configure_process(settings.trainer.threads)
    watch = Watch()
    with generators_kept():
        trainer = _trainer(
            settings,
            device,
            precision,
            [watch, *_callbacks(settings)],
            devices=1,
            max_epochs=1,
            limit_train_batches=steps * settings.training.accumulate_grad_batches,
            limit_val_batches=1.0 if whole else 1,
        )
        data, module = make_data(settings), make_module(settings)
        trainer.fit(module, datamodule=data)
    seconds = watch.batch_seconds() * settings.training.accumulate_grad_batches
    return Rehearsal(tuple(watch.metrics), watch.predictions, seconds, watch.validation_seconds)


def _examples(loaders: Any) -> int | None:
    """How many examples validation loaders have; None where one does not tell."""
    try:
        every = loaders if isinstance(loaders, (list, tuple)) else [loaders]
        return sum(len(loader.dataset) for loader in every)
    except (AttributeError, TypeError):
        return None


def _flat(key: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A config's values by dotted keys."""
    flat = {}
    for name, value in config.items():
        flat |= _flat(f"{key}.{name}", value) if isinstance(value, Mapping) else {f"{key}.{name}": value}
    return flat


def _targets(key: str, config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys and names of all classes that a config names, wherever in it."""
    for name, value in config.items():
        if name == "_target_":
            yield key, value
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, Mapping):
                yield from _targets(f"{key}.{name}", part)


def _source_digest(key: str, target: str) -> str | None:
    """Of the file that a class is written in; None where it is in no file of Python's."""
    try:
        path = inspect.getsourcefile(find(key, {"_target_": target}))
    except TypeError:
        return None
    return None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


@contextmanager
def _their_code(key: str) -> Iterator[None]:
    """Around the user's code: what it raises, as one line that says where in it."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [frame for frame in frames if Path(frame.filename).is_relative_to(Path.cwd())] or frames
        place = f"{theirs[-1].filename}, line {theirs[-1].lineno}"
        raise InputError(f"{key}: {one_line(error)} ({place})") from error
