"""``plan`` and ``compare`` on records as trials write them: what they print and write, and what they refuse."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from seedgrid.records.store import read_sweep
from seedgrid.records.tidy import export_parquet, read_csv_trials
from seedgrid.report.comparing import compare
from seedgrid.report.planning import plan


@pytest.fixture(scope="module")
def sweeps(write_sweep, tmp_path_factory):
    """Two sweeps of one task: ``slow``, and ``fast`` with another learning rate and better scores."""
    folder = tmp_path_factory.mktemp("runs")
    write_sweep(folder / "slow", mean=0.75)
    write_sweep(folder / "fast", mean=0.90, seed=1, learning_rate=1e-3)
    return folder


# ------------------------------------------------------------------------------------------------------------- compare


def test_compare_answers_in_the_terminal_and_on_a_page_beside_the_first_sweep(run_command, sweeps, tmp_path):
    before = {path: path.read_bytes() for path in sweeps.glob("*/init=*/*")}
    done = run_command("compare", f"a={sweeps / 'fast'}", f"b={sweeps / 'slow'}", "draws=50", cwd=tmp_path)
    assert (done.returncode, done.stderr, list(tmp_path.iterdir())) == (0, "", [])
    text = " ".join(done.stdout.split())
    assert "More than the seeds explain: fast scores higher than slow" in text
    assert "Paired by seeds: 25 pairs" in text
    assert "differ in 1 setting that can change a trial's numbers: recipe.learning_rate." in text
    page = sweeps / "fast" / "compare-slow" / "index.html"
    assert str(page) in done.stdout
    assert "More than the seeds explain" in page.read_text()
    assert {path.name for path in page.parent.glob("*/*.png")} == {"scores.png", "expected-best.png"}
    assert {path: path.read_bytes() for path in sweeps.glob("*/init=*/*")} == before


def test_exported_files_stand_for_their_sweeps(entry, run_command, sweeps, tmp_path, capsys):
    for name in ("fast", "slow"):
        export_parquet([read_sweep(sweeps / name)], tmp_path / f"{name}.parquet")
    words = f"b={sweeps / 'slow'}", "draws=50", f"output={tmp_path / 'page'}"
    compare(entry("compare", f"a={sweeps / 'fast'}", *words))
    of_folders = capsys.readouterr().out
    shutil.rmtree(tmp_path / "page")  # it would not be replaced by one of files
    compare(entry("compare", f"a={tmp_path / 'fast.parquet'}", *words))
    assert capsys.readouterr().out == of_folders
    done = run_command("compare", "a=fast.parquet", "b=slow.parquet", "max_budget=0", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "compare-fast-slow" / "index.html").exists()
    planned = []
    for place in (sweeps / "fast", tmp_path / "fast.parquet"):
        plan(entry("plan", f"sweep={place}", "budget=4", "splits=2"))
        planned.append(capsys.readouterr().out.replace(str(place), ""))
    assert planned[0] == planned[1]


def test_two_methods_csv_files_are_compared(entry, sweeps, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scores = {"base": (0.801, 0.803, 0.805, 0.809), "focal": (0.838, 0.831, 0.839, 0.841)}
    for name, values in scores.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(["score", *map(str, values)]))
        rows = (f"{seed};{100 * value:.1f} %" for seed, value in enumerate(values))
        (tmp_path / f"{name}_seed.csv").write_text("\n".join(["seed;score", *rows]))
    compare(entry("compare", "a=focal.csv", "b=base.csv", "metric=accuracy", "max_budget=0"))
    said = " ".join(capsys.readouterr().out.split())
    assert "focal: 4 finished trials (accuracy)" in said and "Unpaired: all 4 and 4 trials" in said
    assert "On which validation examples focal and base scored is not known" in said
    assert (tmp_path / "compare-focal-base" / "index.html").exists()
    compare(entry("compare", "a=focal_seed.csv", "b=base_seed.csv", "metric=accuracy", "max_budget=0"))
    said = " ".join(capsys.readouterr().out.split())
    assert "Paired by seeds: 4 pairs" in said
    described = "base_seed: 4 finished trials (accuracy); 4 init and 4 order seeds; its scores are taken so"
    assert f"{described}: 80.1 % is 0.801" in said

    for name, task in (("base", "sentiment"), ("focal", "topics")):
        export_parquet([read_csv_trials(f"{name}.csv", "accuracy", task, None)], f"{name}.parquet")
    compare(entry("compare", "a=base.parquet", "b=focal.csv", "metric=accuracy", "max_budget=0"))
    for words, refused in (
        (["a=base.parquet", "b=focal.parquet"], "different task, sentiment and topics"),
        (
            ["a=base.csv", f"b={sweeps / 'slow'}"],
            "different metric, score and accuracy; say with metric= what the score",
        ),
        (["a=base.csv", "b=focal.csv", "metric=ppl"], "metric=ppl: of a loss or an error the lower is better"),
    ):
        with pytest.raises(SystemExit, match=rf"^error: [^\n]*{refused}[^\n]*$"):
            compare(entry("compare", *words))


def test_a_plan_is_made_from_a_csv_file(entry, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [f"{seed},{step},0.{70 + seed + step}" for seed in range(6) for step in (1, 2, 3)]
    (tmp_path / "mine.csv").write_text("\n".join(["seed,step,score", *rows]))
    plan(entry("plan", "sweep=mine.csv", "budget=2", "metric=accuracy"))
    assert "mine.csv: 6 finished trials of 3 evaluations, accuracy" in capsys.readouterr().out


def test_of_other_peoples_trials_it_is_not_known_what_differs(entry, sweeps, tmp_path, capsys):
    other = replace(read_sweep(sweeps / "slow"), identity={}, versions={}, config={})
    export_parquet([other], tmp_path / "slow.parquet")
    words = f"b={tmp_path / 'slow.parquet'}", "max_budget=0", f"output={tmp_path / 'page'}"
    compare(entry("compare", f"a={sweeps / 'fast'}", *words))
    said = " ".join(capsys.readouterr().out.split())
    assert "What differs is not known: slow came without settings." in said
    assert "recipe.epochs" not in said
    assert "two sweeps of one method" not in said


def test_a_file_of_several_sweeps_is_refused(entry, sweeps, tmp_path):
    export_parquet([read_sweep(sweeps / name) for name in ("fast", "slow")], tmp_path / "both.parquet")
    with pytest.raises(SystemExit, match=r"both\.parquet: holds 2 sweeps \(fast, slow\); export the one that is meant"):
        plan(entry("plan", f"sweep={tmp_path / 'both.parquet'}"))


def test_a_page_is_written_again_but_nothing_else_is(entry, sweeps, tmp_path, capsys):
    words = f"a={sweeps / 'fast'}", f"b={sweeps / 'slow'}", "max_budget=0"
    page = tmp_path / "page" / "index.html"
    for _ in range(2):
        compare(entry("compare", *words, f"output={page.parent}"))
    capsys.readouterr()
    # A page of seedgrid report has the same generator and another title.
    page.write_text(page.read_text().replace("<title>Method or seed:", "<title>What the seeds did:"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    for output in (page.parent, tmp_path / "other"):
        with pytest.raises(SystemExit, match=rf"^error: output={output}: .*name another folder$"):
            compare(entry("compare", *words, f"output={output}"))
    assert "What the seeds did:" in page.read_text()


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"task": "cola"}, r"different task, grammar and cola; compare sweeps of one task"),
        ({"metric": "mcc"}, r"different metric, accuracy and mcc"),
        ({"identity": {"data.validation": "feed"}}, r"different validation examples, 40 \(c0ffee\) and 40 \(feed\)"),
        ({"inits": 1, "orders": 1}, r"b=\S+: 1 finished trial; a comparison needs at least 2"),
        ({"status": {(0, 0): "stopped"}}, r"b=\S+: 1 trial stopped early for low scores"),
        ({"status": {cell: "running" for cell in np.ndindex(2, 2)}}, r"no finished trial with a score"),
    ],
)
def test_sweeps_that_cannot_be_compared_are_refused_in_one_line(entry, write_sweep, sweeps, tmp_path, other, reason):
    folder = write_sweep(tmp_path / "other", **({"inits": 2, "orders": 2} | other))
    with pytest.raises(SystemExit, match=rf"^error: [^\n]*{reason}[^\n]*$"):
        compare(entry("compare", f"a={sweeps / 'fast'}", f"b={folder}"))
    assert not (sweeps / "fast" / "compare-other").exists()


def test_wrong_settings_of_compare_are_named(entry, sweeps, write_sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_sweep(tmp_path / "runs" / "mine", 1, 1)
    a, b = f"a={sweeps / 'fast'}", f"b={sweeps / 'slow'}"
    for words, reason in (
        ((a,), "b has no value: give a sweep's folder or a file of trials; here are runs/mine"),
        ((a, f"b={sweeps / 'fast' / '..' / 'fast'}"), "the same sweep; name two"),
        ((a, "b=/no/where"), "b=/no/where: no such folder"),
        ((a, b, "level=95"), "level=95: input should be less than 1"),
        ((a, b, "level=0.9", "power=0.1"), r"power=0.1: give more than 1 - level, 0.1"),
        ((a, b, "paired=maybe"), "paired=maybe: input should be a valid boolean"),
    ):
        with pytest.raises(SystemExit, match=rf"^error: [^\n]*{reason}[^\n]*$"):
            compare(entry("compare", *words))


def test_compare_says_what_it_has_to_be_read_with(entry, write_sweep, tmp_path, capsys):
    first = write_sweep(tmp_path / "x" / "same", inits=3, orders=3)
    running = {(0, 0): "running", (1, 1): "failed"}
    second = write_sweep(tmp_path / "y" / "same", inits=3, orders=3, seed=1, status=running)
    compare(entry("compare", f"a={first}", f"b={second}", "max_budget=0"))
    text = " ".join(capsys.readouterr().out.split())
    said = "7 finished trials of tiny on grammar (accuracy); 3 init and 3 order seeds; 1 more interrupted, not counted"
    assert f"{second}: {said}; 1 more failed, not counted" in text
    assert f"{first} and {second} are two sweeps of one method" in text
    assert f"left out for want of a partner: 2 of {first}." in text


# ---------------------------------------------------------------------------------------------------------------- plan


def test_plan_prints_the_use_of_a_budget_from_a_sweeps_trials(run_command, sweeps, tmp_path):
    done = run_command("plan", f"sweep={sweeps / 'slow'}", "budget=4", cwd=tmp_path)
    assert (done.returncode, done.stderr, list(tmp_path.iterdir())) == (0, "", [])
    assert f"{sweeps / 'slow'}: 25 finished trials of 3 evaluations, accuracy" in done.stdout
    assert "A budget of 4 full trainings, 8 min one after the other" in done.stdout
    assert "hydra/sweeper=start_many" in done.stdout


def test_plan_without_a_sweep_gives_the_rule_of_thumb(entry, capsys):
    plan(entry("plan", "budget=10", "evaluations=20"))
    printed = capsys.readouterr().out
    assert "rule of thumb" in printed and "start    25 trials" in printed and "evaluation 5 of 20 (25 %" in printed


def test_what_plan_cannot_answer_is_refused_in_one_line(entry, write_sweep, sweeps, tmp_path):
    slow = f"sweep={sweeps / 'slow'}"
    stopped = write_sweep(tmp_path / "stopped", inits=2, orders=3, status={(0, 0): "stopped"})
    for words, reason in (
        (
            (slow, "budget=26"),
            r".* has 25 finished trials, too few for a budget of 26 full trainings; give budget=1 to budget=25",
        ),
        ((slow, "budget=9", "max_start=8"), r".* may start 8 \(max_start\), too few .*; give budget=1 to budget=8"),
        (("budget=0.5",), "budget=0.5: input should be greater than or equal to 1"),
        ((f"sweep={stopped}", "budget=2"), "1 trial stopped early for low scores"),
        (("sweep=/no/where",), "sweep=/no/where: no such folder"),
        (("max_start=0",), "max_start=0: input should be greater than or equal to 1"),
    ):
        with pytest.raises(SystemExit, match=rf"^error: [^\n]*{reason}[^\n]*$"):
            plan(entry("plan", *words))


def test_plan_counts_the_finished_trials_of_a_sweep_that_runs(entry, write_sweep, tmp_path, capsys):
    running = {(0, 0): "running", (3, 2): "failed"}
    folder = write_sweep(tmp_path / "runs", inits=4, orders=3, status=running)
    plan(entry("plan", f"sweep={folder}", "budget=3"))
    assert "10 finished trials of 3 evaluations, accuracy; 2 more are not finished" in capsys.readouterr().out
