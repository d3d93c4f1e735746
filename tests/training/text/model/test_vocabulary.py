"""A word embedding cut to the word pieces in use trains as the whole one does."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification, BertConfig

from seedgrid.training.text.data.tokens import Tokens, used_words
from seedgrid.training.text.model.network import build_network
from seedgrid.training.text.model.packing import packed_logits
from seedgrid.training.text.model.vocabulary import UsedWords, keep_used_words, whole_state

USED = torch.tensor([0, 2, 3, 7, 11, 29])


def embeddings(padding: int | None = None) -> tuple[torch.nn.Embedding, UsedWords]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        whole = torch.nn.Embedding(30, 4, padding)
    return whole, UsedWords(copy.deepcopy(whole), USED)


def test_word_pieces_are_looked_up_by_their_own_numbers():
    whole, cut = embeddings()
    words = USED[torch.tensor([[5, 0, 3], [1, 1, 4]])]
    assert torch.equal(cut(words), whole(words))


def test_a_word_piece_that_was_cut_off_is_an_error():
    with pytest.raises(IndexError):
        embeddings()[1](torch.tensor([2, 4]))


@pytest.mark.parametrize("padding", [None, 3, 4])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_every_row_ends_where_the_whole_embedding_has_it(padding, decay):
    pair = embeddings(padding)
    optimizers = [torch.optim.AdamW(one.parameters(), lr=0.0, weight_decay=decay) for one in pair]
    for step in range(20):
        words = USED[torch.randint(0, len(USED), (5,), generator=torch.Generator().manual_seed(step))]
        for one, optimizer in zip(pair, optimizers, strict=True):
            optimizer.param_groups[0]["lr"] = 0.01 * (20 - step)
            optimizer.zero_grad()
            (one(words) ** 3).sum().backward()
            optimizer.step()
    whole, cut = pair
    assert torch.equal(cut.whole(cut.weight)[USED], whole.weight[USED])
    torch.testing.assert_close(cut.whole(cut.weight), whole.weight.detach(), rtol=1e-6, atol=0)
    moved = whole.weight[1] / embeddings(padding)[0].weight[1]
    assert torch.all(moved < 1) if decay else torch.all(moved == 1)


def test_the_pretrained_embedding_is_shared_and_not_changed():
    whole, _ = embeddings()
    cut = UsedWords(whole, USED)
    with torch.no_grad():
        cut.weight.mul_(2)
    assert cut.pretrained[0].data_ptr() == whole.weight.data_ptr()
    assert torch.equal(whole.weight, embeddings()[0].weight)


def test_the_numbers_of_a_checkpoint_have_no_word_piece_that_is_not_used():
    cut = embeddings()[1]
    assert {name: tuple(value.shape) for name, value in cut.state_dict().items()} == {"weight": (len(USED) + 1, 4)}


def test_whole_state_loads_into_an_ordinary_model(tiny_model):
    network = build_network(tiny_model, ("a", "b"), 0, dropout=0.0)
    before, size = copy.deepcopy(network.state_dict()), network.config.vocab_size
    used = torch.arange(0, size, 3)
    keep_used_words(network, used)
    assert len(network.get_input_embeddings().weight) == len(used) + 1
    assert all(torch.equal(value, before[name]) for name, value in whole_state(network).items())
    ordinary = AutoModelForSequenceClassification.from_config(BertConfig.from_pretrained(tiny_model, num_labels=2))
    assert ordinary.load_state_dict(whole_state(network)).missing_keys == []
    batch = {
        "input_ids": used[:6],
        "token_type_ids": torch.zeros(6, dtype=torch.int64),
        "lengths": torch.tensor([2, 4]),
    }
    network.eval()
    ordinary.eval()
    assert torch.equal(packed_logits(network, batch), packed_logits(ordinary, batch))


def test_gradients_are_those_of_the_rows_of_the_whole_embedding(tiny_model):
    whole, cut = (build_network(tiny_model, ("a", "b"), 0, dropout=0.0) for _ in range(2))
    keep_used_words(cut, USED)
    batch = {"input_ids": USED, "token_type_ids": torch.zeros_like(USED), "lengths": torch.tensor([2, 4])}
    for network in (whole, cut):
        cross_entropy(packed_logits(network, batch), torch.tensor([0, 1])).backward()
    found, expected = (network.get_input_embeddings().weight.grad for network in (cut, whole))
    assert torch.equal(found[:-1], expected[USED])
    assert not found[-1].any()


def test_used_words_are_those_of_all_parts_sorted():
    def tokens(*ids: int) -> Tokens:
        return Tokens(np.array(ids, np.int32), np.zeros(len(ids), np.int8), np.array([0, len(ids)]), np.array([0]))

    assert used_words(tokens(9, 2, 9), tokens(2, 4)).tolist() == [2, 4, 9]
    assert used_words(tokens(1)).dtype == np.int64
