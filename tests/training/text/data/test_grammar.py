"""Generated acceptability judgements: what users of the sets rely on, and that no shallow cue gives the label away."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from seedgrid.training.text.data import grammar
from seedgrid.training.text.data.grammar import MAXIMUM_TRAIN_SIZE, MAXIMUM_VALIDATION_SIZE, PHENOMENA, generate

TOKEN = r"\w+|[,.?]"


@pytest.fixture(scope="module")
def largest():
    return generate(MAXIMUM_TRAIN_SIZE, MAXIMUM_VALIDATION_SIZE)


@pytest.fixture(scope="module")
def pairs_by_phenomenon():
    """Name of a phenomenon -> 2,000 minimal pairs (acceptable, unacceptable)."""
    pairs, phenomena = grammar._draw_pairs(np.random.default_rng(0), "train", 2000 * len(PHENOMENA))
    found = defaultdict(list)
    for pair, phenomenon in zip(pairs, phenomena, strict=True):
        found[PHENOMENA[phenomenon]].append(pair)
    return found


def logistic_regression_accuracy(train, validation, ngrams):
    """Validation accuracy of a logistic regression on counts of 1- to ``ngrams``-grams."""
    model = make_pipeline(
        CountVectorizer(token_pattern=TOKEN, ngram_range=(1, ngrams)), LogisticRegression(max_iter=1000)
    )
    return model.fit(train.text, train.label).score(validation.text, validation.label)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**64))
def test_sets_have_the_sizes_asked_for_and_balanced_labels_and_no_sentence_twice(train_size, validation_size, seed):
    sets = generate(train_size, validation_size, seed)
    for examples, size in zip(sets, (train_size, validation_size), strict=True):
        assert len(examples.text) == size
        assert examples.text_pair is None
        assert examples.label.dtype == np.int64
        acceptable, unacceptable = int((examples.label == 1).sum()), int((examples.label == 0).sum())
        assert acceptable + unacceptable == size
        assert abs(acceptable - unacceptable) == size % 2
    assert len({*sets[0].text, *sets[1].text}) == train_size + validation_size


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(["train", "validation"]), st.integers(1, 300), st.integers(0, 1000))
def test_phenomena_differ_by_at_most_one_pair(split, size, seed):
    examples, phenomena = grammar._draw_examples(split, size, seed)
    counts = np.bincount(phenomena, minlength=len(PHENOMENA))
    assert counts.sum() == len(examples) == size
    assert np.ptp(counts) <= 2


def test_each_example_goes_with_its_own_phenomenon_and_label():
    def template(name):
        return lambda rng: (f"{name} good {(k := rng.integers(10**9))}.", f"{name} bad {k}.")

    examples, phenomena = grammar._draw_examples("train", 501, 0, [template(f"p{k}") for k in range(5)])
    expected = [f"P{k} {('bad', 'good')[label]}" for k, label in zip(phenomena, examples.label, strict=True)]
    assert [text.rsplit(" ", 1)[0] for text in examples.text] == expected


def test_largest_sets_are_disjoint_and_without_repetition(largest):
    train, validation = largest
    assert (len(train), len(validation)) == (MAXIMUM_TRAIN_SIZE, MAXIMUM_VALIDATION_SIZE)
    assert len({*train.text, *validation.text}) == MAXIMUM_TRAIN_SIZE + MAXIMUM_VALIDATION_SIZE


def test_a_sentence_for_training_is_never_for_validation_under_another_seed(largest):
    train, validation = generate(10_000, 5_000, seed=1)
    assert not set(train.text) & set(largest[1].text)
    assert not set(validation.text) & set(largest[0].text)


def test_either_member_of_a_pair_determines_the_other(pairs_by_phenomenon):
    """Otherwise one sentence could belong to two pairs, and so to both sets."""
    pairs = [pair for pairs in pairs_by_phenomenon.values() for pair in pairs]
    assert len({sentence for pair in pairs for sentence in pair}) == 2 * len(pairs)


def test_both_members_of_a_pair_are_in_the_same_set_with_their_labels():
    size = 2000
    pairs, _ = grammar._draw_pairs(np.random.default_rng((3, 0)), "train", size // 2)
    train, _ = generate(size, 1, seed=3)
    label = dict(zip(train.text, train.label.tolist(), strict=True))
    assert [(label[acceptable], label[unacceptable]) for acceptable, unacceptable in pairs] == [(1, 0)] * len(pairs)


def test_neither_set_depends_on_the_size_of_the_other():
    train, validation = generate(101, 50, seed=4)
    assert generate(101, 999, seed=4)[0].digest() == train.digest()
    assert generate(999, 50, seed=4)[1].digest() == validation.digest()


def test_labels_do_not_follow_the_order_of_the_sentences():
    train, _ = generate(4000, 1)
    assert abs(np.mean(train.label[:-1] == train.label[1:]) - 0.5) < 0.05
    assert abs(np.mean(train.label[:2000]) - 0.5) < 0.05


def test_other_seeds_give_other_sentences():
    first, second = (set(generate(1000, 1, seed)[0].text) for seed in (0, 1))
    assert len(first & second) < 100


def test_sentences_of_a_seed_never_change():
    """A sweep on disk can only be continued on the sentences it began with: change this digest knowingly."""
    assert [examples.digest()[:16] for examples in generate(301, 100, 5)] == [
        "33a848d65755bc10",
        "0f6702f641d9fe51",
    ]


def test_same_seed_gives_the_same_sets_in_a_process_with_another_hash_seed():
    program = (
        "from seedgrid.training.text.data.grammar import generate; print(*(e.digest() for e in generate(301, 100, 5)))"
    )
    source = str(Path(grammar.__file__).parents[4])
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": source, "PYTHONHASHSEED": hash_seed}
        output = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
        assert output.split() == [examples.digest() for examples in generate(301, 100, 5)]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 10), f"train_size=0: 1 to {MAXIMUM_TRAIN_SIZE} "),
        ((10, -1), f"validation_size=-1: 1 to {MAXIMUM_VALIDATION_SIZE} "),
        ((MAXIMUM_TRAIN_SIZE + 1, 10), f"train_size={MAXIMUM_TRAIN_SIZE + 1}: 1 to {MAXIMUM_TRAIN_SIZE} "),
        ((10, 10**12), f"validation_size={10**12}: 1 to {MAXIMUM_VALIDATION_SIZE} "),
    ],
)
def test_a_size_out_of_range_is_refused_with_the_size_and_the_maximum(sizes, message):
    with pytest.raises(ValueError, match=message):
        generate(*sizes)


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed=-1"):
        generate(10, 10, seed=-1)


def test_there_are_distinct_phenomena():
    assert len(set(PHENOMENA)) == len(PHENOMENA) >= 8


def test_sentences_are_written_as_sentences(largest):
    """A capital, words with single spaces, one mark at the end, and "a" only where it is right."""
    for examples in largest:
        malformed = [
            text
            for text in examples.text
            if not re.fullmatch(r"[A-Z][a-z]*(,? [A-Za-z]+)+[.?]", text) or re.search(r"\b[Aa] [aeiouAEIOU]", text)
        ]
        assert malformed == []


@pytest.mark.parametrize("phenomenon", PHENOMENA)
def test_every_word_form_is_as_often_in_acceptable_as_in_unacceptable_sentences(phenomenon, pairs_by_phenomenon):
    """Sign test with ties (normal approximation) over pairs that have the word more often in one member."""
    balance, differing = Counter(), Counter()
    for acceptable, unacceptable in pairs_by_phenomenon[phenomenon]:
        difference = Counter(re.findall(TOKEN, acceptable.lower()))
        difference.subtract(re.findall(TOKEN, unacceptable.lower()))
        for word, count in difference.items():
            balance[word] += np.sign(count)
            differing[word] += count != 0
    # |z| > 4.5 has probability 7e-6 a word form; a form that is always on one side reaches it in 21 pairs.
    one_sided = {word: (balance[word], n) for word, n in differing.items() if abs(balance[word]) > 4.5 * np.sqrt(n)}
    assert one_sided == {}


@pytest.mark.parametrize("seed", range(3))
def test_a_bag_of_words_is_near_chance(seed):
    train, validation = generate(2000, 2000, seed)
    assert logistic_regression_accuracy(train, validation, ngrams=1) < 0.55


def test_the_members_of_a_pair_have_the_same_number_of_words(pairs_by_phenomenon):
    pairs = [pair for pairs in pairs_by_phenomenon.values() for pair in pairs]
    assert [pair for pair in pairs if len(pair[0].split()) != len(pair[1].split())] == []


def test_length_is_near_chance():
    train, validation = generate(4000, 4000)
    lengths = [[[len(text), len(text.split())] for text in examples.text] for examples in (train, validation)]
    model = LogisticRegression().fit(lengths[0], train.label)
    assert model.score(lengths[1], validation.label) < 0.55


def test_word_order_tells_part_of_the_labels():
    """Without this, labels drawn at random would pass the tests above."""
    accuracy = logistic_regression_accuracy(*generate(5000, 2000), ngrams=3)
    assert 0.6 < accuracy < 0.9


def test_only_the_chosen_phenomena_are_drawn():
    train, validation = grammar.generate(300, 100, phenomena=["reflexive"])
    assert (len(train), len(validation)) == (300, 100)
    assert np.bincount(train.label).tolist() == [150, 150]
    assert all("sel" in text for text in train.text + validation.text)  # himself, themselves
    assert not all("sel" in text for text in grammar.generate(300, 100)[0].text)


@pytest.mark.parametrize("chosen", [[], ["inversion", "inversion"], ["spelling"]])
def test_phenomena_that_do_not_exist_are_refused_with_those_that_do(chosen):
    with pytest.raises(ValueError, match="negative_polarity"):
        grammar.generate(10, 10, phenomena=chosen)
