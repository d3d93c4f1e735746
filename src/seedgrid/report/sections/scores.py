"""The paper's Tables 1 and 2: what each sweep is of, and the best score that it found."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from seedgrid.report.arrays import SEEDS, FinishedTrials
from seedgrid.report.section import Section
from seedgrid.wording import count

# By task and metric: the range of BERT-large's scores published before the paper, and the paper's best found (Table 1).
_PUBLISHED = {
    ("mrpc", "acc_and_f1"): ("0.880 to 0.907", 0.914),
    ("rte", "accuracy"): ("0.700 to 0.704", 0.773),
    ("cola", "mcc"): ("0.606 to 0.621", 0.676),
    ("sst2", "accuracy"): ("0.925 to 0.932", 0.951),
}


def best_found(studies: Sequence[FinishedTrials]) -> Section:
    """The paper's Table 1: best found score of each sweep, its seeds, and the spread it was picked from."""
    rows, readings, missing = [], [], []
    for study in studies:
        sweep, trials = study.sweep, _with_stopped(study)
        # Those that went on were chosen by their scores, so they say nothing of trials in general.
        sample = study.trials[:0] if study.selected else study.trials
        scores = sample["score"]
        best = trials.loc[trials["score"].idxmax()]
        seeds = {"init seed": best["init"], "order seed": best["order"]}
        if any(other.trials["dropout"].nunique() > 1 for other in studies):
            seeds["dropout seed"] = best["dropout"]
        before, found = _PUBLISHED.get((sweep.task, sweep.metric), (None, None))
        rows.append(
            {
                "sweep": study.name,
                "trials": len(trials),
                "best found": float(best["score"]),
                **(seeds if sweep.seeded else dict.fromkeys(seeds)),
                "mean": float(scores.mean()),
                "std": float(scores.std()),
                "lowest": float(scores.min()),
                "diverged": pd.NA if study.selected else int(sample["diverged"].sum()),
                "published before": before,
                "best found in the paper": found,
            }
        )
        readings.append(_read_best(study, best))
        if sweep.diverged_at is None:
            missing.append(
                f"{study.name}: no threshold of divergence is known, so only trials whose loss was no number count as "
                "diverged"
            )
        if study.selected:
            missing.append(
                f"{study.name}: mean, std, lowest and diverged are not available: "
                f"{count(len(trials) - len(study.trials))} of {len(trials):,} stopped for their scores"
            )
        if len(trials) == 1:
            missing.append(f"{study.name}: no standard deviation of a single trial; run more seeds")
    table = pd.DataFrame(rows)
    table = table.astype({name: "Int64" for name in table if name.endswith(" seed") or name == "diverged"})
    if any((study.scores == study.scores.max()).sum() > 1 for study in studies):
        tie = " Where several trials share it, the seeds are those of the first."
    else:
        tie = ""
    caption = (
        "Best found: the highest validation score of any evaluation of any finished trial (Dodge et al. 2020, "
        "Table 1); mean, standard deviation (n - 1) and lowest are over the trials' best scores. The best was picked "
        "after seeing these scores, on the same validation examples, so it promises more than that trial will score "
        f"on new ones.{tie}"
    )
    if table["published before"].notna().any():
        caption += (
            " Published before, and best found in the paper: scores of BERT-large fine-tuned on the full training data "
            "and read on the full validation data, for reference; not comparable with another model or fewer examples."
        )
    else:
        table = table.drop(columns=["published before", "best found in the paper"])
    return Section("table-1", "Best found", "\n".join(readings), caption, table=table, missing=missing)


def _with_stopped(study: FinishedTrials) -> pd.DataFrame:
    """The finished trials and those that were stopped, any of which may have found the best, by their seeds."""
    stopped = study.sweep.trials[study.sweep.trials["status"] == "stopped"].dropna(subset="best_found")
    both = pd.concat([study.trials, stopped.assign(score=stopped["best_found"])])
    return both.sort_values(SEEDS, ignore_index=True)


def _seeds(study: FinishedTrials, trial: pd.Series) -> str:
    named = SEEDS if study.sweep.trials["dropout"].nunique() > 1 else SEEDS[:2]
    return ", ".join(f"{name} seed {trial[name]}" for name in named)


def _read_best(study: FinishedTrials, best: pd.Series) -> str:
    if study.selected:
        trials = _with_stopped(study)
        return (
            f"{study.name}: the best of {count(len(trials))}, {len(study.trials):,} of them trained to the end, "
            f"reached {best['score']:.3f} ({_seeds(study, best)})."
        )
    scores, diverged = study.scores, int(study.trials["diverged"].sum())
    seeds = f" ({_seeds(study, best)})" if study.sweep.seeded else ""
    if len(scores) == 1:
        ended = ", and it diverged" if diverged else ""
        return f"{study.name}: the only finished trial reached {scores[0]:.3f}{seeds}{ended}."
    if scores.max() == scores.min():
        ended = "; all of them diverged" if diverged == len(scores) else ""
        return f"{study.name}: all {len(scores):,} trials reached {scores[0]:.3f}{ended}."
    tied = int((scores == scores.max()).sum())
    who = f"the best of {count(len(scores))}{seeds}" if tied == 1 else f"{tied} of {count(len(scores))} share the best"
    text = (
        f"{study.name}: {who} {'reached' if tied == 1 else 'score,'} {scores.max():.3f}; the mean is "
        f"{scores.mean():.3f}, the standard deviation {scores.std(ddof=1):.3f}, the lowest {scores.min():.3f}"
    )
    if diverged == len(scores):
        return f"{text}; all of them diverged."
    return f"{text}; {f'{diverged:,}' if diverged else 'none'} diverged."


def tasks(studies: Sequence[FinishedTrials]) -> Section:
    """The paper's Table 2: task, metric, majority baseline and sizes, with what was trained and how."""
    rows, readings, missing = [], [], []
    for study in studies:
        sweep = study.sweep
        rows.append(
            {
                "sweep": study.name,
                "task": sweep.task or None,
                "metric": sweep.metric or None,
                "majority baseline": sweep.majority,
                "diverged at or below": sweep.diverged_at,
                "training examples": sweep.train_examples,
                "validation examples": sweep.validation_examples,
                "model": sweep.config.get("model", {}).get("name"),
                "recipe": recipe_in_words(sweep.config.get("recipe", {})),
                "evaluations a trial": int(pd.notna(study.curves).sum(axis=1).max()),
            }
        )
        parts = [f"{count(rows[-1]['evaluations a trial'], 'evaluation')} a trial"]
        if sweep.majority is not None:
            parts.append(f"always predicting the majority class scores {sweep.majority:.3f}")
        if sweep.diverged_at is not None:
            parts.append(f"a trial that never got beyond {sweep.diverged_at:.3f} counts as diverged")
        readings.append(f"{study.name}: {'; '.join(parts)}.")
        unknown = [name for name, value in rows[-1].items() if value is None]
        if unknown:
            missing.append(f"{study.name}: not known: {', '.join(unknown)}")
    table = pd.DataFrame(rows)
    table = table.astype({"majority baseline": float, "diverged at or below": float})
    table = table.astype({"training examples": "Int64", "validation examples": "Int64"})
    caption = (
        "What was trained on what (Dodge et al. 2020, Table 2). Majority baseline: the score of always predicting the "
        "most frequent label of the validation examples. Evaluations are those after the first training step."
    )
    return Section("table-2", "Tasks", "\n".join(readings), caption, table=table, missing=missing)


def recipe_in_words(recipe: dict) -> str | None:
    """The recipe's name and the settings that most often tell two of its sweeps apart."""
    if not recipe:
        return None
    words = [
        f"{recipe[key]:g} epoch{'s' * (recipe[key] != 1)}" if key == "epochs" else f"{what} {recipe[key]:g}"
        for key, what in (("epochs", ""), ("batch_size", "batch"), ("learning_rate", "rate"))
        if isinstance(recipe.get(key), (int, float))
    ]
    return f"{recipe.get('name') or 'recipe'} ({', '.join(words)})" if words else recipe.get("name")
