"""Word pieces: what the tokenizer gives, kept once a sweep for all workers."""

from __future__ import annotations

import multiprocessing
import shutil

import numpy as np
import pytest
from transformers import AutoTokenizer

from seedgrid.training.text.data import tokens as tokens_module
from seedgrid.training.text.data.examples import Examples
from seedgrid.training.text.data.tokens import cached_tokens, read_cut, read_tokens, tokenize, tokenizer_digest

SINGLES = Examples(("The sailors laugh.", "x", "Tom has been to Rome."), None, np.array([1, 0, 1]))
PAIRS = Examples(("The sailors laugh.", "x y"), ("Tom laughs.", "the the the the the the the the"), np.array([1, 0]))


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return AutoTokenizer.from_pretrained(str(tiny_model))


def ids_of(tokens, index: int) -> list[int]:
    return tokens.ids[tokens.starts[index] : tokens.starts[index + 1]].tolist()


def segments_of(tokens, index: int) -> list[int]:
    return tokens.segments[tokens.starts[index] : tokens.starts[index + 1]].tolist()


def test_the_fixture_loads_as_a_fast_tokenizer_that_pads_with_0(tokenizer):
    assert tokenizer.is_fast
    assert tokenizer.pad_token_id == 0
    pieces = tokenizer.convert_ids_to_tokens(tokenizer("The qq, Q?")["input_ids"])
    assert pieces == ["[CLS]", "the", "q", "##q", ",", "q", "?", "[SEP]"]


@pytest.mark.parametrize("examples", [SINGLES, PAIRS])
def test_each_example_has_the_pieces_that_the_tokenizer_gives_it_alone(tokenizer, examples):
    tokens = tokenize(examples, tokenizer, 64)
    assert len(tokens) == len(examples)
    for index, text in enumerate(examples.text):
        pair = None if examples.text_pair is None else examples.text_pair[index]
        alone = tokenizer(text, pair, return_token_type_ids=True)
        assert ids_of(tokens, index) == alone["input_ids"]
        assert segments_of(tokens, index) == alone["token_type_ids"]
    np.testing.assert_array_equal(tokens.lengths, np.diff(tokens.starts))
    np.testing.assert_array_equal(tokens.label, examples.label)


def test_segments_tell_the_second_text_from_the_first(tokenizer):
    tokens = tokenize(PAIRS, tokenizer, 64)
    pieces = ids_of(tokens, 1)
    boundary = pieces.index(tokenizer.sep_token_id) + 1
    assert segments_of(tokens, 1) == [0] * boundary + [1] * (len(pieces) - boundary)


def test_a_long_text_is_cut_at_its_end(tokenizer):
    whole, cut = (tokenize(SINGLES, tokenizer, length) for length in (64, 5))
    assert cut.lengths.tolist() == [min(5, length) for length in whole.lengths]
    assert ids_of(cut, 2) == [*ids_of(whole, 2)[:4], tokenizer.sep_token_id]


@pytest.mark.parametrize("examples", [SINGLES, PAIRS])
def test_examples_are_counted_that_were_cut_and_no_others(tiny_model, tokenizer, tmp_path, examples):
    longest = tokenize(examples, tokenizer, 64).lengths
    for length in (5, int(longest.max()) - 1, int(longest.max())):
        expected = int((longest > length).sum())
        assert tokenize(examples, tokenizer, length).cut == expected
        assert read_cut(cached_tokens(examples, tiny_model, length, tmp_path)) == expected


@pytest.mark.parametrize("swap", [False, True])
def test_of_a_pair_the_longer_text_is_cut(tokenizer, swap):
    short, long = "x y z", "a b c d e f g"
    pair = Examples((long,), (short,), np.array([0])) if swap else Examples((short,), (long,), np.array([0]))
    pieces = ids_of(tokenize(pair, tokenizer, 10), 0)
    assert len(pieces) == 10
    kept = tokenizer.convert_ids_to_tokens(pieces)
    whole, begun = ["x", "y", "z"], ["a", "b", "c", "d"]
    first, second = (begun, whole) if swap else (whole, begun)
    assert kept == ["[CLS]", *first, "[SEP]", *second, "[SEP]"]


@pytest.mark.parametrize("examples", [SINGLES, PAIRS])
def test_tokens_come_back_from_disk_as_they_were(tiny_model, tokenizer, tmp_path, examples):
    made = tokenize(examples, tokenizer, 6)
    back = read_tokens(cached_tokens(examples, tiny_model, 6, tmp_path / "cache"))
    for name in ("ids", "segments", "starts", "label"):
        expected, found = getattr(made, name), getattr(back, name)
        assert found.dtype == expected.dtype, name
        np.testing.assert_array_equal(found, expected, err_msg=name)


def test_what_is_cached_is_not_tokenized_again(tiny_model, tmp_path, monkeypatch):
    path = cached_tokens(SINGLES, tiny_model, 16, tmp_path)
    written = path.stat().st_mtime_ns

    def tokenize(*_):
        raise AssertionError("tokenized again")

    monkeypatch.setattr(tokens_module, "tokenize", tokenize)
    copy = Examples(tuple(SINGLES.text), None, SINGLES.label.copy())
    assert cached_tokens(copy, tiny_model, 16, tmp_path) == path
    assert path.stat().st_mtime_ns == written


def test_other_texts_labels_lengths_and_tokenizers_have_files_of_their_own(tiny_model, tmp_path):
    other_tokenizer = tmp_path / "model"
    shutil.copytree(tiny_model, other_tokenizer)
    config = other_tokenizer / "tokenizer_config.json"
    config.write_text(config.read_text().replace("{", '{"strip_accents": false, ', 1))
    paths = {
        cached_tokens(examples, folder, length, tmp_path)
        for examples, folder, length in (
            (SINGLES, tiny_model, 16),
            (SINGLES.take(np.array([1, 0, 2])), tiny_model, 16),
            (Examples(SINGLES.text, None, np.array([0, 0, 1])), tiny_model, 16),
            (Examples(SINGLES.text, SINGLES.text, SINGLES.label), tiny_model, 16),
            (SINGLES, tiny_model, 8),
            (SINGLES, other_tokenizer, 16),
        )
    }
    assert len(paths) == 6
    assert all(path.exists() for path in paths)


def test_several_processes_at_once_tokenize_once(tiny_model, tmp_path, monkeypatch):
    calls, cache, made = tmp_path / "calls", tmp_path / "cache", tokens_module.tokenize
    fork = multiprocessing.get_context("fork")
    together = fork.Barrier(4)

    def counted(*arguments):
        with calls.open("a") as file:
            file.write("call\n")
        return made(*arguments)

    def work(queue):
        together.wait(timeout=60)
        path = cached_tokens(PAIRS, tiny_model, 16, cache)
        queue.put((str(path), read_tokens(path).ids.tolist()))

    monkeypatch.setattr(tokens_module, "tokenize", counted)
    queue = fork.Queue()
    workers = [fork.Process(target=work, args=(queue,), daemon=True) for _ in range(4)]
    for worker in workers:
        worker.start()
    found = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    assert calls.read_text() == "call\n"
    assert all(answer == found[0] for answer in found)
    assert len(list(cache.glob("*.parquet*"))) == 2  # the tokens and their lock
    assert not list(cache.glob(".*"))


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer.model", "spm.model", "merges.txt", "tokenizer_config.json"])
def test_every_file_of_a_tokenizer_counts(tmp_path, name):
    (tmp_path / "config.json").write_text("{}")
    digests = {tokenizer_digest(tmp_path)}
    for content in ("a", "b"):
        (tmp_path / name).write_text(content)
        digests.add(tokenizer_digest(tmp_path))
    assert len(digests) == 3


def test_weights_and_other_files_of_a_folder_do_not_count_for_the_tokenizer(tmp_path):
    (tmp_path / "vocab.txt").write_text("a")
    digest = tokenizer_digest(tmp_path)
    (tmp_path / "model.safetensors").write_text("weights")
    (tmp_path / "README.md").write_text("card")
    assert tokenizer_digest(tmp_path) == digest


@pytest.mark.parametrize(
    "other",
    [
        Examples(("ab", "c"), None, np.array([0, 1])),
        Examples(("a", "bc"), None, np.array([1, 1])),
        Examples(("bc", "a"), None, np.array([0, 1])),
        Examples(("a",), ("bc",), np.array([0, 1])),
        Examples(("a", "bc"), ("", ""), np.array([0, 1])),
    ],
)
def test_other_content_has_another_digest(other):
    assert Examples(("a", "bc"), None, np.array([0, 1])).digest() != other.digest()
