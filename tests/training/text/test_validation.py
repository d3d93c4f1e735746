"""Validation leaves no trace in the training, and tells what the network knows."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch
from sklearn.metrics import accuracy_score
from torch.nn.functional import cross_entropy

from seedgrid.evaluation.evaluation import Evaluation
from seedgrid.evaluation.schedule import evaluation_steps
from seedgrid.training.text.validation import FractionalValidation, predict


@pytest.fixture
def validation(tiny_tokens):
    """A callback that validates after the given steps, and the list of its evaluations."""

    def made(steps: list[int], metric: str = "accuracy", then=lambda trainer, module, evaluation: None):
        evaluations: list[Evaluation] = []

        def report(trainer, module, evaluation):
            evaluations.append(evaluation)
            then(trainer, module, evaluation)

        labels = torch.from_numpy(tiny_tokens[1].label)
        return FractionalValidation(steps, 5, labels, metric, report), evaluations

    return made


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_training_is_bit_identical_however_often_it_is_validated(fit, validation, precision):
    untouched = fit(precision=precision)
    for per_epoch, count in ((1, 3), (10, 11), (0.5, 2)):
        callback, evaluations = validation(evaluation_steps(10, 5, per_epoch, at_start=True))
        validated = fit(callback, precision=precision)
        assert len(evaluations) == count
        assert validated.losses == untouched.losses
        weights = untouched.weights()
        assert all(torch.equal(value, weights[name]) for name, value in validated.weights().items())


def test_an_evaluation_before_training_is_the_same_by_what_an_earlier_trial_found_of_the_encoder(fit, validation):
    encoded, found = [], []
    for shared in (None, encoded, encoded):
        callback, evaluations = validation([0, 5])
        callback.untrained = shared
        fit(callback)
        found.append(evaluations)
    assert encoded
    for before, after in found[1:]:
        assert torch.equal(before.logits, found[0][0].logits)
        assert torch.equal(after.logits, found[0][1].logits)
    assert not torch.equal(found[0][0].logits, found[0][1].logits)


def test_evaluations_come_at_their_steps_with_their_fraction_of_an_epoch(fit, validation):
    callback, evaluations = validation([0, 3, 5, 10])
    fit(callback)
    assert [evaluation.step for evaluation in evaluations] == [0, 3, 5, 10]
    assert [evaluation.epoch for evaluation in evaluations] == [0, 0.6, 1, 2]
    assert all(evaluation.seconds > 0 for evaluation in evaluations)


def test_a_resumed_training_is_validated_at_the_steps_that_are_left(fit, validation):
    whole_callback, whole = validation([0, 3, 5, 8, 10])
    fit(whole_callback)
    begun_callback, begun = validation([0, 3, 5, 8, 10])
    first = fit(begun_callback, stop=5)
    rest_callback, rest = validation([0, 3, 5, 8, 10])
    fit(rest_callback, start=5, state=first.state())
    assert [evaluation.step for evaluation in begun] == [0, 3, 5]
    assert [evaluation.step for evaluation in rest] == [8, 10]
    for expected, found in zip(whole, [*begun, *rest], strict=True):
        assert torch.equal(found.logits, expected.logits)
        assert (found.loss, found.metrics) == (expected.loss, expected.metrics)


def test_every_step_after_a_validation_is_taken_in_train_mode(fit, validation):
    modes = []

    class Modes(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            modes.append({module.training for module in pl_module.modules()})

    callback, _ = validation(list(range(11)))
    fit(callback, Modes())
    assert modes == [{True}] * 10


def test_validation_is_without_dropout_and_gradients(fit, validation):
    def again(trainer, module, evaluation):
        assert torch.equal(predict(trainer, module), evaluation.logits)
        assert not evaluation.logits.requires_grad

    callback, evaluations = validation([5], then=again)
    fit(callback, dropout=0.5)
    assert len(evaluations) == 1


def test_logits_are_in_the_data_sets_order_whatever_the_sorting(fit, validation, tiny_tokens):
    _, tokens = tiny_tokens
    assert (tokens.lengths[1:] < tokens.lengths[:-1]).any()  # sorting by length reorders these examples
    alone = []

    def one_by_one(trainer, module, evaluation):
        module.network.eval()
        with torch.no_grad():
            for index in range(len(tokens)):
                part = slice(tokens.starts[index], tokens.starts[index + 1])
                ids = torch.from_numpy(tokens.ids[part]).long()[None]
                alone.append(module.network(input_ids=ids).logits[0])
        module.network.train()

    callback, evaluations = validation([10], then=one_by_one)
    fit(callback)
    torch.testing.assert_close(evaluations[0].logits, torch.stack(alone), rtol=1e-5, atol=1e-6)
    assert evaluations[0].logits.dtype == torch.float32


def test_loss_and_metrics_are_means_over_examples_not_batches(fit, validation, tiny_tokens):
    _, tokens = tiny_tokens
    assert len(tokens) % 5  # the last batch is smaller
    callback, evaluations = validation([0, 10], metric="acc_and_f1")
    fit(callback)
    labels = torch.from_numpy(tokens.label)
    for evaluation in evaluations:
        each = [cross_entropy(row, label).item() for row, label in zip(evaluation.logits, labels, strict=True)]
        assert evaluation.loss == pytest.approx(sum(each) / len(each), rel=1e-6)
        predicted = evaluation.logits.argmax(dim=1)
        assert evaluation.metrics["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
        assert evaluation.score == evaluation.metrics["acc_and_f1"]


def test_a_training_that_is_to_stop_is_not_validated(fit, validation):
    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            trainer.should_stop = batch_idx == 4

    callback, evaluations = validation([3, 5, 10])
    fit(Stop(), callback)
    assert [evaluation.step for evaluation in evaluations] == [3]
