"""What recipes change: the optimizer, the rate of each step, where dropout is on, and which layers are trained."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.nn.functional import cross_entropy

from seedgrid.errors import InputError
from seedgrid.training.text.model.bert_adam import BertAdam
from seedgrid.training.text.model.layers import depths, freeze, layer_groups
from seedgrid.training.text.model.network import build_network
from seedgrid.training.text.model.schedules import twice_with_restarts
from seedgrid.training.text.model.vocabulary import keep_used_words, whole_state
from seedgrid.trials.preparation import prepare

# ----------------------------------------------------------------------------------------------------- optimizer


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_bert_adam_takes_the_steps_of_a_few_lines_of_numpy(decay):
    draw = np.random.default_rng(0)
    weight = torch.nn.Parameter(torch.from_numpy(draw.normal(size=(3, 4))))
    expected, first, second = weight.detach().numpy().copy(), np.zeros((3, 4)), np.zeros((3, 4))
    optimizer = BertAdam([weight], lr=0.0, betas=(0.9, 0.999), eps=1e-6, weight_decay=decay)
    for step in range(30):
        gradient, rate = draw.normal(size=(3, 4)), 0.1 / (1 + step)
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        expected -= rate * (first / (np.sqrt(second) + 1e-6) + decay * expected)
        np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-12, atol=1e-14)


def test_bert_adam_goes_on_from_its_state():
    def trained(*, resumed: bool) -> torch.Tensor:
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 5))
        optimizer = BertAdam([weight], lr=0.1)
        for step in range(6):
            if resumed and step == 3:
                state = copy.deepcopy(optimizer.state_dict())
                optimizer = BertAdam([weight], lr=0.1)
                optimizer.load_state_dict(state)
            weight.grad = torch.cos(weight.detach() * (step + 1))
            optimizer.step()
        return weight.detach()

    assert torch.equal(trained(resumed=True), trained(resumed=False))


def test_the_recipe_chooses_optimizer_and_clipping(fit, recipe):
    assert isinstance(fit(stop=1).optimizer, torch.optim.AdamW)
    norms = []

    class Norms(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            norms.append([weight.grad.norm().item() for weight in pl_module.network.parameters()])

    without = recipe.model_copy(update={"bias_correction": False, "clip": "tensor", "gradient_norm": 0.01})
    assert isinstance(fit(Norms(), recipe=without, stop=2).optimizer, BertAdam)
    largest = max(max(step) for step in norms)
    assert largest == pytest.approx(0.01, rel=1e-3)
    assert sum(norm > 0.0099 for norm in norms[1]) > 5  # by itself, each of them


def test_rows_of_unused_words_follow_bert_adam_too(tiny_model):
    networks = [build_network(tiny_model, ("a", "b"), 0, dropout=0.0) for _ in range(2)]
    used = torch.arange(4, 24)
    keep_used_words(networks[1], used)
    for network in networks:
        optimizer = BertAdam(network.parameters(), lr=0.05, weight_decay=0.2)
        for step in range(5):
            optimizer.zero_grad()
            logits = network(input_ids=used.roll(step).view(2, -1)).logits
            cross_entropy(logits, torch.tensor([0, 1])).backward()
            optimizer.step()
    whole, cut = (whole_state(network) for network in networks)
    for name, value in whole.items():
        torch.testing.assert_close(cut[name], value, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------------------------------------- rates and dropout


def test_the_rate_of_every_step_of_the_papers_code(fit, recipe):
    rates = []

    class Rates(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            rates.append(pl_module.learning_rate)

    fit(Rates(), recipe=recipe.model_copy(update={"schedule": "dodge2020", "batch_size": 11, "epochs": 2.5}))
    total = 9  # floor(40 / 11 * 2.5); an epoch has 4 steps, and 10 are taken

    def factor(step: int) -> float:
        x = step / total
        return x / 0.2 if x < 0.2 else max(1 - x, 0)  # not divided by 1 - 0.2

    assert rates == pytest.approx([1e-3 * factor(step % 4) * factor(step) for step in range(10)], rel=1e-12)
    assert rates[9] == 0
    assert rates[4] == 0 < rates[5]


def test_steps_beyond_the_papers_total_have_rate_0():
    assert [twice_with_restarts(step, 4, 9, 0.1) == 0 for step in (8, 9, 10, 11)] == [True] * 4
    assert twice_with_restarts(7, 4, 9, 0.1) > 0


def test_dropout_is_on_at_the_first_step_of_each_epoch_alone(fit, recipe):
    modes = []

    class Modes(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            modes.append((pl_module.network.training, pl_module.network.bert.encoder.layer[0].training))

    fit(Modes(), recipe=recipe.model_copy(update={"dropout_steps": "first_of_epoch"}))
    assert modes == [(step % 5 == 0,) * 2 for step in range(10)]


@pytest.mark.parametrize("changes", [{"schedule": "dodge2020"}, {"dropout_steps": "first_of_epoch"}])
def test_a_resumed_training_is_the_whole_one(fit, recipe, changes):
    recipe = recipe.model_copy(update={**changes, "bias_correction": False, "layer_decay": 0.9})
    whole, begun = fit(recipe=recipe), fit(recipe=recipe, stop=3)
    rest = fit(recipe=recipe, start=3, state=begun.state())
    assert begun.losses + rest.losses == whole.losses
    assert all(torch.equal(value, rest.weights()[name]) for name, value in whole.weights().items())


# ---------------------------------------------------------------------------------------------------------- layers


# What the first layer of each architecture is given, written by hand.
EMBEDDINGS = {
    "bert": "embeddings",
    "roberta": "embeddings",
    "xlm-roberta": "embeddings",
    "distilbert": "embeddings",
    "albert": "embeddings|encoder.embedding_hidden_mapping_in",
    "electra": "embeddings|embeddings_project",
    "deberta-v2": "embeddings|encoder.rel_embeddings|encoder.LayerNorm",
    "mpnet": "embeddings|encoder.relative_attention_bias",
    "modernbert": "embeddings",
    "xlnet": "word_embedding",
    "t5": "shared",
    "gpt2": "wte|wpe",
}
WITHOUT_ONE_LIST_OF_LAYERS = ("albert", "t5")


def place(network, name: str) -> int | str:
    """Where a parameter is by its name: ``embeddings``, number of a layer, or ``above``."""
    inside = name.removeprefix(f"{network.base_model_prefix}.")
    layer = re.match(r"(encoder\.|transformer\.)?(layer|layers|h)\.(\d+)\.", inside)
    if layer is not None:
        return int(layer[3])
    return "embeddings" if re.match(rf"({EMBEDDINGS[network.config.model_type]})\.", inside) else "above"


def test_every_parameter_has_its_depth(family):
    network = build_network(family, ("a", "b"), 0)
    if network.config.model_type in WITHOUT_ONE_LIST_OF_LAYERS:
        with pytest.raises(InputError, match=r"has no one list of layers; leave recipe\.layer_decay=1"):
            depths(network)
        return
    found = depths(network)
    assert set(found) == {name for name, _ in network.named_parameters()}
    for name, depth in found.items():
        where = place(network, name)
        assert depth == {"embeddings": 3, "above": 0}.get(where, 2 - where if where in (0, 1, 2) else None), name


@pytest.mark.parametrize("frozen", [0, 2])
def test_frozen_are_the_embeddings_and_the_lowest_layers(family, frozen):
    network = build_network(family, ("a", "b"), 0)
    if frozen and network.config.model_type in WITHOUT_ONE_LIST_OF_LAYERS:
        with pytest.raises(InputError, match=r"has no one list of layers; .* recipe\.freeze=null or 0"):
            freeze(network, frozen)
        return
    freeze(network, frozen)
    for name, parameter in network.named_parameters():
        where = place(network, name)
        assert parameter.requires_grad == (where != "embeddings" and where not in range(frozen)), name
    assert not network.get_input_embeddings().weight.requires_grad


def test_embeddings_that_cannot_be_told_are_refused_and_hinder_nothing_else(family_folder):
    network = build_network(family_folder("bert"), ("a", "b"), 0)
    network.embedding_names = []
    assert set(layer_groups(network)) == {"encoder", "head"}
    with pytest.raises(InputError, match=r"^recipe: what of bert lies below its first layer cannot be told; leave"):
        freeze(network, 0)


def test_lower_layers_learn_slower(fit, recipe):
    fitted = fit(recipe=recipe.model_copy(update={"layer_decay": 0.5}), stop=2)
    names = {id(parameter): name for name, parameter in fitted.module.network.named_parameters()}
    for group in fitted.optimizer.param_groups:
        assert group["lr"] == fitted.module.learning_rate * group["share"]
        for parameter in group["params"]:
            assert group["share"] == 0.5 ** depths(fitted.module.network)[names[id(parameter)]]


def test_reinitialized_biases_are_0_and_norms_1(family_folder, tmp_path):
    network = build_network(family_folder("bert"), ("a", "b"), 0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.5)
    network.bert.save_pretrained(tmp_path)
    for name, value in build_network(tmp_path, ("a", "b"), 0, reinitialize=1).named_parameters():
        if value.ndim == 1 and (".layer.2." in name or ".pooler." in name):
            assert value.eq(1.0 if name.endswith("LayerNorm.weight") else 0.0).all(), name
        elif ".layer.1." in name:
            assert torch.equal(value, network.get_parameter(name)), name


@pytest.mark.parametrize("count", [1, 2])
def test_reinitialized_are_the_top_layers_and_the_pooler(tiny_model, count):
    plain, again = build_network(tiny_model, ("a", "b"), 3), build_network(tiny_model, ("a", "b"), 3)
    changed = build_network(tiny_model, ("a", "b"), 3, reinitialize=count)
    other = build_network(tiny_model, ("a", "b"), 4, reinitialize=count)
    for name, value in changed.state_dict().items():
        top = ".pooler." in name or any(f".layer.{index}." in name for index in range(2 - count, 2))
        assert torch.equal(value, plain.state_dict()[name]) == (not top) or not value.any() or value.eq(1).all(), name
        if top and value.ndim == 2:
            assert abs(value.std().item() / plain.config.initializer_range - 1) < 0.15
            assert not torch.equal(value, other.state_dict()[name])
    assert torch.equal(plain.classifier.weight, changed.classifier.weight)  # the head is what the seed means, as ever
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in plain.state_dict().items())


# ------------------------------------------------------------------------------------------------------- the files


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (Path(__file__).parents[4] / "conf/recipe").glob("*.yaml"))
)
def test_every_recipe_composes_with_other_groups(settings_of, name):
    settings = settings_of([f"recipe={name}", "task=rte", "model=bert_tiny", "seed=paired"])
    assert settings.recipe.name == name
    assert settings.evaluation.schedule == ("dodge2020" if name == "dodge2020" else "even")


def test_a_recipes_choice_of_evaluation_can_be_overridden(settings_of):
    assert settings_of(["recipe=dodge2020", "evaluation=default"]).evaluation.schedule == "even"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("recipe.reinitialize=3", "recipe.reinitialize=3: the model has only 2 layers"),
        ("recipe.freeze=3", "recipe.freeze=3: the model has only 2 layers"),
    ],
)
def test_more_layers_than_there_are_is_an_error(tiny, settings_of, tmp_path, key, message):
    with pytest.raises(InputError, match=message):
        prepare(settings_of([*tiny, key, f"sweep={tmp_path / 'sweep'}"]))
