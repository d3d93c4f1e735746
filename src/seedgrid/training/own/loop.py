"""Lightning's own loop, steered: seeds before each batch, validation after any step, states to go on from at any step.

All that relies on how Lightning's loops are built inside is here, and ``tests/training/own`` notices when that changes.
Lightning's own resumption in the middle of an epoch repeats batches or leaves them out, and skips what belongs to an
epoch's end (its issues 19549 and 20277), so it is not used. Instead a training that goes on begins like a new one, with
the counters of its loops set and the batches left out that were taken; when its first batch begins, all that has a
state gets it back. A state is taken at that moment too: then everything that belongs to the step before has happened,
the end of an epoch included.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torchmetrics import Metric

from seedgrid.evaluation.evaluation import Evaluation
from seedgrid.seeds import (
    Seeds,
    epoch_address,
    module_address,
    seed_generators,
    step_address,
    validation_address,
)
from seedgrid.training.contract import Course
from seedgrid.training.own.order import SeededEpochs, generator_states, set_generator_states

_NEVER = 2**62  # batches between two validations


class Left(Exception):
    """Leaves Lightning's loop where the course has ended."""


class Steering(pl.Callback):
    """Has Lightning train under the seeds, and tells a course of it; the first of all callbacks.

    Args:
        course: that of the training.
        seeds: of the trial.
        order: of the training batches.
        score: name of the score.
        steps_per_epoch: optimizer steps of one.
        predictions: whether validation steps return logits and labels.
        norms_every: steps between two measurements of the gradients' norms; 0: never.
        keep_weights: whether to copy the weights of each validation.
        state: what :func:`state_of` gave, to go on from.

    Attributes:
        weights: of the latest validation.
    """

    def __init__(
        self,
        course: Course,
        seeds: Seeds,
        order: SeededEpochs,
        *,
        score: str,
        steps_per_epoch: int,
        predictions: bool,
        norms_every: int,
        keep_weights: bool,
        state: dict[str, Any] | None,
    ) -> None:
        self.course = course
        self.seeds = seeds
        self.order = order
        self.score = score
        self.steps_per_epoch = steps_per_epoch
        self.predictions = predictions
        self.norms_every = norms_every
        self.keep_weights = keep_weights
        self.weights: dict[str, torch.Tensor] = {}
        self.epoch, self.batch = (0, 0) if state is None else (state["epoch"], state["batch"])  # of the next batch
        self.norms: list[tuple[int, dict[str, torch.Tensor]]] = []
        self.last_state: dict[str, Any] | None = None  # of a course that has ended before the training
        self._state = state
        self._open = False  # whether a step was taken that is not done
        self._losses: list[torch.Tensor] = []  # of the step's batches so far
        self._rate: float | None = None  # of the step
        self._predicted: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._begin = 0.0

    # --------------------------------------------------------------------------------------------------------- seeds

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        seed_generators(*module_address(self.seeds.init, setup=True))  # for modules that make layers in setup

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        transfer = pl_module._on_before_batch_transfer

        def begin(batch: Any, dataloader_idx: int = 0) -> Any:
            if trainer.training:
                self._begin_batch(trainer, pl_module)
            return transfer(batch, dataloader_idx)

        pl_module._on_before_batch_transfer = begin  # comes before every hook that is given the batch

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.course.step == 0 and self.course.due:
            # Not by Trainer.validate: modules and data need have nothing ready for another stage than fit.
            self._generators = _all_generator_states()
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer._logger_connector.reset_results()
            trainer._logger_connector.reset_metrics()
            trainer.training = True
        self.course.start()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.order.epoch = trainer.current_epoch
        seed_generators(*epoch_address(self.seeds.dropout, trainer.current_epoch))

    def _begin_batch(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.epoch, self.batch = trainer.current_epoch, trainer.fit_loop.epoch_loop.batch_progress.current.ready
        if self._state is not None:
            _put_back(trainer, pl_module, self._state)
            self._state = None
        self.finish_step()
        if self.course.ended:
            # Where the trial may go on from here: Lightning's teardown, and the user's, come next.
            self.last_state = state_of(trainer, pl_module, self)
            raise Left
        seed_generators(*step_address(self.seeds.dropout, self.epoch * trainer.num_training_batches + self.batch))

    # --------------------------------------------------------------------------------------------------------- steps

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer) -> None:
        if self._rate is None:
            self._rate = float(optimizer.param_groups[0]["lr"])
        step = self.course.step + 1
        if self.norms_every and (step == 1 or step % self.norms_every == 0):
            if not self.norms or self.norms[-1][0] != step:
                self.norms.append((step, {}))
            add_norms(self.norms[-1][1], pl_module, optimizer)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs, batch, batch_idx) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, torch.Tensor):
            self._losses.append(loss.detach())
        trainer.val_check_batch = _NEVER
        last = batch_idx + 1 == trainer.num_training_batches
        if not last and (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        losses, self._losses = self._losses, []
        mean = torch.stack([each.float().mean() for each in losses]).mean() if losses else None
        rate, self._rate = self._rate, None
        self._open = True
        self.course.take(mean, float("nan") if rate is None else rate)
        if self.course.due:
            trainer.val_check_batch = batch_idx + 1
            self._generators = _all_generator_states()

    def finish_step(self) -> None:
        """Say of a step that all of it has happened, once."""
        if self._open:
            self._open = False
            self.course.finish_step()

    # ---------------------------------------------------------------------------------------------------- validation

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin = time.perf_counter()
        self._predicted = []
        seed_generators(*validation_address(self.seeds.dropout, self.course.step))

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs, batch, batch_idx, dataloader_idx=0
    ) -> None:
        if self.predictions:
            self._predicted.append(tuple(outputs[name].detach().cpu() for name in PREDICTIONS))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.keep_weights:  # now: averaged ones may be in place for the validation alone
            state = pl_module.state_dict().items()
            self.weights = {name: value.clone() for name, value in state if isinstance(value, torch.Tensor)}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = logged(trainer)
        logits = labels = None
        if self._predicted:
            logits, labels = (torch.cat(parts) for parts in zip(*self._predicted, strict=True))
        _set_all_generator_states(self._generators)  # the training goes on as if nobody had looked
        if self.score not in metrics:
            raise KeyError(f"{self.score}: not logged after step {self.course.step}, only {', '.join(metrics)}")
        self.course.evaluate(
            Evaluation(
                step=self.course.step,
                epoch=self.course.step / self.steps_per_epoch,
                loss=metrics.get("val_loss"),
                metrics=metrics,
                score=metrics[self.score],
                seconds=time.perf_counter() - self._begin,
                logits=None if logits is None else logits.float(),
                labels=None if labels is None else labels.long(),
            )
        )


def _all_generator_states() -> tuple[tuple[Any, ...], list[torch.Tensor]]:
    """States of the shared generators, those of GPUs too."""
    return generator_states(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


def _set_all_generator_states(states: tuple[tuple[Any, ...], list[torch.Tensor]]) -> None:
    set_generator_states(states[0])
    if states[1]:
        torch.cuda.set_rng_state_all(states[1])


_SUMS = ("value", "cumulated_batch_size")  # what Lightning adds up of a logged value
PREDICTIONS = ("logits", "labels")  # what a validation step may return: examples x classes, and which is right
_SAID = ("init", "order", "dropout", "step", "epoch", "seconds", "best_so_far")  # of an evaluation, without its metrics


def logged(trainer: pl.Trainer) -> dict[str, float]:
    """What was logged in the validation that ends, by name; but for what a record says of it by itself."""
    results, found = trainer._results, {}
    for loader in {value.meta.dataloader_idx for value in results.values()}:
        results.dataloader_idx = loader
        found |= results.metrics(on_step=False)["callback"]
    results.dataloader_idx = None
    return {name: float(value) for name, value in found.items() if name not in _SAID}


def are_predictions(outputs: Any) -> bool:
    """Whether a validation step returned logits of classes, and the labels."""
    if not isinstance(outputs, Mapping):
        return False
    logits, labels = (outputs.get(name) for name in PREDICTIONS)
    both = isinstance(logits, torch.Tensor) and isinstance(labels, torch.Tensor)
    return both and logits.ndim == 2 and logits.shape[1] > 1 and labels.shape == logits.shape[:1]


# ------------------------------------------------------------------------------------------------------------- states


def state_of(trainer: pl.Trainer, module: pl.LightningModule, steering: Steering) -> dict[str, Any]:
    """All that a training goes on from, when a step is done."""
    results = trainer.fit_loop.epoch_loop._results
    return {
        "epoch": steering.epoch,
        "batch": steering.batch,
        "global_step": trainer.global_step,
        "stepped": trainer.fit_loop.epoch_loop._batches_that_stepped,
        "lightning": trainer._checkpoint_connector.dump_checkpoint(weights_only=False),
        "metrics": {name: _metric_state(metric) for name, metric in _metrics(module).items()},
        # What is logged in an epoch's steps, for its mean at the end; a metric object has a state of its own.
        "results": {
            name: {part: getattr(result, part) for part in _SUMS if hasattr(result, part)}
            for name, result in results.items()
            if result.is_tensor and steering.batch
        },
        "callback_metrics": dict(trainer.callback_metrics),
    }


def set_counters(trainer: pl.Trainer, state: dict[str, Any]) -> None:
    """Before ``fit``, have its loops begin where a state was taken."""
    epoch, batch, steps = state["epoch"], state["batch"], state["global_step"]
    loop = trainer.fit_loop
    for progress in (loop.epoch_progress.total, loop.epoch_progress.current):
        progress.ready = progress.started = progress.processed = progress.completed = epoch
    for progress in (
        loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total,
        loop.epoch_loop.manual_optimization.optim_step_progress.total,
    ):
        progress.ready = progress.completed = steps
    loop.epoch_loop._batches_that_stepped = state["stepped"]
    reset = loop.epoch_loop.reset

    def reset_once() -> None:
        reset()
        loop.epoch_loop.reset = reset
        current, total = loop.epoch_loop.batch_progress.current, loop.epoch_loop.batch_progress.total
        current.ready = current.started = current.processed = current.completed = batch
        total.ready = total.started = total.processed = total.completed = epoch * trainer.num_training_batches + batch

    loop.epoch_loop.reset = reset_once


def _put_back(trainer: pl.Trainer, module: pl.LightningModule, state: dict[str, Any]) -> None:
    connector = trainer._checkpoint_connector
    connector._loaded_checkpoint = state["lightning"]
    connector.restore_datamodule()
    connector.restore_model()
    connector.restore_callbacks()
    connector.restore_precision_plugin_state()
    connector.restore_optimizers_and_schedulers()
    connector._loaded_checkpoint = {}
    metrics = _metrics(module)
    for name, (updates, values) in state["metrics"].items():
        metrics[name]._update_count, metrics[name]._computed = updates, None
        for key, value in values.items():
            setattr(metrics[name], key, _moved(value, module.device))
    results = trainer.fit_loop.epoch_loop._results
    # But those that this epoch's beginning has logged again.
    sums = {key: parts for key, parts in state["results"].items() if key not in results}
    update = results.update_metrics

    def update_metrics(key: str, *arguments: Any) -> None:  # when the first value of each comes in, in this epoch
        if trainer.current_epoch == state["epoch"]:
            for part, value in sums.pop(key, {}).items():
                setattr(results[key], part, value.to(module.device))
        update(key, *arguments)

    results.update_metrics = update_metrics
    trainer._logger_connector._callback_metrics.update(state["callback_metrics"])


def _metrics(module: pl.LightningModule) -> dict[str, Metric]:
    """A module's metrics of torchmetrics, whose states are no part of its state dict."""
    return {name: each for name, each in module.named_modules() if isinstance(each, Metric)}


def _metric_state(metric: Metric) -> tuple[int, dict[str, Any]]:
    return metric._update_count, {name: getattr(metric, name) for name in metric._defaults}


def _moved(value: Any, device: torch.device) -> Any:
    return [each.to(device) for each in value] if isinstance(value, list) else value.to(device)


# ---------------------------------------------------------------------------------------------------- gradient norms


def add_norms(norms: dict[str, torch.Tensor], module: pl.LightningModule, optimizer: torch.optim.Optimizer) -> None:
    """Add the L2 norms of an optimizer's gradients to those of the step's other optimizers, a group of layers each."""
    owned = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    for name, weights in layer_groups(module).items():
        gradients = [weight.grad for weight in weights if weight.grad is not None and id(weight) in owned]
        if gradients:
            own = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
            norms[name] = torch.hypot(norms[name], own) if name in norms else own


def layer_groups(module: torch.nn.Module) -> dict[str, list[torch.nn.Parameter]]:
    """The parameters of a module's parts, from the first level on at which it has more than one; equal names once."""
    prefix, part = "", module
    while not list(part.parameters(recurse=False)):
        children = {name: child for name, child in part.named_children() if list(child.parameters())}
        if len(children) != 1:
            break
        ((name, part),) = children.items()
        prefix = f"{prefix}{name}."
    groups: dict[str, list[torch.nn.Parameter]] = {}
    for name, weight in part.named_parameters():
        groups.setdefault(f"{prefix}{name.partition('.')[0]}", []).append(weight)
    return groups
