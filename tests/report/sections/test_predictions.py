"""What the report makes of the trials' predictions: the honest best, agreement, ensembles."""

import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, matthews_corrcoef

from seedgrid.records.store import trial_name
from seedgrid.report.sections.agreement import agreement_and_ensemble
from seedgrid.report.sections.honesty import honest_best_found
from seedgrid.report.sections.predictions import read_best_logits, read_classes
from seedgrid.seeds import Seeds

SCORES = {"accuracy": accuracy_score, "mcc": matthews_corrcoef}


@pytest.fixture
def predicted(study_of, tmp_path):
    """Trials with predictions on disk, step 0 among them, as ``record`` leaves them.

    ``chances``: trials x evaluations (the one at step 0 first), chance to be right on an example; 0 for a model that
    always predicts class 0; NaN for evaluations that did not take place, the loss having been no number before.
    """

    def made(chances, seeds, *, examples=60, classes=2, metric="accuracy", seed=0, **options):
        generator = np.random.default_rng(seed)
        labels = generator.integers(0, classes, examples)
        chances = np.asarray(chances, float)
        curves = np.full(chances.shape, np.nan)
        for row, chance in enumerate(chances):
            evaluations = np.flatnonzero(np.isfinite(chance))
            logits = generator.standard_normal((len(evaluations), examples, classes)).astype(np.float32)
            for one, at in zip(logits, evaluations, strict=True):
                wrong = (labels + generator.integers(1, classes, examples)) % classes
                chosen = np.where(generator.random(examples) < chance[at], labels, wrong)
                one[np.arange(examples), np.zeros(examples, int) if chance[at] == 0 else chosen] += 9
                curves[row, at] = SCORES[metric](labels, one.argmax(axis=1))
            init, order, dropout = (*seeds[row], 0)[:3]
            trial = tmp_path / options.get("name", "study") / trial_name(Seeds(init=init, order=order, dropout=dropout))
            trial.mkdir(parents=True)
            np.savez(trial / "predictions.npz", steps=10 * evaluations, logits=logits, labels=labels)
        without = np.isnan(chances).any(axis=1)
        status = np.where(without, "nonfinite", options.pop("status", "completed"))
        study = study_of(curves[:, 1:], seeds, metric=metric, has_predictions=True, status=status, **options)
        return replace(study, sweep=replace(study.sweep, folder=tmp_path / study.name)), labels

    return made


def no_nan(*sections):
    return not any(re.search(r"\bnan\b", section.reading) for section in sections)


def seeds_of(trials):
    return [(trial, 0) for trial in range(trials)]


def test_predictions_are_read_in_the_order_of_trials_without_step_0(predicted):
    nan = np.nan
    chances = [[0.5, 0.7, 0.8], [0.5, 0.9, nan], [0.5, nan, nan], [0.5, 0.6, 0.6]]
    study, labels = predicted(chances, [(2, 0), (1, 0), (0, 1), (0, 0)])
    classes, read = read_classes(study)
    assert classes.shape == (3, 2, 60)  # the trial without an evaluation is left out
    assert np.array_equal(read, labels)
    assert (classes[1, 1] == -1).all() and (np.delete(classes.reshape(6, 60), 3, axis=0) >= 0).all()
    accuracy = (classes == labels).mean(axis=-1)
    has_one = study.trials["best_step"].notna().to_numpy()
    expected = study.curves[has_one]
    assert np.where(classes[..., 0] == -1, np.nan, accuracy) == pytest.approx(expected, nan_ok=True)
    logits, _ = read_best_logits(study)
    assert (logits.argmax(axis=2) == labels).mean(axis=1) == pytest.approx(study.scores[has_one])


def test_honest_best_is_what_halving_by_hand_gives(predicted):
    chances = np.column_stack([np.full(6, 0.5), np.linspace(0.6, 0.8, 6), np.linspace(0.65, 0.75, 6)])
    study, labels = predicted(chances, seeds_of(6))
    row = honest_best_found([study], splits=400).table.iloc[0]
    classes, _ = read_classes(study)
    right = classes == labels
    generator, best, single = np.random.default_rng(5), [], []
    for _ in range(4000):
        half = generator.permutation(60)
        chosen, read = right[..., half[:30]].mean(axis=-1), right[..., half[30:]].mean(axis=-1)
        best.append(read[chosen == chosen.max()].mean())
        single.append(np.mean([r[c == c.max()].mean() for c, r in zip(chosen, read, strict=True)]))
    assert row["best of all, reported"] == pytest.approx(study.scores.max())
    assert row["one trial, reported"] == pytest.approx(study.scores.mean())
    assert row["best of all, honest"] == pytest.approx(np.mean(best), abs=0.01)
    assert row["one trial, honest"] == pytest.approx(np.mean(single), abs=0.005)
    assert row["gain, honest"] == pytest.approx(row["best of all, honest"] - row["one trial, honest"])
    assert row["real share of the gain"] == pytest.approx(row["gain, honest"] / row["gain, reported"])


def test_trials_without_any_true_difference_gain_nothing_that_is_real(predicted):
    study, _ = predicted(np.full((60, 6), 0.7), seeds_of(60), examples=400)
    section = honest_best_found([study])
    row = section.table.iloc[0]
    assert row["gain, reported"] > 0.02
    assert row["gain, lower"] <= 0 and abs(row["gain, honest"]) < row["gain, reported"] / 2
    assert "none of the gain is real" in section.reading or "not shown to be above 0" in section.reading


def test_agreement_and_ensembles_are_what_counting_pairs_and_votes_gives(predicted):
    chances = [[0.5, 0.9, 0.8], [0.5, 0.6, 0.7], [0.5, 0.75, 0.7], [0, 0, 0], [0.5, 0.8, 0.8]]
    study, labels = predicted(chances, seeds_of(5), classes=3, metric="mcc", diverged_at=0.0)
    assert study.trials["diverged"].tolist() == [False, False, False, True, False]
    table = agreement_and_ensemble([study]).table.set_index("which trials")
    logits, _ = read_best_logits(study)
    for group, rows in {"all": range(5), "not diverged": (0, 1, 2, 4)}.items():
        votes = logits[list(rows)].argmax(axis=2)
        row = table.loc[group]
        assert row["trials"] == len(rows)
        pairs = [(votes[a] == votes[b]).mean() for a, b in combinations(range(len(votes)), 2)]
        assert row["agreement"] == pytest.approx(np.mean(pairs))
        assert row["examples not unanimous"] == pytest.approx(np.mean(votes.min(axis=0) != votes.max(axis=0)))
        counts = np.array([np.bincount(column, minlength=3) for column in votes.T])
        assert row["votes tied"] == pytest.approx(
            np.mean((counts == counts.max(axis=1, keepdims=True)).sum(axis=1) > 1)
        )
        assert row["majority vote"] == pytest.approx(matthews_corrcoef(labels, counts.argmax(axis=1)))
        averaged = matthews_corrcoef(labels, logits[list(rows)].mean(axis=0).argmax(axis=1))
        assert row["averaged logits"] == pytest.approx(averaged)
        assert row["mean single trial"] == pytest.approx(study.scores[list(rows)].mean())
        assert row["best single trial"] == pytest.approx(study.scores.max())


def test_trials_that_all_diverged_agree_and_gain_nothing(predicted):
    study, _ = predicted(np.zeros((6, 4)), seeds_of(6), diverged_at=0.7)
    honest, together = honest_best_found([study]), agreement_and_ensemble([study])
    assert "nothing is gained by choosing" in honest.reading
    assert "agree on 100 %" in together.reading and "on 0 % not all 6 trials agree" in together.reading
    assert together.table["which trials"].tolist() == ["all"]
    assert no_nan(honest, together)


def test_trials_without_an_evaluation_are_left_out_and_counted(predicted):
    nan = np.nan
    study, _ = predicted([[0.5, 0.8], [0.5, nan], [0.5, 0.9], [0.5, nan]], seeds_of(4))
    for section in (honest_best_found([study]), agreement_and_ensemble([study])):
        assert section.table["trials"].iloc[0] == 2
        assert tuple(section.missing) == ("study: 2 trials left out, diverged before the first evaluation",)
        assert no_nan(section)


def test_a_single_trial_with_predictions_is_compared_with_none(predicted):
    nan = np.nan
    study, _ = predicted([[0.5, 0.8], [0.5, nan]], seeds_of(2))
    for section in (honest_best_found([study]), agreement_and_ensemble([study])):
        assert no_nan(section)
    assert section.figure is None and "none to agree with" in section.reading
    one, _ = predicted([[0.5, 0.8]], seeds_of(1), name="one")
    for section in (honest_best_found([one]), agreement_and_ensemble([one])):
        assert (section.table, section.figure, section.reading) == (None, None, "")
        assert section.missing[0].startswith("one: not available: ")


def test_sweeps_without_predictions_or_with_stopped_trials_are_said_to_be(predicted, grid_of):
    without = grid_of(3, 3, name="without")
    stopped, _ = predicted(
        np.full((4, 3), 0.7), seeds_of(4), name="stopped", status=["completed", "completed", "completed", "stopped"]
    )
    honest, together = honest_best_found([without, stopped]), agreement_and_ensemble([without, stopped])
    assert honest.table is None and together.table["trials"].tolist() == [3]
    assert [line.split(":")[0] for line in honest.missing] == ["without", "stopped"]
    assert [line.split(":")[0] for line in together.missing] == ["without", "stopped"]


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_damaged_file_of_predictions_is_named_with_its_remedy(predicted, damage):
    study, _ = predicted(np.full((3, 3), 0.7), seeds_of(3))
    path = study.sweep.folder / "init=001,order=000" / "predictions.npz"
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:100])
    for section in (honest_best_found([study]), agreement_and_ensemble([study])):
        assert section.table is None
        assert tuple(section.missing) == (f"study: not available: {path}: {damage}; redo=true runs the trial again",)


def test_too_few_examples_to_halve_are_said(predicted):
    study, _ = predicted(np.full((3, 3), 0.7), seeds_of(3), examples=3)
    assert "too few to halve" in honest_best_found([study]).missing[0]


def test_trials_that_differ_in_the_dropout_seed_have_predictions_of_their_own(predicted):
    study, _ = predicted(np.full((4, 3), 0.7), [(0, 0), (0, 0, 1), (1, 0), (1, 0, 1)])
    assert agreement_and_ensemble([study]).table["trials"].tolist() == [4]
    assert agreement_and_ensemble([study]).table["agreement"].iloc[0] < 1
