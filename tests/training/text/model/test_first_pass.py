"""What only the network can tell: found by one pass, before any trial, in one line with the remedy."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, T5EncoderModel

from seedgrid.errors import InputError
from seedgrid.training.text.data.examples import Examples
from seedgrid.training.text.data.tokens import cached_tokens, tokenize
from seedgrid.training.text.model.first_pass import check_network
from seedgrid.training.text.settings import ModelSettings

EXAMPLES = Examples(("a b c d e f", "g", "h i"), None, np.array([0, 1, 0]))


@pytest.fixture
def check(recipe):
    """Look at a folder's network, with changes to the recipe."""

    def checked(folder, max_length=20, tokenizer=None, **changes) -> None:
        tokens = tokenize(EXAMPLES, AutoTokenizer.from_pretrained(str(tokenizer or folder)), max_length)
        model = ModelSettings(
            name="m", path=str(folder), package=None, layers=None, dropout=None, packing=True, learning_rate=1e-4
        )
        check_network(folder, ("no", "yes"), model, recipe.model_copy(update=changes), [tokens], max_length)

    return checked


@pytest.fixture
def refusal(check):
    def refused(folder, **options) -> str:
        with pytest.raises(InputError) as error:
            check(folder, **options)
        assert len(str(error.value).splitlines()) == 1
        return str(error.value)

    return refused


def test_all_families_pass(check, family):
    check(family)


def test_word_pieces_beyond_the_embeddings_are_refused(refusal, family_folder, tiny_model):
    folder = family_folder("bert", vocab_size=9)
    assert refusal(folder).startswith(
        f"model: the tokenizer in {folder} gives word piece 13, but the model has only 9 embeddings; take the tokenizer"
    )


# RoBERTa and MPNet have rows for the padding, and for what is before it.
@pytest.mark.parametrize(
    ("name", "unused"), [("bert", 0), ("roberta", 2), ("mpnet", 2), ("distilbert", 0), ("gpt2", 0)]
)
def test_positions_are_those_that_the_model_can_number(check, refusal, family_folder, name, unused):
    folder = family_folder(name, max_position_embeddings=40 + unused)
    expected = "data.max_length=43: the model can number only 40 positions; give at most that"
    assert refusal(folder, max_length=43) == expected
    check(folder, max_length=40)


@pytest.mark.parametrize("name", ["deberta-v2", "xlnet", "t5"])
def test_distances_between_word_pieces_have_no_end(check, family_folder, name):
    check(family_folder(name), max_length=600)


def test_a_decoder_without_a_padding_token_is_refused_with_the_remedy(refusal, family_folder):
    folder = family_folder("gpt2", pad_token_id=None)
    assert refusal(folder) == (
        f"model: {folder}/config.json names no padding token, without which gpt2 finds no end of a text; add"
        ' "pad_token_id", for instance with the number of its "eos_token_id"'
    )


def test_the_encoder_of_an_encoder_decoder_alone_is_refused(refusal, family_folder, tmp_path):
    alone = shutil.copytree(family_folder("t5"), tmp_path / "alone")
    T5EncoderModel.from_pretrained(alone).save_pretrained(alone)
    assert refusal(alone) == f"model: {alone} holds the encoder of t5 alone; give the whole model"


def test_weights_that_lack_a_part_of_the_encoder_are_refused(refusal, family_folder, tmp_path):
    torn = shutil.copytree(family_folder("bert"), tmp_path / "torn")
    weights = load_file(torn / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, torn / "model.safetensors", metadata={"format": "pt"})
    assert "lack bert.encoder.layer.1.output.dense.weight; give a complete pretrained encoder" in refusal(torn)


@pytest.mark.parametrize("changes", [{"freeze": 1}, {"layer_decay": 0.9}, {"reinitialize": 1}])
def test_recipes_about_layers_are_refused_where_there_is_no_one_list_of_them(check, refusal, family_folder, changes):
    assert refusal(family_folder("t5"), **changes).startswith("recipe: t5 has no one list of layers; leave recipe.")
    check(family_folder("t5"), freeze=0)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (
            '{"version": "1.0", "added_tokens": [',
            "tokenizer.json is not whole (no JSON); fetch or save the model again",
        ),
        ('{"version": "1.0", "model": {"type": "Newer"}}', "pip install --upgrade transformers tokenizers"),
    ],
)
def test_a_tokenizer_that_cannot_be_read_is_refused_with_the_remedy(family_folder, tmp_path, content, complaint):
    folder = shutil.copytree(family_folder("bert"), tmp_path / "own")
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(InputError) as error:
        cached_tokens(EXAMPLES, folder, 20, tmp_path / "cache")
    assert str(error.value).startswith("model: ")
    assert str(folder) in str(error.value)
    assert str(error.value).endswith(complaint)
