"""The optimizer's steps: their rates, what decays, and dropout that depends on the step alone."""

from __future__ import annotations

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from transformers.trainer_pt_utils import get_parameter_names

from seedgrid.training.text.data.datamodule import collate, training_batches
from seedgrid.training.text.model.module import FineTuning
from seedgrid.training.text.model.network import build_network
from seedgrid.training.text.model.step import TrainingStep

# So small that no float32 weight moves: then a step's loss depends on its batch and its dropout mask alone.
STANDSTILL = 1e-30


class _Observer(pl.Callback):
    """Calls a function with the trainer and the module after each step."""

    def __init__(self, observe) -> None:
        self.observe = observe

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.observe(trainer, pl_module)


def test_every_step_has_the_rate_of_its_place_in_the_schedule(fit, recipe):
    used = []
    fit(_Observer(lambda trainer, module: used.append([group["lr"] for group in trainer.optimizers[0].param_groups])))
    expected = recipe.learning_rate * np.interp(range(10), [0, 2, 10], [0, 1, 0])
    np.testing.assert_allclose(used, np.stack([expected, expected], axis=1), rtol=1e-12)


def test_the_modules_learning_rate_is_that_of_the_latest_step(fit):
    rates = []
    fit(
        _Observer(
            lambda trainer, module: rates.append((module.learning_rate, trainer.optimizers[0].param_groups[0]["lr"]))
        )
    )
    assert all(told == used for told, used in rates)


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_weights_are_those_of_a_plain_loop_with_torchs_adamw(fit, recipe, tiny_model, tiny_tokens, decay, packing):
    recipe = recipe.model_copy(update={"weight_decay": decay, "gradient_norm": 0.1})
    fitted = fit(recipe=recipe, dropout=0.0, packing=packing)

    network = build_network(tiny_model, ("no", "yes"), init_seed=0, dropout=0.0)
    decayed = decayed_by_transformers(network)
    groups = [
        {"params": [value for key, value in network.named_parameters() if key in decayed], "weight_decay": decay},
        {"params": [value for key, value in network.named_parameters() if key not in decayed], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, fused=False)
    losses = []
    for step, indices in enumerate(training_batches(0, len(tiny_tokens[0]), 8, 10)):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * np.interp(step, [0, 2, 10], [0, 1, 0])
        batch = collate(tiny_tokens[0], indices, 0)
        loss = network(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.1)
        optimizer.step()
        losses.append(loss.item())
    assert fitted.losses == pytest.approx(losses, rel=1e-5)
    for key, value in network.state_dict().items():
        torch.testing.assert_close(fitted.weights()[key], value, rtol=1e-4, atol=1e-5)


def decayed_by_transformers(network: torch.nn.Module) -> set[str]:
    """What Hugging Face's own trainer lets decay."""
    return {name for name in get_parameter_names(network, [torch.nn.LayerNorm]) if "bias" not in name}


def test_weights_decay_except_biases_and_norms(fit):
    fitted = fit(stop=1)
    names = {id(parameter): name for name, parameter in fitted.module.network.named_parameters()}
    decayed, exempt = (
        {names[id(parameter)] for parameter in group["params"]} for group in fitted.optimizer.param_groups
    )
    assert [group["weight_decay"] for group in fitted.optimizer.param_groups] == [0.01, 0.0]
    assert decayed == decayed_by_transformers(fitted.module.network)
    assert decayed | exempt == set(names.values())
    assert not decayed & exempt
    assert {"classifier.weight", "bert.embeddings.word_embeddings.weight"} < decayed
    assert {"classifier.bias", "bert.encoder.layer.0.output.LayerNorm.weight"} < exempt


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
@pytest.mark.parametrize("limit", [0.05, None])
def test_gradients_are_clipped_to_the_norm_of_the_recipe_in_every_precision(fit, recipe, precision, limit, packing):
    norms = []

    class Norms(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            gradients = [p.grad.float().norm() for p in pl_module.network.parameters() if p.grad is not None]
            norms.append(torch.stack(gradients).norm().item())  # those that the step used

    fit(Norms(), recipe=recipe.model_copy(update={"gradient_norm": limit}), precision=precision, packing=packing)
    assert len(norms) == 10
    if limit is None:
        assert min(norms) > 0.1
    else:
        assert norms == pytest.approx([limit] * 10, rel=0.02)


def test_dropout_masks_depend_on_the_step_alone(fit, recipe):
    standing = recipe.model_copy(update={"learning_rate": STANDSTILL})
    whole = fit(recipe=standing, dropout=0.5).losses
    assert len(whole) == 10
    for start in (1, 4, 9):
        assert fit(recipe=standing, dropout=0.5, start=start).losses == whole[start:]


def test_dropout_masks_do_not_depend_on_what_else_is_drawn(fit, recipe):
    standing = recipe.model_copy(update={"learning_rate": STANDSTILL})
    disturber = _Observer(lambda *_: torch.rand(13))
    torch.manual_seed(5)
    assert fit(disturber, recipe=standing, dropout=0.5).losses == fit(recipe=standing, dropout=0.5).losses


def test_dropout_masks_depend_on_the_dropout_seed(fit, recipe):
    standing = recipe.model_copy(update={"learning_rate": STANDSTILL})
    first, second = (fit(recipe=standing, dropout=0.5, dropout_seed=seed).losses for seed in (0, 1))
    assert all(left != right for left, right in zip(first, second, strict=True))


def test_without_dropout_the_dropout_seed_changes_nothing(fit):
    first, second = (fit(dropout=0.0, dropout_seed=seed) for seed in (0, 1))
    assert first.losses == second.losses


def test_each_step_draws_a_mask_of_its_own(fit, recipe, tiny_tokens):
    # One batch holds all examples, so that only their order and the masks differ between the steps.
    standing = recipe.model_copy(update={"learning_rate": STANDSTILL, "batch_size": len(tiny_tokens[0])})
    losses = fit(recipe=standing, dropout=0.5).losses
    assert len(set(losses)) == 10
    assert max(losses) - min(losses) > 1e-3
    losses = fit(recipe=standing, dropout=0.0).losses
    assert max(losses) - min(losses) < 1e-6


def test_training_goes_on_from_any_step_as_if_it_had_not_stopped(fit):
    whole, begun = fit(), fit(stop=4)
    assert begun.losses == whole.losses[:4]
    rest = fit(start=4, state=begun.state())
    assert rest.losses == whole.losses[4:]
    assert all(torch.equal(value, rest.weights()[name]) for name, value in whole.weights().items())


def test_the_same_trial_again_is_bit_identical_and_learns(fit):
    first, again = fit(), fit()
    assert first.losses == again.losses
    assert all(torch.equal(value, again.weights()[name]) for name, value in first.weights().items())
    assert not torch.equal(first.weights()["classifier.weight"], fit(stop=1).weights()["classifier.weight"])


@pytest.mark.parametrize(("kinds", "given"), [(2, True), (1, False), (None, False)])
def test_segments_go_only_to_networks_that_know_several(recipe, kinds, given):
    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.config = type("Config", (), {} if kinds is None else {"type_vocab_size": kinds})()

        def forward(self, **inputs):
            self.inputs = inputs
            return type("Output", (), {"logits": torch.zeros(1, 2)})()

    network = Network()
    step = TrainingStep(network, recipe)
    batch = {name: torch.zeros(1, 4, dtype=torch.int64) for name in ("input_ids", "token_type_ids", "attention_mask")}
    assert FineTuning(step, 1, 1, 0)({**batch, "labels": torch.zeros(1)}).shape == (1, 2)
    assert ("token_type_ids" in network.inputs) == given
