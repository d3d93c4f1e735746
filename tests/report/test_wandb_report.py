"""What a report sends to Weights & Biases, read back from the files that an offline run leaves."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import wandb
from matplotlib.figure import Figure
from PIL import Image

from seedgrid.report.arrays import finished_trials
from seedgrid.report.section import Section
from seedgrid.report.sections.scores import best_found
from seedgrid.report.wandb_report import log_report
from seedgrid.settings import LoggerSettings


def items(pairs):
    """Nested keys as dicts."""
    found = {}
    for item in pairs:
        *outer, last = item.nested_key or [item.key]
        inner = found
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = json.loads(item.value_json)
    return found


@pytest.fixture
def offline(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sections():
    figure = Figure(figsize=(4, 3))
    figure.subplots().plot([1, 2])
    table = pd.DataFrame({"sweep": ["a", "b"], "share": [0.25, np.nan], "seed": pd.array([3, None], dtype="Int64")})
    return [
        Section("both", "A figure and a table", "What it says.", "How.", figure, table),
        Section("nothing", "Nothing", "", "", missing=("my-sweep: no grid",)),
    ]


@pytest.fixture
def sweep(study_of, tmp_path):
    folder = tmp_path / "my-sweep"
    folder.mkdir()
    curves = np.array([[0.5, 0.5], [0.6, 0.9], [0.6, 0.7], [0.4, 0.8]])
    status = ["completed", "completed", "completed", "running"]
    seeds = [(0, 0), (0, 1), (1, 0), (1, 1)]
    return replace(study_of(curves, seeds, name="my-sweep", status=status).sweep, folder=folder)


def test_a_report_is_one_run_in_the_sweeps_group_with_figures_tables_and_numbers(
    offline, sections, sweep, wandb_records, capsys
):
    sections.append(best_found([finished_trials(sweep)]))
    log_report(sections, [sweep], LoggerSettings(kind="wandb", project="mine", tags=["tag"]))
    [path] = sweep.folder.glob("wandb/offline-run-*/run-*.wandb")
    records = wandb_records(path)
    [run] = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    assert (run.project, run.run_group, run.job_type) == ("mine", "my-sweep", "report")
    assert run.display_name == "report of my-sweep"
    assert set(run.tags) == {"grammar", "tag"}
    [history] = [items(r.history.item) for r in records if r.WhichOneof("record_type") == "history"]
    media = path.parent / "files"
    picture = Image.open(media / history["figures/both"]["path"])
    assert picture.size == (600, 450)
    table = json.loads((media / history["tables/both"]["path"]).read_text())
    assert table["columns"] == ["sweep", "share", "seed"]
    assert table["data"] == [["a", 0.25, 3], ["b", None, None]]
    said = json.loads((media / history["readings"]["path"]).read_text())
    assert said["data"][:2] == [["A figure and a table", "What it says.", ""], ["Nothing", "", "my-sweep: no grid"]]
    assert "figures/nothing" not in history and "tables/nothing" not in history

    summary = {}
    for record in records:
        if record.WhichOneof("record_type") == "summary":
            summary |= items(record.summary.update)
    assert summary["my-sweep/trials"] == 3  # the running one does not count
    assert summary["my-sweep/diverged"] == 1
    assert summary["my-sweep/best_found"] == pytest.approx(0.9)
    assert summary["my-sweep/mean"] == pytest.approx(0.7)
    assert summary["my-sweep/std"] == pytest.approx(0.2)
    assert any(r.WhichOneof("record_type") == "exit" and r.exit.exit_code == 0 for r in records)
    assert capsys.readouterr().out == f"  W&B          {sweep.folder}/wandb, to be sent by wandb sync\n"


def test_without_a_login_a_line_says_how_the_report_gets_there(sections, sweep, monkeypatch, tmp_path, capsys):
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    log_report(sections, [sweep], LoggerSettings(kind="wandb"))
    said = "  W&B          has no report: not logged in; wandb login, and then the same command\n"
    assert capsys.readouterr().out == said
    assert not (sweep.folder / "wandb").exists()


def test_trials_read_from_a_file_leave_their_run_where_wandb_keeps_runs(offline, sections, sweep, tmp_path):
    file = tmp_path / "scores.csv"
    file.touch()
    log_report(sections, [replace(sweep, folder=file), sweep], LoggerSettings(kind="wandb"))
    assert len(list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))) == 1


def test_wandb_that_fails_costs_one_line(offline, sections, sweep, monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise wandb.errors.CommError("no route to host")

    monkeypatch.setattr(wandb, "init", refuse)
    log_report(sections, [sweep], LoggerSettings(kind="wandb"))
    output = capsys.readouterr()
    assert output.err == "logger: CommError: no route to host; the report on disk is complete without it\n"
