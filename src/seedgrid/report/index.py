"""The page that lists all sweeps and compares those whose scores can be: read anew from the records each time."""

from __future__ import annotations

import base64
import os
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pandas as pd

from seedgrid.errors import InputError, one_line
from seedgrid.records.store import FINISHED, Sweep, is_running, read_sweep, sweeps_below, trial_folders
from seedgrid.report.arrays import SEEDS, FinishedTrials, finished_trials, model_in_words
from seedgrid.report.comparing import validation_examples
from seedgrid.report.figures import scores_by_sweep
from seedgrid.report.page import cells, render, svg
from seedgrid.report.section import Section
from seedgrid.report.sections.scores import arguments_in_words, best_found, recipe_in_words
from seedgrid.shell import command
from seedgrid.wording import hours

_COUNTED = (*FINISHED, "stopped", "failed", "running", "interrupted")
Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Seen:
    """A sweep as it was read.

    Attributes:
        stamp: names, times and sizes of the files that were read; while they stay, so does all else.
        sweep: its records; None: they cannot be read.
        study: its finished trials; None: there are none.
        problem: why it cannot be read, in one line; empty where it can.
    """

    stamp: Stamp
    sweep: Sweep | None = None
    study: FinishedTrials | None = None
    problem: str = ""

    @property
    def group(self) -> tuple[str, str, str, str]:
        """Equal for sweeps whose scores can be compared."""
        return self.sweep.task, self.sweep.metric, self.sweep.direction, validation_examples(self.sweep)


class SweepIndex:
    """All sweeps below a folder, by their paths there; reads again only what has changed."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._seen: dict[str, Seen] = {}

    def folders(self) -> dict[str, Path]:
        """The folders of all sweeps, by name."""
        found = {each.relative_to(self.runs).as_posix(): each for each in sweeps_below(self.runs)}
        # The folder itself, if it is a sweep, has no path below itself.
        return {self.runs.resolve().name if name == "." else name: each for name, each in found.items()}

    def look(self, name: str, folder: Path) -> Seen:
        """A sweep as it is now."""
        try:
            stamp = _stamp(folder)
            if name not in self._seen or self._seen[name].stamp != stamp:
                self._seen[name] = _read(name, folder, stamp)
            return self._seen[name]
        except InputError as error:
            problem = str(error)
        except Exception as error:  # whatever is wrong with one sweep hides no other
            problem = f"{folder}: cannot be read ({one_line(error)})"
        return Seen((), problem=problem)

    def page(self) -> str:
        """The page's HTML."""
        groups: dict[tuple[str, str, str, str], dict[str, Seen]] = {}
        damaged = {}
        for name, folder in self.folders().items():
            seen = self.look(name, folder)
            if seen.problem:
                damaged[name] = seen.problem
            else:
                groups.setdefault(seen.group, {})[name] = seen
        views = [_group(sweeps) for _, sweeps in sorted(groups.items())]
        for before, view in pairwise(views):
            view["again"] = before["of"] == view["of"] and view["examples"] is not None
        return render(
            "index",
            title=f"Sweeps in {self.runs}",
            runs=self.runs,
            train=command("train"),
            groups=views,
            damaged=damaged,
        )


def _stamp(folder: Path) -> Stamp:
    found = []
    for _, path in trial_folders(folder):
        for name in ("trial.json", "evaluations.parquet"):
            file = f"{path}/{name}"
            try:
                stat = os.stat(file)
            except FileNotFoundError:
                continue
            found.append((file, stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def _read(name: str, folder: Path, stamp: Stamp) -> Seen:
    # The locks of trials that were running are asked for again each time, by what `trials` says.
    sweep = replace(read_sweep(folder), name=name)
    try:
        study = finished_trials(sweep)
    except InputError:  # none has finished yet
        study = None
    return Seen(stamp, sweep, study)


def _group(sweeps: dict[str, Seen]) -> dict[str, object]:
    """What the page shows of sweeps whose scores can be compared."""
    first = next(iter(sweeps.values())).sweep
    studies = [seen.study for seen in sweeps.values() if seen.study is not None]
    found = best_found(studies) if studies else None
    numbers = {} if found is None else dict(zip(found.table["sweep"], _rows(found), strict=True))
    by_mean = sorted(studies, key=lambda study: (study.selected, -study.utilities.mean()))
    drawn = {name: trials for name, seen in sweeps.items() if (trials := _scores(seen))["best_found"].notna().any()}
    thresholds = {seen.sweep.diverged_at for seen in sweeps.values()}
    picture = None
    if drawn:
        figure = scores_by_sweep(drawn, first.scale, thresholds.pop() if len(thresholds) == 1 else None)
        picture = base64.b64encode(svg(figure)).decode()
    return {
        "of": _of(first),
        "metric": first.metric,
        "again": False,
        "examples": first.validation_examples,
        "rows": [_row(name, seen, numbers.get(name)) for name, seen in sweeps.items()],
        "missing": () if found is None else found.missing,
        "reading": "" if found is None else found.reading,
        "picture": picture,
        "compared": [study.name for study in by_mean],
    }


def _of(sweep: Sweep) -> str:
    """What its scores are of."""
    lower = ", lower is better" if sweep.scale.lower_is_better else ""
    return f"{sweep.task}, {sweep.metric}{lower}"


def _scores(seen: Seen) -> pd.DataFrame:
    """All trials of a sweep; of the finished, the scores that the mean is taken of."""
    trials = seen.sweep.trials
    if seen.study is None:
        return trials
    scored = trials[SEEDS].merge(seen.study.trials[[*SEEDS, "score"]], "left", SEEDS)["score"]
    return trials.assign(best_found=scored.fillna(trials["best_found"]))


def _rows(section: Section) -> list[dict[str, str]]:
    """A section's table as text, a row each."""
    columns = cells(section)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _row(name: str, seen: Seen, numbers: dict[str, str] | None) -> dict[str, object]:
    trials, config = seen.sweep.trials, seen.sweep.config
    open_ones = trials["status"].isin(("running", "interrupted"))
    running = sum(is_running(Path(folder)) for folder in trials.loc[open_ones, "folder"])
    counts = Counter(trials["status"])
    counts["interrupted"], counts["running"] = open_ones.sum() - running, running
    row = {
        "name": name,
        "model": model_in_words(config),
        "recipe": recipe_in_words(config.get("recipe", {})) or arguments_in_words(config),
        "counts": ", ".join(f"{counts[status]} {status}" for status in _COUNTED if counts[status]),
        "running": running > 0,
        "in_all": hours(trials["seconds"].sum()),
        "changed": f"{datetime.fromtimestamp(max(time for _, time, _ in seen.stamp) / 1e9):%Y-%m-%d %H:%M}",
    }
    if numbers is None:
        return row | dict.fromkeys(("best found", "seeds", "mean", "std", "diverged", "a_trial"), "-")
    seeds = [f"{key.removesuffix(' seed')} {seed}" for key, seed in numbers.items() if key.endswith(" seed")]
    scores = {key: numbers[key] for key in ("best found", "mean", "std")}
    diverged = "-" if seen.study.selected else f"{numbers['diverged']} of {len(seen.study.trials)}"
    a_trial = hours(seen.study.trials["seconds"].mean())
    return row | scores | {"seeds": ", ".join(seeds), "diverged": diverged, "a_trial": a_trial}
