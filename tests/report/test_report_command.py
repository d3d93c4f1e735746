"""``report`` and ``export``: what they read, write and print, and what they refuse."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pandas as pd
import pytest

from seedgrid.analysis.expected import expected_max
from seedgrid.records.store import find_sweeps, read_sweep
from seedgrid.report.entry import report
from seedgrid.report.exporting import export


@pytest.fixture(scope="module")
def sweeps(write_sweep, tmp_path_factory):
    """Two tasks, and a sweep that still runs."""
    folder = tmp_path_factory.mktemp("runs")
    write_sweep(folder / "first")
    write_sweep(folder / "second", mean=0.7, seed=1, task="mrpc")
    write_sweep(folder / "half", inits=3, orders=3, status={(2, 2): "running", (2, 1): "failed"})
    return folder


def test_one_command_makes_every_table_and_figure_of_the_paper(run_command, sweeps, tmp_path):
    before = {path: path.read_bytes() for path in sweeps.glob("*/init=*/*")}
    done = run_command("report", f"sweep={sweeps / 'first'}", "splits=5", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    folder = sweeps / "first" / "report"
    assert str(folder / "index.html") in done.stdout
    assert "first: 25 finished trials of tiny on grammar (accuracy); 5 init and 5 order seeds" in done.stdout
    page = (folder / "index.html").read_text()
    for number in range(1, 8):
        assert f"the paper's Figure {number}" in page
        assert (folder / f"figures/figure-{number}.svg").exists()
        assert (folder / f"figures/figure-{number}.png").exists()
    for number in range(1, 5):
        assert f"the paper's Table {number}" in page
        assert (folder / f"tables/table-{number}.csv").exists()
        assert (folder / f"tables/table-{number}.tex").exists()
    assert not re.search(r"\bnan\b", page, re.IGNORECASE)
    scores = read_sweep(sweeps / "first").trials["best_found"].to_numpy()
    drawn = pd.read_csv(folder / "tables/figure-1.csv").set_index("n")["all evaluations"]
    np.testing.assert_allclose(drawn, expected_max(scores)[drawn.index - 1])
    assert {path: path.read_bytes() for path in sweeps.glob("*/init=*/*")} == before
    assert not list(tmp_path.iterdir())


def test_several_sweeps_stand_side_by_side(entry, sweeps, tmp_path, capsys):
    report(entry("report", f"sweep=[{sweeps / 'first'},{sweeps / 'second'}]", "splits=2", f"output={tmp_path / 'r'}"))
    page = (tmp_path / "r" / "index.html").read_text()
    assert "<title>What the seeds did: first, second</title>" in page
    assert pd.read_csv(tmp_path / "r/tables/table-1.csv")["sweep"].tolist() == ["first", "second"]
    assert "seeds across tasks" in page.lower()


def test_a_sweep_that_still_runs_is_reported_and_said_to_run(entry, sweeps, tmp_path, capsys):
    report(entry("report", f"sweep={sweeps / 'half'}", "splits=2", f"output={tmp_path / 'r'}"))
    said = "half: 7 finished trials of tiny on grammar (accuracy); 3 init and 3 order seeds; 1 more interrupted, not "
    assert said + "counted; 1 more failed, not counted" in capsys.readouterr().out
    assert said in (tmp_path / "r" / "index.html").read_text()


def test_a_pattern_takes_all_sweeps_and_leaves_out_what_is_none(entry, sweeps, tmp_path, capsys):
    (sweeps / "notes").mkdir(exist_ok=True)
    report(entry("report", f"sweep='{sweeps}/*'", "splits=2", f"output={tmp_path / 'r'}"))
    names = pd.read_csv(tmp_path / "r/tables/table-1.csv")["sweep"].tolist()
    assert names == ["first", "half", "second"]


def test_a_pattern_of_many_sweeps_says_how_long_they_take_before_it_begins(entry, write_sweep, tmp_path, capsys):
    first = write_sweep(tmp_path / "run-1", 1, 1)
    for number in range(2, 13):
        shutil.copytree(first, tmp_path / f"run-{number}")
    order = [folder.name for folder in find_sweeps(f"{tmp_path}/run-*")]
    assert order == [f"run-{number}" for number in range(1, 13)]
    with pytest.raises(SystemExit, match="not empty"):  # the first thing that a report looks at
        report(entry("report", f"sweep='{tmp_path}/run-*'", f"output={tmp_path}"))
    assert capsys.readouterr().err == "12 sweeps on one page: about 0.5 min and 4 MB; fewer are quicker\n"


def test_other_peoples_scores_and_an_export_that_is_read_again(entry, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [
        f"{i},{o},{s},{s / 10},{0.5 + i / 10 + o / 100 + s / 1000}" for i in range(3) for o in range(3) for s in (1, 2)
    ]
    (tmp_path / "mine.csv").write_text("init,order,step,epoch,score\n" + "\n".join(rows) + "\n")
    report(entry("report", "source=csv", "path=mine.csv", "metric=accuracy"))
    export(entry("export", "source=csv", "path=mine.csv", "metric=accuracy", "to=mine.parquet"))
    assert (tmp_path / "report" / "index.html").exists()
    first = (tmp_path / "report/tables/figure-1.csv").read_text()
    report(entry("report", "source=parquet", "path=mine.parquet", "output=again"))
    assert (tmp_path / "again/tables/figure-1.csv").read_text() == first


def test_a_list_of_scores_alone_gives_what_can_be_said_of_it(entry, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores.csv").write_text("0.81\n0.79\n0.84\n0.80\n0.82\n0.83\n")
    report(entry("report", "source=csv", "path=scores.csv", "metric=accuracy", "task_name=sentiment"))
    assert "scores: 6 finished trials on sentiment (accuracy)" in capsys.readouterr().out
    page = (tmp_path / "report" / "index.html").read_text()
    assert "the best of all 6 found 0.840" in page
    assert "nothing is known of its trials&#39; seeds" in page


def test_logged_to_wandb_the_report_becomes_a_run_of_the_sweeps_group(entry, sweeps, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "offline")
    report(entry("report", f"sweep={sweeps / 'half'}", "splits=2", f"output={tmp_path / 'r'}", "logger=wandb"))
    assert "wandb sync" in capsys.readouterr().out
    assert list((sweeps / "half" / "wandb").glob("offline-run-*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sweep=null"], "sweep has no value: give a sweep's folder"),
        (["sweep=no/where"], "sweep=no/where: no such folder"),
        (["sweep='no/*'"], r"sweep=no/\*: no sweep's folder is like that"),
        (["source=csv"], "path has no value: source=csv needs path=FILE"),
        (["source=csv", "path=gone.csv"], "path=gone.csv: no such file"),
        (["source=csv", "path=not.pkl", "metric=eval_loss"], "metric=eval_loss: of a loss or an error the lower is"),
        (["sweep=not.pkl"], "sweep=not.pkl: a file; give source=csv path=not.pkl, or source=parquet"),
        (["source=csv", "path=a.csv", "sweep=runs/x"], r"sweep=runs/x: source=csv takes path=FILE"),
        (["source=excel"], "source=excel: input should be 'sweep'"),
        (["sweep=runs/x", "path=a.csv"], "path=a.csv: source=sweep takes sweep=FOLDER"),
        (["sweep=x", "level=95"], "level=95: input should be less than 1"),
        (["sweep=x", "splits=1"], "splits=1: input should be greater than or equal to 2"),
        (["sweep=x", "random_seed=-1"], "random_seed=-1: input should be greater than or equal to 0"),
        (["source=dodge2020", "path={here}/not.pkl"], "makes no plain container, number or string"),
    ],
)
def test_bad_input_is_one_line(entry, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "not.pkl").write_text("hello")
    with pytest.raises(SystemExit, match=rf"^error: [^\n]*{said}[^\n]*$"):
        report(entry("report", *(word.format(here=tmp_path) for word in words)))


def test_an_empty_sweep_and_one_without_a_finished_trial_are_one_line(entry, write_sweep, tmp_path):
    (tmp_path / "empty").mkdir()
    begun = write_sweep(tmp_path / "begun", inits=1, orders=1, status={(0, 0): "running"})
    for folder in (tmp_path / "empty", begun):
        with pytest.raises(SystemExit, match=r"^error: [^\n]*no finished trial with a score[^\n]*$"):
            report(entry("report", f"sweep={folder}"))


def test_a_report_is_replaced_by_one_of_the_same_input_alone(entry, sweeps, write_sweep, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        write_sweep(tmp_path / "runs" / name, 2, 2)
    for words in ("sweep=[runs/a,runs/b]", f"sweep=[{tmp_path}/runs/b,runs/a]"):
        report(entry("report", words, "splits=2"))
    with pytest.raises(SystemExit, match="holds such a page of other sweeps or files; name another"):
        report(entry("report", "sweep=[runs/a,runs/c]", "splits=2"))
    assert "What the seeds did: b, a" in (tmp_path / "report" / "index.html").read_text()
    report(entry("report", "sweep=runs/a", "splits=2"))
    (tmp_path / "runs" / "a").rename(tmp_path / "elsewhere")
    report(entry("report", "sweep=elsewhere", "splits=3"))  # its own report came along


def test_a_report_never_overwrites_what_is_not_its_own(entry, sweeps, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(SystemExit, match=r"^error: output=[^\n]*not empty[^\n]*$"):
        report(entry("report", f"sweep={sweeps / 'first'}", f"output={tmp_path}"))


def test_several_sweeps_are_exported_to_one_file_of_either_kind(run_command, sweeps, tmp_path):
    for name in ("trials.parquet", "trials.csv"):
        done = run_command("export", f"sweep=[{sweeps / 'first'},{sweeps / 'half'}]", f"to={name}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    rows = pd.read_csv(tmp_path / "trials.csv")
    assert sorted(rows["sweep"].unique()) == ["first", "half"]
    assert len(rows) == len(pd.read_parquet(tmp_path / "trials.parquet"))
    done = run_command("export", "sweep=no/where", "to=trials.xlsx", cwd=tmp_path)
    assert done.returncode == 1
    assert (
        done.stderr
        == "error: to=trials.xlsx: trials are written as Parquet or CSV; let the name end in .parquet or .csv\n"
    )
