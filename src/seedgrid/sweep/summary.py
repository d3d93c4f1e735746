"""What a sweep says at its end: a table, pictures, what failed, and where everything lies."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seedgrid.errors import InputError, refusal
from seedgrid.files import write_whole
from seedgrid.records.index import index_of
from seedgrid.records.store import FINISHED, Sweep, read_sweep, read_trial, trial_folders, trial_name
from seedgrid.report import figures
from seedgrid.seeds import Seeds
from seedgrid.settings import Settings
from seedgrid.shell import command
from seedgrid.trials import best_model
from seedgrid.trials.preparation import Prepared
from seedgrid.trials.wandb_mode import upload_hint
from seedgrid.wording import count, hours


def summarize(
    settings: Settings,
    planned: Sequence[Seeds],
    prepared: Prepared,
    errors: dict[Path, str],
    redraw: bool,
    notes: Sequence[str] = (),
) -> bool:
    """Print a sweep's summary, then draw its pictures: what cannot be written is a line, and takes nothing along.

    Args:
        settings: of the sweep.
        planned: seeds of the trials that this command asked for; the summary covers all trials of the folder.
        prepared: what the trials share.
        errors: why trials failed just now, by trial folder.
        redraw: draw the pictures even if there are some.
        notes: lines of the sweeper's own.

    Returns:
        Whether any planned trial failed, or the summary itself.
    """
    folder = Path(settings.sweep)
    try:
        sweep = read_sweep(folder)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        _print_failures(folder, planned, errors)
        return True
    finished = sweep.trials[sweep.trials["status"].isin(FINISHED)]
    stopped = sweep.trials[sweep.trials["status"] == "stopped"]
    counts = sweep.trials["status"].value_counts()
    planned_folders = [folder / trial_name(seeds) for seeds in planned]
    missing = [path for path in planned_folders if not (path / "trial.json").exists()]
    failed_at_once = sum(path in errors for path in missing)  # before there was a record that could say so
    parts = [f"{counts[status]} {status}" for status in counts.index]
    if failed_at_once:
        parts.append(f"{failed_at_once} failed without a record")
    if len(missing) > failed_at_once:
        parts.append(f"{len(missing) - failed_at_once} not started")
    print(f"\n{folder}: {count(len(sweep.trials) + len(missing))}, {', '.join(parts) or 'none yet'}")
    scored = finished["best_found"].notna().any()
    if scored:
        _print_table(finished, stopped, settings.task.metric, prepared.diverged_at)
    for note in (*notes, *prepared.remarks):
        print(f"  {note}")
    if sweep.mixed_versions:  # numbers may differ for that reason alone
        print(
            f"  warning: the trials ran with different versions of {', '.join(sweep.mixed_versions)}", file=sys.stderr
        )
    hint = upload_hint(folder) if redraw else None
    if hint is not None:
        print(f"  {hint}")
    failed = _print_failures(folder, planned, errors)
    for write in (_draw, _describe_best_model, _score_test) if scored else ():
        try:
            for line in write(sweep, settings, prepared, redraw):
                print(f"  {line}")
        except (InputError, OSError) as error:
            print(f"error: {error if isinstance(error, InputError) else refusal(error)}", file=sys.stderr)
            failed = True
    return failed


def _best(trials: pd.DataFrame) -> pd.Series:
    return trials.loc[trials.sort_index()["best_found"].idxmax()]  # equals: the smaller seeds, as for the best model


def _print_table(finished: pd.DataFrame, stopped: pd.DataFrame, metric: str, diverged_at: float) -> None:
    every = pd.concat([finished, stopped])
    best = _best(every)
    seeds = f"init {best['init']}, order {best['order']}"
    if every["dropout"].nunique() > 1:
        seeds += f", dropout {best['dropout']}"
    scores = finished["best_found"]
    print(f"  best found   {best['best_found']:.4f} {metric}   {seeds}, epoch {best['best_epoch']:.2f}")
    if len(stopped):  # those that went on were chosen by their scores
        print("  mean, std    not available: trials were stopped for their scores")
    else:
        print(f"  mean         {scores.mean():.4f}")
        if len(scores) > 1:
            print(f"  std          {scores.std():.4f}   lowest {scores.min():.4f}")
        print(
            f"  diverged     {finished['diverged'].sum()} of {len(finished)} (best found at or below {diverged_at:.4g})"
        )
    print(f"  time         {finished['seconds'].mean():.1f} s a trial, {hours(every['seconds'].sum())} in all")


def _draw(sweep: Sweep, settings: Settings, prepared: Prepared, redraw: bool) -> Iterator[str]:
    """Draw the pictures; where they lie."""
    folder, metric, title = sweep.folder, settings.task.metric, sweep.folder.name
    grid = figures.is_grid(sweep.trials)
    paths = [folder / ("grid.png" if grid else "trials.png"), folder / "curves.png"]
    if redraw or not all(path.exists() for path in paths):
        draw = figures.heat_map if grid else figures.ranked_trials
        unfinished = ~sweep.trials["status"].isin(FINISHED)
        pictures = [
            draw(sweep.trials.assign(best_found=sweep.trials["best_found"].mask(unfinished)), metric, title),
            figures.validation_curves(sweep.trials, sweep.evaluations, metric, prepared.diverged_at, title),
        ]
        for path, picture in zip(paths, pictures, strict=True):
            write_whole(path, lambda file, picture=picture: picture.savefig(file, format="png", dpi=150))
    yield from (f"picture      {path}" for path in paths)


def _describe_best_model(sweep: Sweep, settings: Settings, prepared: Prepared, redraw: bool) -> Iterator[str]:
    """Write the best model's page; where it lies."""
    if not settings.keep_best or not (sweep.folder / best_model.FOLDER).exists():
        return
    missed = _missed(sweep)
    if missed is not None:
        print(
            f"  warning: {sweep.folder / best_model.FOLDER} holds a lesser model than the best trial's,"
            f" {missed['best_found']:.4f}, whose weights were not kept: move {missed['folder']} away, and the same"
            " command trains it again",
            file=sys.stderr,
        )
        return
    best_model.write_card(sweep.folder, int(sweep.trials["status"].isin((*FINISHED, "stopped")).sum()))
    yield f"best model   {sweep.folder / best_model.FOLDER}"


def _missed(sweep: Sweep) -> pd.Series | None:
    """The best trial, where the best model's folder holds a lesser one: of ``keep_best=false``, or taken away."""
    facts = best_model.read_facts(sweep.folder / best_model.FOLDER)
    best = _best(sweep.trials[sweep.trials["status"].isin((*FINISHED, "stopped"))])
    return best if facts is not None and facts["score"] < best["best_found"] else None


def _score_test(sweep: Sweep, settings: Settings, prepared: Prepared, redraw: bool) -> Iterator[str]:
    """Score the best model on the test file, if there is one; its score."""
    if prepared.test is not None and (sweep.folder / best_model.FOLDER).exists() and _missed(sweep) is None:
        from seedgrid.trials.held_out import score_test

        yield f"test         {settings.task.metric} {score_test(settings, prepared):.4f}, by the best model"


def _print_failures(folder: Path, planned: Sequence[Seeds], errors: dict[Path, str]) -> bool:
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
        print(f"  failed       {len(own)}; the same command tries them again, unless retry=none", file=sys.stderr)
        for path, reason in sorted(own.items()):
            print(f"    {path.name}: {reason}", file=sys.stderr)
    return bool(own)


def print_commands(folders: Sequence[Path], prepared: Sequence[Prepared]) -> None:
    """Say what to type for the report of a command's sweeps, and to compare two that can be."""
    trials = (trial for folder in folders for _, trial in trial_folders(folder))
    try:
        if not any(read_trial(trial)["status"] in FINISHED for trial in trials):
            return
    except InputError:
        return  # damaged: said in the summary, with the remedy
    names = [str(folder) for folder in folders]
    print(f"  report       {command('report', sweep=names if len(names) > 1 else names[0])}")
    judged_by = {(each.identity["task.metric"], each.identity["data.validation"]) for each in prepared}
    if len(names) == 2 and len(judged_by) == 1:
        print(f"  compare      {command('compare', a=names[0], b=names[1])}")


def compare_sweeps(folders: list[Path]) -> None:
    """One table of several sweeps of a command."""
    rows = {}
    for folder in folders:
        trials = read_sweep(folder).trials
        finished = trials[trials["status"].isin(FINISHED)]
        stopped = trials[trials["status"] == "stopped"]
        # Of trials that were chosen by their scores, only the best says what it seems to say.
        scores = finished["best_found"] if stopped.empty else pd.Series(dtype=float)
        rows[str(folder)] = {
            "trials": len(finished) + len(stopped),
            "best found": pd.concat([finished, stopped])["best_found"].max(),
            "mean": scores.mean(),
            "std": scores.std(),
            "diverged": int(finished["diverged"].sum()) if stopped.empty else np.nan,
            "s a trial": finished["seconds"].mean(),
        }
    print("\n" + pd.DataFrame.from_dict(rows, orient="index").to_string(float_format="%.4f") + "\n")


def seconds_a_trial(folder: Path) -> float | None:
    """Mean seconds of a sweep's completed trials; None without any."""
    index = index_of(folder)
    trials = [read_trial(path, index) for _, path in trial_folders(folder)]
    seconds = [trial["seconds"] for trial in trials if trial["status"] == "completed"]
    return sum(seconds) / len(seconds) if seconds else None
