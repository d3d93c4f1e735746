"""Gradient norms of diverged and healthy trials, side by side."""

import numpy as np
import pytest

from seedgrid.records.store import read_sweep
from seedgrid.report.arrays import finished_trials
from seedgrid.report.sections.gradients import gradient_norms

STEPS = (1, 10, 20, 30)
DIVERGED = {(0, 0): "nonfinite", (0, 1): "nonfinite"}


@pytest.fixture
def study(write_sweep, tmp_path):
    """A 2 x 3 grid, two of its trials diverged; lowest layer: 1 in healthy trials, ``small`` in others after step 1."""

    def written(small=0.01, name="study", status=DIVERGED, groups=("layer_1", "head")):
        def norms(init, order):
            low = small if (init, order) in DIVERGED else 1.0
            high = [2.0 + order] * (len(groups) - 1)
            return [{"step": s, **dict(zip(groups, [1.0 if s == 1 else low, *high], strict=True))} for s in STEPS]

        folder = write_sweep(tmp_path / name, 2, 3, status=status, norms=norms if small else None)
        return finished_trials(read_sweep(folder))

    return written


def test_small_gradients_of_the_lowest_group_are_told_with_their_steps(study):
    section = gradient_norms([study()])
    assert "the gradients of layer_1 have a median norm of 0.01 in 2 diverged trials and of 1 in 4 healthy" in (
        section.reading
    )
    assert "at 3 of 4 measured steps, first at step 10, the one is less than a tenth" in section.reading
    assert "go with divergence" in section.reading
    assert not section.missing
    rows = section.table.to_numpy().tolist()
    assert rows[0] == ["study", "layer_1", pytest.approx(0.01), 1.0, pytest.approx(0.01)]
    assert rows[1] == ["study", "head", 2.5, 3.5, pytest.approx(2.5 / 3.5)]


def test_gradients_of_like_size_are_not_blamed(study):
    reading = gradient_norms([study(small=0.5)]).reading
    assert "at no measured step" in reading
    assert "go with divergence" not in reading


def test_medians_and_quartiles_are_drawn_side_by_side_on_one_logarithmic_axis(study):
    section = gradient_norms([study()])
    diverged, healthy = section.figure.axes
    assert "2 trials, diverged" in diverged.get_title() and "4 trials, healthy" in healthy.get_title()
    assert diverged.get_yscale() == "log" and diverged.get_ylim() == healthy.get_ylim()
    [low, head] = healthy.lines
    assert low.get_xdata().tolist() == list(STEPS)
    assert low.get_ydata().tolist() == [1] * 4
    assert head.get_ydata().tolist() == [3.5] * 4  # orders 0, 1, 2 and 2
    band = healthy.collections[1].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == tuple(np.quantile([2, 3, 4, 4], [0.25, 0.75]))


def test_of_many_layers_some_are_drawn_and_all_are_listed(study):
    groups = ("embeddings", *(f"layer_{number}" for number in range(1, 25)), "head")
    section = gradient_norms([study(groups=groups)])
    labels = [line.get_label() for line in section.figure.axes[0].lines]
    assert len(labels) == 6 and (labels[0], labels[-1]) == ("embeddings", "head")
    assert section.table["group"].tolist() == list(groups)


def test_without_norms_or_without_both_kinds_one_line_says_so(study):
    section = gradient_norms([study(small=None, name="bare"), study(status={}, name="all-healthy")])
    assert section.figure is None and section.table is None and section.reading == ""
    bare, healthy = section.missing
    assert bare.startswith("bare: not available: no gradient norms are recorded")
    assert healthy.startswith("all-healthy: not available: none of 6 trials with gradient norms diverged")
    every = {(init, order): "nonfinite" for init in range(2) for order in range(3)}
    [line] = gradient_norms([study(status=every, name="none-healthy")]).missing
    assert "all of 6 trials with gradient norms diverged" in line


def test_a_norm_that_is_no_number_is_left_out(study):
    whole = study(name="whole")
    norms = whole.sweep.gradient_norms
    norms.loc[norms["step"] == 30, ["layer_1", "head"]] = [np.nan, np.inf]
    section = gradient_norms([whole])
    assert section.figure.axes[0].lines[0].get_xdata().tolist() == [1, 10, 20]
    assert "of 3 measured steps" in section.reading
