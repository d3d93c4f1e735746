"""What a sweep says at its end, whatever becomes of its pictures."""

import shutil
from pathlib import Path

import numpy as np
import torch

from seedgrid.records.store import trial_lock
from seedgrid.seeds import Seeds
from seedgrid.sweep.summary import summarize
from seedgrid.training.kinds import training_of
from seedgrid.trials.best_model import keep_if_best
from seedgrid.trials.preparation import prepare

GRID = [Seeds(init=init, order=order) for init, order in np.ndindex(2, 3)]


def summary_of(folder, settings_of, tiny, capsys, errors=()):
    """Whether it failed, and what it said."""
    settings = settings_of([*tiny, f"sweep={folder}"])
    prepared = prepare(settings_of([*tiny, f"sweep={folder.with_name('prepared')}"]))

    def said():
        failed = summarize(settings, GRID, prepared, dict(errors), redraw=True)
        return failed, *capsys.readouterr()

    return said


def test_a_full_disk_takes_neither_the_summary_along_nor_the_list_of_failed_trials(
    write_sweep, settings_of, tiny, tmp_path, no_room, capsys
):
    folder = write_sweep(tmp_path / "mine", 2, 3, status={(1, 2): "failed"})
    shutil.rmtree(folder / "init=001,order=001")
    reasons = {folder / "init=001,order=002": "no memory", folder / "init=001,order=001": "no room"}
    say = summary_of(folder, settings_of, tiny, capsys, reasons)
    with no_room():
        failed, output, errors = say()
    assert failed
    assert "6 trials, 4 completed, 1 failed, 1 failed without a record\n" in output
    assert "  mean  " in output
    assert "    init=001,order=001: no room\n    init=001,order=002: no memory\n" in errors
    assert errors.endswith(f"error: {folder / 'grid.png'}: file too large; make room there\n")
    assert "picture" not in output
    (folder / "init=000,order=000" / "evaluations.parquet").unlink()
    failed, output, errors = say()
    assert (failed, output) == (True, "")
    assert "evaluations.parquet: missing; redo=true runs the trial again\n" in errors
    assert "    init=001,order=002: no memory\n" in errors


def test_trials_that_were_killed_are_counted_as_interrupted(write_sweep, settings_of, tiny, tmp_path, capsys):
    folder = write_sweep(tmp_path / "mine", 2, 3, status={(0, 1): "running", (0, 2): "running"})
    say = summary_of(folder, settings_of, tiny, capsys)
    with trial_lock(folder / "init=000,order=001"):
        assert "6 trials, 4 completed, 1 running, 1 interrupted\n" in say()[1]
    assert "6 trials, 4 completed, 2 interrupted\n" in say()[1]


def test_a_model_that_is_not_of_the_best_trial_is_not_called_the_best(tiny, settings_of, write_sweep, tmp_path, capsys):
    settings = settings_of([*tiny, f"sweep={tmp_path / 'sweep'}"])
    prepared = prepare(settings)
    sweep = write_sweep(Path(settings.sweep), 2, 1)  # without models, as keep_best=false leaves it

    def said_of(score):
        facts = {"score": score, "metric": "accuracy", "task": "grammar", "model": "tiny", "step": 10, "epoch": 1.0}
        run = training_of(settings).begin(prepared, torch.device("cpu"), None)
        keep_if_best(sweep, run, "", facts | {"init": 0, "order": 0, "dropout": 0}, run.weights())
        summarize(settings, [], prepared, {}, redraw=False)
        return capsys.readouterr()

    said = said_of(0.1)
    assert "best_model holds a lesser model than the best trial's, 0." in said.err and "best model" not in said.out
    said = said_of(1.0)  # of a trial that still runs
    assert said.err == "" and f"best model   {sweep / 'best_model'}" in said.out
