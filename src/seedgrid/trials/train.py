"""The experiment: one training, from its seeds to its last step. Whether and when it runs is said in ``run``."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException
from transformers import PreTrainedModel

from seedgrid.data.datamodule import TokenDataModule
from seedgrid.evaluation.callback import Evaluation, FractionalValidation
from seedgrid.evaluation.schedule import schedule_of
from seedgrid.model.layers import freeze
from seedgrid.model.module import FineTuning
from seedgrid.model.network import build_network, pads_left
from seedgrid.model.packing import can_pack
from seedgrid.model.vocabulary import keep_used_words
from seedgrid.records.record import TrialRecord
from seedgrid.settings import Settings, steps_per_epoch
from seedgrid.trials import checkpoint
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
from seedgrid.trials.worker import encoded_before_training, tokens_of, words_of


def train(
    settings: Settings,
    prepared: Prepared,
    record: TrialRecord,
    log: TrialLog,
    state: dict | None,
    devices: list[int] | int,
    narrate: bool,
) -> str:
    """Train and validate; returns the trial's status, which its record has by then, or ``interrupted``.

    Args:
        settings: the trial's.
        prepared: what the sweep's trials share.
        record, log: where its numbers go.
        state: the checkpoint to go on from; None: from the start.
        devices: Lightning's, of the kind that ``prepared`` names.
        narrate: print a line per evaluation.
    """
    configure_process(settings.trainer.threads)
    recipe, seeds = settings.recipe, settings.seed
    start, clock = (0, Clock()) if state is None else (state["step"], Clock(state["seconds"]))
    last_step = prepared.steps if settings.rung is None else settings.rung

    # The pretrained encoder, and a new layer that the init seed draws.
    network, packing = network_of(settings, prepared)
    if state is not None:
        network.load_state_dict(state["network"])

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
    )

    # Loss, optimizer and learning rate; dropout masks from the dropout seed and the step.
    optimizer_state = None if state is None else state["optimizer"]
    module = FineTuning(network, recipe, prepared.steps, len(training), seeds.dropout, start, optimizer_state)

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
        norms,  # before the step's gradients are clipped
        losses,  # are known before an evaluation; after one that is no number, there is none
        FractionalValidation(
            evaluated,
            per_epoch,
            torch.from_numpy(validation.label),
            settings.task.metric,
            _tell,
            encoded_before_training(settings, prepared) if packing and not recipe.reinitialize else None,
        ),
        Recording(record, clock),  # an evaluation is on disk before the others are told of it; then, the step is done
        *([best] if settings.keep_best else []),
        *([Narration(prepared.steps, settings.task.metric, clock)] if narrate else []),
        log,  # is given steps that are done
        checkpointing,  # the last: what a checkpoint is of is recorded
    ]
    trainer = lone_trainer(
        accelerator=prepared.device,
        devices=devices,
        precision=prepared.precision,
        gradient_clip_val=recipe.gradient_norm,
        deterministic=settings.trainer.deterministic,
        callbacks=callbacks,
    )
    if state is not None:
        trainer.precision_plugin.load_state_dict(state["scale"])

    record.write("running", clock.seconds())
    try:
        trainer.fit(module, datamodule=data)
    except SIGTERMException:  # Lightning's: asked to end while its handler stood alone, before on_train_start
        checkpointing.interrupted = True
    except Exception:
        losses.salvage(trainer)
        if not losses.nonfinite:  # else there should have been no such step
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
                checkpoint.save(record.folder, network, trainer, last_step, clock.seconds())
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


def network_of(settings: Settings, prepared: Prepared) -> tuple[PreTrainedModel, bool]:
    """The network that a trial starts from, and whether its batches are packed.

    The pretrained encoder is the same in every trial; what is new comes from the init seed.
    """
    model, recipe = settings.model, settings.recipe
    network = build_network(
        prepared.model_folder, prepared.labels, settings.seed.init, model.layers, model.dropout, recipe.reinitialize
    )
    packing = model.packing and can_pack(network)
    if packing:
        keep_used_words(network, words_of(prepared.train, prepared.validation))
    if recipe.freeze is not None:
        freeze(network, recipe.freeze)
    return network, packing
