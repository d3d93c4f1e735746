"""One trial, from its settings to its record: whether it runs, from where on, and how it ended. The experiment itself
is :func:`seedgrid.trials.train.train`.
"""

from __future__ import annotations

import time
import traceback
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from seedgrid.errors import InputError, one_line
from seedgrid.files import write_whole
from seedgrid.records.record import TrialRecord
from seedgrid.records.store import FINISHED, check_finished, read_trial, trial_lock, trial_name
from seedgrid.settings import Settings
from seedgrid.training.contract import Prepared
from seedgrid.training.kinds import training_of
from seedgrid.training.process import release_memory
from seedgrid.trials import checkpoint, interrupt
from seedgrid.trials.devices import claim_gpu
from seedgrid.trials.loggers import TrialLog
from seedgrid.trials.preparation import claim
from seedgrid.trials.rungs import check_rung, leaving_at_rung, score_at
from seedgrid.trials.train import train
from seedgrid.trials.wandb_mode import run_id

# What is known of a training beforehand, and goes into the records of its trials.
_FACTS = (
    *("identity", "fingerprint", "task", "metric", "direction", "range", "labels", "predictions"),
    *("train_examples", "validation_examples", "steps_per_epoch", "steps", "diverged_at", "majority"),
    *("device", "precision"),
)
_latest_gpu: int | None = None  # index of the one that this process trained on: what it keeps there is of use again
# Seconds to wait for a trial's lock: who only looks whether it is held (store.is_running) holds it for microseconds.
_PATIENCE = 0.2


@dataclass(frozen=True)
class Outcome:
    """How one call of :func:`run_trial` ended.

    Attributes:
        status: a trial's status; ``interrupted`` after a request to stop, ``elsewhere`` if another process runs it.
        error: one line if it failed.
    """

    status: str
    error: str | None = None


def run_trial(settings: Settings, prepared: Prepared, narrate: bool = False) -> Outcome:
    """Run one trial to its end or its rung, from its checkpoint if it has one, unless it is done already.

    Whatever goes wrong in a trial becomes its status, so that it takes no other trial along.

    Args:
        settings: the trial's.
        prepared: what the sweep's trials share.
        narrate: print a line per evaluation.
    """
    folder = Path(settings.sweep) / trial_name(settings.seed)
    interrupt.listen()
    if interrupt.requested():
        return Outcome("interrupted")
    if settings.rung is not None:
        check_rung(folder.parent, settings.rung)
    try:
        with ExitStack() as held:
            with FileLock(folder.parent / ".cache" / "configuration.lock"):
                claim(folder.parent, prepared)
                held.enter_context(trial_lock(folder).acquire(timeout=_PATIENCE))
            folder.mkdir(parents=True, exist_ok=True)
            return _run_locked(settings, prepared, folder, narrate)
    except Timeout:
        return Outcome("elsewhere")
    except InputError as error:
        return Outcome("failed", str(error))
    finally:
        release_memory()


def _run_locked(settings: Settings, prepared: Prepared, folder: Path, narrate: bool) -> Outcome:
    global _latest_gpu
    record = log = None
    for part in folder.rglob(".*.part"):  # of a process that was killed while it wrote
        part.unlink()
    try:
        begun = _new_record(settings, prepared, folder)
        try:
            status, state = _earlier(folder, begun, settings.rung, training_of(settings).plain)
        except InputError as error:
            if not settings.redo:
                return Outcome("failed", str(error))
            _move_aside(folder)
            begun, status, state = _new_record(settings, prepared, folder), None, None
        if status is not None:
            return Outcome(status)
        record = begun  # from here on, it replaces what is there
        if state is not None and settings.rung is not None and state["step"] >= settings.rung:
            with leaving_at_rung(folder, settings.rung, record.best(settings.rung)["score"]):
                record.write("stopped", state["seconds"])  # its checkpoint is there
            return Outcome("stopped")
        per_gpu = settings.trainer.per_gpu
        per_gpu = 1 if per_gpu == "auto" else per_gpu  # by itself: a sweep has settled it
        gpu = claim_gpu(per_gpu, _latest_gpu) if prepared.device == "gpu" else nullcontext(None)
        with gpu as index:
            if index is not None:
                _latest_gpu = index
                record.header["device"] = torch.cuda.get_device_name(index)
            log = TrialLog(record, settings.logger)
            return Outcome(train(settings, prepared, record, log, state, index, narrate))
    except Exception as error:
        reason = one_line(error)
        details = traceback.format_exc().encode()
        try:
            write_whole(folder / "traceback.txt", lambda file: file.write(details))
            if record is not None:
                record.write("failed", 0.0, reason)
        except OSError:
            pass  # a full disk, most likely: what was there stays as it was
        return Outcome("failed", reason)
    finally:
        if log is not None:
            log.finish()


def _earlier(folder: Path, record: TrialRecord, rung: int | None, plain: bool) -> tuple[str | None, dict | None]:
    """What an earlier process left: the status of a trial that came to its goal, or the checkpoint to go on from."""
    if not (folder / "trial.json").exists():
        return None, None
    trial = read_trial(folder)
    status, record.header["run_id"] = trial["status"], run_id(trial)
    if status in FINISHED:
        check_finished(folder)
        return status, None
    if rung is not None and score_at(folder, rung) is not None:
        return status, None
    state = checkpoint.load(folder, plain)
    if state is not None:
        record.resume(state["step"], trial)
    return None, state


def _move_aside(folder: Path) -> None:
    """Keep what is left of a damaged trial, out of the way."""
    aside = folder.parent / "damaged" / f"{folder.name} {time.strftime('%Y-%m-%d %H.%M.%S')}"
    aside.parent.mkdir(exist_ok=True)
    folder.rename(aside)
    folder.mkdir()


def _new_record(settings: Settings, prepared: Prepared, folder: Path) -> TrialRecord:
    own = set(type(settings).model_fields) - set(Settings.model_fields)  # of this kind of training
    config = settings.model_dump(mode="json", include=own | {"training", "evaluation", "trainer"})
    header = {
        "seeds": settings.seed.model_dump(),
        "config": config,
        **{name: getattr(prepared, name) for name in _FACTS},
        "logger": settings.logger.model_dump(mode="json"),
    }
    return TrialRecord(folder, header, training_of(settings).labels(prepared))
