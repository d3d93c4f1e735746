"""GLUE's tasks: from the Hugging Face hub, or from the TSV files of the benchmark's own download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seedgrid.errors import InputError
from seedgrid.files import read_text
from seedgrid.training.text.data.examples import Examples
from seedgrid.training.text.hub import ask, refusal
from seedgrid.training.text.tasks import GlueSource

HUB_DATASET = "nyu-mll/glue"


def read_folder(root: str, source: GlueSource) -> tuple[Examples, Examples]:
    """Training and validation examples from ``root``'s ``<TASK>/train.tsv`` and ``dev.tsv``."""
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise InputError(f"data.root={root}: no such folder; give GLUE's folder, or data.root=null for the hub")
    return tuple(_read_tsv(folder / source.folder / name, source) for name in ("train.tsv", "dev.tsv"))


def _read_tsv(path: Path, source: GlueSource) -> Examples:
    # No CSV reader: in these files a quote is a character of the text, and tabs and line feeds alone separate.
    if not path.is_file():
        raise InputError(f"{path}: no such file; data.root must be a folder with {source.folder}/train.tsv")
    content = read_text(path)
    lines = [line.removesuffix("\r") for line in content.split("\n")]
    if lines and not lines[-1]:
        lines.pop()
    first = 1 if source.header else 0
    if len(lines) <= first:
        raise InputError(f"{path}: holds no examples; download it again")
    columns = _columns(path, lines[0].split("\t"), source)
    width = len(lines[0].split("\t"))
    known = {value: index for index, value in enumerate(source.label_values)}
    texts: list[list[str]] = [[] for _ in columns[:-1]]
    labels = np.empty(len(lines) - first, dtype=np.int64)
    for number, line in enumerate(lines[first:], start=first + 1):
        fields = line.split("\t")
        if len(fields) != width:
            raise InputError(
                f"{path}, line {number}: {len(fields)} columns instead of {width}; mend or remove the line"
            )
        label = fields[columns[-1]]
        if label not in known:
            raise InputError(
                f"{path}, line {number}: label '{label}' is not one of {', '.join(known)}; mend or remove the line"
            )
        labels[number - first - 1] = known[label]
        for column, position in zip(texts, columns[:-1], strict=True):
            column.append(fields[position])
    return Examples(tuple(texts[0]), tuple(texts[1]) if len(texts) == 2 else None, labels)


def _columns(path: Path, header: list[str], source: GlueSource) -> list[int]:
    """Positions of the text columns and, last, of the label column."""
    wanted = [*source.text, source.label]
    if not source.header:
        if max(wanted) >= len(header):
            raise InputError(f"{path}, line 1: {len(header)} columns, at least {max(wanted) + 1} are needed")
        return wanted
    absent = [name for name in wanted if name not in header]
    if absent:
        raise InputError(f"{path}, line 1: no column '{absent[0]}'; the file has {', '.join(header)}")
    return [header.index(name) for name in wanted]


def read_hub(source: GlueSource, labels: tuple[str, ...]) -> tuple[Examples, Examples]:
    """Training and validation examples from the hub's ``nyu-mll/glue``, or from its local cache when offline."""
    import datasets

    datasets.disable_progress_bars()
    in_the_way, offline = ask(HUB_DATASET, "dataset"), datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = offline or in_the_way is not None
    try:
        splits = datasets.load_dataset(HUB_DATASET, source.hub_config)
    except Exception as error:  # its client raises a dozen kinds for "no network" and "not in the cache"
        missing = f"{HUB_DATASET} is no public data set on the hub"
        remedy = "offline, use data.root=FOLDER with GLUE's TSV files, or task=grammar"
        raise refusal(f"task={source.hub_config}", HUB_DATASET, in_the_way or error, missing, remedy) from None
    finally:
        datasets.config.HF_HUB_OFFLINE = offline
    return tuple(_from_hub(splits[name], source, labels) for name in ("train", "validation"))


def _from_hub(split, source: GlueSource, labels: tuple[str, ...]) -> Examples:
    names = tuple(split.features["label"].names)
    if names != labels:
        raise InputError(f"task.labels={list(labels)}: the hub's data set names its labels {list(names)}; use those")
    columns = [tuple(split[name]) for name in source.hub_text]
    return Examples(columns[0], columns[1] if len(columns) == 2 else None, np.asarray(split["label"], dtype=np.int64))
