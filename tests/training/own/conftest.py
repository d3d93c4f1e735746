"""Trials of the trainings in ``their_own.py``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from seedgrid.records.store import trial_name
from seedgrid.training.own.training import OwnRun
from seedgrid.trials import interrupt
from seedgrid.trials.best_model import FOLDER, read_facts
from seedgrid.trials.preparation import prepare
from seedgrid.trials.run import run_trial

OWN = (
    *("training=own", "training.module._target_=their_own.Net", "training.data._target_=their_own.Points"),
    *(
        "training.score=val_loss",
        "training.direction=min",
        "training.epochs=3",
        "logger=none",
        "evaluation.per_epoch=3",
    ),
)


@dataclass
class Ended:
    """A trial: its status, its record, and the modules that its processes trained, the last one last."""

    status: str
    folder: Path
    modules: list[Any]

    def numbers(self) -> dict[str, Any]:
        """All that a trial leaves, but times."""
        numbers = {}
        for name in ("train_loss", "gradient_norms", "evaluations"):
            table = pq.read_table(self.folder / f"{name}.parquet")
            numbers[name] = table.drop_columns(["seconds"] if "seconds" in table.column_names else []).to_pydict()
        best = self.folder.parent / FOLDER
        numbers["best"] = read_facts(best), {k: v.tolist() for k, v in load_file(best / "model.safetensors").items()}
        return numbers

    def record(self) -> dict[str, Any]:
        return json.loads((self.folder / "trial.json").read_text())

    def weights(self) -> dict[str, torch.Tensor]:
        return self.modules[-1].state_dict()


@pytest.fixture
def own_settings(settings_of, tmp_path, monkeypatch):
    """Settings of a trial of the user's own training, in a sweep by that name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def made(*overrides: str, sweep: str = "sweep"):
        return settings_of([*OWN, f"sweep={tmp_path / sweep}", *overrides])

    return made


@pytest.fixture
def run(own_settings, monkeypatch):
    """Run a trial, which is asked to stop after so many of its steps each time and then goes on."""

    def ran(*overrides: str, sweep: str = "sweep", stops: tuple[int, ...] = (), status: str = "completed") -> Ended:
        settings = own_settings(*overrides, sweep=sweep)
        modules, real = [], OwnRun.fit

        def fit(self, course):
            modules.append(self.module)
            real(self, course)

        with monkeypatch.context() as patched:
            patched.setattr(OwnRun, "fit", fit)
            for stop in stops:
                answers = count(-stop)  # the first before the trial, then one after each step
                patched.setattr(interrupt, "requested", lambda answers=answers: next(answers) >= 0)
                assert run_trial(settings, prepare(settings)).status == "interrupted"
            patched.setattr(interrupt, "requested", lambda: False)
            outcome = run_trial(settings, prepare(settings))
        assert outcome.status == status, outcome.error
        folder = Path(settings.sweep) / trial_name(settings.seed)
        return Ended(outcome.status, folder, modules)

    return ran
