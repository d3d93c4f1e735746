"""A tiny pretrained encoder that is made in a moment, and where the entry points lie."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel, BertTokenizerFast

from seedgrid.data import grammar

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
