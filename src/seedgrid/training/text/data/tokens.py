"""Examples as word pieces, and the cache that tokenizes them once a sweep."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from seedgrid.errors import InputError
from seedgrid.files import write_whole
from seedgrid.training.text.data.examples import Examples

TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model")


@dataclass(frozen=True)
class Tokens:
    """N tokenized examples, one after the other.

    Attributes:
        ids: int32, word pieces of all examples.
        segments: int8, as long as ``ids``: 0 in the first text, 1 in the second.
        starts: int64 of length N + 1: example i is ``ids[starts[i]:starts[i + 1]]``.
        label: int64 of length N.
        cut: how many of the examples were longer than the maximum length.
    """

    ids: np.ndarray
    segments: np.ndarray
    starts: np.ndarray
    label: np.ndarray
    cut: int = 0

    def __len__(self) -> int:
        return len(self.label)

    @property
    def lengths(self) -> np.ndarray:
        """Word pieces of each example; int64 of length N."""
        return np.diff(self.starts)


def tokenize(examples: Examples, tokenizer, max_length: int) -> Tokens:
    """Tokenize with a fast Transformers tokenizer; what is too long is cut from the longer text of a pair."""
    encoded = tokenizer(
        list(examples.text),
        None if examples.text_pair is None else list(examples.text_pair),
        truncation="longest_first",
        max_length=max_length,
        return_token_type_ids=True,
        return_attention_mask=False,
    )
    lengths = np.fromiter((len(ids) for ids in encoded["input_ids"]), dtype=np.int64, count=len(examples))
    return Tokens(
        ids=np.concatenate([np.asarray(ids, dtype=np.int32) for ids in encoded["input_ids"]]),
        segments=np.concatenate([np.asarray(ids, dtype=np.int8) for ids in encoded["token_type_ids"]]),
        starts=np.concatenate([[0], np.cumsum(lengths)]),
        label=examples.label,
        cut=sum(bool(encoding.overflowing) for encoding in encoded.encodings or ()),  # slow ones do not tell
    )


def cached_tokens(examples: Examples, tokenizer_folder: Path, max_length: int, cache: Path) -> Path:
    """Path of a Parquet file in ``cache`` with the tokens of ``examples``; makes it if no one has.

    Several processes may ask at once: one tokenizes, the others wait for its file.
    """
    key = hashlib.sha256(f"{examples.digest()} {tokenizer_digest(tokenizer_folder)} {max_length} cut".encode())
    path = cache / f"tokens-{key.hexdigest()[:16]}.parquet"
    if path.exists():
        return path
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.exists():
            tokens = tokenize(examples, _load_tokenizer(tokenizer_folder), max_length)
            write_whole(path, lambda file: pq.write_table(_table(tokens), file))
    return path


def _load_tokenizer(folder: Path):
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises plain ones
        for file in tokenizer_files(folder):
            if file.suffix == ".json":
                try:
                    json.loads(file.read_text(encoding="utf-8"))
                except ValueError:
                    raise InputError(f"model: {file} is not whole (no JSON); fetch or save the model again") from None
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"model: the tokenizer in {folder} cannot be loaded: {reason}; if newer versions than transformers"
            f" {version('transformers')} and tokenizers {version('tokenizers')} saved it: pip install --upgrade"
            " transformers tokenizers"
        ) from None


def read_tokens(path: Path) -> Tokens:
    """Read what :func:`cached_tokens` wrote."""
    table = pq.read_table(path)
    ids, segments = (table[name].combine_chunks() for name in ("ids", "segments"))
    return Tokens(
        ids.flatten().to_numpy(),
        segments.flatten().to_numpy(),
        ids.offsets.to_numpy().astype(np.int64),
        table["label"].to_numpy().copy(),  # torch wants arrays that it could write to
        int(table.schema.metadata[b"cut"]),
    )


def read_cut(path: Path) -> int:
    """How many of the examples in a file of tokens were cut."""
    return int(pq.read_schema(path).metadata[b"cut"])


def _table(tokens: Tokens) -> pa.Table:
    starts = pa.array(tokens.starts, pa.int32())
    return pa.table(
        {
            "ids": pa.ListArray.from_arrays(starts, pa.array(tokens.ids)),
            "segments": pa.ListArray.from_arrays(starts, pa.array(tokens.segments)),
            "label": pa.array(tokens.label),
        },
        metadata={"cut": str(tokens.cut)},
    )


def used_words(*parts: Tokens) -> np.ndarray:
    """The word pieces that occur, each once, sorted; int64."""
    return np.unique(np.concatenate([tokens.ids for tokens in parts])).astype(np.int64)


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a model folder that define its tokenizer, sorted."""
    return sorted({path for pattern in TOKENIZER_FILES for path in folder.glob(pattern)})


def tokenizer_digest(folder: Path) -> str:
    """SHA-256 over the files of a model folder that define its tokenizer."""
    sha = hashlib.sha256()
    for path in tokenizer_files(folder):
        sha.update(f"{path.name};".encode() + hashlib.sha256(path.read_bytes()).digest())
    return sha.hexdigest()
