"""What a comparison of two sweeps says: against SciPy, and never more than its interval."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from seedgrid.errors import InputError
from seedgrid.report import comparison
from seedgrid.report.comparison import compare_trials

# As trials lie in a file that was sorted: trial by trial they differ by nearly the same.
SORTED = ((0.80, 0, "old"), (0.82, 1, "new"))
OPTIONS = {"paired": None, "max_budget": 100, "level": 0.95, "draws": 200, "seed": 0}


@pytest.fixture(scope="session")
def pairs_of(study_of):
    """A study of one evaluation a trial: independent seed pairs, or the cells of a grid of the shape of ``scores``."""

    def made(scores, name, first=0, **options):
        scores = np.asarray(scores, dtype=float)
        seeds = [(first + row, first + row) for row in range(scores.size)]
        if scores.ndim == 2:
            seeds = [(first + row, first + column) for row, column in np.ndindex(scores.shape)]
        present = np.isfinite(scores.ravel())
        kept = [seed for seed, there in zip(seeds, present, strict=True) if there]
        return study_of(scores.ravel()[present][:, None], kept, name=name, **options)

    return made


def compared(a, b, **options):
    return compare_trials(a, b, **OPTIONS | options)


def scores(count, mean, seed):
    return mean + 0.02 * np.random.default_rng(seed).standard_normal(count)


# --------------------------------------------------------------------------------------------------------- the verdict


def test_a_difference_is_laid_to_the_method_only_where_the_interval_excludes_none(pairs_of):
    old, new, same = (
        pairs_of(scores(12, mean, seed), name)
        for mean, seed, name in ((0.80, 0, "old"), (0.84, 1, "new"), (0.80, 2, "same"))
    )
    test = stats.ttest_rel(new.scores, old.scores)
    low, high = test.confidence_interval()
    assert low > 0
    said = f"new scores higher than old, by {np.mean(new.scores - old.scores):.4f} on average"
    said += f" (95 % interval {low:.4f} to {high:.4f}"
    for a, b in ((old, new), (new, old)):
        verdict = comparison.verdict(compared(a, b))
        assert verdict.startswith("More than the seeds explain") and said in verdict

    low, high = stats.ttest_rel(same.scores, old.scores).confidence_interval()
    assert low < 0 < high
    verdict = comparison.verdict(compared(same, old))
    assert verdict.startswith("The seeds alone may explain it")
    assert f"from {low:+.4f} to {high:+.4f}" in verdict and "does not show that they are equal" in verdict


def test_the_table_has_the_numbers_of_an_independent_computation(pairs_of):
    a, b = pairs_of(scores(10, 0.80, 0), "a"), pairs_of(scores(14, 0.82, 1), "b", first=100)
    table = comparison.difference(compared(a, b)).table.set_index("a less b")
    test = stats.ttest_ind(a.scores, b.scores, equal_var=False)
    interval = test.confidence_interval()
    expected = (a.scores.mean() - b.scores.mean(), interval.low, interval.high, test.pvalue)
    assert table.loc["difference of means"].to_list() == pytest.approx(expected)
    chance = stats.mannwhitneyu(a.scores, b.scores).statistic / 140
    assert table.loc["chance that a trial of a beats one of b", "value"] == pytest.approx(chance)


def test_scores_that_do_not_vary_support_no_claim(pairs_of):
    equal = compared(pairs_of(np.full(4, 0.5), "a"), pairs_of(np.full(4, 0.5), "b"))
    assert comparison.verdict(equal).startswith("No difference: a and b have the same mean")
    apart = compared(pairs_of(np.full(4, 0.5), "a"), pairs_of(np.full(4, 0.9), "b"))
    assert "b scores 0.4000 higher than a" in comparison.verdict(apart)
    assert "nothing is claimed beyond these trials" in comparison.verdict(apart)
    for each in (equal, apart):
        assert "neither sweep is said to lead" in comparison.expected_best(each).reading
        needed = comparison.seed_pairs_needed(each, 0.8)
        assert needed.table is None and "no variation" in needed.missing[0]


# ------------------------------------------------------------------------------------------------------------- pairing


def test_pairs_are_the_trials_with_the_same_seeds_and_others_are_left_out(pairs_of):
    generator = np.random.default_rng(0)
    a, b = generator.normal(0.8, 0.02, (5, 5)), generator.normal(0.8, 0.02, (4, 6))
    b[2, 3] = np.nan
    result = compared(pairs_of(a, "a"), pairs_of(b, "b"))
    both = np.isfinite(b[:, :5])
    assert result.scores_a.tolist() == a[:4][both].tolist()
    assert result.scores_b.tolist() == b[:, :5][both].tolist()
    assert comparison.pairing(result) == (
        "Paired by seeds: 19 pairs of trials that share init and order seed; left out for want of a partner: 6 of a and"
        " 4 of b."
    )
    assert comparison.scores(result).table["trials"].to_list() == [19, 19]


def test_an_unpaired_comparison_says_why(pairs_of):
    a, b, c = (pairs_of(scores(9, 0.8, first), f"from {first}", first) for first in (0, 7, 0))
    assert "of which 2 have a partner with the same seeds, too few" in comparison.pairing(compared(a, b))
    assert "Unpaired, as asked: all 9 and 9 trials" in comparison.pairing(compared(a, c, paired=False))


def test_sweeps_of_which_one_varies_the_dropout_seed_are_not_paired(grid_of):
    result = compared(grid_of(3, 3, 2, name="a"), grid_of(3, 3, name="b"), max_budget=0)
    assert comparison.pairing(result) == "Unpaired: all 18 and 9 trials, as only one sweep varies the dropout seed."


def test_trials_without_seeds_are_neither_paired_nor_laid_to_seeds(pairs_of):
    a, b = (pairs_of(np.sort(scores(9, mean, seed)), name, seeded=False) for mean, seed, name in SORTED)
    result = compared(a, b, max_budget=0)
    assert comparison.pairing(result) == "Unpaired: all 9 and 9 trials, as those of old and new have no seeds."
    found, test = result.result.difference, stats.ttest_ind(a.scores, b.scores, equal_var=False)
    assert (found.p, found.t) == pytest.approx((test.pvalue, test.statistic), rel=1e-9)
    needed = comparison.seed_pairs_needed(result, 0.8).table.iloc[0]
    assert needed["more than now"] == max(0, needed["trials of each"] - 9)
    with pytest.raises(InputError, match="paired=true: the trials of new have no seeds to pair them by"):
        compared(pairs_of(a.scores, "old"), b, paired=True)


def test_where_one_was_evaluated_more_often_the_last_evaluation_is_compared_too(study_of):
    curves = 0.8 + 0.02 * np.random.default_rng(0).standard_normal((9, 5))
    seeds = [(row, row) for row in range(9)]
    often, once = study_of(curves, seeds, name="often"), study_of(curves[:, :1], seeds, name="once")
    test = stats.ttest_rel(curves[:, -1], curves[:, 0])
    limits = test.confidence_interval(0.95)
    [said] = (note for note in comparison.cautions(compared(often, once, max_budget=0)) if "maximum" in note)
    assert said.startswith("Best found is a maximum over 5 evaluations of often and 1 of once: more of them alone")
    difference = (curves[:, -1] - curves[:, 0]).mean()
    assert f"often less once is {difference:+.4f} on" in said
    assert f"interval {limits.low:+.4f} to {limits.high:+.4f}, p = {test.pvalue:.2g})" in said


def test_other_package_versions_are_said_where_nothing_else_differs(pairs_of):
    """Between the sweeps and within one, as numbers may differ for that reason alone."""

    def ran_with(name, **versions):
        study = pairs_of(scores(6, 0.8, 0), name)
        return replace(study, sweep=replace(study.sweep, identity={"recipe.epochs": 3}, versions=versions))

    old, new = ran_with("old", torch="2.12.0", numpy="2.3.5"), ran_with("new", torch="2.13.0", numpy="2.3.5")
    mixed = ran_with("mixed", torch="2.12.0, 2.13.0", numpy="2.3.5")
    assert comparison.cautions(compared(old, old, max_budget=0))[-1].startswith(
        "old and old are two sweeps of one method"
    )
    one = compared(old, new, max_budget=0)
    assert comparison.cautions(one)[-1].startswith(
        "old and new ran with different versions of torch (2.12.0 and 2.13.0)"
    )
    said = comparison.configuration(one).reading
    assert said.endswith("but package versions do, which may change them too: torch (2.12.0 and 2.13.0).")
    within = comparison.cautions(compared(mixed, mixed, max_budget=0))
    assert within[-2].startswith(
        "The trials of mixed ran with different versions of torch (2.12.0, 2.13.0); numbers may"
    )


def test_a_sweep_with_one_order_seed_answers_for_that_seed_alone(study_of):
    a, b = (
        study_of(scores(8, 0.8, seed)[:, None], [(row, 3) for row in range(8)], name=name)
        for seed, name in ((0, "a"), (1, "b"))
    )
    result = compared(a, b)
    assert "All trials of a have order seed 3: about other order seeds nothing is said." in comparison.pairing(result)
    needed = comparison.seed_pairs_needed(result, 0.8)
    assert needed.table is None and "order seed 3" in needed.missing[0]


# ------------------------------------------------------------------------------------------------------------ diverged


def test_a_trial_whose_loss_was_no_number_diverged_whatever_it_scored_before(pairs_of):
    a = pairs_of(scores(10, 0.8, 0), "a", status=["nonfinite"] * 3 + ["completed"] * 7)
    b = pairs_of(np.append(scores(9, 0.8, 1), 0.5), "b")
    result = compared(a, b)
    assert (result.diverged.a, result.diverged.b) == (3, 1)
    section = comparison.scores(result)
    assert section.table["diverged"].to_list() == [3, 1]
    assert "3 of 10 (a) and 1 of 10 (b), no difference shown" in section.reading


# ------------------------------------------------------------------------------------------------------- expected best


def test_leaders_are_named_where_the_interval_excludes_none_and_nowhere_else(pairs_of):
    generator = np.random.default_rng(0)
    wild = generator.normal(0.80, 0.06, 120)
    steady = generator.normal(0.83, 0.005, 120)
    for first, second in ((wild, steady), (steady, wild), (steady, steady + generator.normal(0, 0.001, 120))):
        result = compared(pairs_of(first, "first"), pairs_of(second, "second", first=1000))
        best, reading = result.result.expected_best, comparison.expected_best(result).reading
        for name, led in (("first", best.lower > 0), ("second", best.upper < 0)):
            assert (f"{name} leads" in reading) == led.any()
            if led.any():
                spans = re.search(rf"{name} leads at n = ((?:\d|, | to )+)", reading)[1]
                ends = [[int(end) for end in span.split(" to ")] for span in spans.split(", ")]
                assert {n for span in ends for n in range(span[0], span[-1] + 1)} == set(best.budgets[led].tolist())
        assert ("depends on how many" in reading) == ((best.lower > 0).any() and (best.upper < 0).any())
        if first is not steady or second is wild:
            assert "depends on how many" in reading  # the case that is shown exists


# ------------------------------------------------------------------------------------------------------------ how many


def test_the_pairs_that_exist_are_taken_off_those_needed(pairs_of):
    result = compared(pairs_of(scores(6, 0.80, 0), "a"), pairs_of(scores(6, 0.81, 3), "b"))
    section = comparison.seed_pairs_needed(result, 0.8)
    [[_, needed, more]] = section.table.itertuples(index=False)
    size = abs(result.result.difference.value)
    spread = np.std(result.scores_a - result.scores_b, ddof=1)

    def power(pairs):  # of the paired t test
        away, critical = size / spread * np.sqrt(pairs), stats.t.ppf(0.975, pairs - 1)
        return stats.nct.sf(critical, pairs - 1, away) + stats.nct.cdf(-critical, pairs - 1, away)

    assert power(needed) >= 0.8 > power(needed - 1) and needed > 6
    assert more == needed - 6
    assert "a grid" in section.missing[0]


def test_a_full_grid_counts_towards_the_one_needed(grid_of):
    a, b = grid_of(4, 4, seed=0, name="a"), grid_of(4, 4, seed=1, name="b")
    table = comparison.seed_pairs_needed(compared(a, b), 0.8).table
    assert table["design"].str.startswith("grid").to_list() == [False, True]
    needed, more = table.loc[1, ["trials of each", "more than now"]]
    assert more == needed - 16 > 0


def test_the_grid_that_a_small_and_a_large_sweep_share_counts_towards_the_one_needed(pairs_of):
    small = pairs_of(np.random.default_rng(0).normal(0.8, 0.02, (3, 4)), "small")
    large = pairs_of(np.random.default_rng(1).normal(0.81, 0.02, (6, 5)), "large")
    found = compared(small, large)
    assert found.result.paired
    assert comparison._full_grid(found) == (3, 4)


# ------------------------------------------------------------------------------------------------------ what is refused


def test_sweeps_that_are_no_random_sample_or_a_single_trial_are_refused(pairs_of):
    whole = pairs_of(scores(6, 0.8, 0), "whole")
    stopped = pairs_of(scores(6, 0.8, 1), "stopped", status=["stopped"] * 2 + ["completed"] * 4)
    with pytest.raises(InputError, match=r"^b=stopped: 2 trials stopped early for low scores"):
        compared(whole, stopped)
    with pytest.raises(InputError, match=r"^a=single: 1 finished trial; a comparison needs at least 2"):
        compared(pairs_of([0.8], "single"), whole)
    with pytest.raises(InputError, match=r"^a=whole, b=far: the methods share 0 seed pairs"):
        compared(whole, pairs_of(scores(6, 0.8, 1), "far", first=50), paired=True)


@pytest.mark.parametrize("shape", [(2,), (5, 5), (46, 46)])
def test_every_figure_can_be_drawn(pairs_of, shape):
    generator = np.random.default_rng(0)
    result = compared(*(pairs_of(generator.normal(0.8, 0.02, shape), name) for name in "ab"), draws=20)
    for section in (comparison.scores(result), comparison.expected_best(result)):
        picture = io.BytesIO()
        section.figure.savefig(picture, format="svg")
        assert picture.tell() < 600_000  # also with many trials
