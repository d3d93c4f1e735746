"""The experiment: one training, from its seeds to its last step. Whether and when it runs is said in ``run``."""

from __future__ import annotations

import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from seedgrid.evaluation.schedule import schedule_of
from seedgrid.records.record import TrialRecord
from seedgrid.scale import Scale
from seedgrid.settings import Settings
from seedgrid.training.contract import Course, Prepared
from seedgrid.training.kinds import training_of
from seedgrid.training.process import configure_process, peak_memory_mb
from seedgrid.trials import checkpoint, interrupt
from seedgrid.trials.best_of_trial import BestOfTrial
from seedgrid.trials.checkpointing import Checkpointing
from seedgrid.trials.clock import Clock
from seedgrid.trials.loggers import TrialLog
from seedgrid.trials.losses import Losses
from seedgrid.trials.narration import Narration
from seedgrid.trials.recording import Recording
from seedgrid.trials.rungs import leaving_at_rung


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
    start, clock = (0, Clock()) if state is None else (state["step"], Clock(state["seconds"]))
    last_step = prepared.steps if settings.rung is None else settings.rung

    # What is trained, under the trial's seeds.
    training = training_of(settings)
    run = training.begin(prepared, torch.device("cpu") if gpu is None else torch.device("cuda", gpu), state)

    # What happens besides, in this order, after each step and after each evaluation.
    losses = Losses(record, run)
    best = BestOfTrial(record, training, run, _about(settings, prepared))
    checkpointing = Checkpointing(record, run, losses, best, settings.checkpoint.minutes, last_step, clock)
    scale = Scale.of(prepared.metric, prepared.direction, prepared.range)
    listeners = [
        losses,  # are known before an evaluation; after one that is no number, there is none
        Recording(record, clock),  # an evaluation is on disk before the others are told of it; then, the step is done
        *([best] if settings.keep_best else []),
        *([Narration(prepared.steps, scale, clock)] if narrate else []),
        log,  # is given steps that are done
        checkpointing,  # the last: what a checkpoint is of is recorded
    ]
    evaluated = schedule_of(settings.evaluation, prepared.steps, prepared.steps_per_epoch)
    course = Course(start, evaluated, listeners)

    record.write("running", clock.seconds())
    try:
        run.fit(course)
    except SIGTERMException:  # Lightning's: asked to end while its handler stood alone, before the course started
        checkpointing.interrupted = True
    except Exception:
        losses.salvage(course)
        if not losses.nonfinite:  # else there should have been no such step
            raise
    except BaseException:  # Ctrl-C for the second time in a notebook's process, of which Lightning makes an exit
        if interrupt.requested():
            raise KeyboardInterrupt from None
        raise
    losses.settle(course)
    best.hand_over()

    if checkpointing.interrupted and not losses.nonfinite:
        return "interrupted"
    memory = {"peak_memory_mb": peak_memory_mb(prepared.device)}
    if settings.rung is not None and not losses.nonfinite:
        status = "stopped"
        with leaving_at_rung(record.folder, last_step, record.best(last_step)["score"]) as goes_on:
            if goes_on:
                checkpoint.save(record.folder, run.state(), last_step, clock.seconds())
            record.write(status, clock.seconds(), **memory)
    else:
        status = "nonfinite" if losses.nonfinite else "completed"
        record.write(status, clock.seconds(), **memory)
        checkpoint.remove(record.folder)
    (record.folder / "traceback.txt").unlink(missing_ok=True)  # of an earlier try
    return status


def _about(settings: Settings, prepared: Prepared) -> dict:
    """What is to be known of a best model besides its score and step."""
    names = {name: getattr(prepared, name) for name in ("metric", "direction", "task", "model")}
    return names | settings.seed.model_dump()
