"""The trials that Dodge et al. (2020) released, read from their pickle without running anything that it holds."""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from seedgrid.errors import InputError
from seedgrid.records.store import Sweep, with_best
from seedgrid.records.tidy import completed_trials
from seedgrid.training.text.tasks import METRIC_COLUMNS


@dataclass(frozen=True)
class _Published:
    """A task as the paper's tables 1 and 2 and section 4 describe it; sizes are the lines of GLUE's own files."""

    key: str  # of the score, in the file
    train_examples: int
    validation_examples: int
    majority: float
    diverged_at: float


_TASKS = {
    "mrpc": _Published("acc_and_f1", 3668, 408, majority=0.75, diverged_at=0.75),
    "rte": _Published("acc", 2490, 277, majority=0.53, diverged_at=0.50),
    "cola": _Published("mcc", 8551, 1043, majority=0.00, diverged_at=0.10),
    "sst2": _Published("acc", 67349, 872, majority=0.51, diverged_at=0.00),
}
_OTHER_NAMES = {"sst": "sst2", "sst-2": "sst2"}
_EPOCHS, _BATCH_SIZE = 3, 16  # section 3
_COLUMNS = {"loss": "loss", "acc": "accuracy", "f1": "f1", "acc_and_f1": "acc_and_f1", "mcc": "mcc"}

# The opcodes that make None, truth values, numbers, strings, lists, tuples and dicts, and those that arrange them.
_PLAIN = (
    *("MARK", "STOP", "POP", "POP_MARK", "DUP"),
    *("PROTO", "FRAME", "NONE", "NEWTRUE", "NEWFALSE"),
    *("INT", "BININT", "BININT1", "BININT2"),
    *("LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST"),
    *("LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
    *("GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"),
)
_CODES = frozenset(opcode.code for opcode in pickletools.opcodes if opcode.name in _PLAIN)


def read_released(path: Path | str, tasks: Sequence[str] | None = None) -> list[Sweep]:
    """The authors' trials, one sweep a task, in the order of the file.

    The file is a dict task -> init seed -> order seed -> trial; a trial maps a metric to ``{"before": x, "during":
    [[step, x], ...], "after": x}``. The authors' training code numbers steps from 0 and validates after the step, so
    step 0 of ``during`` is one optimizer step here; a file without a step 0, or with a step that is the number of all
    steps, is taken to count steps that were done. All evaluations are kept: about ten an epoch, far more in the first
    epoch. ``before`` is the evaluation at step 0, ``after`` the one at the last step, unless ``during`` has it already.
    The authors take a trial's best of ``during`` alone; here ``after`` counts too.

    Args:
        path: the pickle. Nothing is admitted but plain containers, numbers and strings; no code in it is run.
        tasks: those wanted (``mrpc``, ``rte``, ``cola``, ``sst2``); None: all in the file. The others are not checked.

    Returns:
        Sweeps with the paper's thresholds and majority baselines. Training losses are not kept.

    Raises:
        InputError: no such file, no whole pickle of plain data, or its content is not as above; names the place.
    """
    path = Path(path)
    content = _load(path)
    if type(content) is not dict or not content:
        _refuse(f"{path}: holds {_short(content)}, not a dict of tasks")
    found: dict[str, Any] = {}
    for name, inits in content.items():
        task = _our_name(name)
        if task not in _TASKS:
            _refuse(f"{path}: {_short(name)} is none of the tasks {', '.join(_TASKS)}")
        if task in found:
            _refuse(f"{path}: holds task {task} under two names")
        found[task] = inits
    wanted = list(found) if tasks is None else list(dict.fromkeys(map(_our_name, tasks)))
    for task in wanted:
        if task not in found:
            raise InputError(f"task={task}: {path} has no such task; it has {', '.join(found)}")
    return [_sweep(path, task, found[task]) for task in wanted]


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise InputError(f"it holds {_short(f'{module}.{name}')}, which is no plain container, number or string")


def _load(path: Path) -> Any:
    """What the pickle holds: None, truth values, numbers, strings, lists, tuples and dicts."""
    if not path.is_file():
        raise InputError(f"path={path}: no such file; name the pickle that the authors released")
    content = path.read_bytes()
    try:
        # Looked through first: the unpickler would allocate whatever a memo index or a frame asks for.
        for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if opcode.code not in _CODES:
                if opcode.name in ("GLOBAL", "STACK_GLOBAL", "INST"):
                    break  # the unpickler gets no further than this, and can name the class
                raise InputError(f"its opcode {opcode.name} makes no plain container, number or string")
            if (opcode.code in "pqr" and argument > number) or (opcode.name == "FRAME" and argument > len(content)):
                raise InputError(f"its opcode {opcode.name} asks for more memory than the file can need")
        return _PlainUnpickler(io.BytesIO(content)).load()
    except InputError as error:
        reason = str(error)
    except Exception as error:  # a damaged pickle fails in as many ways as there are opcodes
        reason = f"no whole pickle ({type(error).__name__})"
    raise InputError(f"{path}: {reason}; nothing was run; download the released file again, or use source=csv")


def _sweep(path: Path, task: str, inits: Any) -> Sweep:
    published = _TASKS[task]
    steps_per_epoch = math.ceil(published.train_examples / _BATCH_SIZE)
    total = _EPOCHS * steps_per_epoch
    seeds, series = [], []
    for init, orders in _by_seed(inits, f"{path}: {task}", "init"):
        for order, trial in _by_seed(orders, f"{path}: {task}, init {init}", "order"):
            seeds.append((init, order))
            series.append(_read_trial(trial, f"{path}: {task}, init {init}, order {order}", published.key, total))
    taken = np.concatenate([trial[published.key].steps for trial in series])
    shift = 1 if 0 in taken and total not in taken else 0

    steps, values, lengths = [], {key: [] for key in _COLUMNS if any(key in trial for trial in series)}, []
    for trial in series:
        during = trial[published.key].steps + shift
        # Whether before and after are told again by what was recorded during training.
        first, last = int(during[0] == 0), int(during[-1] == total)
        at = np.concatenate([[0] * (1 - first), during, [total] * (1 - last)]).astype(np.int64)
        steps.append(at)
        lengths.append(len(at))
        for key, column in values.items():
            whole = trial[key].values if key in trial else np.full(len(during) + 2, np.nan)
            column.append(whole[first : len(whole) - last])
    step = np.concatenate(steps)
    metric = _COLUMNS[published.key]
    columns = {_COLUMNS[key]: np.concatenate(column) for key, column in values.items()}
    loss = columns.pop("loss", np.full(len(step), np.nan))
    frame = pd.DataFrame(
        {
            **{seed: np.repeat([pair[k] for pair in seeds], lengths) for k, seed in enumerate(("init", "order"))},
            "dropout": 0,
            "step": step,
            "epoch": step / steps_per_epoch,
            "loss": loss,
            **{column: columns[column] for column in METRIC_COLUMNS[metric] if column in columns},
            "score": columns[metric],
            "seconds": np.nan,
        }
    )
    init, order = np.array(seeds, np.int64).T
    trials = completed_trials({"init": init, "order": order}, np.full(len(seeds), total), path)
    return Sweep(
        path,
        *with_best(trials, frame, published.diverged_at),
        {
            "task": {"name": task, "metric": metric, "diverged_at": published.diverged_at},
            "model": {"name": "bert_large"},
            "recipe": {"name": "dodge2020", "epochs": float(_EPOCHS), "batch_size": _BATCH_SIZE},
            "evaluation": {"per_epoch": 10.0},
        },
        name=f"{task}-bert_large-dodge2020",
        task=task,
        metric=metric,
        diverged_at=published.diverged_at,
        majority=published.majority,
        train_examples=published.train_examples,
        validation_examples=published.validation_examples,
    )


@dataclass(frozen=True)
class _Series:
    """One metric of a trial: steps as the file counts them (n), values before, during and after training (n + 2)."""

    steps: np.ndarray
    values: np.ndarray


def _read_trial(trial: Any, place: str, score_key: str, total: int) -> dict[str, _Series]:
    if type(trial) is not dict:
        _refuse(f"{place}: holds {_short(trial)}, not a dict of metrics")
    if score_key not in trial:
        _refuse(f"{place}: has no metric {score_key}")
    series = {key: _read_series(trial[key], f"{place}, {key}", key, total) for key in _COLUMNS if key in trial}
    for key, read in series.items():
        if not np.array_equal(read.steps, series[score_key].steps):
            _refuse(f"{place}, {key}: has other steps than {score_key}")
    return series


def _read_series(content: Any, place: str, key: str, total: int) -> _Series:
    if type(content) is not dict:
        _refuse(f"{place}: holds {_short(content)}, not a dict of before, during and after")
    for part in ("before", "during", "after"):
        if part not in content:
            _refuse(f"{place}: has no {part}")
    during = content["during"]
    if type(during) not in (list, tuple) or not during:
        _refuse(f"{place}, during: holds {_short(during)}, not a list of [step, value]")
    steps, values, previous = [], [_number(content["before"], f"{place}, before", key)], -1
    for position, entry in enumerate(during):
        if type(entry) not in (list, tuple) or len(entry) != 2:
            _refuse(f"{place}, during[{position}]: holds {_short(entry)}, not [step, value]")
        step, value = entry
        if type(step) is not int or not previous < step <= total:
            _refuse(
                f"{place}, during[{position}]: {_short(step)} is no step;"
                f" steps are whole numbers that rise over all epochs, up to {total}"
            )
        steps.append(step)
        values.append(_number(value, f"{place}, during[{position}]", key))
        previous = step
    values.append(_number(content["after"], f"{place}, after", key))
    return _Series(np.array(steps, np.int64), np.array(values, np.float64))


def _number(value: Any, place: str, key: str) -> float:
    low, high = {"loss": (0, sys.float_info.max), "mcc": (-1, 1)}.get(key, (0, 1))
    if type(value) not in (int, float) or not low <= value <= high:
        allowed = "a finite number from 0" if key == "loss" else f"a number from {low} to {high} (0.914, not 91.4)"
        _refuse(f"{place}: {_short(value)} is not {allowed}")
    return float(value)


def _by_seed(content: Any, place: str, name: str) -> list[tuple[int, Any]]:
    if type(content) is not dict or not content:
        _refuse(f"{place}: holds {_short(content)}, not a dict from {name} seed to what it holds")
    for seed in content:
        if type(seed) is not int or not 0 <= seed < 2**32:
            _refuse(f"{place}: {_short(seed)} is no {name} seed; seeds are whole numbers from 0 to 2**32 - 1")
    return sorted(content.items())


def _our_name(task: Any) -> Any:
    if type(task) is not str:
        return task
    return _OTHER_NAMES.get(task.lower(), task.lower())


def _refuse(fault: str) -> NoReturn:
    raise InputError(f"{fault}; take the file as the authors released it, or use source=csv")


def _short(value: Any) -> str:
    """A value for one line of a message, however long, deep or odd it is."""
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else f"{value[:40]}...")
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**18):
        return repr(value)
    if isinstance(value, (list, tuple, dict)) and not value:
        return f"an empty {type(value).__name__}"
    return f"an {type(value).__name__}" if isinstance(value, int) else f"a {type(value).__name__}"
