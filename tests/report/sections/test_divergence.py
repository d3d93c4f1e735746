"""Shares of diverged trials by seed."""

import numpy as np
import pytest

from seedgrid.report.sections.divergence import divergence_by_seed


@pytest.fixture
def diverging(study_of):
    """A grid in which the trials marked 1 diverged."""

    def made(marks, **options):
        marks = np.asarray(marks)
        return study_of(np.where(marks.reshape(-1, 1), 0.5, 0.8), list(np.ndindex(marks.shape)), **options)

    return made


MARKS = [[1, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_each_seeds_trials_are_counted_the_most_divergent_first(diverging):
    table = divergence_by_seed([diverging(MARKS)]).table
    rows = table[["seed of", "seed", "trials", "diverged"]].astype(object).to_numpy().tolist()
    assert rows[1:] == [
        ["init", 0, 4, 3],
        ["init", 1, 4, 1],
        ["init", 2, 4, 0],
        ["order", 2, 3, 2],
        ["order", 0, 3, 1],
        ["order", 1, 3, 1],
        ["order", 3, 3, 0],
    ]
    assert rows[0][0] == "all" and rows[0][2:] == [12, 4]


def test_intervals_are_wilsons(diverging):
    row = divergence_by_seed([diverging(MARKS)], level=0.9).table.set_index(["seed of", "seed"]).loc[("init", 0)]
    z, share, trials = 1.6448536269514722, 3 / 4, 4
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    assert (row["share, lower"], row["share, upper"]) == pytest.approx((middle - half, middle + half))


def test_p_value_says_whether_seeds_diverge_apart(diverging):
    generator = np.random.default_rng(0)
    by_order = np.zeros((6, 6), int)
    by_order[:, 2] = 1
    reading = divergence_by_seed([diverging(by_order)]).reading
    by_init, by_order = reading.split("By init seed ")[1].split("By order seed ")
    assert "17 % for each" in by_init
    assert "0 % to 100 % (order seed 2): chance alone hardly explains it (p < 0.001)" in by_order

    at_random = generator.random((6, 6)) < 0.3
    reading = divergence_by_seed([diverging(at_random)]).reading
    assert reading.count("chance alone may explain it") == 2


@pytest.mark.parametrize(("mark", "said"), [(0, "0 of 12 trials diverged"), (1, "12 of 12 trials diverged")])
def test_where_no_trial_or_all_diverged_no_seed_is_singled_out(diverging, mark, said):
    section = divergence_by_seed([diverging(np.full((3, 4), mark))])
    assert said in section.reading
    assert "seed" not in section.reading
    assert section.table["seed of"].tolist() == ["all"]
    assert section.figure is None


def test_a_loss_that_was_no_number_counts_where_no_threshold_is_known(study_of):
    curves = [[0.8], [0.7], [np.nan], [0.9]]
    status = ["completed", "completed", "nonfinite", "completed"]
    seeds = [(0, 0), (0, 1), (1, 0), (1, 1)]
    section = divergence_by_seed([study_of(curves, seeds, diverged_at=None, status=status)])
    assert "1 of 4 trials diverged (a loss that was no finite number; no threshold" in section.reading
    section = divergence_by_seed([study_of(np.array([[0.8], [0.7]]), [(0, 0), (0, 1)], diverged_at=None)])
    assert section.table is None and section.reading == ""
    assert "not known at which score" in section.missing[0]


def test_what_cannot_be_told_by_seed_is_said(study_of):
    curves, pairs = np.array([[0.5], [0.8], [0.9]]), [(0, 0), (1, 1), (2, 2)]
    section = divergence_by_seed([study_of(curves, pairs, name="pairs")])
    assert [line.split(": ")[0] for line in section.missing] == ["pairs", "pairs"]
    assert "each init seed has one trial" in section.missing[0]
    section = divergence_by_seed([study_of(curves, pairs, seeded=False)])
    assert "without seeds" in section.missing[0] and "1 of 3 trials diverged" in section.reading
    status = ["completed", "completed", "stopped"]
    section = divergence_by_seed([study_of(curves, pairs, status=status)])
    assert "stopped early" in section.missing[0] and section.table is None
    shared = study_of(curves, [(0, 0), (0, 1), (0, 2)], name="one init")
    section = divergence_by_seed([shared])
    assert "each order seed has one trial" in section.missing[0] and "1 of 3" in section.reading


def test_seeds_that_share_no_other_seed_get_shares_but_no_test(study_of):
    curves = np.array([[0.5], [0.8], [0.5], [0.5]])
    section = divergence_by_seed([study_of(curves, [(0, 0), (0, 1), (1, 2), (1, 3)])])
    assert "By init seed the share goes from 50 % to 100 % (init seed 1); no two" in section.reading


def test_varied_dropout_seeds_get_a_panel_too(grid_of):
    section = divergence_by_seed([grid_of(3, 3, 2, diverged=0.4), grid_of(3, 3, diverged=0.4, name="fixed")])
    assert set(section.table["seed of"]) == {"all", "init", "order", "dropout"}
    assert len(section.figure.axes) == 5
