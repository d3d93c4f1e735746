"""Trials as one tidy table: read from anybody's CSV, written to Parquet and CSV, read back from Parquet."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from seedgrid import __version__
from seedgrid.errors import InputError
from seedgrid.files import decode, decompressed, write_whole
from seedgrid.records.store import FINISHED, Sweep, find_gap, planned_evaluations, read_sweep, trial_name, with_best
from seedgrid.scale import Direction, Scale
from seedgrid.seeds import Seeds
from seedgrid.settings import steps_per_epoch

SEEDS = ("init", "order", "dropout")
KNOWN_COLUMNS = (*SEEDS, "seed", "step", "epoch", "score")
# Half a seed pair names no trial, and without seeds nothing says which steps belong together.
_NEEDS = {"init": "order", "order": "init", "dropout": "init", "step": "init", "epoch": "step"}
# Words of a score's name by which the lower is better.
_LOWER_IS_BETTER = {
    *("loss", "losses", "logloss", "error", "errors", "err", "perplexity", "ppl", "entropy", "nll", "deviance"),
    *("mse", "rmse", "msle", "rmsle", "mae", "mape", "smape", "mase", "wer", "cer", "ter", "der", "eer", "ece"),
    *("brier", "fpr", "fnr", "fid", "kl", "bpb", "bpc", "bpd", "regret", "distance"),
}
# The first word of some cell in a line that sums up the others.
_SUMMARIES = {
    *("mean", "average", "avg", "median", "std", "stdev", "stddev", "sd", "sem", "se", "ci"),
    *("min", "max", "sum", "total", "count"),
}
_NO_SCORE = ("", "-", "na", "n/a", "none", "null", "nan", "inf", "+inf", "-inf")


def completed_trials(seeds: Mapping[str, np.ndarray], steps: np.ndarray, path: Path) -> pd.DataFrame:
    """The rows of ``Sweep.trials`` for other people's completed trials, before :func:`with_best`.

    Args:
        seeds: ``init``, ``order`` and perhaps ``dropout``, int64, each as long as there are trials.
        steps: int64, the last step of each trial.
        path: the file that they come from.
    """
    return pd.DataFrame(
        {
            "init": seeds["init"],
            "order": seeds["order"],
            "dropout": seeds.get("dropout", 0),
            "status": "completed",
            "steps": steps,
            "seconds": np.nan,
            "error": None,
            "folder": str(path),
        }
    )


# --------------------------------------------------------------------------------------------------------------- CSV


def read_csv_trials(
    path: Path | str,
    metric: str,
    task: str | None,
    diverged_at: float | None,
    direction: Direction | None = None,
) -> Sweep:
    """Other people's trials from a tidy file: a row per evaluation, columns in any order.

    The columns are ``init``, ``order``, ``dropout``, ``step``, ``epoch`` and ``score``, separated by commas, semicolons
    or tabs; ``seed`` stands for an init and an order seed that are the same. Only ``score`` is needed: without seeds
    each line is a trial of its own, without steps each trial has one evaluation, at step 1. A file of scores alone
    needs no header. Step 0 is the evaluation before training, which counts for nothing. Scores may have decimal commas
    or percent signs, if all of them do.

    Args:
        path: the file, UTF-8; may be compressed (``.csv.gz``).
        metric: name of the score. The scores of seedgrid's own metrics must lie in their range.
        task: name of the task; None: not known.
        diverged_at: a trial whose best found is at or below this (above this, where lower is better) counts as
            diverged; None: not known.
        direction: whether the highest or the lowest score is the best; None: the highest, unless its name is a loss's.

    Raises:
        InputError: no such file, not such a table, a value that cannot be (names the line), or a score with the name of
            a loss, and no direction.
    """
    path = Path(path)
    if direction is None:
        check_direction(metric, f"metric={metric}")
    scale = Scale.of(metric, direction or "max")
    if not path.is_file():
        raise InputError(f"path={path}: no such file; name a CSV file with the columns {', '.join(KNOWN_COLUMNS)}")
    table = _Table(path)
    names = table.columns
    if "score" not in names:
        raise InputError(f"{path}: has no column score, only {', '.join(names)}; name the scores' column score")
    if "seed" in names and ("init" in names or "order" in names):
        raise InputError(f"{path}: column seed is init and order seed in one; remove it, or columns init and order")
    column_of = {seed: seed for seed in SEEDS}
    if "seed" in names:
        column_of |= {"init": "seed", "order": "seed"}
    for name, needed in _NEEDS.items():
        if name in names and column_of.get(needed, needed) not in names:
            raise InputError(
                f"{path}: column {name} needs column {needed}; add it (one number everywhere if it never varied),"
                f" or remove {name}"
            )
    low, high = scale.limits
    score = table.scores()
    table.check("score", (score >= low) & (score <= high), f"{metric} lies from {low:g} to {high:g} (0.914, not 91.4)")
    seeded = column_of["init"] in names
    if seeded:
        seeds = {seed: table.whole_numbers(name, 2**32) for seed, name in column_of.items() if name in names}
    else:
        seeds = {"init": np.arange(len(score)), "order": np.zeros(len(score), np.int64)}
    evaluations = pd.DataFrame(
        {
            "init": seeds["init"],
            "order": seeds["order"],
            "dropout": seeds.get("dropout", 0),
            "step": table.whole_numbers("step", 2**53) if "step" in names else 1,
            "epoch": table.numbers("epoch") if "epoch" in names else np.nan,
            "loss": np.nan,
            "score": score,
            "seconds": np.nan,
        }
    )
    if "epoch" in names:
        table.check("epoch", evaluations["epoch"].to_numpy() >= 0, "epochs are counted from 0")
    place = [*SEEDS, "step"]
    again = evaluations.duplicated(place).to_numpy()
    if again.any():
        row = int(again.argmax())
        first = int((evaluations[place] == evaluations.loc[row, place]).all(axis=1).to_numpy().argmax())
        named = {column_of.get(name, name): evaluations.loc[row, name] for name in place}
        where = ", ".join(f"{name}={value}" for name, value in named.items() if name in names)
        raise InputError(f"{table.line(row)}: {where} is on line {table.line_number(first)} already; remove one")
    evaluations = evaluations.sort_values(place, ignore_index=True)
    last = evaluations.groupby(list(SEEDS), sort=True)["step"].max().reset_index()
    untrained = last["step"] == 0
    if untrained.any():
        trial = last.loc[untrained.idxmax()]
        raise InputError(
            f"{path}: trial init={trial['init']}, order={trial['order']} has only step 0, which is before training;"
            " number the evaluations from 1 on"
        )
    trials = completed_trials({name: last[name].to_numpy() for name in SEEDS}, last["step"].to_numpy(), path)
    return Sweep(
        path,
        *with_best(trials, evaluations, diverged_at, scale),
        {"task": {"name": task, "metric": metric, "diverged_at": diverged_at}},
        name=re.sub(r"\.(csv|tsv)(\.\w+)?$", "", path.name, flags=re.IGNORECASE),
        task=task or "",
        metric=metric,
        direction=scale.direction,
        diverged_at=diverged_at,
        seeded=seeded,
        read_as=table.read_as,
    )


def check_direction(metric: str, where: str) -> None:
    """Raise InputError if a score's name is a loss's or an error's, where nothing says which end is the better one.

    Args:
        metric: the name.
        where: what names it, for the message.
    """
    if _names_loss(metric):
        raise InputError(
            f"{where}: of a loss or an error the lower is better, and unless told otherwise the highest score counts as"
            " the best; give direction=min (or direction=max, where the higher is better all the same)"
        )


def _names_loss(metric: str) -> bool:
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", metric)]
    turned = re.match(r"\s*(1\s*)?-", metric) or not {"neg", "negative", "minus"}.isdisjoint(words)
    return not turned and any(word in _LOWER_IS_BETTER or word.endswith(("loss", "error")) for word in words)


class _Table:
    """A delimited file as columns of text, which are made numbers on request; knows on which line each row is.

    Attributes:
        columns: by name.
        read_as: how scores were understood that could be understood otherwise.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read_as = ""
        self._text = decode(decompressed(path, path)[0], path).replace("\r\n", "\n").replace("\r", "\n")
        content = self._text.lstrip("\n")
        first_line = content.partition("\n")[0]
        separator = max("\t;,", key=first_line.count)  # a column alone has none, and may have decimal commas
        header = [name.strip().strip('"').strip().lower() for name in first_line.split(separator)]
        self._header_rows = 0 if len(header) == 1 and _is_number(header[0]) else 1
        names, known = header if self._header_rows else ["score"], ", ".join(KNOWN_COLUMNS)
        if not first_line:
            raise InputError(f"{path}: empty; it needs a line for each evaluation")
        if any(map(_is_number, names)):
            raise InputError(
                f"{path}: has no header; begin the file with a line that names its columns ({known}), or, if these are"
                " scores with decimal commas, with the line score"
            )
        for name in names:
            if name not in KNOWN_COLUMNS:
                loss = "; a loss is a score too, of which direction=min says it" if _names_loss(name) else ""
                raise InputError(
                    f"{path}: unknown column {name[:40]!r}; rename or remove it: columns are {known}, separated by"
                    f" commas, semicolons or tabs{loss}"
                )
            if names.count(name) > 1:
                raise InputError(f"{path}: column {name} occurs twice; remove one of them")
        ragged: list[pyarrow.csv.InvalidRow] = []

        def stop(row: pyarrow.csv.InvalidRow) -> str:
            ragged.append(row)
            return "error"

        try:
            table = pyarrow.csv.read_csv(
                pa.BufferReader(content.encode()),
                # One thread: only then are ragged rows numbered.
                pyarrow.csv.ReadOptions(use_threads=False, column_names=names, skip_rows_after_names=self._header_rows),
                pyarrow.csv.ParseOptions(delimiter=separator, invalid_row_handler=stop),
                pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
            )
        except pa.ArrowException as error:
            if ragged:
                row = ragged[0]
                line = self.line(row.number - 1 - self._header_rows)
                counts = f"{row.actual_columns} columns instead of {row.expected_columns}"
                raise InputError(f"{line}: {counts}; mend the line") from None
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{path}: no table can be read from it: {reason}") from None
        self.columns = dict(zip(names, table.columns, strict=True))
        if not len(self.columns[names[0]]):
            raise InputError(f"{path}: has a header and no line below it; it needs one for each evaluation")

    def scores(self) -> np.ndarray:
        """The scores as finite float64, also where all of them are written with decimal commas or percent signs."""
        written = pc.utf8_trim_whitespace(self.columns["score"])
        there = ~np.isin(pc.utf8_lower(written).to_numpy(), _NO_SCORE)
        self.check(
            "score",
            there,
            "a run without a score: remove its line (all that is said is then about the runs that have one), or give"
            " the last finite score that it had",
        )
        text = written
        if pc.all(pc.ends_with(text, "%")).as_py():
            text = pc.replace_substring_regex(text, r"\s*%$", "e-2")
        values = self._cast("score", _with_points(text))
        if not pc.all(pc.equal(_with_points(text), written)).as_py():
            self.read_as = f"its scores are taken so: {written[0].as_py()} is {values[0]:g}"
        return values

    def numbers(self, name: str) -> np.ndarray:
        """A column as finite float64; all of it may have decimal commas."""
        return self._cast(name, _with_points(pc.utf8_trim_whitespace(self.columns[name])))

    def _cast(self, name: str, text: pa.ChunkedArray) -> np.ndarray:
        try:
            values = pc.cast(text, pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            values = np.zeros(len(text))
            values[_first_without_number(text)] = np.nan
        self.check(name, np.isfinite(values), "it is no finite number; write one, and the whole column in one way")
        return values

    def whole_numbers(self, name: str, below: int) -> np.ndarray:
        """A column as int64 from 0; 3.0 is 3."""
        values = self._cast(name, pc.utf8_trim_whitespace(self.columns[name]))  # 1,000 may be a thousand
        allowed = (values >= 0) & (values < below) & (values == np.floor(values))
        self.check(name, allowed, f"it must be a whole number from 0 to {below - 1}")
        return values.astype(np.int64)

    def check(self, name: str, allowed: np.ndarray, rule: str) -> None:
        if not allowed.all():
            row = int(allowed.argmin())
            cells = [re.match("[a-z]*", column[row].as_py().strip().lower())[0] for column in self.columns.values()]
            if not _SUMMARIES.isdisjoint(cells):
                rule = "a line that sums up the others is no trial; remove it"
            raise InputError(f"{self.line(row)}: {name} is {self.columns[name][row].as_py()[:40]!r}; {rule}")

    def line_number(self, row: int) -> int:
        """Line of a row of the table; empty lines are none of its rows."""
        filled = (number for number, line in enumerate(self._text.split("\n"), start=1) if line)
        return next(number for position, number in enumerate(filled) if position == row + self._header_rows)

    def line(self, row: int) -> str:
        return f"{self.path}, line {self.line_number(row)}"


def _with_points(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers with decimal points, where all were written with commas."""
    if pc.any(pc.match_substring(text, ".")).as_py():
        return text
    return pc.replace_substring(text, ",", ".", max_replacements=1)


def _first_without_number(text: pa.ChunkedArray) -> int:
    """Row of the first text that is no number, by halving: a failing cast does not tell."""
    low, high = 0, len(text)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            pc.cast(text.slice(low, middle - low), pa.float64())
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# ----------------------------------------------------------------------------------------------------------- Parquet

EXPORT_VERSION = 3
_READABLE = (2, EXPORT_VERSION)  # of 2, the higher score is better
_METADATA = b"seedgrid"
_ROW_GROUP = 262_144
# Columns of the exported table: type and description. The columns of the metrics come before the score.
_TRIAL_COLUMNS = {
    "sweep": (pa.string(), "name of the sweep: the trials of one task, model and recipe"),
    "task": (pa.string(), "name of the task"),
    "model": (pa.string(), "name of the pretrained model; null: not known"),
    "recipe": (pa.string(), "name of the training recipe; null: not known"),
    "metric": (pa.string(), "name of the score"),
    "direction": (pa.string(), "max where a higher score is better, min where a lower one is"),
    "lowest_possible": (pa.float64(), "lowest score that there can be; null: no limit, or not known"),
    "highest_possible": (pa.float64(), "highest score that there can be; null: no limit, or not known"),
    "init": (pa.int64(), "init seed: draws the new layer's weights"),
    "order": (pa.int64(), "order seed: draws the order of the training examples"),
    "dropout": (pa.int64(), "dropout seed: draws the dropout masks"),
    "status": (
        pa.string(),
        "of the trial: running, interrupted, completed, stopped, nonfinite (loss no number), failed",
    ),
    "diverged": (pa.bool_(), "whether the trial finished and diverged: best found no better than diverged_at"),
    "total_steps": (pa.int64(), "optimizer steps of the whole training"),
    "trial_seconds": (pa.float64(), "seconds that the trial took; null: not known"),
    "error": (pa.string(), "why the trial failed; null if it did not"),
}
_NEW_COLUMNS = {"direction", "lowest_possible", "highest_possible"}  # which an older CSV export lacks
_EVALUATION_COLUMNS = {
    "step": (pa.int64(), "optimizer steps before the evaluation; null: the trial has none, and only this row"),
    "epoch": (pa.float64(), "the step as a number of epochs; null: not known"),
    "loss": (pa.float64(), "mean loss on the validation examples; null: not known or no number"),
    "score": (pa.float64(), "the metric, on what the trial is validated on"),
    "best_so_far": (pa.float64(), "best score of the trial up to this step; null at step 0, which does not count"),
    "seconds": (pa.float64(), "seconds that the evaluation took; null: not known"),
}
_FACTS = (
    *("name", "task", "metric", "diverged_at", "majority", "train_examples", "validation_examples"),
    *("validation_digest", "identity", "versions", "seeded", "config"),
)
_NEWER = ("direction", "limits")  # facts that files of version 2 lack


def export_parquet(sweeps: Sequence[Sweep], path: Path | str) -> None:
    """Write all evaluations of all trials as one table, trial by trial, that pandas and ``datasets`` can load.

    A row is an evaluation and repeats what is known of its trial. A trial without any evaluation has one row, with a
    null step. Each column's description is in the metadata of its field (``pyarrow.parquet.read_schema(path)``); what
    is known of each sweep (sizes, threshold, baseline, configuration) is JSON in the file's metadata, under
    ``seedgrid``. Not in the file: folders, training losses, predictions. Of an absolute path in the configuration only
    the last part is written: the file is made to be passed on.

    An existing file is replaced only if it is an export of no other sweeps than these (by name and configuration).

    Raises:
        InputError: the file may not be written, two sweeps have one name, or the folder cannot be made.
    """
    schema = _schema(sweeps)

    def write(file: BinaryIO) -> None:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for sweep in sweeps:
                for table in _tables(sweep, schema):
                    writer.write_table(table)

    _write_export(sweeps, Path(path), write)


def export_csv(sweeps: Sequence[Sweep], path: Path | str) -> None:
    """Write the table of :func:`export_parquet` as CSV, for what reads no Parquet; what is null is an empty cell.

    An existing file is replaced only if it has this table's columns and holds no other sweeps than these, by name.

    Raises:
        InputError: as :func:`export_parquet`.
    """
    schema = _schema(sweeps)

    def write(file: BinaryIO) -> None:
        with pyarrow.csv.CSVWriter(file, schema) as writer:
            for sweep in sweeps:
                for table in _tables(sweep, schema):
                    writer.write_table(table)

    _write_export(sweeps, Path(path), write)


def _write_export(sweeps: Sequence[Sweep], path: Path, write: Callable[[BinaryIO], object]) -> None:
    check_export(sweeps, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, write)
    except OSError as error:
        raise InputError(f"to={path}: cannot be written ({error.strerror}); name another file") from None


def check_export(sweeps: Sequence[Sweep], path: Path | str) -> None:
    """Raise InputError where no export of the sweeps may be written: for the file's name, what lies there, their names.

    Args:
        sweeps: what is to be exported.
        path: of the file, which ends in ``.parquet`` or ``.csv``.
    """
    path = Path(path)
    check_ending(path)
    names = [sweep.name for sweep in sweeps]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"to={path}: two sweeps are named {name}; rename one of their folders")
    if not path.exists():
        return
    if not path.is_file() or not (_is_csv_of if path.suffix.lower() == ".csv" else _is_parquet_of)(sweeps, path):
        raise InputError(f"to={path}: exists and is no export of these sweeps; remove it or name another file")


def check_ending(path: Path) -> None:
    """Raise InputError unless a file's name says which kind of export it is."""
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise InputError(f"to={path}: trials are written as Parquet or CSV; let the name end in .parquet or .csv")


def _is_parquet_of(sweeps: Sequence[Sweep], path: Path) -> bool:
    facts = _read_facts(path)
    written = [(sweep.name, _portable(sweep.config)) for sweep in sweeps]
    return facts is not None and all((sweep["name"], sweep["config"]) in written for sweep in facts)


def _is_csv_of(sweeps: Sequence[Sweep], path: Path) -> bool:
    try:
        found = pyarrow.csv.read_csv(path, convert_options=pyarrow.csv.ConvertOptions(include_columns=["sweep"]))
        with path.open() as file:
            columns = {name.strip('"') for name in file.readline().strip().split(",")}
    except (OSError, ValueError, pa.ArrowException):
        return False
    names = set(found["sweep"].unique().to_pylist())
    return columns >= {*_TRIAL_COLUMNS, *_EVALUATION_COLUMNS} - _NEW_COLUMNS and names <= {
        sweep.name for sweep in sweeps
    }


def read_exported(path: Path | str) -> list[Sweep]:
    """The sweeps of a file that :func:`export_parquet` wrote, as they were, but for what is not in the file.

    Raises:
        InputError: no such file, damaged, or no such export.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"path={path}: no such file; name one that seedgrid export wrote")
    described = _read_facts(path)
    if described is None:
        raise InputError(
            f"{path}: no whole export of seedgrid with its metadata; export again, or write the trials as CSV and"
            " use source=csv"
        )
    for facts in described:
        if "direction" not in facts:
            check_direction(facts["metric"], f"{path}, metric {facts['metric']}")
    try:
        read = [_read_back(path, facts) for facts in described]
        if sum(rows for _, rows in read) != pq.read_metadata(path).num_rows:
            raise ValueError("it has rows of sweeps that its metadata does not name")
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: damaged ({reason}); export again") from None
    return [sweep for sweep, _ in read]


def read_trials(place: Path | str, metric: str = "score", direction: Direction | None = None) -> Sweep:
    """The sweep in a folder, in a Parquet file that :func:`export_parquet` wrote, or in a CSV file of scores.

    Args:
        place: the folder or file.
        metric: of a CSV file, the name of its score.
        direction: of a CSV file, whether the highest or the lowest score is the best; None: as :func:`read_csv_trials`.

    Raises:
        InputError: none is there, it is damaged, or the file holds several sweeps.
    """
    place = Path(place)
    suffixes = {suffix.lower() for suffix in place.suffixes[-2:]}
    if place.is_dir() or not suffixes & {".parquet", ".csv", ".tsv"}:
        return read_sweep(place)
    if ".parquet" not in suffixes:
        return read_csv_trials(place, metric, None, None, direction)
    sweeps = read_exported(place)
    if len(sweeps) > 1:
        names = ", ".join(sweep.name for sweep in sweeps)
        raise InputError(f"{place}: holds {len(sweeps)} sweeps ({names}); export the one that is meant by itself")
    return sweeps[0]


def _facts(sweep: Sweep) -> dict[str, Any]:
    columns = [name for name in sweep.evaluations.columns if name != "best_so_far"]
    facts = {name: getattr(sweep, name) for name in (*_FACTS, *_NEWER)}
    return {
        **facts,
        "limits": sweep.scale.known_limits,
        "config": _portable(sweep.config),
        "evaluation_columns": columns,
    }


def _portable(value: Any) -> Any:
    """A configuration without the folders of the machine that it was used on."""
    if isinstance(value, dict):
        return {key: _portable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_portable(item) for item in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _read_facts(path: Path) -> list[dict[str, Any]] | None:
    """What an export says of its sweeps; None if it is no export of this release."""
    try:
        content = json.loads((pq.read_schema(path).metadata or {})[_METADATA])
        needed = {*_FACTS, "evaluation_columns"}
        whole = content["version"] in _READABLE and all(needed <= facts.keys() for facts in content["sweeps"])
        return content["sweeps"] if whole else None
    except (OSError, pa.ArrowException, AttributeError, KeyError, TypeError, ValueError):
        return None


def _schema(sweeps: Sequence[Sweep]) -> pa.Schema:
    known = {*SEEDS, *_EVALUATION_COLUMNS}
    metrics = dict.fromkeys(name for sweep in sweeps for name in sweep.evaluations.columns if name not in known)
    columns = {**_TRIAL_COLUMNS}
    for name, column in _EVALUATION_COLUMNS.items():
        if name == "score":
            columns |= {metric: (pa.float64(), f"{metric} on the validation examples") for metric in metrics}
        columns[name] = column
    fields = [pa.field(name, kind, metadata={"description": text}) for name, (kind, text) in columns.items()]
    content = {
        "version": EXPORT_VERSION,
        "written_by": f"seedgrid {__version__}",
        "sweeps": [_facts(sweep) for sweep in sweeps],
    }
    return pa.schema(fields, {_METADATA: json.dumps(content, allow_nan=False)})


def _tables(sweep: Sweep, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of a sweep, a row group at a time, so that long columns of names are never in memory as a whole."""
    trials, evaluations = sweep.trials, sweep.evaluations
    seeds = list(SEEDS)
    trial = pd.MultiIndex.from_frame(trials[seeds]).get_indexer(pd.MultiIndex.from_frame(evaluations[seeds]))
    without = np.setdiff1d(np.arange(len(trials)), trial)
    trial = np.concatenate([trial, without])
    row = np.concatenate([np.arange(len(evaluations)), np.full(len(without), -1)])
    in_order = np.argsort(trial, kind="stable")
    config = sweep.config
    constant = {
        "sweep": sweep.name,
        "task": sweep.task or None,
        "model": config.get("model", {}).get("name"),
        "recipe": config.get("recipe", {}).get("name"),
        "metric": sweep.metric,
        "direction": sweep.direction,
        **dict(zip(("lowest_possible", "highest_possible"), sweep.scale.known_limits, strict=True)),
    }
    renamed = {"total_steps": "steps", "trial_seconds": "seconds"}
    for start in range(0, len(in_order), _ROW_GROUP):
        chosen = in_order[start : start + _ROW_GROUP]
        of_trial, of_evaluation = trial[chosen], row[chosen]
        columns = []
        for field in schema:
            if field.name in constant:
                value = pa.scalar(constant[field.name], field.type)
                columns.append(pa.repeat(value, len(chosen)))
            elif field.name in _TRIAL_COLUMNS:
                values = trials[renamed.get(field.name, field.name)].iloc[of_trial]
                columns.append(pa.Array.from_pandas(values, type=field.type))
            elif field.name in evaluations and len(evaluations):
                values = evaluations[field.name].to_numpy()[of_evaluation]
                # NaN is what pandas writes for what is not there.
                absent = (of_evaluation < 0) | np.isnan(values)
                columns.append(pa.array(values, field.type, mask=absent))
            else:
                columns.append(pa.nulls(len(chosen), field.type))
        yield pa.Table.from_arrays(columns, schema=schema)


def _read_back(path: Path, facts: dict[str, Any]) -> tuple[Sweep, int]:
    """One sweep, and how many rows of the file are its own."""
    of_sweep = [("sweep", "==", facts["name"])]
    names = [*SEEDS, "status", "total_steps", "trial_seconds", "error"]
    table = pq.read_table(path, columns=names, filters=of_sweep, read_dictionary=["status", "error"])
    first = ~table.select(list(SEEDS)).to_pandas().duplicated().to_numpy()
    trials = pd.DataFrame(table.filter(pa.array(first)).to_pylist(), columns=names)
    trials = trials.rename(columns={"total_steps": "steps", "trial_seconds": "seconds"})
    trials = trials.astype({"seconds": float}).assign(folder=str(path))
    rows = len(table)
    del table
    columns = facts["evaluation_columns"]
    evaluations = pq.read_table(path, columns=columns, filters=[*of_sweep, ("step", ">=", 0)])  # not null, that is
    evaluations = evaluations.to_pandas(split_blocks=True, self_destruct=True)
    _check_complete(trials, evaluations, facts)
    with_facts = {name: facts[name] for name in (*_FACTS, *_NEWER) if name in facts}
    scale = Scale.of(facts["metric"], facts.get("direction", "max"), facts.get("limits"))
    return Sweep(path, *with_best(trials, evaluations, facts["diverged_at"], scale), **with_facts), rows


def _check_complete(trials: pd.DataFrame, evaluations: pd.DataFrame, facts: dict[str, Any]) -> None:
    """Raise ValueError where a trial's rows cannot be what a trial of its status leaves."""
    evaluated = evaluations.groupby(list(SEEDS))["step"].agg(list).to_dict()
    batch_size, planned = facts["config"].get("recipe", {}).get("batch_size"), None
    for trial in trials[trials["status"].isin((*FINISHED, "stopped"))].itertuples():
        if batch_size is not None and facts["train_examples"] is not None:
            per_epoch = steps_per_epoch(facts["train_examples"], batch_size)
            planned = planned_evaluations(facts["config"], trial.steps, per_epoch)
        steps = evaluated.get((trial.init, trial.order, trial.dropout), [])
        gap = find_gap(trial.status, trial.steps, None, steps, planned)
        if gap is not None:
            raise ValueError(f"{trial_name(Seeds(init=trial.init, order=trial.order, dropout=trial.dropout))}: {gap}")
