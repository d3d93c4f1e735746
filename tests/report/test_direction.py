"""Scores of which the lower is better: whatever a page says of them is the mirror of what it says of the others."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from seedgrid.errors import InputError
from seedgrid.report import all_sections, comparison, overview
from seedgrid.report.arrays import finished_trials
from seedgrid.report.comparing import check_comparable
from seedgrid.report.page import cells
from seedgrid.report.planning import PlanSettings, make_plan
from seedgrid.report.sections.expected import expected_best
from seedgrid.report.sections.scores import best_found, tasks

# Columns that hold scores, those of them that hold limits, and what is called otherwise the other way round.
SCORES = re.compile(
    r"best found|mean|lowest|all evaluations|once.*|plug-in.*|its mean ?|mean, .*|full training|plan(, honest)?"
    r"|their expected best|diverged at or below|majority baseline|median|best|one|other|one less other|value"
)
LIMITS = {"lower 95 %": "upper 95 %", "upper 95 %": "lower 95 %", "lower": "upper", "upper": "lower"}
RENAMED = {"lowest": "highest", "diverged at or below": "diverged at or above"}
OF_SHARES = {"share, lower", "share, upper"}
# (what makes a score of the other direction, what makes a difference of two of them, limits, rounding)
MIRRORS = {
    "negative": (lambda s: 0.0 - s, (-1.0, 0.0), 0.0),
    "one less": (lambda s: 1.0 - s, (0.0, 1.0), 1e-9),
}


def mirrored(study, mirror):
    """The same trials, scored the other way round."""
    turned, limits, _ = MIRRORS[mirror]
    sweep = study.sweep
    scored = sweep.evaluations.assign(score=turned(sweep.evaluations["score"]), best_so_far=np.nan)
    trials = sweep.trials.assign(best_found=turned(sweep.trials["best_found"]))
    other = replace(
        sweep,
        trials=trials,
        evaluations=scored,
        direction="min",
        metric="error",
        limits=limits,
        diverged_at=None if sweep.diverged_at is None else turned(sweep.diverged_at),
        majority=turned(sweep.majority),
    )
    return finished_trials(other)


@pytest.fixture(scope="module", params=MIRRORS)
def mirror(request):
    return request.param


@pytest.fixture(scope="module")
def studies(grid_of, study_of):
    generator = np.random.default_rng(3)
    pairs = 0.4 + np.sort(generator.integers(0, 100, (12, 4)), axis=1) / 256
    return [
        grid_of(5, 4, name="grid", seed=1),
        grid_of(4, 5, name="other grid", seed=2, diverged=0.0),
        study_of(pairs, [(seed, seed) for seed in range(12)], name="pairs", diverged_at=None, epochs=[1, 2, 3, 4]),
    ]


def check_mirrored(section, other, turned, rounding, difference=lambda value: 0.0 - value):
    assert (section.key, section.table is None) == (other.key, other.table is None)
    assert len(section.missing) == len(other.missing)
    if section.table is None:
        return
    table, against = section.table, other.table.drop(columns="better", errors="ignore")
    assert [RENAMED.get(name, name) for name in table] == list(against)
    for name in table:
        limits = LIMITS.get(name) if name not in OF_SHARES else None
        expected, found = table[limits or name], against[RENAMED.get(name, name)]
        signed = difference if section.key in ("difference", "expected-best") and "less" in " ".join(table) else turned
        if section.key == "expected-best" and name in ("one", "other"):
            signed = turned
        if section.key == "difference" and name != "p" and name != table.columns[0]:
            # The difference of means and Hedges' g are turned; chances, and what diverged, are as they were.
            rows = np.array([True, True, False, False])
            expected = np.where(rows, difference(expected), table[name])
        elif limits or (SCORES.fullmatch(name) and expected.dtype == float):
            expected = signed(expected)
        if np.issubdtype(np.asarray(expected).dtype, np.floating):
            np.testing.assert_allclose(
                found.to_numpy(float), np.asarray(expected, float), rtol=rounding, atol=rounding, err_msg=name
            )
        elif name not in ("metric", table.columns[0]):
            assert found.tolist() == list(expected), name


OPTIONS = {"level": 0.95, "splits": 4, "seed": 0, "advance": lambda what: None}


@pytest.fixture(scope="module")
def of_highest(studies):
    return all_sections.build_sections(studies, **OPTIONS)


def test_every_table_of_a_report_is_the_mirror_of_the_other_direction(studies, of_highest, mirror):
    turned, _, rounding = MIRRORS[mirror]
    of_lowest = all_sections.build_sections([mirrored(study, mirror) for study in studies], **OPTIONS)
    for section, other in zip(of_highest, of_lowest, strict=True):
        check_mirrored(section, other, turned, rounding)
    said = " ".join(f"{section.reading} {section.caption}" for section in of_lowest)
    assert "best found at or above" in said and "best found at or below" not in said
    assert "the highest validation score" not in said


def test_a_comparison_is_the_mirror_of_the_other_direction(studies, mirror):
    turned, _, rounding = MIRRORS[mirror]
    pair = [
        replace(study, sweep=replace(study.sweep, name=name))
        for study, name in zip(studies, ("one", "other"), strict=False)
    ]
    options = {"paired": None, "max_budget": 6, "level": 0.95, "draws": 100, "seed": 0}
    one, two = (
        comparison.compare_trials(*studies, **options) for studies in (pair, [mirrored(each, mirror) for each in pair])
    )
    for section, other in zip(*(comparison.build_sections(each, 0.8) for each in (one, two)), strict=True):
        check_mirrored(section, other, turned, rounding)
    assert two.result.chance.value == pytest.approx(one.result.chance.value)
    assert two.result.expected_best.a_leads == one.result.expected_best.a_leads
    leads = re.search(r"(one|other)('s mean| scores)", comparison.verdict(one))
    assert leads[0] in comparison.verdict(two)
    assert "higher" in comparison.verdict(one) and "lower (better)" in comparison.verdict(two)


def test_a_plan_is_the_mirror_of_the_other_direction(studies, mirror):
    turned, _, rounding = MIRRORS[mirror]
    asked = {"sweep": None, "metric": "score", "direction": None, "max_start": 200, "evaluations": 30}
    settings = PlanSettings(**asked, budget=4, splits=3, random_seed=0)
    (one, said), (other, of_lowest) = (
        make_plan(study.sweep, settings) for study in (studies[0], mirrored(studies[0], mirror))
    )
    assert (one.start, one.stop_at, one.keep) == (other.start, other.stop_at, other.keep)
    for name in ("expected", "full_training", "honest"):
        assert getattr(other, name) == pytest.approx(turned(getattr(one, name)), abs=rounding)
    if mirror == "one less":
        assert other.error_reduction == pytest.approx(one.error_reduction)
        assert f"{other.expected:.4f}  on the trials" in of_lowest
    assert "lower is better" in of_lowest and "lower is better" not in said


@pytest.mark.parametrize("seed", range(3))
def test_the_expected_best_of_n_losses_is_the_mean_minimum_over_all_sets_of_n(study_of, seed):
    losses = 50 + np.random.default_rng(seed).gamma(2, 3, 7)
    study = study_of(
        losses[:, None], [(row, row) for row in range(7)], metric="rmse", direction="min", diverged_at=None
    )
    found = expected_best([study]).table.set_index("n")["all evaluations"]
    for n in found.index:
        every = [min(chosen) for chosen in combinations(losses, n)]
        assert found[n] == pytest.approx(np.mean(every))


def test_limits_stay_inside_the_range_that_a_training_gives(study_of):
    """Losses near 0 that cannot lie below, of trials that share seeds and of some that do not."""
    generator = np.random.default_rng(0)
    for seeds in ([(row // 5, row % 5) for row in range(25)], [(row, row) for row in range(25)]):
        losses = np.where(generator.random(25) < 0.4, 0.0, generator.exponential(0.02, 25))
        study = study_of(losses[:, None], seeds, metric="rmse", direction="min", limits=(0, None), diverged_at=None)
        table = expected_best([study]).table
        assert (table["lower 95 %"].dropna() >= 0).all()
        assert (table["lower 95 %"] <= table["all evaluations"]).where(table["lower 95 %"].notna(), True).all()
        assert (table["upper 95 %"] >= table["all evaluations"]).where(table["upper 95 %"].notna(), True).all()


def test_scores_are_written_with_the_digits_that_tell_them_apart(study_of):
    def written(scores, **options):
        options = {"metric": "rmse", "direction": "min", "diverged_at": None} | options
        study = study_of(np.array(scores)[:, None], [(row, row) for row in range(len(scores))], **options)
        section = best_found([study])
        return {name: column[0] for name, column in cells(section).items()}, section.reading

    row, reading = written([51.302, 51.911, 52.47])
    assert (row["best found"], row["mean"], row["std"]) == ("51.30", "51.89", "0.58")
    assert "reached 51.3; the mean is 51.9, the standard deviation 0.6, the highest 52.5" in reading
    assert written([0.000123, 0.000131, 0.000144])[0]["best found"] == "0.0001230"
    assert written([1234.5, 1234.9, 1235.4])[0]["best found"] == "1,234.50"
    # Where some diverged, the digits are those of the others.
    assert written([0.3012, 0.3034, 0.3055, 1e7])[0]["best found"] == "0.3012"
    row, _ = written([0.75, 0.5, 0.25], metric="accuracy", direction="max")
    assert (row["best found"], row["lowest"]) == ("0.7500", "0.2500")


def test_a_training_without_labels_and_examples_is_shown_by_its_class_and_arguments(study_of):
    module = {"_target_": "mine.Net", "width": 16}
    training = {"name": "digits", "kind": "own", "module": module, "data": {"_target_": "mine.Digits", "size": 100}}
    own = {"majority": None, "train_examples": None, "validation_examples": None, "task": "digits"}
    study = study_of(
        [[3.5], [4.5]],
        [(0, 0), (1, 1)],
        metric="val_loss",
        direction="min",
        diverged_at=None,
        config={"training": {**training, "epochs": 2}},
        **own,
    )
    section = tasks([study])
    row = section.table.to_dict("records")[0]
    assert (row["training"], row["class"]) == ("digits", "mine.Net")
    assert row["arguments"] == "width=16, data mine.Digits(size=100), 2 epochs"
    assert "majority" not in " ".join((*section.table, section.caption))
    assert section.missing == [
        "Left out, as these trainings do not give it: majority baseline, training examples and validation examples"
    ]
    assert study.description.startswith("study: 2 finished trials of mine.Net on digits (val_loss, lower is better)")


def test_sweeps_of_other_directions_are_not_compared(studies):
    one, other = studies[0].sweep, replace(studies[1].sweep, direction="min")
    with pytest.raises(InputError, match=r"different direction, max and min; .*direction="):
        check_comparable(one, other)


def test_the_summary_names_the_lowest_loss_the_best(studies):
    lines = dict(overview.lines(mirrored(studies[0], "one less").sweep))
    best = 1 - studies[0].scores.max()
    assert lines["best found"].startswith(f"{best:.4f} error (lower is better)")
    assert f"highest {1 - studies[0].scores.min():.4f}" in lines["std"]
    assert "at or above 0.5" in lines["diverged"]
