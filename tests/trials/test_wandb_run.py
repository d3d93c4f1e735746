"""W&B holds what the records hold, once: trials that W&B's own client shows live, or that are sent later.

The server is a stand-in (tests/wandb_server.py), the client and the trials are real.
"""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from seedgrid.trials.preparation import prepare
from seedgrid.trials.run import run_trial
from seedgrid.trials.store import read_sweep
from seedgrid.trials.wandb_mode import upload_hint

SHORT = ["logger=wandb", "logger.tags=[mine]", "recipe.epochs=1", "gradient_norms=5", "keep_best=false"]


@pytest.fixture
def run(tiny, settings_of, tmp_path):
    """Run a trial of six steps; returns its folder."""

    def ran(*overrides, sweep="my-sweep"):
        settings = settings_of([*tiny, *SHORT, f"sweep={tmp_path / sweep}", *overrides])
        run_trial(settings, prepare(settings))
        return tmp_path / sweep / f"init={settings.seed.init:03d},order={settings.seed.order:03d}"

    return ran


@pytest.fixture
def logged_out(wandb_server, monkeypatch):
    """A context in which the user is not logged in."""

    def context():
        patch = pytest.MonkeyPatch.context()
        entered = patch.__enter__()
        entered.delenv("WANDB_API_KEY")
        return patch, entered

    return context


def recorded(folder):
    """What W&B is to show of a trial: its rows, and what sums them up."""
    trial = json.loads((folder / "trial.json").read_text())
    rows = {}
    for file, prefix in (("train_loss", "train"), ("gradient_norms", "gradient_norm"), ("evaluations", "validation")):
        table = pq.read_table(folder / f"{file}.parquet") if (folder / f"{file}.parquet").exists() else None
        for row in table.to_pylist() if table else ():
            step = row.pop("step")
            kept = rows.setdefault(step, {"_step": step, "trainer/global_step": step})
            if "epoch" in row:
                kept["epoch"] = row.pop("epoch")
            kept.update({f"{prefix}/{name}": value for name, value in row.items()})
    sweep = read_sweep(folder.parent).trials.set_index("folder").loc[str(folder)]
    return trial, [rows[step] for step in sorted(rows)], sweep


def check(server, folder, state, status):
    """W&B's run is what the record says, a row at a time."""
    trial, rows, found = recorded(folder)
    run = server.run(trial["run_id"])
    assert [comparable(row) for row in run.rows] == [comparable(row) for row in rows]
    assert run.state == state
    assert run.settings == {**trial["seeds"], **trial["config"]}
    assert (run.entity, run.project, run.group, run.job_type) == ("me", "seedgrid", folder.parent.name, "trial")
    assert run.display_name == f"{folder.parent.name} {folder.name}"
    assert run.tags == ["grammar", "minilm", "default", "mine"]
    assert (run.sweep, run.notes) == (None, None)
    assert run.summary["status"] == status
    best = None if found["best_found"] != found["best_found"] else found["best_found"]
    assert run.summary["best_found"] == best
    assert run.summary["diverged"] == int(found["diverged"])
    for key in ("validation/score", "train/loss", "gradient_norm/head"):
        last = [row[key] for row in rows if key in row]
        assert comparable(run.summary.get(key)) == comparable(last[-1] if last else None)
    return run


def comparable(value):
    """No number is equal to itself, but its name is."""
    if isinstance(value, dict):
        return {key: comparable(each) for key, each in value.items()}
    return str(value) if value != value or value in ("NaN", "Infinity") else value


def test_a_trial_is_shown_live_as_its_record_says_whatever_other_runs_the_environment_names(
    wandb_server, run, monkeypatch
):
    strange = {"SWEEP_ID": "s1", "RUN_ID": "one", "RUN_GROUP": "g", "NAME": "n", "RESUME": "must", "TAGS": "t"}
    strange |= {
        "NOTES": "x",
        "DIR": "/nowhere",
        "JOB_TYPE": "j",
        "SERVICE": "3-1-tcp-localhost-1",
        "FORK_FROM": "a?_step=1",
    }
    for name, value in strange.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    first, second = run(), run("seed.init=1")
    for folder in (first, second):
        stored = check(wandb_server, folder, "finished", "completed")
        assert stored.starts == 1
        axes = {item.get("1") or item.get("2"): item.get("5") for item in stored.config["_wandb"]["value"]["m"]}
        assert axes["validation/*"] and axes["train/*"] and axes["gradient_norm/*"]
    assert upload_hint(first.parent) is None
    assert not (first.parent / "wandb").exists()
