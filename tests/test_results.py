"""The released trials: what the data card says of them, and the statistics of them computed another way."""

import itertools
import re
import runpy

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.formula.api import ols

from seedgrid.analysis.comparison import compare
from seedgrid.analysis.expected import expected_max
from seedgrid.analysis.scores import score
from seedgrid.analysis.selection import honest_best
from seedgrid.analysis.stopping import expected_best
from seedgrid.analysis.variance import components
from seedgrid.records.tidy import read_trials
from seedgrid.report.arrays import finished_trials

GRIDS = ("mrpc", "rte", "cola")
RECIPES = ("default", "dodge2020", "dodge2020_as_written", "zhang2021", "mosbach2021")


@pytest.fixture(scope="module")
def results(repository):
    return repository / "results"


@pytest.fixture(scope="module", params=GRIDS)
def study(request, results):
    return finished_trials(read_trials(results / f"{request.param}.parquet"))


def test_the_data_cards_table_is_that_of_the_files(results):
    card = (results / "README.md").read_text()
    cells = re.findall(r"^\| \[`([\w-]+\.parquet)`\]\(\1\) \|(.+)\|$", card, re.MULTILINE)
    assert sorted(name for name, _ in cells) == sorted(path.name for path in results.glob("*.parquet"))
    for name, row in cells:
        of_file = finished_trials(read_trials(results / name))
        scores, trials = of_file.scores, of_file.trials
        numbers = [f"{value:.3f}" for value in (scores.max(), scores.mean(), scores.std(ddof=1), scores.min())]
        said = [cell.strip() for cell in row.split("|")]
        assert said[-5:] == [*numbers, f"{trials['diverged'].sum()} of {len(trials)}"], name


def test_nothing_but_finished_trials_is_released_and_no_machine_is_named(results):
    for path in results.glob("*.parquet"):
        assert set(pq.read_table(path, columns=["status"])["status"].unique().to_pylist()) == {"completed"}
        assert not re.search(rb'"/|\\\\', pq.read_schema(path).metadata[b"seedgrid"]), path
        assert path.stat().st_size < 300_000


def test_the_grids_are_whole(study):
    assert study.grid.scores.shape == (4, 4)
    assert np.isfinite(study.grid.scores).all()
    assert np.isfinite(study.curves).all()


def test_the_released_predictions_have_the_scores_of_the_released_curves(study, results):
    released = np.load(results / f"{study.name}-predictions.npz")
    found = score(released["predictions"], released["labels"], study.sweep.metric)
    np.testing.assert_allclose(found, study.curves, rtol=0, atol=1e-7)


def test_the_honest_best_is_what_choosing_on_one_half_reads_on_the_other(study, results):
    released = np.load(results / f"{study.name}-predictions.npz")
    predictions, labels = released["predictions"], released["labels"]
    metric, splits = study.sweep.metric, 20
    found = honest_best(predictions, labels, metric, splits=splits, seed=3)
    first_halves = np.argsort(np.random.default_rng(3).random((len(labels), splits)), axis=0) < len(labels) // 2
    read = []
    for first in first_halves.T:
        for chosen_on, read_on in ((first, ~first), (~first, first)):
            choosing = score(predictions[..., chosen_on], labels[chosen_on], metric)
            reading = score(predictions[..., read_on], labels[read_on], metric)
            best_of_trial = choosing.max(axis=1, keepdims=True)
            of_trial = np.array([r[c == b].mean() for r, c, b in zip(reading, choosing, best_of_trial, strict=True)])
            read.append(of_trial[best_of_trial[:, 0] == best_of_trial.max()].mean())
    assert found.honest[-1] == pytest.approx(np.mean(read), abs=1e-9)
    assert found.naive[-1] == pytest.approx(study.scores.max(), abs=1e-7)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 15, 16])
def test_the_expected_best_is_the_mean_over_all_subsets(study, n):
    best = np.mean([max(chosen) for chosen in itertools.combinations(study.scores, n)])
    assert expected_max(study.scores)[n - 1] == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize(("start", "stop_at", "keep"), [(4, 1, 1), (4, 3, 2), (6, 2, 3)])
def test_an_assignment_is_worth_its_mean_over_all_draws(study, start, stop_at, keep):
    partial, final = study.curves[:, :stop_at].max(axis=1), study.curves.max(axis=1)
    outcomes = []
    for drawn in itertools.combinations(range(len(final)), start):
        cut = sorted(partial[list(drawn)], reverse=True)[keep - 1]
        ahead = [trial for trial in drawn if partial[trial] > cut]
        tied = [trial for trial in drawn if partial[trial] == cut]
        ways = [
            max([*final[ahead], *final[list(more)], *partial[list(drawn)]])
            for more in itertools.combinations(tied, keep - len(ahead))
        ]
        outcomes.append(np.mean(ways))
    assert expected_best(study.curves, start, stop_at, keep) == pytest.approx(np.mean(outcomes), rel=1e-12)


def test_the_seeds_f_tests_are_those_of_a_two_way_analysis_of_variance(study):
    table = sm.stats.anova_lm(ols("score ~ C(init) + C(order)", study.trials[["init", "order", "score"]]).fit())
    found = components(study.grid.scores)
    for name, row in (("init", "C(init)"), ("order", "C(order)")):
        component = getattr(found, name)
        assert (component.f, component.p) == pytest.approx((table.loc[row, "F"], table.loc[row, "PR(>F)"]), rel=1e-9)
        variance = (table.loc[row, "mean_sq"] - table.loc["Residual", "mean_sq"]) / 4
        assert component.variance == pytest.approx(variance, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("recipe", RECIPES[1:])
def test_recipes_on_paired_seeds_differ_by_a_paired_t_test(results, recipe):
    one, other = (finished_trials(read_trials(results / f"mrpc-320-{name}.parquet")) for name in (recipe, RECIPES[0]))
    found = compare(one.grid, other.grid, max_budget=0)
    pairs = pd.merge(one.trials, other.trials, on=["init", "order"])
    wanted = stats.ttest_rel(pairs["score_x"], pairs["score_y"])
    limits = wanted.confidence_interval(0.95)
    assert found.shared == len(pairs) == 16
    assert found.difference.p == pytest.approx(wanted.pvalue, rel=1e-9)
    assert (found.difference.lower, found.difference.upper) == pytest.approx((limits.low, limits.high), abs=1e-12)


def test_the_tables_of_the_recipes_are_those_of_the_files(results, repository):
    page = (repository / "docs" / "recipes.md").read_text().partition("## Compared")[2].partition("## Studies")[0]
    lines = re.findall(r"^\| `.+$", page, re.MULTILINE)
    said = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines]
    studies = [finished_trials(read_trials(results / f"mrpc-320-{name}.parquet")) for name in RECIPES]
    script = runpy.run_path(str(repository / "benchmarks" / "recipes.py"))
    rows = [*script["table_of"](studies).to_numpy().tolist(), *script["table_of_last"](studies).to_numpy().tolist()]
    assert said == [[name, *map(str, row[1:])] for name, row in zip(2 * RECIPES, rows, strict=True)]


def test_the_scores_at_the_end_differ_by_a_paired_t_test(results, repository):
    studies = [finished_trials(read_trials(results / f"mrpc-320-{name}.parquet")) for name in RECIPES]
    ends = [study.curves[:, -1] for study in studies]
    tests = [stats.ttest_rel(end, ends[0]) for end in ends[1:]]
    limits = [test.confidence_interval(0.95) for test in tests]
    table = runpy.run_path(str(repository / "benchmarks" / "recipes.py"))["table_of_last"](studies)
    for said, end, limit in zip(table["difference"][1:], ends[1:], limits, strict=True):
        assert said == f"{np.mean(end - ends[0]):+.3f} ({limit.low:+.3f} to {limit.high:+.3f})"
    ranked = sorted(test.pvalue for test in tests)
    holm = np.maximum.accumulate([min(1, (4 - k) * p) for k, p in enumerate(ranked)])
    assert sorted(float(p) for p in table["p"][1:] if "<" not in p) == pytest.approx(holm[holm >= 0.001], rel=0.06)
