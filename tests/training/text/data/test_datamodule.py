"""Batches: whole permutations, the same from any step on, padded as the tokenizer would."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from seedgrid.seeds import epoch_order
from seedgrid.training.text.data.datamodule import (
    TokenDataModule,
    collate,
    collate_packed,
    training_batches,
    validation_batches,
)
from seedgrid.training.text.data.tokens import Tokens

SIZES = {"examples": st.integers(1, 60), "batch_size": st.integers(1, 17), "steps": st.integers(1, 40)}


@settings(deadline=None)
@given(seed=st.integers(0, 100), epochs=st.integers(1, 4), examples=SIZES["examples"], batch_size=SIZES["batch_size"])
def test_every_epoch_is_a_whole_permutation_in_batches_of_the_size_asked_for(seed, epochs, examples, batch_size):
    per_epoch = math.ceil(examples / batch_size)
    batches = training_batches(seed, examples, batch_size, epochs * per_epoch)
    assert len(batches) == epochs * per_epoch
    for epoch in range(epochs):
        of_epoch = batches[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert [len(batch) for batch in of_epoch[:-1]] == [batch_size] * (per_epoch - 1)
        assert sorted(np.concatenate(of_epoch)) == list(range(examples))
        np.testing.assert_array_equal(np.concatenate(of_epoch), epoch_order(seed, examples, epoch))


@settings(deadline=None)
@given(seed=st.integers(0, 100), start=st.integers(0, 45), **SIZES)
def test_batches_from_any_step_on_are_the_tail_of_all_batches(seed, examples, batch_size, steps, start):
    whole = training_batches(seed, examples, batch_size, steps)
    assert len(whole) == steps
    tail = training_batches(seed, examples, batch_size, steps, start)
    assert [batch.tolist() for batch in tail] == [batch.tolist() for batch in whole[start:]]


@settings(deadline=None)
@given(seed=st.integers(0, 100), more=st.integers(0, 20), **SIZES)
def test_a_longer_training_begins_like_a_shorter_one(seed, examples, batch_size, steps, more):
    shorter = training_batches(seed, examples, batch_size, steps)
    longer = training_batches(seed, examples, batch_size, steps + more)
    assert [batch.tolist() for batch in longer[:steps]] == [batch.tolist() for batch in shorter]


def test_order_depends_on_the_seed():
    first, second = (np.concatenate(training_batches(seed, 50, 8, 7)) for seed in (0, 1))
    assert not np.array_equal(first, second)


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=80), st.integers(1, 20))
def test_validation_takes_every_example_once_by_length(lengths, batch_size):
    batches = validation_batches(np.array(lengths), batch_size)
    order = np.concatenate(batches)
    assert sorted(order) == list(range(len(lengths)))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert [lengths[index] for index in order] == sorted(lengths)


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return AutoTokenizer.from_pretrained(str(tiny_model))


def test_a_batch_is_padded_as_the_tokenizer_pads(tiny_tokens, tokenizer):
    _, tokens = tiny_tokens
    for indices in ([3, 0, 17], [5], list(range(len(tokens)))):
        slices = [slice(tokens.starts[index], tokens.starts[index + 1]) for index in indices]
        unpadded = {
            "input_ids": [tokens.ids[part].tolist() for part in slices],
            "token_type_ids": [tokens.segments[part].tolist() for part in slices],
        }
        expected = tokenizer.pad(unpadded, return_tensors="pt")
        batch = collate(tokens, indices, pad_id=0)
        assert set(batch) == {"input_ids", "token_type_ids", "attention_mask", "labels"}
        for name in expected:
            assert batch[name].dtype == torch.int64
            assert torch.equal(batch[name], expected[name]), name
        assert batch["labels"].tolist() == tokens.label[indices].tolist()


def test_a_packed_batch_holds_the_tokens_of_its_examples_without_padding_the_shortest_first(tiny_tokens):
    tokens, _ = tiny_tokens
    indices = [3, 0, 17, 5, 31]
    batch = collate_packed(tokens, indices)
    expected = sorted(indices, key=lambda index: tokens.lengths[index])  # stable, as the batch
    assert batch["lengths"].tolist() == [tokens.lengths[index] for index in expected]
    assert batch["labels"].tolist() == [tokens.label[index] for index in expected]
    for name, column in (("input_ids", tokens.ids), ("token_type_ids", tokens.segments)):
        assert batch[name].dtype == torch.int64
        parts = batch[name].split(batch["lengths"].tolist())
        for index, part in zip(expected, parts, strict=True):
            assert part.tolist() == column[tokens.starts[index] : tokens.starts[index + 1]].tolist()


def test_padding_uses_the_models_own_word_piece():
    tokens = Tokens(np.array([7, 8, 9], np.int32), np.array([0, 1, 0], np.int8), np.array([0, 2, 3]), np.array([1, 0]))
    batch = collate(tokens, [1, 0], pad_id=5)
    assert batch["input_ids"].tolist() == [[9, 5], [7, 8]]
    assert batch["token_type_ids"].tolist() == [[0, 0], [0, 1]]
    assert batch["attention_mask"].tolist() == [[1, 0], [1, 1]]
    assert batch["labels"].tolist() == [0, 1]


def test_loaders_give_the_batches_in_their_order(tiny_tokens):
    train, validation = tiny_tokens
    data = TokenDataModule(
        train, validation, order_seed=3, batch_size=16, validation_batch_size=5, steps=6, start=1, pad_id=0
    )
    expected = training_batches(3, len(train), 16, 6)[1:]
    batches = list(data.train_dataloader())
    assert len(batches) == 5
    for batch, indices in zip(batches, expected, strict=True):
        assert torch.equal(batch["input_ids"], collate(train, indices, 0)["input_ids"])
    labels = torch.cat([batch["labels"] for batch in data.val_dataloader()])
    assert labels.tolist() == validation.label[data.validation_order].tolist()
    data.packing = True
    labels = torch.cat([batch["labels"] for batch in data.val_dataloader()])
    assert labels.tolist() == validation.label[data.validation_order].tolist()
    assert [len(batch["labels"]) for batch in data.train_dataloader()] == [len(indices) for indices in expected]
    assert len(list(data.val_dataloader())) == 5
