"""A step of static shapes is the packed one, and a step that served one training serves the next as if it were new.

What a GPU records is run here as it is, but called; the tests marked ``gpu`` record it.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification

from seedgrid.training.text.data.datamodule import collate, collate_packed, training_batches
from seedgrid.training.text.data.shapes import Shape, choose_shapes, fill
from seedgrid.training.text.data.tokens import Tokens, used_words
from seedgrid.training.text.model.bert_adam import BertAdam
from seedgrid.training.text.model.layers import layer_groups
from seedgrid.training.text.model.network import build_network
from seedgrid.training.text.model.packing import packed_logits
from seedgrid.training.text.model.step import TrainingStep
from seedgrid.training.text.model.vocabulary import keep_used_words

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 140,
    "initializer_range": 0.3,  # so large that attention differs between tokens
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "num_labels": 3,
}
ARCHITECTURES = {
    "bert": {},
    "roberta": {"type_vocab_size": 1, "pad_token_id": 1},
    "electra": {"embedding_size": 16},
}


def tiny(architecture: str):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = CONFIG_MAPPING[architecture](**SIZES | ARCHITECTURES[architecture])
        return AutoModelForSequenceClassification.from_config(config).double().train()


def random_tokens(lengths, seed: int = 0) -> Tokens:
    """Random word pieces, among them RoBERTa's padding."""
    draw = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ids, segments = draw.integers(0, 60, starts[-1]), draw.integers(0, 2, starts[-1])
    return Tokens(ids.astype(np.int32), segments.astype(np.int8), starts, draw.integers(0, 3, len(lengths)))


def gradients(network, loss) -> dict[str, torch.Tensor]:
    network.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in network.named_parameters() if weight.grad is not None}


def filled_loss(network, parts) -> torch.Tensor:
    losses = cross_entropy(packed_logits(network, parts), parts["labels"], reduction="none")
    return (losses * parts["counts"]).sum() / parts["counts"].sum()


# Lengths, and rows, tokens and longest of a shape: with room everywhere; with just the one filler; without a filler
# row, sequences of one length; one example among fillers.
FILLED = [
    ([5, 31, 12, 9], (6, 64, 40)),
    ([7, 7, 8, 3], (4, 26, 8)),
    ([6, 6, 6], (3, 19, 7)),
    ([11], (3, 32, 16)),
]


@pytest.mark.parametrize(("lengths", "shape"), FILLED)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_filled_batch_has_the_loss_and_the_gradients_of_the_packed_one(architecture, lengths, shape):
    network, tokens = tiny(architecture), random_tokens(lengths)
    packed = collate_packed(tokens, range(len(lengths)))
    expected = cross_entropy(packed_logits(network, packed), packed["labels"])
    shape = Shape(*shape)
    loss = filled_loss(network, shape.parts(fill(tokens, range(len(lengths)), [shape]).buffer))
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    found, wanted = gradients(network, loss), gradients(network, expected)
    assert set(found) == set(wanted)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize(("lengths", "shape"), FILLED)
def test_what_fills_a_batch_changes_not_one_bit(lengths, shape):
    network, tokens, shape = tiny("bert").float(), random_tokens(lengths), Shape(*shape)
    results = []
    for seed in (None, 1, 2):
        parts = shape.parts(fill(tokens, range(len(lengths)), [shape]).buffer)
        if seed is not None:
            draw = torch.Generator().manual_seed(seed)
            fillers = slice(sum(lengths), None)
            for name, values in (("input_ids", 60), ("token_type_ids", 2)):
                parts[name][fillers] = torch.randint(values, parts[name][fillers].shape, generator=draw)
            parts["labels"][len(lengths) :] = torch.randint(3, (shape.rows - len(lengths),), generator=draw)
        loss = filled_loss(network, parts)
        results.append({"loss": loss.detach(), **gradients(network, loss)})
    for other in results[1:]:
        assert all(torch.equal(value, other[name]) for name, value in results[0].items())


# ------------------------------------------------------------------------------------------------ whole trainings


@pytest.mark.parametrize("changes", [{}, {"bias_correction": False}, {"clip": "tensor"}, {"layer_decay": 0.8}])
def test_a_training_of_filled_batches_is_the_packed_one(fit, recipe, changes):
    # Clipped at each step, and batches of 7: the last of an epoch has 5 examples.
    recipe = recipe.model_copy(update={"gradient_norm": 0.1, "batch_size": 7, **changes})
    packed, filled = fit(recipe=recipe, dropout=0.0), fit(recipe=recipe, dropout=0.0, static=True, capture=True)
    assert filled.losses == pytest.approx(packed.losses, rel=1e-4)
    for name, value in packed.weights().items():
        torch.testing.assert_close(filled.weights()[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("capture", [True, False])
def test_a_training_of_filled_batches_goes_on_as_if_it_had_not_stopped(fit, capture):
    given = {"static": True, "capture": capture}
    whole, begun = fit(**given), fit(stop=4, **given)
    rest = fit(start=4, state=begun.state(), **given)
    assert begun.losses + rest.losses == whole.losses
    assert all(torch.equal(value, rest.weights()[name]) for name, value in whole.weights().items())


class Training:
    """Trainings of the tiny model, one after the other, by one step; or each by a new one."""

    def __init__(self, folder, tokens, recipe, device: str = "cpu", packing: bool = True, **given) -> None:
        self.tokens, self.recipe, self.packing, self.given = tokens, recipe, packing, {"device": device, **given}
        self.static = packing and ("capture" in given or device != "cpu")
        self.folder, self.shapes = folder, choose_shapes(tokens[0].lengths, 8)
        self.step = self.new()

    def new(self) -> TrainingStep:
        network = build_network(self.folder, ("no", "yes"), 0)
        if self.packing:
            keep_used_words(network, torch.from_numpy(used_words(*self.tokens)))
        return TrainingStep(network, self.recipe, **self.given)

    def batch(self, indices):
        if self.static:
            return fill(self.tokens[0], indices, self.shapes, pin=self.given["device"] == "cuda")
        return collate_packed(self.tokens[0], indices) if self.packing else collate(self.tokens[0], indices, 0)

    def run(self, seed, stop=10, start=0, state=None, step=None):
        """Losses, and the state of a checkpoint, of a training by the given step."""
        step = self.step if step is None else step
        step.begin(seed, state)
        losses = [
            step(self.batch(indices), 1e-3 * (1 - number / 20), seed * 100 + number)
            for number, indices in enumerate(training_batches(seed, 40, 8, stop, start), start)
        ]
        state = {"network": step.network.state_dict(), "optimizer": step.optimizer.state_dict()}
        return torch.stack(losses).tolist(), copy.deepcopy(state)


def same(first, second) -> bool:
    (losses, state), (others, other) = first, second
    weights = zip(state["network"].values(), other["network"].values(), strict=True)
    return losses == others and all(torch.equal(one, another) for one, another in weights)


KINDS = {
    "packed": {},
    "padded": {"packing": False},
    "bf16": {"precision": "bf16-mixed"},
    "as on a GPU": {"capture": True},
}


@pytest.mark.parametrize("bias_correction", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_served_other_trainings_is_as_good_as_new(tiny_model, tiny_tokens, recipe, kind, bias_correction):
    recipe = recipe.model_copy(update={"bias_correction": bias_correction})
    training = Training(tiny_model, tiny_tokens, recipe, **KINDS[kind])
    first, second = training.run(3), training.run(4)
    assert same(second, training.run(4, step=training.new()))
    assert same(first, training.run(3))
    assert not same(first, second)
    # And goes on from another one's checkpoint.
    _, state = training.run(3, stop=4, step=training.new())
    losses, ended = training.run(3, start=4, state=state)
    assert same((first[0][:4] + losses, ended), first)


class _Operations(TorchDispatchMode):
    """All operations that are done, with the shapes that they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple] = []

    def __torch_dispatch__(self, operation, types, given=(), named=None):
        shapes = [tuple(one.shape) for one in tree_leaves((given, named)) if isinstance(one, torch.Tensor)]
        self.done.append((str(operation), shapes))
        return operation(*given, **(named or {}))


@pytest.mark.parametrize("changes", [{}, {"bias_correction": False}, {"clip": "tensor"}])
def test_what_a_step_does_depends_on_the_shape_alone(tiny_model, tiny_tokens, recipe, changes):
    # As it must be, to be recorded.
    training = Training(tiny_model, tiny_tokens, recipe.model_copy(update=changes), capture=True)
    shape, done = training.shapes[-1], []
    for indices in (range(8), range(8), range(8, 11)):  # the first makes the optimizer's state
        batch = fill(tiny_tokens[0], indices, [shape])
        with _Operations() as operations:
            training.step(batch, 1e-3, seed=1)
        done.append(operations.done)
    assert done[1] == done[2]
    asked = [name for name, _ in done[1] if "local_scalar" in name or "nonzero" in name]
    assert asked == ["aten._local_scalar_dense.default"]  # the seed of a CPU's masks, from the host's generator


def test_group_norms_are_those_of_the_gradients_before_clipping(tiny_model, tiny_tokens, recipe):
    training = Training(tiny_model, tiny_tokens, recipe.model_copy(update={"gradient_norm": 1e-3}))
    step, batch = training.step, training.batch(range(8))
    step(batch, 0.0, seed=1, measure=True)
    clipped = step.group_norms(step.norms.tolist())
    assert torch.linalg.vector_norm(step.norms).item() > 0.1
    without = Training(tiny_model, tiny_tokens, recipe.model_copy(update={"gradient_norm": None})).step
    without(batch, 0.0, seed=1, measure=True)
    assert list(clipped) == ["embeddings", "layer_1", "layer_2", "head"]
    for name, members in layer_groups(without.network).items():
        norm = torch.cat([one.grad.flatten() for one in members if one.grad is not None]).norm().item()
        assert clipped[name] == pytest.approx(norm, rel=1e-5)


def test_validation_of_filled_batches_is_that_of_packed_ones(tiny_model, tiny_tokens, recipe):
    training = Training(tiny_model, tiny_tokens, recipe, capture=True)
    step = training.step
    training.run(0, stop=3)
    step.network.eval()
    for indices in (range(8), range(8, 13)):
        filled, packed = fill(tiny_tokens[0], indices, training.shapes), collate_packed(tiny_tokens[0], indices)
        order = np.argsort(tiny_tokens[0].lengths[list(indices)], kind="stable")
        with torch.inference_mode():
            logits = step.classify(step.encode(filled))
            assert logits.shape == (len(indices), 2)
            torch.testing.assert_close(logits[order], step.logits(packed), rtol=1e-4, atol=1e-5)


def test_bert_adam_takes_its_rate_from_a_tensor_too():
    def trained(rate) -> torch.Tensor:
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 5))
        optimizer = BertAdam([weight], lr=rate, weight_decay=0.1)
        for step in range(6):
            weight.grad = torch.cos(weight.detach() * (step + 1))
            optimizer.step()
        return weight.detach()

    torch.testing.assert_close(trained(torch.tensor(0.1)), trained(0.1), rtol=1e-6, atol=1e-7)


# ------------------------------------------------------------------------------------------------- with a GPU only


@pytest.mark.gpu
def test_steps_wait_for_nothing(tiny_model, tiny_tokens, recipe):
    training = Training(tiny_model, tiny_tokens, recipe, "cuda", precision="bf16-mixed", capture=True)
    training.run(0)  # each shape is recorded when it is first met
    training.step.begin(0)
    batches = [training.batch(indices) for indices in training_batches(0, 40, 8, 10)]
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = [training.step(batch, 1e-3, number) for number, batch in enumerate(batches)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.stack(losses).isfinite().all()
    assert training.step.capture_seconds > 0


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("bias_correction", [True, False])
def test_a_recorded_training_is_the_called_one(tiny_model, tiny_tokens, recipe, precision, bias_correction):
    recipe = recipe.model_copy(update={"bias_correction": bias_correction})
    recorded, called = (
        Training(tiny_model, tiny_tokens, recipe, "cuda", precision=precision, capture=capture).run(0)[0]
        for capture in (True, False)
    )
    assert recorded == pytest.approx(called, rel=1e-3 if precision == "32-true" else 1e-2)


@pytest.mark.gpu
def test_a_training_on_a_gpu_is_that_on_a_cpu(fit, recipe):
    cpu, gpu = fit(dropout=0.0), fit(dropout=0.0, device="cuda", static=True, capture=True)
    assert gpu.losses == pytest.approx(cpu.losses, rel=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_recordings_serve_one_training_after_another_to_the_last_bit(tiny_model, tiny_tokens, recipe, precision):
    training = Training(tiny_model, tiny_tokens, recipe, "cuda", precision=precision, capture=True)
    first, second = training.run(3), training.run(4)
    assert same(second, training.run(4, step=training.new()))
    assert same(first, training.run(3))
    _, state = training.run(3, stop=4, step=training.new())
    losses, ended = training.run(3, start=4, state=state)
    assert same((first[0][:4] + losses, ended), first)


@pytest.mark.gpu
def test_a_recorded_validation_is_the_called_one(tiny_model, tiny_tokens, recipe):
    hidden = []
    for capture in (True, False):
        training = Training(tiny_model, tiny_tokens, recipe, "cuda", capture=capture)
        training.step.begin(0)
        training.step.network.eval()
        with torch.inference_mode():
            hidden.append([training.step.encode(training.batch(range(8 * k, 8 * k + 8))) for k in (0, 1, 2, 0)])
    for recorded, called in zip(*hidden, strict=True):
        torch.testing.assert_close(recorded, called)
    assert torch.equal(hidden[0][0], hidden[0][3])
