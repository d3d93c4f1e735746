"""The same pretrained weights in every trial, and a new layer that follows from the init seed alone."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AlbertConfig,
    AlbertModel,
    AutoModelForSequenceClassification,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    RobertaConfig,
    RobertaModel,
)

from seedgrid.errors import InputError
from seedgrid.training.text.model.network import build_network

LABELS = ("no", "yes")
SIZES = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
}
ENCODERS = {
    "roberta": (RobertaModel, RobertaConfig(**SIZES, type_vocab_size=1)),
    "electra": (ElectraModel, ElectraConfig(**SIZES, embedding_size=16)),
    "distilbert": (
        DistilBertModel,
        DistilBertConfig(vocab_size=100, dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=40),
    ),
    # Its dropout is the integer 0, and its head has a probability of its own.
    "albert": (AlbertModel, AlbertConfig(**SIZES, embedding_size=16, hidden_dropout_prob=0)),
}
BATCH = {"input_ids": torch.tensor([[2, 7, 8, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.int64)}


@pytest.fixture(scope="module")
def encoder(tiny_model, tmp_path_factory):
    """A folder with a tiny encoder of an architecture, random weights."""
    folders = {"bert": tiny_model}

    def folder(name: str):
        if name not in folders:
            kind, config = ENCODERS[name]
            folders[name] = tmp_path_factory.mktemp(name)
            torch.manual_seed(1)
            kind(config).save_pretrained(folders[name])
        return folders[name]

    return folder


def head_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    prefix = f"{network.base_model_prefix}."
    return {name: value for name, value in network.state_dict().items() if not name.startswith(prefix)}


def body_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return network.base_model.state_dict()


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", ["bert", *ENCODERS])
def test_the_new_layer_follows_from_the_init_seed_whatever_was_drawn_or_loaded_before(encoder, name):
    first = build_network(encoder(name), LABELS, init_seed=3)
    torch.manual_seed(99)
    torch.rand(7)
    build_network(encoder("electra"), ("a", "b", "c"), init_seed=8)
    again = build_network(encoder(name), LABELS, init_seed=3)
    assert same(first.state_dict(), again.state_dict())
    other = build_network(encoder(name), LABELS, init_seed=4)
    assert same(body_of(first), body_of(other))
    assert not torch.equal(head_of(first)[weight_name(first)], head_of(other)[weight_name(other)])


def weight_name(network: torch.nn.Module) -> str:
    """The weights that give the logits."""
    return next(name for name, value in head_of(network).items() if value.shape == (2, 32))


def test_an_init_seed_means_the_same_weights_on_every_task_and_model_of_the_same_width(encoder):
    bert, again = build_network(encoder("bert"), LABELS, 5), build_network(encoder("bert"), ("entailment", "not"), 5)
    assert same(head_of(bert), head_of(again))
    distilbert = build_network(encoder("distilbert"), LABELS, 5)
    assert torch.equal(bert.classifier.weight, distilbert.classifier.weight)


@pytest.mark.parametrize("name", ["bert", *ENCODERS])
def test_pretrained_weights_are_unchanged_and_the_new_layer_has_the_models_scale(encoder, name):
    network = build_network(encoder(name), LABELS, init_seed=0)
    saved, body = load_file(encoder(name) / "model.safetensors"), body_of(network)
    assert set(body) <= set(saved)
    assert all(torch.equal(body[key], saved[key]) for key in body)
    for key, value in head_of(network).items():
        if key.endswith("bias"):
            assert not value.any(), key
        else:
            assert value.std().item() == pytest.approx(network.config.initializer_range, rel=0.35), key
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
    assert network.training


@pytest.mark.parametrize("name", ["bert", *ENCODERS])
def test_the_network_gives_a_logit_for_each_label(encoder, name):
    network = build_network(encoder(name), ("a", "b", "c"), init_seed=0).eval()
    assert network(**BATCH).logits.shape == (1, 3)
    assert network.config.id2label == {0: "a", 1: "b", 2: "c"}


def test_training_one_trials_network_leaves_the_next_ones_alone(tiny_model):
    network = build_network(tiny_model, LABELS, 0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert same(build_network(tiny_model, LABELS, 0).state_dict(), before)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_checkpoint_with_a_classification_head_gets_a_new_one(tiny_model, tmp_path, classes):
    trained = build_network(tiny_model, ("a", "b", "c")[:classes], init_seed=77)
    trained.save_pretrained(tmp_path)
    network = build_network(tmp_path, LABELS, init_seed=0)
    assert same(network.state_dict(), build_network(tiny_model, LABELS, init_seed=0).state_dict())


def test_a_pooler_that_the_checkpoint_lacks_is_drawn_from_the_init_seed(tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path, dirs_exist_ok=True)
    network = AutoModelForSequenceClassification.from_pretrained(tiny_model)
    weights = {name: value for name, value in network.state_dict().items() if "pooler" not in name}
    network.save_pretrained(tmp_path, state_dict=weights)
    first, again, other = (build_network(tmp_path, LABELS, seed).bert.pooler.dense for seed in (1, 1, 2))
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)
    assert not first.bias.any()


def test_new_layers_of_one_shape_differ_from_each_other(encoder):
    network = build_network(encoder("roberta"), ("a",) * 32, init_seed=0)  # both layers of its head are 32 x 32
    assert network.classifier.dense.weight.shape == network.classifier.out_proj.weight.shape
    assert not torch.equal(network.classifier.dense.weight, network.classifier.out_proj.weight)


# ------------------------------------------------------------------------------------------- layers and dropout


@pytest.mark.parametrize("name", ["bert", "roberta", "electra", "distilbert"])
def test_the_first_layers_are_kept(encoder, name):
    whole, cut = build_network(encoder(name), LABELS, 0), build_network(encoder(name), LABELS, 0, layers=1)
    cut_body, whole_body = body_of(cut), body_of(whole)
    assert all(torch.equal(cut_body[key], whole_body[key]) for key in cut_body)
    missing = set(whole_body) - set(cut_body)
    assert missing
    assert all(re.search(r"layer\.1\.", key) for key in missing)
    assert same(head_of(cut), head_of(whole))
    assert not torch.equal(cut.eval()(**BATCH).logits, whole.eval()(**BATCH).logits)


def test_more_layers_than_there_are_cannot_be_kept(tiny_model):
    with pytest.raises(InputError, match=r"^model\.layers=3: the model has only 2; give at most that$"):
        build_network(tiny_model, LABELS, 0, layers=3)


@pytest.mark.parametrize("name", ["bert", *ENCODERS])
@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_dropout_is_set_everywhere(encoder, name, dropout):
    network = build_network(encoder(name), LABELS, 0, dropout=dropout)
    assert {module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)} == {dropout}
    in_attention = {
        value
        for module in network.modules()
        for key, value in vars(module).items()
        if "dropout" in key and isinstance(value, float)
    }
    assert in_attention <= {dropout}
    first, second = (network(**BATCH).logits for _ in range(2))
    assert torch.equal(first, second) == (dropout == 0)


def test_dropout_stays_as_pretrained_unless_it_is_set(encoder):
    rates = {module.p for module in build_network(encoder("bert"), LABELS, 0).modules() if hasattr(module, "p")}
    assert rates == {0.1}


def test_settings_of_one_trial_do_not_leak_into_another(tiny_model):
    plain = build_network(tiny_model, LABELS, 0)
    build_network(tiny_model, LABELS, 0, layers=1, dropout=0.5)
    again = build_network(tiny_model, LABELS, 0)
    assert again.config.to_dict() == plain.config.to_dict()
    assert same(again.state_dict(), plain.state_dict())


# ----------------------------------------------------------------------------------------------------- what fails


@pytest.fixture
def copy(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "copy")


def refusal(folder) -> str:
    with pytest.raises(InputError) as refused:
        build_network(folder, LABELS, 0)
    message = str(refused.value)
    assert message.startswith("model: ")
    assert str(folder) in message
    assert len(message.splitlines()) == 1
    return message


def test_a_folder_without_configuration_is_refused(copy):
    (copy / "config.json").unlink()
    assert "config.json cannot be read" in refusal(copy)


@pytest.mark.parametrize("content", ["{", "{}", '{"model_type": "no such type"}'])
def test_a_broken_configuration_is_refused(copy, content):
    (copy / "config.json").write_text(content)
    assert "config.json cannot be read" in refusal(copy)


def test_a_model_that_needs_code_of_its_own_is_refused_without_a_question(copy, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}
    (copy / "config.json").write_text(json.dumps(config))
    assert "contains custom code" in refusal(copy)


def test_a_model_that_reads_no_text_is_refused(copy):
    (copy / "config.json").write_text('{"model_type": "vit"}')
    assert "cannot be loaded as a classifier" in refusal(copy)


def test_cut_off_weights_are_refused(copy):
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    assert "cannot be loaded as a classifier" in refusal(copy)


@pytest.mark.parametrize("change", [{"num_hidden_layers": 3}, {"intermediate_size": 128}, {"vocab_size": 50}])
def test_weights_of_another_model_than_the_configurations_are_refused(copy, change):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, **change}))
    assert "give a complete pretrained encoder" in refusal(copy)
