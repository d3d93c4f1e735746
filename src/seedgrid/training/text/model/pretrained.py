"""Where pretrained weights lie, and what identifies them. Without torch, so that a finished sweep answers at once."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import zipfile
from pathlib import Path

from seedgrid.errors import InputError
from seedgrid.training.text.data.tokens import TOKENIZER_FILES, tokenizer_digest, tokenizer_files
from seedgrid.training.text.hub import ask, refusal
from seedgrid.training.text.settings import ModelSettings

VOCABULARY_FILES = ("tokenizer.json", "vocab.*", "*.model")
# Architectures of Transformers that have BERT's modules under BERT's names, and a head that reads the first token.
PACKABLE = frozenset({"bert", "camembert", "electra", "roberta", "xlm-roberta"})
AGAIN = "fetch the model again"
OFFLINE_HINT = "offline, use model=minilm (comes with a Python package) or model.path=FOLDER"


def locate(model: ModelSettings) -> Path:
    """The local folder of a model, fetched from the hub where it has to be.

    Raises:
        InputError: no such package, folder or hub name, no network, or a folder without a model.
    """
    if model.path:
        folder = Path(model.path).expanduser()
        if not folder.is_dir():
            if model.path.startswith((".", "/", "~")) or model.path.count("/") > 1:
                raise InputError(f"model.path={model.path}: no such folder")
            folder = _fetch(model.path)
        name = f"model.path={model.path}"
    else:
        try:
            package = importlib.util.find_spec(model.package)
        except ModuleNotFoundError:  # of the package that should hold it
            package = None
        if package is None or package.origin is None:
            raise InputError(
                f"model.package={model.package}: not installed; pip install {model.package.replace('_', '-')}"
            )
        folder = Path(package.origin).parent / "model"
        name = f"model.package={model.package}"
    if not (folder / "config.json").is_file():
        raise InputError(f"{name}: {folder} has no config.json; give a folder that from_pretrained can load")
    if not weight_files(folder):
        raise InputError(f"{name}: {folder} has no weights (model*.safetensors or pytorch_model*.bin)")
    # Without its vocabulary, Transformers makes a tokenizer that knows no word.
    if not any(any(folder.glob(pattern)) for pattern in VOCABULARY_FILES):
        raise InputError(f"{name}: {folder} has no tokenizer ({', '.join(VOCABULARY_FILES)}); save it there too")
    weights = weight_files(folder)
    for file in (folder / "config.json", *weights, *tokenizer_files(folder)):
        _refuse_part(name, file)
    for index in folder.glob(f"*{weights[0].suffix}.index.json"):
        try:
            lacking = set(json.loads(index.read_text())["weight_map"].values()) - {file.name for file in weights}
        except (ValueError, KeyError, TypeError, AttributeError):
            lacking = {index.name}
        if lacking:
            raise InputError(f"{name}: {folder} lacks a part of the weights, {min(lacking)}; {AGAIN}")
    return folder


def _refuse_part(key: str, file: Path) -> None:
    """Raise InputError if a file holds only a part of what it should, or where that is."""
    with file.open("rb") as content:
        begin = content.read(64)
    if begin.startswith(b"version https://git-lfs"):
        raise InputError(f"{key}: {file} is a git-lfs pointer; run git lfs pull in its folder, or {AGAIN}")
    whole = bool(begin)
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            safe_open(file, "numpy")
        except SafetensorError:
            whole = False
    elif begin.startswith(b"PK"):  # PyTorch's format is an archive, whose table comes last
        whole = zipfile.is_zipfile(file)
    if not whole:
        raise InputError(f"{key}: {file} is damaged, or cut off after {file.stat().st_size:,} bytes; {AGAIN}")


def _fetch(name: str) -> Path:
    from huggingface_hub import snapshot_download

    in_the_way = ask(name, "model")

    def fetch(*weights: str) -> Path:
        patterns = ["config.json", *weights, *TOKENIZER_FILES]
        return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=in_the_way is not None))

    try:
        folder = fetch("model*.safetensors*")
        return folder if weight_files(folder) else fetch("pytorch_model*.bin*")
    except Exception as error:  # its client raises a dozen kinds for "no network" and "not in the cache"
        missing = "neither a folder here nor a public model on the hub"
        raise refusal(f"model.path={name}", "it", in_the_way or error, missing, OFFLINE_HINT) from None


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a model's weights: safetensors if there are any, else PyTorch's."""
    return sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def digested_files(folder: Path) -> list[Path]:
    """The files that :func:`weights_digest` covers."""
    return [*tokenizer_files(folder), folder / "config.json", *weight_files(folder)]


def weights_digest(folder: Path) -> str:
    """SHA-256 of a model's configuration, weights and tokenizer, wherever they lie."""
    sha = hashlib.sha256(tokenizer_digest(folder).encode())
    for file in (folder / "config.json", *weight_files(folder)):
        with file.open("rb") as content:
            sha.update(hashlib.file_digest(content, "sha256").digest())
    return sha.hexdigest()[:16]
