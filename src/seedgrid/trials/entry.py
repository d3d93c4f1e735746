"""What ``seedgrid train`` calls with the composed config of one trial."""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from seedgrid.errors import one_line, plain_exit
from seedgrid.records.store import FINISHED, check_finished, note_start, read_sweep, read_trial, status_now, trial_name
from seedgrid.seeds import Seeds
from seedgrid.settings import Settings
from seedgrid.training.kinds import read_settings, training_of
from seedgrid.trials import interrupt
from seedgrid.trials.asked import write_grid
from seedgrid.trials.preparation import prepare
from seedgrid.trials.wandb_mode import upload_hint

# Bytes that a worker may grow after its first trial.
GROWTH = 4 * 2**30


def train(config: DictConfig) -> object:
    """Run the trial of ``config``: for the user who called it, or as one of a sweep's jobs.

    As a job it returns a :class:`seedgrid.trials.run.Outcome` whatever happens. By itself it prints, and exits with
    code 1 if the trial failed or the config cannot be used.
    """
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        interrupt.listen()  # before torch is imported: a launcher's own handler may raise inside of a trial
        parent = os.getppid()
        try:
            settings = read_settings(config)
            note_start(Path(settings.sweep) / trial_name(settings.seed))
            from seedgrid.trials.run import run_trial  # after that note: a worker may not survive torch

            keep_worker()
            return run_trial(settings, prepare(settings))
        except Exception as error:
            from seedgrid.trials.run import Outcome

            return Outcome("failed", one_line(error))
        finally:
            if os.getppid() != parent and multiprocessing.current_process().name.startswith("LokyProcess"):
                os._exit(1)  # the sweep was killed: nobody waits for an answer, and joblib's worker would wait for work
    if HydraConfig.get().sweeper.params:
        print("one trial: without -m nothing is swept", file=sys.stderr)
    with plain_exit():
        _train_alone(read_settings(config))
    return None


def keep_worker() -> None:
    """Keep joblib from ending this worker once it holds 300 MB more than after its first trial.

    It does so where psutil is installed, taking the growth for a leak. Fragments of memory grow that far in long
    trials, and a new worker imports torch and reads the data again.
    """
    loky = sys.modules.get("joblib.externals.loky.process_executor")
    if hasattr(loky, "_MAX_MEMORY_LEAK_SIZE"):
        loky._MAX_MEMORY_LEAK_SIZE = GROWTH


def _train_alone(settings: Settings) -> None:
    prepared = prepare(settings)
    folder = Path(settings.sweep) / trial_name(settings.seed)
    status = "missing"
    if (folder / "trial.json").exists() and not settings.redo:
        trial = read_trial(folder)
        status = status_now(trial["status"], folder)
        if status in FINISHED:
            check_finished(folder)
    if settings.dry_run:
        print(f"{folder}: {status}; {prepared.steps} steps on {prepared.device}, {prepared.precision}")
        for remark in prepared.remarks:
            print(f"  {remark}")
        if status not in FINISHED:
            print(f"about {training_of(settings).seconds(prepared):.0f} s, by the time of three steps")
        return
    if status not in FINISHED:
        from seedgrid.trials.narration import say
        from seedgrid.trials.run import run_trial

        say(f"{folder}: {prepared.steps} steps on {prepared.device}, {prepared.precision}")
        for remark in prepared.remarks:
            say(f"  {remark}")
        write_grid(folder.parent, prepared.steps, [folder.name])
        outcome = run_trial(settings, prepared, narrate=True)
        if outcome.error is not None:
            sys.exit(f"error: the trial failed: {outcome.error}\ntraceback: {folder / 'traceback.txt'}")
        if outcome.status == "interrupted":
            sys.exit("stopped; the same command goes on from the checkpoint")
        if outcome.status == "elsewhere":
            sys.exit(f"error: another process runs {folder} right now")
        hint = upload_hint(Path(settings.sweep))
        if hint is not None:
            print(hint)
    print(describe_trial(Path(settings.sweep), settings.seed))


def describe_trial(folder: Path, seeds: Seeds) -> str:
    """One trial's result in a line or two."""
    sweep = read_sweep(folder)
    name = trial_name(seeds)
    trial = sweep.trials[sweep.trials["folder"] == str(folder / name)].iloc[0]
    diverged = " (diverged)" if trial["diverged"] else ""
    if math.isnan(trial["best_found"]):
        return f"{trial['status']}: no score before its loss was no number\nrecord: {folder / name}"
    return (
        f"{trial['status']}: best found {sweep.metric} {sweep.scale.written(trial['best_found'])}{diverged} at epoch "
        f"{trial['best_epoch']:.2f}, {trial['seconds']:.0f} s\nrecord: {folder / name}"
    )
