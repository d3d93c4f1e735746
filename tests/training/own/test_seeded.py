"""What each seed decides of a user's training, and what it does not."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from seedgrid.seeds import epoch_order

ROWS, SIZE = 22, 4  # of their data


def batches(ended) -> list[list[int]]:
    return [indices for _, _, indices in ended.modules[-1].seen]


def test_the_order_seed_is_the_permutation_of_each_epoch_whether_the_loader_shuffles_or_not(run):
    order = [epoch_order(3, ROWS, epoch).tolist() for epoch in range(3)]
    expected = [one[begin : begin + SIZE] for one in order for begin in range(0, ROWS, SIZE)]
    assert batches(run("seed.order=3")) == expected
    assert batches(run("seed.order=3", "+training.data.shuffle=false", sweep="unshuffled")) == expected


def test_a_sampler_of_its_own_draws_from_the_order_seed(run):
    weighted = "+training.data.sampler=weighted"
    one, again, other = (
        batches(run(weighted, f"seed.order={order}", sweep=name)) for order, name in ((0, "a"), (0, "b"), (1, "c"))
    )
    assert one == again != other
    assert one[:6] != one[6:12]
    assert len({index for batch in one[:6] for index in batch}) < ROWS  # with replacement, as it was


def test_the_init_seed_decides_the_module_and_nothing_else(run):
    first = run(sweep="a")
    torch.manual_seed(7), np.random.seed(7), random.seed(7)
    again = run(sweep="b")
    other = run("seed.init=1", sweep="c")
    assert first.numbers() == again.numbers()
    assert batches(first) == batches(other)
    evaluations = [ended.numbers()["evaluations"]["val_loss"][0] for ended in (first, other)]
    assert evaluations[0] != evaluations[1]
    assert first.modules[0].trainer.datamodule.share == other.modules[0].trainer.datamodule.share


def test_the_dropout_seed_changes_the_steps_and_not_their_batches(run):
    first, other = run(sweep="a"), run("seed.dropout=1", sweep="b")
    assert batches(first) == batches(other)
    assert first.numbers()["train_loss"]["loss"] != other.numbers()["train_loss"]["loss"]


@pytest.mark.parametrize("often", ["evaluation.per_epoch=6", "evaluation.per_epoch=0.5", "evaluation.at_start=false"])
def test_a_training_is_the_same_however_often_it_is_validated(run, often):
    first, other = run(sweep="a"), run(often, sweep="b")
    assert first.numbers()["train_loss"] == other.numbers()["train_loss"]
    assert first.numbers()["evaluations"]["step"] != other.numbers()["evaluations"]["step"]
    weights = other.weights()
    assert all(torch.equal(value, weights[name]) for name, value in first.weights().items())


def test_evaluations_are_recorded_with_all_that_was_logged_and_the_score_is_one_of_them(run):
    ended = run()
    evaluations = ended.numbers()["evaluations"]
    assert evaluations["step"] == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert evaluations["epoch"] == [step / 6 for step in evaluations["step"]]
    assert evaluations["score"] == evaluations["val_loss"] == evaluations["loss"]
    assert "val_error" in evaluations
    assert "train_loss" not in evaluations
    record = ended.record()
    assert (record["metric"], record["direction"], record["predictions"]) == ("val_loss", "min", False)
    assert not (ended.folder / "predictions.npz").exists()
    best = ended.numbers()["best"][0]
    assert best["score"] == min(evaluations["score"][1:])


def test_what_is_there_for_training_alone_is_validated_over_all_loaders_and_recorded_under_its_own_steps(run):
    late = ("training.module._target_=their_own.Late", "training.data._target_=their_own.TwoSets")
    ended = run(*late, "training.score=val_loss/dataloader_idx_1")
    evaluations = ended.numbers()["evaluations"]
    assert evaluations["step"] == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert evaluations["score"] == evaluations["val_loss/dataloader_idx_1"] != evaluations["val_loss/dataloader_idx_0"]
    assert not ended.record()["predictions"]


def test_losses_rates_and_norms_are_those_of_the_steps(run):
    ended = run("gradient_norms=3")
    losses = ended.numbers()["train_loss"]
    assert losses["step"] == list(range(1, 19))
    assert losses["learning_rate"] == pytest.approx([0.05] * 6 + [0.04] * 6 + [0.032] * 6)
    norms = ended.numbers()["gradient_norms"]
    assert norms["step"] == [1, 3, 6, 9, 12, 15, 18]
    assert set(norms) == {"step", "net.0", "net.3"}
    assert min(norms["net.0"]) > 0


def test_a_step_is_as_many_batches_as_it_gathers(run):
    ended = run("training.accumulate_grad_batches=4")
    assert ended.record()["steps_per_epoch"] == 2
    assert ended.numbers()["train_loss"]["step"] == [1, 2, 3, 4, 5, 6]
    assert len(batches(ended)) == 18


def test_a_loss_that_is_no_number_ends_the_trial(run):
    ended = run("+training.module.fail_at=7", status="nonfinite")
    assert ended.numbers()["train_loss"]["step"] == list(range(1, 9))
    assert ended.record()["step"] == 8
