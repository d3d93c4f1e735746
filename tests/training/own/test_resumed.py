"""Stopped after any step and continued, a user's training gives the bits of one that ran through."""

from __future__ import annotations

import pytest
import torch

KINDS = {
    "by epoch": [],
    "by step": ["+training.module.schedule=step", "training.gradient_clip_val=0.5"],
    "on a plateau": ["+training.module.schedule=plateau", "evaluation.per_epoch=1"],
    "accumulated": ["+training.module.schedule=step", "training.accumulate_grad_batches=4"],
    "two optimizers": ["training.module._target_=their_own.Two"],
    "bf16": ["trainer.precision=bf16-mixed"],
    "averaged": ["+training.callbacks.ema._target_=pytorch_lightning.callbacks.EMAWeightAveraging"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_stopped_at_any_step_a_trial_ends_with_the_same_bits(run, kind):
    whole = run(*KINDS[kind], sweep="whole")
    steps = whole.record()["steps"]
    # Of the first, any; then the first, about the end of an epoch, within one, and before the last.
    some = sorted({1, steps // 3, steps // 3 + 1, steps // 2, steps - 1})
    for stop in range(1, steps) if kind == "by epoch" else some:
        parts = run(*KINDS[kind], sweep=f"stopped-{stop}", stops=(stop,))
        assert parts.numbers() == whole.numbers(), stop
        assert all(torch.equal(value, parts.weights()[name]) for name, value in whole.weights().items()), stop
        assert parts.modules[0].seen + parts.modules[1].seen == whole.modules[0].seen
        assert parts.modules[-1].batches_seen == whole.modules[-1].batches_seen


def test_stopped_again_and_again_with_loader_workers_too(run):
    whole = run(sweep="whole")
    parts = run("+training.data.workers=2", sweep="stopped", stops=(1, 1, 4, 2, 3))
    assert parts.numbers() == whole.numbers()
    assert all(torch.equal(value, parts.weights()[name]) for name, value in whole.weights().items())


def test_the_kept_weights_are_those_that_were_validated(run):
    """A callback that averages weights has these in place during a validation alone."""
    ended = run("training.module._target_=their_own.Validated", *KINDS["averaged"])
    numbers = ended.numbers()
    facts, weights = numbers["best"]
    assert facts["step"] > 0
    assert weights == ended.modules[0].validated[numbers["evaluations"]["step"].index(facts["step"])]


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["by epoch", "two optimizers", "accumulated"])
def test_on_a_gpu_too(run, kind):
    whole = run(*KINDS[kind], "trainer.accelerator=gpu", sweep="whole")
    parts = run(*KINDS[kind], "trainer.accelerator=gpu", sweep="stopped", stops=(2, 2))
    assert parts.numbers() == whole.numbers()
