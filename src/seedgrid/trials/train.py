"""The experiment: one training, from its seeds to its last step. Whether and when it runs is said in ``run``."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from seedgrid.evaluation.callback import Evaluation, FractionalValidation
from seedgrid.evaluation.schedule import schedule_of
from seedgrid.records.record import TrialRecord
from seedgrid.settings import Settings, steps_per_epoch
from seedgrid.training.text.data.datamodule import TokenDataModule
from seedgrid.training.text.model.module import FineTuning
from seedgrid.training.text.model.network import pads_left
from seedgrid.trials import checkpoint, interrupt
from seedgrid.trials.best_of_trial import BestOfTrial
from seedgrid.trials.checkpointing import Checkpointing
from seedgrid.trials.clock import Clock
from seedgrid.trials.gradient_norms import GradientNorms
from seedgrid.trials.loggers import TrialLog
from seedgrid.trials.lone_trainer import lone_trainer
from seedgrid.trials.losses import Losses
from seedgrid.trials.narration import Narration
from seedgrid.trials.preparation import Prepared
from seedgrid.trials.process import configure_process, peak_memory_mb
from seedgrid.trials.recording import Recording
from seedgrid.trials.rungs import leaving_at_rung
from seedgrid.trials.worker import forget_step, has_static_shapes, packs, step_of, tokens_of


def train(
    settings: Settings,
    prepared: Prepared,
    record: TrialRecord,
    log: TrialLog,
    state: dict | None,
    gpu: int | None,
    narrate: bool,
) -> str:
    """Train and validate; returns the trial's status, which its record has by then, or ``interrupted``.

    Args:
        settings: the trial's.
        prepared: what the sweep's trials share.
        record, log: where its numbers go.
        state: the checkpoint to go on from; None: from the start.
        gpu: index of the one to train on; None: the CPU.
        narrate: print a line per evaluation.
    """
    configure_process(settings.trainer.threads)
    recipe, seeds = settings.recipe, settings.seed
    start, clock = (0, Clock()) if state is None else (state["step"], Clock(state["seconds"]))
    last_step = prepared.steps if settings.rung is None else settings.rung

    # The pretrained encoder, and a new layer that the init seed draws; loss and optimizer.
    device = torch.device("cuda", gpu) if gpu is not None else torch.device("cpu")
    step = step_of(settings, prepared, device)
    step.begin(seeds.init, state)
    network, packing = step.network, packs(settings, step.network)

    # Batches in the order that the order seed draws.
    training, validation = tokens_of(prepared.train), tokens_of(prepared.validation)
    data = TokenDataModule(
        training,
        validation,
        order_seed=seeds.order,
        batch_size=recipe.batch_size,
        validation_batch_size=settings.evaluation.batch_size,
        steps=prepared.steps,
        start=start,
        pad_id=network.config.pad_token_id or 0,
        pad_left=pads_left(network.config),
        packing=packing,
        static=has_static_shapes(settings, network, device),
    )

    # Learning rate, and dropout masks from the dropout seed and the step.
    module = FineTuning(step, prepared.steps, len(training), seeds.dropout, start)

    # What happens besides, in this order, after each step; those with an ``on_evaluation`` are told of evaluations.
    per_epoch = steps_per_epoch(len(training), recipe.batch_size)
    evaluated = schedule_of(settings.evaluation, prepared.steps, per_epoch)
    norms = GradientNorms(settings.gradient_norms)
    losses = Losses(record, norms, evaluated)
    names = {"metric": settings.task.metric, "task": settings.task.name, "model": settings.model.name}
    about = names | seeds.model_dump()
    best = BestOfTrial(record, network, prepared.model_folder, settings.data.max_length, about)
    checkpointing = Checkpointing(record, losses, best, settings.checkpoint.minutes, last_step, clock)
    callbacks = [
        norms,
        losses,  # are known before an evaluation; after one that is no number, there is none
        FractionalValidation(
            evaluated,
            per_epoch,
            torch.from_numpy(validation.label),
            settings.task.metric,
            _tell,
            step.untrained if packing and not recipe.reinitialize else None,
        ),
        Recording(record, clock),  # an evaluation is on disk before the others are told of it; then, the step is done
        *([best] if settings.keep_best else []),
        *([Narration(prepared.steps, settings.task.metric, clock)] if narrate else []),
        log,  # is given steps that are done
        checkpointing,  # the last: what a checkpoint is of is recorded
    ]
    trainer = lone_trainer(
        accelerator=prepared.device,
        devices=1 if gpu is None else [gpu],
        precision=prepared.precision,
        deterministic=settings.trainer.deterministic,
        callbacks=callbacks,
    )
    if state is not None:
        trainer.precision_plugin.load_state_dict(state["scale"])

    record.write("running", clock.seconds())
    try:
        trainer.fit(module, datamodule=data)
    except SIGTERMException:  # Lightning's: asked to end while its handler stood alone, before on_train_start
        forget_step()  # Lightning may have moved the optimizer's state
        checkpointing.interrupted = True
    except Exception:
        losses.salvage(trainer)
        forget_step()  # whatever state it is in
        if not losses.nonfinite:  # else there should have been no such step
            raise
    except BaseException:  # Ctrl-C for the second time in a notebook's process, of which Lightning makes an exit
        forget_step()
        if interrupt.requested():
            raise KeyboardInterrupt from None
        raise
    losses.settle(trainer)
    best.hand_over()

    if checkpointing.interrupted and not losses.nonfinite:
        return "interrupted"
    memory = {"peak_memory_mb": peak_memory_mb(prepared.device)}
    if settings.rung is not None and not losses.nonfinite:
        status = "stopped"
        with leaving_at_rung(record.folder, last_step, record.best(last_step)["score"]) as goes_on:
            if goes_on:
                checkpoint.save(record.folder, network, step.optimizer, trainer, last_step, clock.seconds())
            record.write(status, clock.seconds(), **memory)
    else:
        status = "nonfinite" if losses.nonfinite else "completed"
        record.write(status, clock.seconds(), **memory)
        checkpoint.remove(record.folder)
    (record.folder / "traceback.txt").unlink(missing_ok=True)  # of an earlier try
    return status


def _tell(trainer: pl.Trainer, module: FineTuning, evaluation: Evaluation) -> None:
    """Tell the callbacks of an evaluation, in their order, until one of them ends the training."""
    for callback in trainer.callbacks:
        if hasattr(callback, "on_evaluation") and not trainer.should_stop:
            callback.on_evaluation(trainer, module, evaluation)
