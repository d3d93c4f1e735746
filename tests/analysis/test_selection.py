"""Tests of the honest value of choosing the best trial."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from seedgrid.analysis.scores import score
from seedgrid.analysis.selection import honest_best


def simulated(seed: int, accuracies: np.ndarray, evaluations: int, examples: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictions (trials x evaluations x examples) right with each trial's probability, and labels."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, examples)
    right = generator.random((len(accuracies), evaluations, examples)) < accuracies[:, None, None]
    return np.where(right, labels, 1 - labels), labels


def test_trials_without_any_true_difference_gain_nothing_honestly_but_much_naively():
    true, simulations = 0.85, 60
    results = [
        honest_best(*simulated(i, np.full(15, true), 4, 200), "accuracy", splits=20, seed=i) for i in range(simulations)
    ]
    honest = np.array([result.honest[-1] for result in results])
    gain = np.array([result.gain for result in results])
    naive = np.array([result.naive[-1] for result in results])
    assert abs(honest.mean() - true) < 3 * honest.std(ddof=1) / np.sqrt(simulations)
    assert abs(gain.mean()) < 3 * gain.std(ddof=1) / np.sqrt(simulations)
    assert naive.mean() > true + 0.04
    held = [result.honest_interval[0] <= true <= result.honest_interval[1] for result in results]
    assert np.mean(held) > 0.9
    assert np.mean([result.gain_interval[0] <= 0 <= result.gain_interval[1] for result in results]) > 0.9


def test_a_trial_that_is_truly_better_shows_an_honest_gain():
    accuracies = np.array([0.6] * 9 + [0.95])
    result = honest_best(*simulated(0, accuracies, 1, 400), "accuracy")
    assert result.honest[-1] == pytest.approx(0.95, abs=0.03)
    assert result.honest[0] == pytest.approx(accuracies.mean(), abs=0.03)
    assert result.gain_interval[0] > 0.2
    assert result.real_share > 0.9


def test_intervals_hold_the_true_score_and_gain_of_the_trials_that_were_chosen():
    splits, simulations, held = 20, 80, []
    for seed in range(simulations):
        accuracies = np.random.default_rng(seed).normal(0.85, 0.03, 5)
        predictions, labels = simulated(seed, accuracies, 1, 300)
        result = honest_best(predictions, labels, "accuracy", splits=splits, seed=seed)
        halves = np.argsort(np.random.default_rng(seed).random((300, splits)), axis=0) < 150
        right = (predictions[:, 0] == labels).astype(int) @ np.concatenate([halves, ~halves], axis=1)
        best = right == right.max(axis=0)
        true = (accuracies @ best / best.sum(axis=0)).mean()
        (low, high), (low_gain, high_gain) = result.honest_interval, result.gain_interval
        held.append((low <= true <= high, low_gain <= true - accuracies.mean() <= high_gain))
    assert (np.mean(held, axis=0) > 0.9).all()


@pytest.mark.parametrize("metric", ["accuracy", "f1", "acc_and_f1", "mcc", "macro_f1"])
def test_honest_score_is_that_of_choosing_by_hand_on_every_half(metric):
    predictions, labels = simulated(1, np.linspace(0.5, 0.9, 4), 3, 31)
    splits, seed = 7, 3
    result = honest_best(predictions, labels, metric, splits=splits, seed=seed)

    # The same halves, then the most literal reading of the definition.
    halves = np.argsort(np.random.default_rng(seed).random((31, splits)), axis=0) < 15
    by_size = np.zeros(4)
    for half in [*halves.T, *~halves.T]:
        chosen = score(predictions[..., half], labels[half], metric)
        read = score(predictions[..., ~half], labels[~half], metric)
        for n in range(1, 5):
            outcomes = []
            for subset in combinations(range(4), n):
                best = max(chosen[trial].max() for trial in subset)
                winners = [
                    np.mean(read[trial][chosen[trial] == best]) for trial in subset if chosen[trial].max() == best
                ]
                outcomes.append(np.mean(winners))
            by_size[n - 1] += np.mean(outcomes) / (2 * splits)
    np.testing.assert_allclose(result.honest, by_size, rtol=0, atol=1e-12)


def test_a_function_for_a_metric_gives_what_its_name_gives():
    predictions, labels = simulated(2, np.linspace(0.6, 0.8, 5), 2, 60)
    named = honest_best(predictions, labels, "mcc", splits=5)
    called = honest_best(predictions, labels, lambda p, y: score(p, y, "mcc"), splits=5)
    np.testing.assert_allclose(called.honest, named.honest, atol=1e-12)
    np.testing.assert_allclose(called.naive, named.naive, atol=1e-12)


def test_order_of_trials_and_evaluations_does_not_matter_even_with_ties():
    predictions, labels = simulated(3, np.full(6, 0.7), 3, 10)
    result = honest_best(predictions, labels, "accuracy", splits=10)
    turned = honest_best(predictions[::-1, ::-1], labels, "accuracy", splits=10)
    np.testing.assert_allclose(turned.honest, result.honest, atol=1e-12)


def test_naive_is_the_expected_best_of_the_best_found_scores():
    predictions, labels = simulated(4, np.full(5, 0.8), 3, 50)
    best_found = (predictions == labels).mean(axis=2).max(axis=1)
    result = honest_best(predictions, labels, "accuracy", splits=2)
    assert result.naive[0] == pytest.approx(best_found.mean())
    assert result.naive[-1] == best_found.max()
    assert result.naive_gain == pytest.approx(best_found.max() - best_found.mean())


def test_logits_and_their_predictions_give_the_same():
    generator = np.random.default_rng(5)
    logits, labels = generator.normal(size=(4, 2, 40, 3)).astype(np.float32), generator.integers(0, 3, 40)
    by_logits = honest_best(logits, labels, "macro_f1", splits=5)
    by_class = honest_best(logits.argmax(axis=-1), labels, "macro_f1", splits=5)
    np.testing.assert_array_equal(by_logits.honest, by_class.honest)


def test_an_evaluation_that_did_not_take_place_is_never_chosen():
    predictions, _ = simulated(6, np.full(4, 0.7), 2, 40)
    with_missing = np.concatenate([predictions, np.full((4, 1, 40), -1)], axis=1)
    # Were it read as class 0, an evaluation of all zeros would be perfect here.
    result = honest_best(with_missing, np.zeros(40, dtype=int), "accuracy", splits=5)
    expected = honest_best(predictions, np.zeros(40, dtype=int), "accuracy", splits=5)
    np.testing.assert_array_equal(result.honest, expected.honest)
    np.testing.assert_array_equal(result.naive, expected.naive)


def test_one_trial_and_equal_trials_gain_nothing():
    predictions, labels = simulated(7, np.full(1, 0.7), 1, 40)
    alone = honest_best(predictions, labels, "accuracy")
    assert alone.gain == alone.naive_gain == 0
    assert np.isnan(alone.real_share)
    assert alone.honest[0] == pytest.approx(alone.naive[0])
    equal = honest_best(np.repeat(predictions, 5, axis=0), labels, "accuracy")
    assert equal.gain == pytest.approx(0, abs=1e-12)
    assert equal.naive_gain == pytest.approx(0, abs=1e-12)


def test_interval_of_a_single_trial_has_the_binomial_width():
    examples = 500
    predictions, labels = simulated(8, np.array([0.8]), 1, examples)
    accuracy = score(predictions, labels, "accuracy").item()
    low, high = honest_best(predictions, labels, "accuracy", splits=400).honest_interval
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(accuracy * (1 - accuracy) / examples), rel=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": np.zeros((2, 40), dtype=int)}, "give trials x evaluations x examples"),
        ({"labels": np.zeros(39, dtype=int)}, "give trials x evaluations x examples"),
        ({"outputs": np.zeros((2, 2, 3), dtype=int), "labels": np.zeros(3, dtype=int)}, "too few to halve"),
        ({"splits": 1}, "splits is 1"),
        ({"level": 95}, "level is 95"),
        ({"outputs": np.full((2, 2, 40, 2), np.nan)}, "2 of 2 trials have no evaluation"),
        ({"metric": "rouge"}, "'rouge' is unknown"),
        ({"outputs": np.full((2, 2, 40), 2), "metric": "f1"}, "is for two classes"),
    ],
)
def test_what_cannot_be_halved_is_refused(change, message):
    arguments = {"outputs": np.zeros((2, 2, 40), dtype=int), "labels": np.zeros(40, dtype=int), "metric": "accuracy"}
    with pytest.raises(ValueError, match=message):
        honest_best(**{**arguments, **change})
