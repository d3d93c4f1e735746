"""The records of a sweep on disk: their layout, and the functions that read them into tidy frames.

Reading needs neither torch nor Hydra, and what lists the trials reads no loss file.
"""

from __future__ import annotations

import copy
import fcntl
import hashlib
import io
import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from glob import glob
from pathlib import Path
from typing import Any, get_args
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from seedgrid.errors import InputError
from seedgrid.evaluation.schedule import planned_steps
from seedgrid.records.index import Index, index_of
from seedgrid.scale import Direction, Scale
from seedgrid.seeds import Seeds
from seedgrid.training.text.tasks import majority_score

RECORD_VERSION = 1
# Keys of a record that its readers need.
_READ = (
    *("status", "steps", "seconds", "error", "diverged_at", "config", "identity", "versions"),
    *("train_examples", "validation_examples"),
)
NORMS = "gradient_norms.parquet"  # the one file that a trial may do without
FINISHED = ("completed", "nonfinite")
ENDED = (*FINISHED, "stopped")  # a trial that goes on after its rung writes its files anew
_NAME = re.compile(r"init=(\d+),order=(\d+)(?:,dropout=(\d+))?")


def trial_name(seeds: Seeds) -> str:
    """Name of a trial's folder, made of its seeds; the dropout seed is named where it is not its default."""
    name = f"init={seeds.init:03d},order={seeds.order:03d}"
    return name if seeds.dropout == Seeds().dropout else f"{name},dropout={seeds.dropout:03d}"


def trial_lock(folder: Path) -> FileLock:
    """The lock that a process holds while it runs the trial of ``folder``; raises Timeout if another one holds it."""
    locks = folder.parent / ".cache" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / f"{folder.name}.lock", timeout=0)


def is_running(folder: Path) -> bool:
    """Whether some process runs the trial of ``folder`` now, by its lock; creates nothing."""
    try:
        lock = os.open(folder.parent / ".cache" / "locks" / f"{folder.name}.lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who look at once do not see each other; given back with the file, a moment later.
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # file systems have either word for it
        return True
    finally:
        os.close(lock)
    return False


def status_now(recorded: str, folder: Path) -> str:
    """A trial's recorded status, but ``interrupted`` if that is ``running`` and no process runs it any more."""
    return "interrupted" if recorded == "running" and not is_running(folder) else recorded


def note_start(folder: Path) -> None:
    """Leave a mark that a job began for the trial of ``folder``, however far it comes: the time of its lock's file."""
    Path(trial_lock(folder).lock_file).touch()


def last_start(folder: Path) -> int | None:
    """When :func:`note_start` was last called for a trial; None: never."""
    try:
        return (folder.parent / ".cache" / "locks" / f"{folder.name}.lock").stat().st_mtime_ns
    except FileNotFoundError:
        return None


def locked_trials(sweep: Path) -> list[str]:
    """Names of the trials that some process runs, or once ran; sorted."""
    names = sorted(lock.stem for lock in (sweep / ".cache" / "locks").glob("*.lock"))
    return [name for name in names if read_seeds(name) is not None]


def read_seeds(name: str) -> Seeds | None:
    """The inverse of :func:`trial_name`; None for any other name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    numbers = [int(number or 0) for number in match.groups()]
    if max(numbers) >= 2**32:
        return None
    seeds = Seeds(init=numbers[0], order=numbers[1], dropout=numbers[2])
    return seeds if trial_name(seeds) == name else None


def trial_folders(sweep: Path) -> Iterator[tuple[Seeds, Path]]:
    """All trials' seeds and folders, in the order of their seeds."""
    yield from sorted(_unsorted(sweep), key=lambda trial: (trial[0].init, trial[0].order, trial[0].dropout))


def holds_trials(folder: Path) -> bool:
    """Whether a folder is a sweep's, of one trial or more."""
    return any(_unsorted(folder))


def _unsorted(sweep: Path) -> Iterator[tuple[Seeds, Path]]:
    if not sweep.is_dir():
        return
    with os.scandir(sweep) as inside:
        for each in inside:
            seeds = read_seeds(each.name)
            folder = sweep / each.name
            if seeds is not None and (folder / "trial.json").exists():
                yield seeds, folder


def find_sweeps(wanted: str | list[str] | None) -> list[Path]:
    """Folders of sweeps that names and patterns stand for, each once; a pattern's by name, run-2 before run-10.

    Raises:
        InputError: none is named, or a name or pattern finds no sweep.
    """
    if not wanted:
        raise InputError(
            f"sweep has no value: give a sweep's folder, for instance sweep=runs/quickstart{sweeps_here()}"
        )
    found: dict[Path, Path] = {}
    for name in [wanted] if isinstance(wanted, str) else wanted:
        folder = Path(name)
        if not folder.is_dir() and any(sign in name for sign in "*?["):
            folders = [Path(match) for match in sorted(glob(name), key=_by_number) if holds_trials(Path(match))]
            if not folders:
                raise InputError(f"sweep={name}: no sweep's folder is like that")
        else:
            folders = [folder]
        for folder in folders:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def sweeps_here() -> str:
    """What a message adds where no sweep is named: those in ``runs/``."""
    there = sorted(str(folder) for folder in Path("runs").glob("*") if holds_trials(folder))
    return f"; here are {', '.join(there)}" if there else ""


def _by_number(name: str) -> list[str | int]:
    """Orders names, and by size the numbers in them."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def sweeps_below(folder: Path, levels: int = 3) -> Iterator[Path]:
    """Folders of sweeps, at most so many levels below a folder or that folder itself, in the order of their names.

    What lies inside of a sweep is not searched; a folder that cannot be is taken for one, for its reader to say why.
    """
    try:
        if holds_trials(folder):
            yield folder
            return
        inside = sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    except FileNotFoundError:
        return
    except OSError:
        yield folder
        return
    for each in inside if levels else ():
        yield from sweeps_below(each, levels - 1)


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The keys in which two identities differ, with both values; empty if they are the same."""
    if before == now:
        return ""
    # As JSON, since that is what a record went through: tuples come back as lists.
    now = json.loads(json.dumps(now))
    differing = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    return ", ".join(f"{key} was {before.get(key)}, now {now.get(key)}" for key in differing)


def read_trial(folder: Path, index: Index | None = None) -> dict[str, Any]:
    """A trial's ``trial.json``.

    Args:
        folder: the trial's.
        index: what is known of the sweep's ended trials.

    Raises:
        InputError: the file is damaged or from another version of the record.
    """
    known = None if index is None else index.find(folder)
    if known is not None:
        return known.trial
    path = folder / "trial.json"
    try:
        trial = json.loads(path.read_text())
        version = trial["record_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({type(error).__name__}); redo=true runs the trial again") from None
    if version != RECORD_VERSION:
        raise InputError(
            f"{path}: record version {version}, this release reads {RECORD_VERSION}; redo=true runs the trial again"
        )
    missing = [key for key in _READ if key not in trial]
    if missing:
        raise InputError(f"{path}: damaged (no {missing[0]}); redo=true runs the trial again")
    if "direction" in trial:
        try:
            scale_of(trial)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"damaged ({type(error).__name__}: {error})"
            raise InputError(f"{path}: {reason}; redo=true runs the trial again") from None
    named = read_seeds(folder.name)
    if named is not None and trial.get("seeds", named.model_dump()) != named.model_dump():
        seeds = ", ".join(f"{name} {seed}" for name, seed in trial["seeds"].items())
        raise InputError(f"{path}: holds the trial of {seeds}; give the folder its name back, or move it away")
    return trial


def scale_of(trial: dict[str, Any]) -> Scale:
    """On what a trial's scores are read, by its ``trial.json``; an older one names a task's metric, higher better."""
    if "direction" not in trial:
        return Scale.of(trial["config"]["task"]["metric"])
    low, high = trial["range"]
    if trial["direction"] not in get_args(Direction):
        raise ValueError(f"direction is {trial['direction']}")
    return Scale.of(trial["metric"], trial["direction"], (low, high))


def check_finished(folder: Path, index: Index | None = None) -> None:
    """Raise InputError unless all files of a finished or stopped trial are there, can be opened, and are complete.

    Args:
        folder: the trial's.
        index: gets what was read.
    """
    trial = read_trial(folder)
    evaluations = predicted = None
    names = ["evaluations.parquet", NORMS, *(["predictions.npz"] if trial.get("predictions", True) else [])]
    for name in names:
        path = folder / name
        try:
            if name == "predictions.npz":
                with np.load(path) as archive:
                    predicted = archive["steps"].tolist()
            elif name == "evaluations.parquet":
                evaluations = read_table(path)
                evaluated = evaluations["step"].to_pylist()
            else:
                pq.read_metadata(path)
        except Exception as error:  # pyarrow, zipfile and the file system each have their own kinds
            if name == NORMS and isinstance(error, FileNotFoundError):
                continue
            reason = "missing" if isinstance(error, FileNotFoundError) else "damaged"
            raise InputError(f"{path}: {reason}; redo=true runs the trial again") from None
    check_complete(folder, trial, evaluated)
    if predicted is not None and predicted != evaluated:
        raise InputError(f"{path}: predictions of other evaluations than recorded; redo=true runs the trial again")
    if index is not None and trial["status"] in ENDED:
        index.add(folder, trial, evaluations, whole=True)


def check_complete(folder: Path, trial: dict[str, Any], evaluated: Sequence[int]) -> None:
    """Raise InputError where a trial's record cannot be what a trial of its status leaves; reads no loss.

    Every reader of records asks this: a trial that is completed by its word and not by its rows was not trained as its
    configuration says.

    Args:
        folder: the trial's.
        trial: what is in its ``trial.json``.
        evaluated: steps of its evaluations, as recorded.
    """
    if trial["status"] not in ENDED:
        return
    path = folder / "train_loss.parquet"
    try:
        losses = pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowException) as error:
        reason = "missing" if isinstance(error, FileNotFoundError) else "damaged"
        raise InputError(f"{path}: {reason}; redo=true runs the trial again") from None
    gap = find_gap(trial["status"], trial["steps"], losses, evaluated, _planned(trial))
    if gap is not None:
        raise InputError(f"{folder}: {gap}; redo=true runs the trial again")


def find_gap(
    status: str, steps: int, losses: int | None, evaluated: Sequence[int], planned: Sequence[int] | None
) -> str | None:
    """Why a trial's record cannot be; None if it can.

    Args:
        status: completed, nonfinite or stopped.
        steps: of the whole training.
        losses: steps whose loss is recorded; None: not known.
        evaluated: steps of its evaluations, as recorded.
        planned: steps at which the configuration has it evaluated; None: not known.
    """
    completed = status == "completed"
    if losses is not None and (losses != steps if completed else losses > steps):
        return f"{status} with {losses} of {steps} training losses"
    last = evaluated[-1] if evaluated else 0
    if completed and last != steps:
        return f"completed, and its last evaluation is at step {last} of {steps}"
    expected = evaluated if planned is None else planned if completed else planned[: len(evaluated)]
    differing = sorted({*evaluated} ^ {*expected})
    if differing:
        return f"{status} with other evaluations than planned (step {differing[0]})"
    if losses is not None and last > losses:
        return f"{status} with an evaluation at step {last} and {losses} training losses"
    return None


def _planned(trial: dict[str, Any]) -> Sequence[int] | None:
    per_epoch = trial.get("steps_per_epoch")
    return None if per_epoch is None else planned_evaluations(trial["config"], trial["steps"], per_epoch)


def planned_evaluations(config: dict[str, Any], steps: int, steps_per_epoch: int) -> Sequence[int] | None:
    """Steps at which a recorded configuration has a trial evaluated; None where it does not say."""
    evaluation = config.get("evaluation", {})
    asked = [evaluation.get(name) for name in ("schedule", "per_epoch", "at_start")]
    return None if None in asked else _planned_steps(*asked, steps, steps_per_epoch)


_planned_steps = lru_cache(maxsize=16)(planned_steps)  # the same of all trials of a sweep


@dataclass(frozen=True)
class Sweep:
    """All trials of a sweep.

    Attributes:
        folder: where they lie; for other people's trials, the file they were read from.
        trials: a row per trial: ``init``, ``order``, ``dropout``, ``status``, ``best_found`` and the ``best_step`` and
            ``best_epoch`` where it was first reached (NaN before the first evaluation), ``last_step``, ``steps``,
            ``diverged``, ``seconds``, ``error``, ``folder``.
        evaluations: a row per evaluation: ``init``, ``order``, ``dropout``, ``step``, ``epoch``, ``loss``, one column a
            metric, ``score``, ``best_so_far`` (NaN before the first step), ``seconds``.
        config: the settings of the trials, seeds aside (of the first trial); empty without trials.
        name: short name for captions.
        task, metric: names of the task and its score; empty without trials, the task also where it is not known.
        direction: ``max`` where a higher score is better, else ``min``.
        limits: lowest and highest score there can be, None where that is open; None: those of the metric of this name.
        diverged_at: a trial whose best found is at or below it (above it, where lower is better) counts as diverged;
            None: not known.
        majority: score of always predicting the most frequent validation label; None: not known, or there is no label.
        train_examples, validation_examples: sizes; None: not known.
        validation_digest: of the validation examples' content; None: not known.
        identity: what the numbers of the trials depend on, seeds and versions aside; empty: not known.
        versions: of the packages that the trials ran with, several of one with commas between; empty: not known.
        seeded: whether ``init`` and ``order`` are seeds; if not, they only number the trials.
        has_predictions: whether trials have their predictions beside them.
        read_as: how what is written was understood where it could be understood otherwise; empty: as it is written.
    """

    folder: Path
    trials: pd.DataFrame
    evaluations: pd.DataFrame
    config: dict[str, Any]
    name: str = ""
    task: str = ""
    metric: str = ""
    direction: Direction = "max"
    limits: tuple[float | None, float | None] | None = None
    diverged_at: float | None = None
    majority: float | None = None
    train_examples: int | None = None
    validation_examples: int | None = None
    validation_digest: str | None = None
    identity: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    seeded: bool = True
    has_predictions: bool = False
    read_as: str = ""

    @cached_property
    def scale(self) -> Scale:
        """On what its scores are read, with the decimals that tell them apart."""
        return Scale.of(self.metric, self.direction, self.limits).fitted(self.trials["best_found"])

    @property
    def mixed_versions(self) -> dict[str, str]:
        """Of the packages of which trials ran with different versions, these versions."""
        return {name: version for name, version in self.versions.items() if ", " in version}

    @cached_property
    def digest(self) -> str:
        """Of the folder's name and of what the trials that do not run any more recorded: as long as that stays, so does
        all that is said of them.
        """
        seeds = ["init", "order", "dropout"]
        going = self.trials["status"].isin(("running", "interrupted"))
        ended = self.trials.loc[~going, [*seeds, "status", "steps", "seconds", "error"]]
        # A column's type may follow from trials that still run.
        scores = self.evaluations.reindex(columns=[*seeds, "step", "score"]).astype(float)
        scores = scores.merge(ended[seeds].astype(float), on=seeds)
        digest = hashlib.sha256(f"{self.folder.resolve().name}\n{ended.to_csv(index=False)}".encode())
        digest.update(pd.util.hash_pandas_object(scores, index=False).to_numpy().tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def train_loss(self) -> pd.DataFrame:
        """A row per optimizer step: ``init``, ``order``, ``dropout``, ``step``, ``loss``, ``learning_rate``."""
        return _read_tables(self.trials, "train_loss.parquet")

    @cached_property
    def gradient_norms(self) -> pd.DataFrame:
        """A row per measurement: ``init``, ``order``, ``dropout``, ``step``, and the L2 norm of each layer group's
        gradients before clipping, a column each; no row of a trial whose gradients were not measured.
        """
        return _read_tables(self.trials, NORMS)

    def predictions(self, seeds: Seeds) -> dict[str, np.ndarray]:
        """A trial's ``steps``, ``logits`` (evaluations x examples x classes) and ``labels`` (examples)."""
        with ZipFile(self.folder / trial_name(seeds) / "predictions.npz") as archive:
            return {name.removesuffix(".npy"): _array(archive.read(name)) for name in archive.namelist()}


def _array(content: bytes) -> np.ndarray:
    """An array of an ``.npz``, in a third of the time of ``np.load``, which parses the same header for each trial."""
    if content[6:8] != b"\1\0":
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    start = 10 + int.from_bytes(content[8:10], "little")
    shape, fortran_order, dtype = _layout(content[:start])
    array = np.frombuffer(content, dtype, offset=start).reshape(shape, order="F" if fortran_order else "C")
    return array.copy(order="K")


@lru_cache(maxsize=64)
def _layout(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    file = io.BytesIO(header)
    np.lib.format.read_magic(file)
    return np.lib.format.read_array_header_1_0(file)


def read_sweep(folder: Path | str) -> Sweep:
    """Read a sweep's records, also while it runs.

    Raises:
        InputError: the folder does not exist, or a record is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"sweep={folder}: no such folder; run a sweep first, or name another one")
    rows, tables, versions, first = [], [], {}, None
    index = index_of(folder)
    for seeds, path in trial_folders(folder):
        known = index.find(path)
        trial = read_trial(path) if known is None else known.trial
        first = first or copy.deepcopy(trial)  # what becomes of a sweep's config is no matter of the index
        changes = differences(first["identity"], trial["identity"])
        if changes:
            raise InputError(f"{path}: another configuration than the trials before it ({changes}); move it away")
        directions = [each.get("direction", "max") for each in (first, trial)]
        if directions[0] != directions[1]:  # it changes no number of a trial, and so is no part of its identity
            said = " and ".join(directions)
            raise InputError(
                f"{path}: direction was {said} in trials of one sweep; write the right one into trial.json"
            )
        versions[tuple(trial["versions"].items())] = trial["versions"]
        table = _read_table(path, "evaluations.parquet", trial["status"]) if known is None else known.evaluations
        if known is None and table is not None:
            check_complete(path, trial, table["step"].to_pylist())
            if trial["status"] in ENDED:
                index.add(path, trial, table)
        tables.append(table)
        status = status_now(trial["status"], path)
        rows.append((*dict(seeds).values(), status, trial["steps"], trial["seconds"], trial["error"], str(path)))
    index.save()
    trials = pd.DataFrame(rows, columns=["init", "order", "dropout", "status", "steps", "seconds", "error", "folder"])
    evaluations = _one_frame(trials, tables)
    name = folder.name or folder.resolve().name
    if first is None:
        return Sweep(folder, *with_best(trials, evaluations, None), {}, name)
    scale, has_predictions = scale_of(first), first.get("predictions", True)
    return Sweep(
        folder,
        *with_best(trials, evaluations, first["diverged_at"], scale),
        first["config"],
        name=name,
        task=first["task"] if "task" in first else first["config"]["task"]["name"],
        metric=scale.metric,
        direction=scale.direction,
        limits=scale.known_limits,
        diverged_at=first["diverged_at"],
        majority=first["majority"] if "majority" in first else _majority(trials, scale.metric),
        train_examples=first["train_examples"],
        validation_examples=first["validation_examples"],
        validation_digest=first["identity"].get("data.validation"),
        identity=first["identity"],
        versions=_together(versions.values()),
        has_predictions=has_predictions,
    )


def _together(versions: Collection[dict[str, str]]) -> dict[str, str]:
    """Versions by package, those of one package with commas between where trials differ."""
    names = dict.fromkeys(name for each in versions for name in each)
    return {name: ", ".join(sorted({each.get(name, "unknown") for each in versions})) for name in names}


def _majority(trials: pd.DataFrame, metric: str) -> float | None:
    """The majority class's score, by the labels that some trial's predictions carry."""
    for folder in trials["folder"]:
        try:
            with np.load(Path(folder) / "predictions.npz") as archive:
                return majority_score(archive["labels"], metric)
        except Exception:  # not there yet, or damaged: whoever needs the predictions says so
            continue
    return None


def read_table(path: Path) -> pa.Table:
    """A file of a trial; as ``pyarrow.parquet.read_table``, in a third of its time, for it is one file and small."""
    with pq.ParquetFile(path) as file:
        return file.read(use_threads=False).replace_schema_metadata(None)


def _read_table(folder: Path, name: str, status: str) -> pa.Table | None:
    """A file of a trial; None where the trial may do without."""
    path = folder / name
    try:
        return read_table(path)
    except (FileNotFoundError, NotADirectoryError):  # trials of a file have no folder
        if status in FINISHED and name != NORMS:
            raise InputError(f"{path}: missing; redo=true runs the trial again") from None
        return None
    except (OSError, pa.ArrowException):
        raise InputError(f"{path}: damaged; redo=true runs the trial again") from None


def _read_tables(trials: pd.DataFrame, name: str) -> pd.DataFrame:
    return _one_frame(trials, [_read_table(Path(each.folder), name, each.status) for each in trials.itertuples()])


def _one_frame(trials: pd.DataFrame, tables: list[pa.Table | None]) -> pd.DataFrame:
    """One frame of all trials' tables, seeds first; trials without one are left out."""
    there = [table is not None for table in tables]
    if not any(there):
        return pd.DataFrame(columns=["init", "order", "dropout", "step"])
    tables[:] = [table for table in tables if table is not None]
    lengths = [len(table) for table in tables]
    table = pa.concat_tables(tables, promote_options="default")
    tables.clear()
    for place, column in enumerate(table.schema):
        if pa.types.is_null(column.type):  # of a loss that no trial gives
            table = table.set_column(place, column.name, table.column(place).cast(pa.float64()))
    # Column by column, each freed as soon as it is converted: the peak stays near the size of the data.
    frame = table.to_pandas(split_blocks=True, self_destruct=True)
    del table
    for position, column in enumerate(("init", "order", "dropout")):
        frame.insert(position, column, np.repeat(trials.loc[there, column].to_numpy(), lengths))
    return frame


def with_best(
    trials: pd.DataFrame, evaluations: pd.DataFrame, diverged_at: float | None, scale: Scale | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add what follows from the evaluations: best so far, best found, and whether a trial diverged.

    Args:
        trials, evaluations: as in :class:`Sweep`, without that.
        diverged_at: the threshold; None: not known.
        scale: of the scores; None: the higher is better. A score that is no finite number is no best.
    """
    scale = scale or Scale("")
    seeds = ["init", "order", "dropout"]
    if evaluations.empty:
        empty = {"best_found": np.nan, "best_step": np.nan, "best_epoch": np.nan, "last_step": 0}
        trials = trials.assign(**empty)
    else:
        curve = evaluations[evaluations["step"] > 0]
        curve = curve.assign(utility=scale.turned(curve["score"]).replace([-np.inf, np.inf], np.nan))
        evaluations = evaluations.assign(best_so_far=scale.turned(curve.groupby(seeds)["utility"].cummax()))
        scored = curve.dropna(subset="utility")
        best = scored.loc[scored.groupby(seeds)["utility"].idxmax(), [*seeds, "score", "step", "epoch"]]
        best = best.rename(columns={"score": "best_found", "step": "best_step", "epoch": "best_epoch"})
        last = evaluations.groupby(seeds)["step"].max().rename("last_step").reset_index()
        trials = trials.merge(best, "left", seeds).merge(last, "left", seeds).fillna({"last_step": 0})
    diverged = trials["status"] == "nonfinite"
    if diverged_at is not None:
        diverged |= scale.turned(trials["best_found"]) <= scale.turned(diverged_at)
    # A trial that still runs may yet leave the threshold behind.
    return trials.assign(diverged=diverged & trials["status"].isin(FINISHED)), evaluations
