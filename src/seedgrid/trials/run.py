"""One trial, from its settings to its record. Read :func:`_train` for what an experiment consists of."""

from __future__ import annotations

import ctypes
import gc
import inspect
import logging
import math
import os
import platform
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.utils.deterministic
from filelock import FileLock, Timeout
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from seedgrid.data.datamodule import TokenDataModule
from seedgrid.data.tokens import Tokens, read_tokens, used_words
from seedgrid.errors import InputError, one_line
from seedgrid.evaluation.callback import Evaluation, FractionalValidation
from seedgrid.evaluation.schedule import schedule_of
from seedgrid.files import write_whole
from seedgrid.model.layers import freeze
from seedgrid.model.module import FineTuning
from seedgrid.model.network import build_network, pads_left
from seedgrid.model.packing import can_pack
from seedgrid.model.vocabulary import keep_used_words
from seedgrid.records.record import TrialRecord
from seedgrid.records.store import FINISHED, check_finished, read_trial, trial_lock, trial_name
from seedgrid.settings import Settings, steps_per_epoch
from seedgrid.trials import checkpoint, interrupt
from seedgrid.trials.best_model import BestOfTrial
from seedgrid.trials.devices import claim_gpu
from seedgrid.trials.gradient_norms import GradientNorms
from seedgrid.trials.loggers import TrialLog
from seedgrid.trials.preparation import Prepared, claim
from seedgrid.trials.rungs import check_rung, leave_at_rung, score_at
from seedgrid.trials.wandb_mode import run_id

# Seconds to wait for a trial's lock: who only looks whether it is held (store.is_running) holds it for microseconds.
_PATIENCE = 0.2
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


@dataclass(frozen=True)
class Outcome:
    """How one call of :func:`run_trial` ended.

    Attributes:
        status: a trial's status; ``interrupted`` after a request to stop, ``elsewhere`` if another process runs it.
        error: one line if it failed.
    """

    status: str
    error: str | None = None


def say(line: str) -> None:
    """Print to whoever still reads: a trial goes on without a reader, or a terminal."""
    with suppress(OSError):
        print(line, flush=True)


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
        # Trainer and module refer to each other: without this the next trial would share its device with this one.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def _run_locked(settings: Settings, prepared: Prepared, folder: Path, narrate: bool) -> Outcome:
    record = log = None
    for part in folder.rglob(".*.part"):  # of a process that was killed while it wrote
        part.unlink()
    try:
        begun = _new_record(settings, prepared, folder)
        try:
            status, state = _earlier(folder, begun, settings.rung)
        except InputError as error:
            if not settings.redo:
                return Outcome("failed", str(error))
            _move_aside(folder)
            begun, status, state = _new_record(settings, prepared, folder), None, None
        if status is not None:
            return Outcome(status)
        record = begun  # from here on, it replaces what is there
        if state is not None and settings.rung is not None and state["step"] >= settings.rung:
            _leave_at_rung(record, settings.rung, lambda: None, state["seconds"])  # its checkpoint is there
            return Outcome("stopped")
        gpu = claim_gpu(settings.trainer.per_gpu) if prepared.device == "gpu" else nullcontext(None)
        with gpu as index:
            log = TrialLog(record, settings.logger)
            return Outcome(_train(settings, prepared, record, log, state, [index] if index is not None else 1, narrate))
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


def _earlier(folder: Path, record: TrialRecord, rung: int | None) -> tuple[str | None, dict | None]:
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
    state = checkpoint.load(folder)
    if state is not None:
        record.resume(state["step"], trial)
    return None, state


def _move_aside(folder: Path) -> None:
    """Keep what is left of a damaged trial, out of the way."""
    aside = folder.parent / "damaged" / f"{folder.name} {time.strftime('%Y-%m-%d %H.%M.%S')}"
    aside.parent.mkdir(exist_ok=True)
    folder.rename(aside)
    folder.mkdir()


def _train(
    settings: Settings,
    prepared: Prepared,
    record: TrialRecord,
    log: TrialLog,
    state: dict | None,
    devices: list[int] | int,
    narrate: bool,
) -> str:
    """The experiment; returns the trial's status."""
    configure_process(settings.trainer.threads)
    recipe, seeds, begin = settings.recipe, settings.seed, time.monotonic()
    start, seconds_before = 0, 0.0
    train, validation = _tokens(prepared.train), _tokens(prepared.validation)
    per_epoch = steps_per_epoch(len(train), recipe.batch_size)

    network, packing = network_of(settings, prepared)
    if state is not None:
        start, seconds_before = state["step"], state["seconds"]
        network.load_state_dict(state["network"])

    # Batches in the order that the order seed draws; dropout masks from the dropout seed and the step.
    data = TokenDataModule(
        train,
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
    optimizer_state = None if state is None else state["optimizer"]
    module = FineTuning(network, recipe, prepared.steps, len(train), seeds.dropout, start, optimizer_state)
    schedule = schedule_of(settings.evaluation, prepared.steps, per_epoch)

    best_model = BestOfTrial(Path(settings.sweep), network, prepared.model_folder, settings.data.max_length)

    def seconds() -> float:
        return seconds_before + time.monotonic() - begin

    def report(trainer: pl.Trainer, module: FineTuning, evaluation: Evaluation) -> None:
        if not math.isfinite(evaluation.loss):
            steps.nonfinite = trainer.should_stop = True
            return
        before = record.best
        record.add_evaluation(evaluation)
        record.write("running", seconds())
        better = before is None or evaluation.score > before["score"]
        if settings.keep_best and better and evaluation.step > 0:
            facts = {
                "score": evaluation.score,
                "metric": settings.task.metric,
                "task": settings.task.name,
                "model": settings.model.name,
                **seeds.model_dump(),
                "step": evaluation.step,
                "epoch": evaluation.epoch,
            }
            best_model.take(facts)
        if narrate:
            say(_line(evaluation, prepared.steps, settings.task.metric, seconds()))

    norms = GradientNorms(settings.gradient_norms, record.add_gradient_norms)
    # In this order: a checkpoint after a step promises that the step's loss and evaluation are recorded.
    steps = _StepRecorder(record)
    validation_callback = FractionalValidation(
        schedule,
        per_epoch,
        torch.from_numpy(validation.label),
        settings.task.metric,
        report,
        _untrained(settings, prepared) if packing and not recipe.reinitialize else None,
    )
    last_step = prepared.steps if settings.rung is None else settings.rung
    checkpoints = _Checkpoints(record, log, best_model, settings.checkpoint.minutes, last_step, seconds)
    trainer = lone_trainer(
        accelerator=prepared.device,
        devices=devices,
        precision=prepared.precision,
        max_epochs=1,
        gradient_clip_val=recipe.gradient_norm,
        deterministic=settings.trainer.deterministic,
        callbacks=[norms, steps, validation_callback, checkpoints],
        logger=False,
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    if state is not None:
        trainer.precision_plugin.load_state_dict(state["scale"])
    record.write("running", seconds())
    try:
        trainer.fit(module, datamodule=data)
    except SIGTERMException:  # Lightning's: asked to end while its handler stood alone, before on_train_start
        checkpoints.interrupted = True
    if steps.nonfinite:
        status = "nonfinite"
    elif checkpoints.interrupted:
        status = "interrupted"
    else:
        status = "completed" if settings.rung is None else "stopped"
    best_model.hand_over()
    if status == "stopped":

        def save() -> None:
            checkpoint.save(record.folder, network, trainer, last_step, seconds())

        _leave_at_rung(record, last_step, save, seconds(), peak_memory_mb=_peak_memory_mb(prepared.device))
    elif status != "interrupted":
        record.write(status, seconds(), peak_memory_mb=_peak_memory_mb(prepared.device))
        checkpoint.remove(record.folder)
    if status != "interrupted":
        (record.folder / "traceback.txt").unlink(missing_ok=True)  # of an earlier try
    return status


def lone_trainer(**given: Any) -> pl.Trainer:
    """A Trainer of one process on one device, with its defaults for all that is not given, wherever it runs.

    By itself Lightning takes part in Slurm, torchrun, LSF, MPI and Kubeflow where it finds their variables, loads a
    ``hpc_ckpt_*.ckpt`` that lies in its root folder, and reads what is not given from ``PL_TRAINER_...``.
    """
    defaults = {name: parameter.default for name, parameter in inspect.signature(pl.Trainer).parameters.items()}
    alone = {"plugins": [LightningEnvironment()], "default_root_dir": os.devnull}
    return pl.Trainer(**defaults | alone | given)


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
        keep_used_words(network, torch.from_numpy(_used_words(prepared.train, prepared.validation)))
    if recipe.freeze is not None:
        freeze(network, recipe.freeze)
    return network, packing


def _untrained(settings: Settings, prepared: Prepared) -> list[torch.Tensor]:
    """What trials before this one, in this process, found the pretrained encoder to make of the validation batches."""
    return _of_encoder(
        prepared.model_folder,
        settings.model.layers,
        prepared.validation,
        settings.evaluation.batch_size,
        prepared.device,
        prepared.precision,
        settings.trainer.threads,
    )


@lru_cache(maxsize=1)
def _of_encoder(*conditions: object) -> list[torch.Tensor]:
    return []


def _leave_at_rung(record: TrialRecord, rung: int, save: Callable[[], None], seconds: float, **more: int) -> None:
    score = max(row["score"] for row in record.evaluations if 0 < row["step"] <= rung)
    leave_at_rung(record.folder, rung, score, save, lambda: record.write("stopped", seconds, **more))


class _StepRecorder(pl.Callback):
    """Keeps every step's loss, and ends a trial whose loss is no finite number."""

    def __init__(self, record: TrialRecord) -> None:
        self.record = record
        self.nonfinite = False

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: FineTuning, outputs, batch, batch_idx) -> None:
        step, loss = pl_module.start + batch_idx + 1, outputs["loss"].item()
        self.record.add_step(step, loss, pl_module.learning_rate)
        if not math.isfinite(loss):
            self.nonfinite = trainer.should_stop = True


class _Checkpoints(pl.Callback):
    """Ends the training at its last step; before, writes a checkpoint every so many minutes and at a request to end."""

    def __init__(
        self,
        record: TrialRecord,
        log: TrialLog,
        best_model: BestOfTrial,
        minutes: float,
        last_step: int,
        seconds: Callable[[], float],
    ) -> None:
        self.record = record
        self.trial_log = log  # Lightning takes the name log
        self.best_model = best_model
        self.minutes = minutes
        self.last_step = last_step
        self.seconds = seconds
        self.interrupted = False
        self.latest = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: FineTuning) -> None:
        interrupt.listen()  # again: Lightning has put a handler in front of ours that ends the process at SIGTERM

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: FineTuning, outputs, batch, batch_idx) -> None:
        step = pl_module.start + batch_idx + 1
        self.record.step = step  # the last of the callbacks: all of it is done
        self.trial_log.follow()
        if trainer.should_stop or step == self.last_step:
            trainer.should_stop = True
            return
        self.interrupted = interrupt.requested()
        if self.interrupted or time.monotonic() - self.latest >= 60 * self.minutes:
            seconds = self.seconds()
            self.record.write("running", seconds)
            self.best_model.hand_over()  # before the checkpoint: what it would not train again
            checkpoint.save(self.record.folder, pl_module.network, trainer, step, seconds)
            self.latest = time.monotonic()
        trainer.should_stop = self.interrupted


def _new_record(settings: Settings, prepared: Prepared, folder: Path) -> TrialRecord:
    config = settings.model_dump(mode="json", include={"task", "model", "recipe", "data", "evaluation", "trainer"})
    header = {
        "seeds": settings.seed.model_dump(),
        "config": config,
        "identity": prepared.identity,
        "fingerprint": prepared.fingerprint,
        "labels": list(prepared.labels),
        "train_examples": prepared.train_examples,
        "validation_examples": prepared.validation_examples,
        "steps_per_epoch": steps_per_epoch(prepared.train_examples, settings.recipe.batch_size),
        "steps": prepared.steps,
        "diverged_at": prepared.diverged_at,
        "device": torch.cuda.get_device_name() if prepared.device == "gpu" else "cpu",
        "precision": prepared.precision,
        "logger": settings.logger.model_dump(mode="json"),
    }
    return TrialRecord(folder, header, _tokens(prepared.validation).label)


def configure_process(threads: int) -> None:
    """Threads decide the order of additions, so they are part of a trial; what libraries say is not."""
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest")  # whatever TORCH_ALLOW_TF32_CUBLAS_OVERRIDE says
    # Lightning's loggers write in rank 0 alone, and took their rank from RANK, SLURM_PROCID, ... when imported.
    LightningEnvironment().set_global_rank(0)
    # Deterministic algorithms also fill memory that nobody has written yet, to show whoever reads it; nobody does.
    torch.utils.deterministic.fill_uninitialized_memory = False
    _keep_freed_memory()
    _keep_imports()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")


@cache
def _keep_imports() -> None:
    """Leave what is imported out of the search for garbage after each trial, a quarter of a second."""
    gc.freeze()


@cache
def _keep_freed_memory() -> None:
    """Let the next step have a step's large tensors: by default, glibc hands them back, and Linux clears them again."""
    if platform.libc_ver()[0] == "glibc":
        c = ctypes.CDLL(None)
        c.mallopt(_M_MMAP_MAX, 0)
        c.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


@lru_cache(maxsize=4)
def _tokens(path: Path) -> Tokens:
    """Tokens stay in memory between the trials of a worker."""
    return read_tokens(path)


@lru_cache(maxsize=1)
def _used_words(train: Path, validation: Path) -> np.ndarray:
    return used_words(_tokens(train), _tokens(validation))


def _peak_memory_mb(device: str) -> int:
    """Peak memory of the GPU for this trial, or of this process since it started."""
    if device == "gpu":
        return round(torch.cuda.max_memory_allocated() / 2**20)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kibibytes elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)


def _line(evaluation: Evaluation, steps: int, metric: str, seconds: float) -> str:
    left = seconds / max(evaluation.step, 1) * (steps - evaluation.step)
    remaining = f"{left:.0f} s left" if evaluation.step else ""
    return (
        f"epoch {evaluation.epoch:5.2f}   step {evaluation.step:5d} of {steps}   loss {evaluation.loss:.4f}   "
        f"{metric} {evaluation.score:.4f}   {remaining}"
    )
