"""No number, interval, bar or band on any page lies where its score, difference, share or deviation cannot."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection, PolyCollection

from seedgrid.analysis.scores import score
from seedgrid.records.store import trial_name
from seedgrid.report import all_sections, comparison
from seedgrid.report.figures import scores_by_sweep
from seedgrid.scale import Scale
from seedgrid.seeds import Seeds

LABELS = np.arange(40) % 2
GRID = [(init, order) for init in range(3) for order in range(3)]
PAIRS = [(seed, seed) for seed in range(3)]
ROUNDING = 1e-9


@pytest.fixture(scope="module")
def extreme(study_of, tmp_path_factory):
    """Trials whose predictions are right for so many of 40 examples at each evaluation, with these predictions."""

    def made(name, right, seeds, **options):
        right = np.array(right)  # trials x evaluations
        predictions = np.where(np.arange(40) < right[..., None], LABELS, 1 - LABELS)
        curves = score(predictions, LABELS, options.get("metric", "accuracy"))
        folder = tmp_path_factory.mktemp(name)
        for seed, classes in zip(seeds, predictions, strict=True):
            place = folder / trial_name(Seeds(init=seed[0], order=seed[1]))
            place.mkdir()
            steps = 10 * np.arange(1, len(classes) + 1)
            np.savez(place / "predictions.npz", steps=steps, logits=np.eye(2)[classes], labels=LABELS)
        study = study_of(curves, seeds, name=name, **options)
        return replace(study, sweep=replace(study.sweep, folder=folder, has_predictions=True))

    return made


@pytest.fixture(scope="module")
def studies(extreme):
    near = np.array([[38, 40], [39, 40], [37, 38], [40, 40], [36, 39], [40, 40], [39, 39], [40, 40], [30, 40]])
    mcc = {"metric": "mcc", "diverged_at": 0.0}
    every = [
        extreme("perfect", np.full((9, 3), 40), GRID),
        extreme("at-chance", np.full((9, 3), 20), GRID),
        extreme("one-trial", [[38, 40]], [(0, 0)]),
        extreme("near-one", near, GRID),
        extreme("near-none", 40 - near, GRID),
        extreme("few-near-one", [[40], [40], [38]], PAIRS),
        extreme("few-near-none", [[0], [0], [2]], PAIRS),
        extreme("no-number", np.full((9, 3), 20), GRID, status="nonfinite"),
        extreme("mcc-near-one", near, GRID, **mcc),
        extreme("mcc-near-none", 40 - near, GRID, **mcc),
        extreme("few-mcc-near-one", [[40], [40], [38]], PAIRS, **mcc),
        extreme("few-mcc-near-none", [[0], [0], [2]], PAIRS, **mcc),
    ]
    return {study.name: study for study in every}


# What a column of any table holds, by its name; all others hold counts, seeds, costs and times, which are not judged.
SCORES, DIFFERENCES, DEVIATIONS, SHARES = (
    re.compile(names)
    for names in (
        r"best found|mean|lowest|median|best|lower \d+ %|upper \d+ %|all evaluations|once\b.*|plug-in.*|its mean ?"
        r"|mean, .*|.*, reported|(one trial|best of all), honest|honest, (lower|upper)|full training|plan(, honest)?"
        r"|their expected best|majority baseline|diverged at or below|(mean|best) single trial|majority vote"
        r"|averaged logits",
        r"gain.*|difference|range of means|.* less .*|lower|upper",
        r"std.*|standard (deviation|error)",
        r"p|p\W.*|share.*|real share .*|error removed.*|agreement|examples not unanimous|votes tied|of it evaluation",
    )
)
JUDGED = (SCORES, DIFFERENCES, DEVIATIONS, SHARES)
OTHERS = re.compile(
    r"trials?|.*of each|.*examples|evaluations.*|diverged|n|budget|cost|pairs|F|seconds.*|hours.*|.*trainings?( saved)?"
    r"|with early stopping|rank, .*|mean rank|init seed|(start|stop at|of evaluations|keep)"
)


def check_table(section, bounds_of):
    """Every cell that is a number, by its column; of a comparison's first table, by its row."""
    for row in section.table.to_dict("records"):
        for name, value in row.items():
            if not isinstance(value, (float, np.floating)) or np.isnan(value):
                continue
            low, high = bounds_of(f"{row.get('sweep')} {name}")
            within = {
                SCORES: (low, high),
                DIFFERENCES: (low - high, high - low),
                DEVIATIONS: (0, high - low),
                SHARES: (0, 1),
            }
            kind = next((kind for kind in JUDGED if kind.fullmatch(name)), None)
            least, most = within.get(kind, (-np.inf, np.inf))
            if section.key == "difference":
                what = next(iter(row.values()))
                least, most = (0, 1) if what.startswith("chance") else (low - high, high - low)
                if what.startswith("difference in share"):
                    least, most = -1, 1
                if what == "Hedges' g" and name == "value":
                    continue
            elif section.key == "expected-best" and kind is None:  # columns of the sweeps' names
                least, most = low, high
            elif name.startswith("error removed"):  # stopping may do harm
                least = -np.inf
            else:
                assert kind or OTHERS.fullmatch(name), (section.key, name)
            assert least - ROUNDING <= value <= most + ROUNDING, (section.key, name, value, row)


def check_words(text, low, high):
    """Every number with at least three decimals, all of which are scores, differences of them, deviations or p."""
    for sentence in re.split(r"(?<=[a-z\d)])[.;:] ", text):
        signed = re.search(r"less|gain|bring|difference|on average|Choosing|\(-?\d\.\d+ to", sentence)
        least, most = (low - high, high - low) if signed else (low, high)
        for number in re.findall(r"(?<![\w.])[-+]?\d+\.\d{3,}", sentence):
            assert least - ROUNDING <= float(number) <= max(most, 1) + ROUNDING, sentence


def points(axes):
    """Whatever is drawn in an axes: x and y of each artist, in its own data's units."""
    for line in axes.lines:
        if line.get_transform().contains_branch(axes.transData) and line.get_xdata(orig=False) is not None:
            yield np.column_stack([np.ravel(line.get_xdata(orig=False)), np.ravel(line.get_ydata(orig=False))])
    for artist in axes.collections:
        if isinstance(artist, PathCollection):
            yield np.asarray(artist.get_offsets())
        elif isinstance(artist, (LineCollection, PolyCollection)):
            yield from (path.vertices for path in artist.get_paths())


def check_figure(figure, key, bounds_of):
    """No mark, line, bar, band or tick of an axis of scores, differences or shares lies where none can be."""
    seen = 0
    for axes in figure.axes:
        for column, axis, view in ((0, axes.xaxis, axes.get_xlim()), (1, axes.yaxis, axes.get_ylim())):
            label = " ".join(axis.label.get_text().split())
            low, high = bounds_of(f"{axes.get_title()} {label}")
            if re.search(r"best found|expected best|validation (accuracy|mcc)", label):
                least, most = low, high
            elif label == "difference":
                least, most = low - high, high - low
            elif re.search("^share of|agree|trials diverged", label):
                least, most = 0, 1
            else:
                continue
            seen += 1
            for drawn in points(axes):
                values = drawn[:, column][np.isfinite(drawn[:, column])]
                # A line through the whole panel is given by shares of it.
                assert ((values >= least - ROUNDING) & (values <= most + ROUNDING)).all(), (key, label, values)
            ticks = [tick for tick in axis.get_majorticklocs() if min(view) <= tick <= max(view)]
            assert all(least - ROUNDING <= tick <= most + ROUNDING for tick in ticks), (key, label, ticks)
            reach = 0.06 * (max(view) - min(view))
            assert min(view) >= least - reach and max(view) <= most + reach, (key, label, view)
    return seen


def check(sections, bounds_of):
    panels = 0
    for section in sections:
        for line in section.reading.split("\n"):
            check_words(line, *bounds_of(line))
        if section.table is not None:
            check_table(section, bounds_of)
        if section.figure is not None:
            panels += check_figure(section.figure, section.key, bounds_of)
    return panels


def test_no_page_shows_a_value_that_cannot_be(studies):
    def bounds_of(name):
        return (-1, 1) if "mcc" in str(name) else (0, 1)

    sections = all_sections.build_sections(list(studies.values()), 0.95, 4, 0, lambda what: None)
    assert check(sections, bounds_of) > 40
    for metric in ("accuracy", "mcc"):
        drawn = {name: study.sweep.trials for name, study in studies.items() if study.sweep.metric == metric}
        figure = scores_by_sweep(drawn, Scale.of(metric), None)
        assert check_figure(figure, "index", lambda _, metric=metric: bounds_of(metric)) == 1

    for a, b in (
        ("perfect", "at-chance"),
        ("near-one", "near-none"),
        ("few-near-one", "few-near-none"),
        ("few-mcc-near-one", "few-mcc-near-none"),
    ):
        of = {"paired": None, "max_budget": 5, "level": 0.999, "draws": 50, "seed": 0}
        compared = comparison.compare_trials(studies[a], studies[b], **of)
        sections = comparison.build_sections(compared, 0.8)
        assert check(sections, lambda _, name=a: bounds_of(name)) > 2
        for note in comparison.cautions(compared):
            check_words(note, *bounds_of(a))
