"""A tiny pretrained encoder that is made in a moment, and where the entry points lie."""

from __future__ import annotations

from pathlib import Path

import hydra
import pytest
import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel, BertTokenizerFast

from omegaconf import open_dict

from seedgrid.data import grammar
from seedgrid.settings import read_settings

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds ``train.py`` and ``conf/``."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A folder with a BERT of 2 layers and random weights, and a WordPiece tokenizer of its own."""
    folder = tmp_path_factory.mktemp("tiny_model")
    sentences = grammar.generate(2000, 200)[0].text
    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(sentences, vocab_size=600, special_tokens=SPECIAL, show_progress=False)
    tokenizer = BertTokenizerFast(tokenizer_object=trained._tokenizer, model_max_length=128)
    tokenizer.save_pretrained(folder)
    save_encoder(BertModel, BertConfig, folder, len(tokenizer))
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_model):
    """Overrides of a trial that takes about a second: 18 steps of a tiny encoder."""
    return [
        f"model.path={tiny_model}",
        "model.learning_rate=1e-3",
        "task.source.train_size=90",
        "task.source.validation_size=40",
        "evaluation.per_epoch=3",
        "logger=none",
        "trainer=cpu",
    ]


@pytest.fixture(scope="session")
def compose(repository):
    """Settings of composed overrides, as the command line would have them."""

    def composed(overrides):
        with hydra.initialize_config_dir(str(repository / "conf"), version_base="1.3"):
            config = hydra.compose("train", overrides)
        with open_dict(config):
            config.pop("hydra", None)
        return read_settings(config)

    return composed
