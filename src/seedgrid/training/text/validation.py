"""Validation at fractions of an epoch, without a trace in the training."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytorch_lightning as pl
import torch
from torch.nn.functional import cross_entropy

from seedgrid.evaluation.evaluation import Evaluation
from seedgrid.training.text.metrics import compute_metrics


class FractionalValidation(pl.Callback):
    """Validates after the given steps and hands each :class:`Evaluation` on.

    It draws no random number and puts the module back into train mode, so the training is bit-identical however often
    it is validated. (The paper's code stayed in eval mode, without dropout, until the next epoch.)

    Args:
        steps: after how many steps to validate; 0 is before the first.
        steps_per_epoch: steps of one pass over the training set.
        labels: int64 on the CPU, examples.
        metric: the task's metric.
        report: called with each evaluation.
        untrained: for packed batches: what the pretrained encoder makes of them, a tensor a batch. The trials of a
            process share it and the first one fills it, since before training they differ in their heads alone. None:
            the encoder itself is not the same in all.
    """

    def __init__(
        self,
        steps: list[int],
        steps_per_epoch: int,
        labels: torch.Tensor,
        metric: str,
        report: Callable[[pl.Trainer, pl.LightningModule, Evaluation], None],
        untrained: list[torch.Tensor] | None = None,
    ) -> None:
        self.steps = frozenset(steps)
        self.steps_per_epoch = steps_per_epoch
        self.labels = labels
        self.metric = metric
        self.report = report
        self.untrained = untrained

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if pl_module.start == 0 and 0 in self.steps:
            self._validate(trainer, pl_module, 0)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs, batch, batch_idx) -> None:
        step = pl_module.start + batch_idx + 1
        if step in self.steps and not trainer.should_stop:
            self._validate(trainer, pl_module, step)

    def _validate(self, trainer: pl.Trainer, module: pl.LightningModule, step: int) -> None:
        begin = time.perf_counter()
        logits = predict(trainer, module, self.untrained if step == 0 else None)
        loss = cross_entropy(logits, self.labels).item()
        metrics = compute_metrics(logits, self.labels, self.metric)
        evaluation = Evaluation(
            step=step,
            epoch=step / self.steps_per_epoch,
            loss=loss,
            metrics=metrics,
            score=metrics[self.metric],
            seconds=time.perf_counter() - begin,
            logits=logits,
            labels=self.labels,
        )
        self.report(trainer, module, evaluation)


def predict(trainer: pl.Trainer, module: pl.LightningModule, encoded: list[torch.Tensor] | None = None) -> torch.Tensor:
    """Logits of the validation set: float32 on the CPU, examples (in the data set's order) x classes.

    Args:
        trainer, module: whose.
        encoded: what the encoder makes of each packed batch, to be used, or to be filled where it is empty.
    """
    data = trainer.datamodule
    was_training = module.training
    module.eval()
    with torch.inference_mode(), trainer.precision_plugin.val_step_context():
        if not encoded:
            batches = list(data.val_dataloader())
        if encoded is None:
            logits = [module(batch) for batch in batches]
        else:
            encoded[:] = encoded or [module.encode(batch) for batch in batches]
            logits = [module.classify(hidden) for hidden in encoded]
    module.train(was_training)
    order = torch.from_numpy(data.validation_order)
    unsorted = torch.empty(len(order), logits[0].shape[1])
    unsorted[order] = torch.cat(logits).float().cpu()
    return unsorted
