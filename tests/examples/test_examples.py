"""The trainings in ``examples/``, tiny: a grid, a trial that is killed, early stopping, a comparison, the report."""

from __future__ import annotations

import json
import shutil
import signal
from functools import cache
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

import seedgrid

ALWAYS = ("logger=none", "trainer=cpu", "evaluation.per_epoch=1", "hydra/launcher=basic")
GRID = ("-m", "seed.init=0,1", "seed.order=0,1")
# Of each training: its size, and another setting of it.
TRAININGS = {
    "digits": (("training.data.train_size=96", "training.epochs=2"), "training.data.shift=0"),
    "table": (("training.data.batch_size=100", "training.epochs=2"), "training.module.width=8"),
    "gan": (("training.data.batch_size=1024", "training.epochs=2"), "training.module.learning_rate=0.003"),
}
DYING = Path(__file__).parents[1] / "trials" / "dying_trial.py"
KILLED = "init=000,order=000"


@pytest.fixture(scope="module")
def project(repository, tmp_path_factory) -> Path:
    """A user's folder with the examples."""
    return shutil.copytree(repository / "examples", tmp_path_factory.mktemp("project") / "examples")


@pytest.fixture(scope="module")
def command(project, run_command):
    """Run a command in the user's folder; gives what it printed."""

    def ran(*words: str) -> str:
        done = run_command(*words, cwd=project)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return ran


def words(name: str) -> tuple[str, ...]:
    return (f"training={name}", *TRAININGS[name][0], *ALWAYS)


@pytest.fixture(scope="module")
def grid(project, command):
    """The folder of a training's grid."""

    @cache
    def trained(name: str) -> Path:
        assert "4 trials, 4 completed" in command("train", *GRID, *words(name))
        return project / "runs" / name

    return trained


def numbers(trial: Path) -> dict[str, pd.DataFrame]:
    tables = {
        name: pq.read_table(trial / f"{name}.parquet") for name in ("evaluations", "train_loss", "gradient_norms")
    }
    return {name: table.to_pandas().drop(columns="seconds", errors="ignore") for name, table in tables.items()}


@pytest.mark.parametrize("name", TRAININGS)
def test_a_trial_that_is_killed_and_goes_on_has_the_bits_of_the_grids(name, grid, project, start_python, monkeypatch):
    trial = project / "runs" / f"{name}-killed" / KILLED
    for die, code in (([18, "half"], -signal.SIGKILL), (None, 0)):
        asked = [*words(name), "checkpoint.minutes=0", f"sweep={trial.parent}"]
        process = start_python(str(DYING), json.dumps({"overrides": asked, "die": die, "at_once": 1}), cwd=project)
        _, errors = process.communicate(timeout=100)
        assert process.returncode == code, errors
        if die:
            left = json.loads((trial / "trial.json").read_text())
            assert left["status"] == "running"
            assert 0 < left["step"] < left["steps"]
    whole, ended = numbers(grid(name) / KILLED), numbers(trial)
    assert all(ended[table].equals(whole[table]) for table in whole)
    assert whole["train_loss"]["loss"].is_unique
    losses = {tuple(numbers(each)["train_loss"]["loss"]) for each in grid(name).glob("init=*")}
    assert len(losses) == 4


@pytest.mark.parametrize("name", TRAININGS)
def test_trials_that_are_stopped_early_have_the_bits_of_the_grids(name, grid, project, command):
    stopping = (
        "hydra/sweeper=start_many",
        "hydra.sweeper.start=2",
        "hydra.sweeper.stop_at=0.5",
        "hydra.sweeper.keep=1",
    )
    folder = project / "runs" / f"{name}-many"
    said = command("train", "-m", *words(name), *stopping, "seed.init=0,1", f"sweep={folder}")
    assert f"{folder}: 2 trials, 1 " in said and "1 stopped" in said
    for trial in folder.glob("init=*"):
        for table, part in numbers(trial).items():
            assert part.equals(numbers(grid(name) / trial.name)[table][: len(part)])


@pytest.mark.parametrize("name", TRAININGS)
def test_another_setting_is_compared_and_the_best_model_can_be_made_again(name, grid, project, command, monkeypatch):
    other = project / "runs" / f"{name}-other"
    command("train", "-m", *words(name), TRAININGS[name][1], "seed.init=0,1", f"sweep={other}")
    said = str(seedgrid.compare(grid(name), other))
    assert f"{name}-other" in said and TRAININGS[name][1].partition("=")[0] in said
    monkeypatch.chdir(grid(name))
    monkeypatch.syspath_prepend(project)
    page, made = Path("best_model", "README.md").read_text(), {}
    exec(page.split("```python\n")[1].split("```")[0], made)
    saved = load_file("best_model/model.safetensors")
    assert all(torch.equal(value, saved[key]) for key, value in made["module"].state_dict().items())


def test_one_report_shows_all_three(grid, project, command):
    said = command("report", f"sweep=[{','.join(str(grid(name)) for name in TRAININGS)}]", "output=report")
    assert "table: 4 finished trials of table.Regression on table (rmse, lower is better)" in said
    page = (project / "report" / "index.html").read_text()
    assert all(score in page for score in ("accuracy", "rmse", "modes"))
