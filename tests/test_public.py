"""What ``import seedgrid`` offers: light to import, one object a sweep, answers as the commands give them."""

import json
import subprocess
import sys
from html import escape, unescape

import numpy as np
import pandas as pd
import pytest

import seedgrid
from seedgrid.records.store import trial_lock


@pytest.fixture
def sweep(write_sweep, tmp_path):
    return seedgrid.read(write_sweep(tmp_path / "mine", 3, 4))


def test_importing_it_imports_no_more_than_itself():
    heavy = ("torch", "pandas", "numpy", "hydra", "matplotlib", "transformers")
    code = f"import sys, seedgrid; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_reading_comparing_and_planning_import_neither_torch_nor_hydra(write_sweep, tmp_path):
    a, b = (str(write_sweep(tmp_path / name, seed=seed)) for seed, name in enumerate("ab"))
    code = (
        "import sys, seedgrid\n"
        f"sweep = seedgrid.read({a!r}); sweep._repr_html_()\n"
        f"seedgrid.compare(sweep, {b!r}); seedgrid.plan(sweep, budget=2)\n"
        "print([name for name in ('torch', 'hydra') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_every_public_name_is_there_and_no_other_answers():
    for name in seedgrid.__all__:
        assert getattr(seedgrid, name) is not None and name in dir(seedgrid)
    assert seedgrid.analysis.expected.expected_max([0.5, 0.7])[1] == 0.7
    for where in (seedgrid, seedgrid.analysis):
        with pytest.raises(AttributeError, match="nothing"):
            _ = where.nothing


def test_a_sweep_is_its_records(sweep, tmp_path):
    assert (sweep.folder, sweep.name, sweep.task, sweep.metric) == (tmp_path / "mine", "mine", "grammar", "accuracy")
    assert len(sweep.trials) == 12 and len(sweep.evaluations) == 36 and len(sweep.train_loss) == 360
    assert sweep.best["best_found"] == sweep.trials["best_found"].max()
    assert sweep.failed.empty
    assert list(sweep.predictions) == [(init, order) for init in range(3) for order in range(4)]
    predicted = sweep.predictions[2, 1]
    assert predicted.steps.tolist() == [10, 20, 30]
    assert predicted.logits.shape == (3, 40, 2) and predicted.labels.shape == (40,)
    with pytest.raises(KeyError):
        sweep.predictions[3, 0]


def test_predictions_go_by_the_dropout_seed_too_where_it_varies(write_sweep, tmp_path):
    folder = write_sweep(tmp_path / "mine", 1, 2)
    trial = json.loads((folder / "init=000,order=001" / "trial.json").read_text())
    trial["seeds"]["dropout"] = 7
    (folder / "init=000,order=001" / "trial.json").write_text(json.dumps(trial))
    (folder / "init=000,order=001").rename(folder / "init=000,order=001,dropout=007")
    assert list(seedgrid.read(folder).predictions) == [(0, 0, 0), (0, 1, 7)]


def test_as_text_it_says_what_the_command_ends_with(write_sweep, tmp_path):
    status = {(0, 0): "failed", (0, 1): "running"}
    sweep = seedgrid.read(write_sweep(tmp_path / "mine", 2, 2, status=status))
    said = repr(sweep).splitlines()
    assert said[0] == f"{sweep.folder}: 4 trials, 2 completed, 1 failed, 1 interrupted"
    assert [line[:14].strip() for line in said[1:]] == ["best found", "mean", "std", "diverged", "time", "failed"]
    assert "init=000,order=000" in said[-1]
    assert list(sweep.failed["order"]) == [0]


@pytest.mark.parametrize(
    ("sizes", "status", "mean", "pictures"),
    [
        ((2, 2), {}, 0.8, 2),
        ((2, 2), {}, 0.1, 2),  # all diverged
        ((1, 1), {}, 0.8, 2),
        ((3, 1), {}, 0.8, 2),  # no grid
        ((2, 2), dict.fromkeys(np.ndindex(2, 2), "running"), 0.8, 1),  # none has finished
        ((2, 2), dict.fromkeys(np.ndindex(2, 2), "failed"), 0.8, 1),
        ((2, 2), {(0, 0): "stopped", (1, 1): "nonfinite"}, 0.8, 2),
    ],
)
def test_a_notebook_shows_summary_grid_and_curves_of_any_sweep(write_sweep, tmp_path, sizes, status, mean, pictures):
    folder = write_sweep(tmp_path / "<b>mine</b>", *sizes, mean=mean, status=status)
    with trial_lock(folder / "init=000,order=000"):
        sweep = seedgrid.read(folder)
    shown = sweep._repr_html_()
    assert shown.count("<img ") == pictures
    assert "&lt;b&gt;mine" in shown and "<b>mine" not in shown
    if pictures == 1:
        with pytest.raises(seedgrid.InputError, match="no finished trial with a score"):
            sweep.grid()


def test_a_folder_without_trials_is_a_sweep_without_trials(tmp_path):
    sweep = seedgrid.read(tmp_path)
    assert repr(sweep) == f"{tmp_path}: 0 trials, none yet"
    assert "<img" not in sweep._repr_html_()
    assert sweep.best is None and dict(sweep.predictions) == {}
    with pytest.raises(seedgrid.InputError, match="no trial has been evaluated yet"):
        sweep.curves()


def test_an_exported_sweep_is_read_again_and_says_that_it_has_no_predictions(sweep, tmp_path):
    exported = seedgrid.read(sweep.export(tmp_path / "mine.parquet"))
    pd.testing.assert_frame_equal(
        exported.trials.drop(columns="folder"), sweep.trials.drop(columns="folder"), check_dtype=False
    )
    assert repr(exported).splitlines()[1:] == repr(sweep).splitlines()[1:]
    with pytest.raises(seedgrid.InputError, match="no predictions"):
        _ = exported.predictions


def test_a_file_of_scores_is_a_sweep(tmp_path):
    (tmp_path / "scores.csv").write_text("score\n0.7\n0.8\n0.6\n")
    sweep = seedgrid.read(tmp_path / "scores.csv", metric="accuracy")
    assert "best found   0.8000 accuracy   trial 1" in repr(sweep)
    assert sweep._repr_html_().count("<img ") >= 1


def test_a_comparison_has_the_numbers_the_words_and_the_page(write_sweep, tmp_path):
    a, b = (write_sweep(tmp_path / name, 3, 3, mean, len(name)) for name, mean in (("high", 0.9), ("low", 0.6)))
    found = seedgrid.compare(seedgrid.read(a), b, draws=100)
    assert found.difference.lower < found.difference.value < found.difference.upper
    assert found.difference.p < 0.05 and found.chance.value == 1
    assert found.verdict.startswith("More than the seeds explain: high scores higher than low")
    assert escape(found.verdict) in found._repr_html_() and "<img " in found._repr_html_()
    assert "IS IT THE METHOD OR THE SEED?" in repr(found)
    assert found.page() == a / "compare-low" / "index.html"
    assert found.verdict in unescape(found.page(tmp_path / "page").read_text())


def test_a_plan_has_the_numbers_and_the_words(sweep):
    plan = seedgrid.plan(sweep, budget=3)
    assert plan.start >= plan.keep and plan.cost <= 3 and plan.expected is not None
    assert "A budget of 3 full trainings" in repr(plan)
    assert repr(seedgrid.plan(budget=8)).startswith("No sweep is given")


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda sweep: seedgrid.read("nowhere"), "sweep=nowhere: no such folder"),
        (lambda sweep: seedgrid.compare(sweep, sweep), "the same sweep; name two"),
        (lambda sweep: seedgrid.compare(sweep, sweep, level=2), "level=2: input should be less than 1"),
        (lambda sweep: seedgrid.plan(sweep, budget=0), "budget=0: input should be greater than or equal to 1"),
        (lambda sweep: seedgrid.plan(sweep, budget=13), "give budget=1 to budget=12"),
        (lambda sweep: sweep.export("trials.txt"), "let the name end in .parquet"),
    ],
)
def test_what_cannot_be_answered_is_an_input_error_of_one_line(sweep, call, line):
    with pytest.raises(seedgrid.InputError, match=line) as refused:
        call(sweep)
    assert "\n" not in str(refused.value)
