"""What a sweep says at its end: a table, pictures, what failed, and where everything lies."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seedgrid.errors import InputError, refusal
from seedgrid.files import write_whole
from seedgrid.records.index import index_of
from seedgrid.records.store import FINISHED, Sweep, read_sweep, read_trial, trial_folders, trial_name
from seedgrid.report import overview
from seedgrid.report.figures import is_grid
from seedgrid.seeds import Seeds
from seedgrid.settings import Settings
from seedgrid.shell import command
from seedgrid.training.contract import Prepared
from seedgrid.training.kinds import training_of
from seedgrid.trials import best_model
from seedgrid.trials.wandb_mode import upload_hint
from seedgrid.wording import DECIMALS, number

Say = Callable[..., None]


def summarize(
    settings: Settings,
    planned: Sequence[Seeds],
    prepared: Prepared,
    errors: dict[Path, str],
    redraw: bool,
    notes: Sequence[str] = (),
    say: Say = print,
) -> bool:
    """Print a sweep's summary, then draw its pictures: what cannot be written is a line, and takes nothing along.

    Args:
        settings: of the sweep.
        planned: seeds of the trials that this command asked for; the summary covers all trials of the folder.
        prepared: what the trials share.
        errors: why trials failed just now, by trial folder.
        redraw: draw the pictures even if there are some.
        notes: lines of the sweeper's own.
        say: as ``print``.

    Returns:
        Whether any planned trial failed, or the summary itself.
    """
    folder = Path(settings.sweep)
    try:
        sweep = read_sweep(folder)
    except InputError as error:
        say(f"error: {error}", file=sys.stderr)
        _print_failures(folder, planned, errors, say)
        return True
    planned_folders = [folder / trial_name(seeds) for seeds in planned]
    missing = [path for path in planned_folders if not (path / "trial.json").exists()]
    failed_at_once = sum(path in errors for path in missing)  # before there was a record that could say so
    more = []
    if failed_at_once:
        more.append(f"{failed_at_once} failed without a record")
    if len(missing) > failed_at_once:
        more.append(f"{len(missing) - failed_at_once} not started")
    say(f"\n{overview.headline(sweep, len(missing), more)}")
    for name, value in overview.lines(sweep):
        say(f"  {name:12} {value}")
    for note in (*notes, *prepared.remarks):
        say(f"  {note}")
    if sweep.mixed_versions:  # numbers may differ for that reason alone
        say(f"  warning: the trials ran with different versions of {', '.join(sweep.mixed_versions)}", file=sys.stderr)
    hint = upload_hint(folder) if redraw else None
    if hint is not None:
        say(f"  {hint}")
    failed = _print_failures(folder, planned, errors, say)
    for write in (_draw, _describe_best_model, _score_test) if overview.has_scores(sweep) else ():
        try:
            for line in write(sweep, settings, prepared, redraw, say):
                say(f"  {line}")
        except (InputError, OSError) as error:
            say(f"error: {error if isinstance(error, InputError) else refusal(error)}", file=sys.stderr)
            failed = True
    return failed


def _draw(sweep: Sweep, settings: Settings, prepared: Prepared, redraw: bool, say: Say) -> Iterator[str]:
    """Draw the pictures; where they lie."""
    scores = sweep.folder / ("grid.png" if is_grid(sweep.trials) else "trials.png")
    pictures = {scores: overview.draw_scores, sweep.folder / "curves.png": overview.draw_curves}
    if redraw or not all(path.exists() for path in pictures):
        for path, draw in pictures.items():
            figure = draw(sweep)
            write_whole(path, lambda file, figure=figure: figure.savefig(file, format="png", dpi=150))
    yield from (f"picture      {path}" for path in pictures)


def _describe_best_model(sweep: Sweep, settings: Settings, prepared: Prepared, redraw: bool, say: Say) -> Iterator[str]:
    """Write the best model's page; where it lies."""
    if not settings.keep_best or not (sweep.folder / best_model.FOLDER).exists():
        return
    missed = _missed(sweep)
    if missed is not None:
        say(
            f"  warning: {sweep.folder / best_model.FOLDER} holds a lesser model than the best trial's,"
            f" {sweep.scale.written(missed['best_found'])}, whose weights were not kept: move {missed['folder']} away,"
            " and the same command trains it again",
            file=sys.stderr,
        )
        return
    best_model.write_card(
        sweep.folder, training_of(settings), int(sweep.trials["status"].isin((*FINISHED, "stopped")).sum())
    )
    yield f"best model   {sweep.folder / best_model.FOLDER}"


def _missed(sweep: Sweep) -> pd.Series | None:
    """The best trial, where the best model's folder holds a lesser one: of ``keep_best=false``, or taken away."""
    facts = best_model.read_facts(sweep.folder / best_model.FOLDER)
    best = overview.best_trial(sweep.trials[sweep.trials["status"].isin((*FINISHED, "stopped"))], sweep.scale)
    turned = sweep.scale.turned
    return best if facts is not None and turned(facts["score"]) < turned(best["best_found"]) else None


def _score_test(sweep: Sweep, settings: Settings, prepared: Prepared, redraw: bool, say: Say) -> Iterator[str]:
    """Score the best model on the test file, if there is one; its score."""
    folder = sweep.folder / best_model.FOLDER
    if folder.exists() and _missed(sweep) is None:
        score = training_of(settings).test_score(prepared, folder, best_model.read_facts(folder))
        if score is not None:
            yield f"test         {sweep.metric} {sweep.scale.written(score)}, by the best model"


def _print_failures(folder: Path, planned: Sequence[Seeds], errors: dict[Path, str], say: Say) -> bool:
    failures = dict(errors)
    index = index_of(folder)
    for seeds in planned:
        path = folder / trial_name(seeds)
        try:
            trial = read_trial(path, index)
        except InputError:
            continue
        if trial["status"] == "failed":
            failures.setdefault(path, trial["error"])
    own = {path: reason for path, reason in failures.items() if path.parent == folder}
    if own:
        say(f"  failed       {len(own)}; the same command tries them again, unless retry=none", file=sys.stderr)
        for path, reason in sorted(own.items()):
            say(f"    {path.name}: {reason}", file=sys.stderr)
    return bool(own)


def print_commands(folders: Sequence[Path], prepared: Sequence[Prepared], say: Say) -> None:
    """Say what to type for the report of a command's sweeps, and to compare two that can be."""
    trials = (trial for folder in folders for _, trial in trial_folders(folder))
    try:
        if not any(read_trial(trial)["status"] in FINISHED for trial in trials):
            return
    except InputError:
        return  # damaged: said in the summary, with the remedy
    names = [str(folder) for folder in folders]
    say(f"  report       {command('report', sweep=names if len(names) > 1 else names[0])}")
    judged_by = {(each.task, each.metric, each.direction, each.identity.get("data.validation")) for each in prepared}
    if len(names) == 2 and len(judged_by) == 1:
        say(f"  compare      {command('compare', a=names[0], b=names[1])}")


def compare_sweeps(folders: list[Path], say: Say) -> None:
    """One table of several sweeps of a command."""
    rows, decimals = {}, []
    for folder in folders:
        sweep = read_sweep(folder)
        trials, scale = sweep.trials, sweep.scale
        decimals.append(scale.decimals)
        finished = trials[trials["status"].isin(FINISHED)]
        stopped = trials[trials["status"] == "stopped"]
        # Of trials that were chosen by their scores, only the best says what it seems to say.
        scores = finished["best_found"] if stopped.empty else pd.Series(dtype=float)
        rows[str(folder)] = {
            "trials": len(finished) + len(stopped),
            "best found": scale.turned(scale.turned(pd.concat([finished, stopped])["best_found"]).max()),
            "mean": scores.mean(),
            "std": scores.std(),
            "diverged": int(finished["diverged"].sum()) if stopped.empty else np.nan,
            "s a trial": finished["seconds"].mean(),
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    for name in ("best found", "mean", "std") if set(decimals) != {DECIMALS} else ():
        table[name] = [
            "NaN" if math.isnan(value) else number(value, places)
            for value, places in zip(table[name], decimals, strict=True)
        ]
    say("\n" + table.to_string(float_format="%.4f") + "\n")


def seconds_a_trial(folder: Path) -> float | None:
    """Mean seconds of a sweep's completed trials; None without any."""
    index = index_of(folder)
    trials = [read_trial(path, index) for _, path in trial_folders(folder)]
    seconds = [trial["seconds"] for trial in trials if trial["status"] == "completed"]
    return sum(seconds) / len(seconds) if seconds else None
