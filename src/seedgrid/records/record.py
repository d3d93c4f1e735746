"""Writes one trial's record: what it is, its losses, its gradients' norms, its evaluations, its predictions."""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import subprocess
from bisect import bisect_right
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seedgrid import __version__
from seedgrid.errors import InputError
from seedgrid.evaluation.evaluation import Evaluation
from seedgrid.files import write_json, write_whole
from seedgrid.records.rows import Row, merge_rows
from seedgrid.records.store import NORMS, RECORD_VERSION
from seedgrid.scale import Scale

PACKAGES = ("torch", "pytorch-lightning", "transformers", "tokenizers", "datasets", "numpy", "torchmetrics")


class TrialRecord:
    """The record of one trial, in memory and on disk.

    A step is recorded once all of it is done, its evaluation too where it has one; one that a failure cut short is not.

    Args:
        folder: the trial's folder.
        header: what is known before the first step: seeds, config, fingerprint, sizes, steps, device, ...
        labels: int64, validation examples; None: not known before an evaluation tells them.
    """

    def __init__(self, folder: Path, header: dict[str, Any], labels: np.ndarray | None = None) -> None:
        self.folder = folder
        self.labels = labels
        self.header = {
            "record_version": RECORD_VERSION,
            "status": "running",
            "run_id": secrets.token_hex(8),
            **header,
            "seconds": 0.0,
            "error": None,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "host": platform.node(),
            "versions": package_versions(),
            "code": code_version(),
        }
        self.step = 0  # the last that is done
        self.train_rows: list[tuple[int, float | None, float]] = []
        self.gradient_norms: list[dict[str, float]] = []
        self.evaluations: list[dict[str, float]] = []
        self.logits: list[np.ndarray] = []

    def resume(self, step: int, earlier: dict[str, Any]) -> None:
        """Take over what an earlier process recorded up to ``step``; what lies beyond will be recorded again.

        Args:
            step: of the checkpoint.
            earlier: its ``trial.json``; where it ran with other packages or elsewhere, the record says both.

        Raises:
            InputError: a file is damaged, or has less than the checkpoint promises.
        """
        try:
            losses = pq.read_table(self.folder / "train_loss.parquet").slice(0, step).to_pylist()
            norms = self.folder / NORMS
            measured = pq.read_table(norms).to_pylist() if norms.exists() else []
            rows = pq.read_table(self.folder / "evaluations.parquet").to_pylist()
            logits, labels = [], None
            if self.header.get("predictions", True):
                with np.load(self.folder / "predictions.npz") as archive:
                    logits, labels = list(archive["logits"]), archive["labels"]
        except Exception as error:  # pyarrow, zipfile and the file system each have their own kinds
            raise InputError(
                f"{self.folder}: damaged ({type(error).__name__}); redo=true runs the trial again"
            ) from None
        for key in ("host", "code"):
            self.header[key] = _both(earlier.get(key), self.header[key])
        versions = self.header["versions"].items()
        self.header["versions"] = {name: _both(earlier["versions"].get(name), now) for name, now in versions}
        self.step = step
        self.gradient_norms = [row for row in measured if row["step"] <= step]
        self.evaluations = [row for row in rows if row["step"] <= step]
        self.logits = logits[: len(self.evaluations)]
        self.labels = labels if self.labels is None else self.labels
        self.train_rows = [(row["step"], row["loss"], row["learning_rate"]) for row in losses]
        predicted = len(self.logits) if self.header.get("predictions", True) else len(self.evaluations)
        if len(self.train_rows) < step or predicted < len(self.evaluations):
            raise InputError(f"{self.folder}: less is recorded than its checkpoint promises; redo=true runs it again")

    def add_step(self, step: int, loss: float | None, learning_rate: float) -> None:
        self.train_rows.append((step, loss, learning_rate))

    def add_gradient_norms(self, row: dict[str, float]) -> None:
        """Record norms as the file will have them, in single precision."""
        norms = {name: float(np.float32(value)) for name, value in row.items() if name != "step"}
        self.gradient_norms.append({"step": row["step"], **norms})

    def add_evaluation(self, evaluation: Evaluation) -> None:
        """Record an evaluation, the last thing that is done at its step."""
        self.evaluations.append(
            {
                "step": evaluation.step,
                "epoch": evaluation.epoch,
                "loss": evaluation.loss,
                **evaluation.metrics,
                "score": evaluation.score,
                "seconds": evaluation.seconds,
            }
        )
        if self.header.get("predictions", True):
            self.logits.append(evaluation.logits.numpy())
            if evaluation.labels is not None:
                self.labels = evaluation.labels.numpy()
        self.step = evaluation.step

    def rows(self, after: int) -> list[Row]:
        """The rows of all steps that are done, beyond one."""

        def new(rows: list, key: int | str) -> list:
            first, last = (bisect_right(rows, step, key=itemgetter(key)) for step in (after, self.step))
            return rows[first:last]

        return merge_rows(new(self.train_rows, 0), new(self.gradient_norms, "step"), new(self.evaluations, "step"))

    def best(self, until: int | None = None) -> dict[str, float] | None:
        """The evaluation after step 0, up to a step, with the best score, the first of equals; None without one."""
        rows = (row for row in self.evaluations if row["step"] > 0 and (until is None or row["step"] <= until))
        scale = Scale.of("score", self.header.get("direction", "max"))
        return max(rows, key=lambda row: scale.turned(row["score"]), default=None)

    def write(self, status: str, seconds: float, error: str | None = None, **more: Any) -> None:
        """Write all files; ``trial.json`` last, so that its status never promises more than there is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        del self.train_rows[bisect_right(self.train_rows, self.step, key=itemgetter(0)) :]
        del self.gradient_norms[bisect_right(self.gradient_norms, self.step, key=itemgetter("step")) :]
        steps, losses, rates = zip(*self.train_rows, strict=True) if self.train_rows else ((), (), ())
        losses_table = pa.table(
            {
                "step": pa.array(steps, pa.int64()),
                "loss": pa.array(losses, pa.float64()),
                "learning_rate": pa.array(rates, pa.float64()),
            }
        )
        write_whole(self.folder / "train_loss.parquet", lambda file: pq.write_table(losses_table, file))
        norms = self.folder / NORMS
        if self.gradient_norms:
            step, *groups = self.gradient_norms[0]
            types = pa.schema({step: pa.int64(), **dict.fromkeys(groups, pa.float32())})
            norms_table = pa.Table.from_pylist(self.gradient_norms, types)
            write_whole(norms, lambda file: pq.write_table(norms_table, file))
        else:
            norms.unlink(missing_ok=True)  # of an earlier try
        if self.evaluations:
            evaluations = pa.Table.from_pylist(self.evaluations, _schema(self.evaluations))
        else:
            evaluations = pa.table({"step": pa.array([], pa.int64()), "score": pa.array([], pa.float64())})
        write_whole(self.folder / "evaluations.parquet", lambda file: pq.write_table(evaluations, file))
        if self.header.get("predictions", True):
            labels = np.empty(0, np.int64) if self.labels is None else self.labels
            logits = np.stack(self.logits) if self.logits else np.empty((0, len(labels), 0), np.float32)
            recorded = np.array([row["step"] for row in self.evaluations], np.int64)
            write_whole(
                self.folder / "predictions.npz",
                lambda file: np.savez(file, steps=recorded, logits=logits, labels=labels),
            )
        self.header |= {"status": status, "step": self.step, "seconds": round(seconds, 3), "error": error, **more}
        write_json(self.folder / "trial.json", self.header)


def _schema(rows: list[dict[str, float | None]]) -> pa.Schema:
    """Of evaluations: whole numbers are steps, all else numbers, also where none is known."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.schema({name: pa.int64() if name == "step" else pa.float64() for name in names})


def _both(before: str | None, now: str) -> str:
    if before is None or before == now:
        return now
    return before if before.endswith(f", then {now}") else f"{before}, then {now}"


@cache
def package_versions() -> dict[str, str]:
    """Versions of the packages that a trial's numbers may depend on."""
    return {name: version(name) for name in PACKAGES}


@cache
def code_version() -> str:
    """This project's version, with the commit where it runs from a git checkout of its own."""
    git, root = shutil.which("git"), Path(__file__).parents[3]
    # Installed, it may lie inside of somebody else's checkout; and a git hook's variables name theirs.
    if git is not None and (root / ".git").exists():
        described = subprocess.run(
            [git, "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        )
        if described.returncode == 0:
            return f"{__version__}+{described.stdout.strip()}"
    return __version__
