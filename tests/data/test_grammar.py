"""Generated acceptability judgements: what any user of the sets relies on, and that no shallow cue tells the label."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from seedgrid.data import grammar
from seedgrid.data.grammar import MAXIMUM_TRAIN_SIZE, MAXIMUM_VALIDATION_SIZE, PHENOMENA, generate

TOKEN = r"[\w']+"


@pytest.fixture(scope="module")
def largest():
    """The largest sets there can be: every sentence of smaller sets with this seed is likely to be among them."""
    return generate(MAXIMUM_TRAIN_SIZE, MAXIMUM_VALIDATION_SIZE)


@pytest.fixture(scope="module")
def pairs_by_phenomenon():
    """3,000 minimal pairs of each phenomenon."""
    pairs, phenomena = grammar._draw_pairs(np.random.default_rng(0), "train", 3000 * len(PHENOMENA))
    found = defaultdict(list)
    for pair, phenomenon in zip(pairs, phenomena, strict=True):
        found[PHENOMENA[phenomenon]].append(pair)
    return found


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**64))
def test_sets_have_the_sizes_asked_for_and_balanced_labels_and_no_sentence_twice(train_size, validation_size, seed):
    sets = generate(train_size, validation_size, seed)
    for examples, size in zip(sets, (train_size, validation_size), strict=True):
        assert len(examples.text) == size
        assert examples.text_pair is None
        assert examples.label.dtype == np.int64
        ones = int((examples.label == 1).sum())
        assert ones + int((examples.label == 0).sum()) == size
        assert abs(2 * ones - size) == size % 2
    assert len({*sets[0].text, *sets[1].text}) == train_size + validation_size


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(["train", "validation"]), st.integers(1, 300), st.integers(0, 1000))
def test_phenomena_differ_by_at_most_one_pair(split, size, seed):
    examples, phenomena = grammar._draw_examples(split, size, seed)
    counts = np.bincount(phenomena, minlength=len(PHENOMENA))
    assert counts.sum() == len(examples) == size
    assert np.ptp(counts) <= 2


def test_each_example_is_of_the_phenomenon_given_for_it():
    examples, phenomena = grammar._draw_examples("train", 1400, 0)
    number_of = {name: k for k, name in enumerate(PHENOMENA)}
    for name, typical in (("tag_question", ","), ("reflexive", "sel"), ("negative_polarity", "any "), ("filler_gap", "revealed")):
        found = [k for text, k in zip(examples.text, phenomena, strict=True) if typical in text]
        assert Counter(found).most_common(1)[0][0] == number_of[name]


def test_largest_sets_are_disjoint_and_without_repetition(largest):
    train, validation = largest
    assert len({*train.text, *validation.text}) == MAXIMUM_TRAIN_SIZE + MAXIMUM_VALIDATION_SIZE


def test_a_sentence_of_one_seed_is_never_in_the_other_set_of_another_seed(largest):
    train, validation = generate(10_000, 5_000, seed=1)
    assert not set(train.text) & set(largest[1].text)
    assert not set(validation.text) & set(largest[0].text)


def test_either_member_of_a_pair_determines_the_other(pairs_by_phenomenon):
    """Otherwise one sentence could belong to two pairs, and so to both sets."""
    pairs = [pair for pairs in pairs_by_phenomenon.values() for pair in pairs]
    sentences = [sentence for pair in pairs for sentence in pair]
    assert len(set(sentences)) == 2 * len(pairs)


def test_both_members_of_a_pair_are_in_the_same_set():
    size = 2000
    pairs, _ = grammar._draw_pairs(np.random.default_rng((3, 0)), "train", size // 2)
    train, validation = generate(size, size, seed=3)
    labels = dict(zip(train.text, train.label, strict=True))
    assert [(labels[acceptable], labels[unacceptable]) for acceptable, unacceptable in pairs] == [(1, 0)] * len(pairs)
    assert not {sentence for pair in pairs for sentence in pair} & set(validation.text)


def test_neither_set_depends_on_the_size_of_the_other():
    train, validation = generate(101, 50, seed=4)
    assert generate(101, 999, seed=4)[0].digest() == train.digest()
    assert generate(999, 50, seed=4)[1].digest() == validation.digest()


def test_other_seeds_give_other_sentences():
    first, second = (set(generate(1000, 1, seed)[0].text) for seed in (0, 1))
    assert len(first & second) < 100


def test_same_seed_gives_the_same_sets_in_another_process_with_another_hash_seed():
    program = "from seedgrid.data.grammar import generate; print(*(e.digest() for e in generate(301, 100, 5)))"
    digests = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for hash_seed in ("1", "2")
    ]
    here = [examples.digest() for examples in generate(301, 100, 5)]
    assert digests == [here, here]
