"""One fine-tuning: the module and the batches of its seeds, in Lightning's hands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from seedgrid.training.contract import Course, Prepared, Run
from seedgrid.training.lone_trainer import lone_trainer
from seedgrid.training.text import best_model
from seedgrid.training.text.data.datamodule import TokenDataModule
from seedgrid.training.text.gradient_norms import GradientNorms
from seedgrid.training.text.model.module import FineTuning
from seedgrid.training.text.model.network import pads_left
from seedgrid.training.text.quiet import keep_quiet
from seedgrid.training.text.settings import TextSettings
from seedgrid.training.text.training import files_of
from seedgrid.training.text.validation import FractionalValidation
from seedgrid.training.text.worker import forget_step, has_static_shapes, packs, step_of, tokens_of


class FineTuningRun(Run):
    """As :meth:`seedgrid.training.contract.Training.begin` makes it."""

    def __init__(
        self, settings: TextSettings, prepared: Prepared, device: torch.device, state: dict[str, Any] | None
    ) -> None:
        keep_quiet()
        self.settings = settings
        self.prepared = prepared
        self.device = device
        self.files = files_of(settings, prepared)
        self.validation = tokens_of(self.files.validation)
        self._scale = None if state is None else state["scale"]
        self._norms = GradientNorms(settings.gradient_norms)
        # The pretrained encoder, and a new layer that the init seed draws; loss and optimizer.
        self.step = step_of(settings, prepared, device)
        self.step.begin(settings.seed.init, state)

    def fit(self, course: Course) -> None:
        settings, prepared, step = self.settings, self.prepared, self.step
        recipe, seeds, network = settings.recipe, settings.seed, step.network
        training, packing = tokens_of(self.files.train), packs(settings, network)

        # Batches in the order that the order seed draws.
        data = TokenDataModule(
            training,
            self.validation,
            order_seed=seeds.order,
            batch_size=recipe.batch_size,
            validation_batch_size=settings.evaluation.batch_size,
            steps=prepared.steps,
            start=course.step,
            pad_id=network.config.pad_token_id or 0,
            pad_left=pads_left(network.config),
            packing=packing,
            static=has_static_shapes(settings, network, self.device),
        )

        # Learning rate, and dropout masks from the dropout seed and the step.
        module = FineTuning(step, prepared.steps, len(training), seeds.dropout, course.step)

        validation = FractionalValidation(
            course.evaluated,
            prepared.steps_per_epoch,
            torch.from_numpy(self.validation.label),
            prepared.metric,
            _telling(course),
            step.untrained if packing and not recipe.reinitialize else None,
        )
        self.trainer = lone_trainer(
            accelerator=prepared.device,
            devices=[self.device.index] if self.device.type == "cuda" else 1,
            precision=prepared.precision,
            deterministic=settings.trainer.deterministic,
            callbacks=[self._norms, _Following(course, validation)],
        )
        if self._scale is not None:
            self.trainer.precision_plugin.load_state_dict(self._scale)
        try:
            self.trainer.fit(module, datamodule=data)
        except BaseException:
            forget_step()  # whatever state it is in
            raise

    def state(self) -> dict[str, Any]:
        return {
            "network": self.step.network.state_dict(),
            "optimizer": self.step.optimizer.state_dict(),
            "scale": self.trainer.precision_plugin.state_dict(),  # of half precision's gradients
        }

    def take_gradient_norms(self) -> list[dict[str, float]]:
        return self._norms.take()

    def weights(self) -> dict[str, torch.Tensor]:
        return self.step.network.state_dict()

    def whole(self, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return best_model.whole(self.step.network, weights)

    def furnish(self, folder: Path) -> None:
        best_model.furnish(folder, self.step.network, self.files.model, self.settings.data.max_length)


class _Following(pl.Callback):
    """Tells a course of each step; between a step and what follows it comes its validation."""

    def __init__(self, course: Course, validation: FractionalValidation) -> None:
        self.course = course
        self.validation = validation

    def on_train_start(self, trainer: pl.Trainer, pl_module: FineTuning) -> None:
        self.course.start()
        self.validation.on_train_start(trainer, pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: FineTuning, outputs, batch, batch_idx) -> None:
        self.course.take(outputs["loss"], pl_module.learning_rate)
        trainer.should_stop = self.course.ended
        self.validation.on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        self.course.finish_step()
        trainer.should_stop = self.course.ended


def _telling(course: Course):
    def tell(trainer: pl.Trainer, module: FineTuning, evaluation) -> None:
        course.evaluate(evaluation)
        trainer.should_stop = course.ended

    return tell
