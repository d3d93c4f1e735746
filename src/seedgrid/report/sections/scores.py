"""The paper's Tables 1 and 2: what each sweep is of, and the best score that it found."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd

from seedgrid.report.arrays import SEEDS, FinishedTrials, model_in_words
from seedgrid.report.section import Section, in_scores
from seedgrid.scale import shared_word
from seedgrid.wording import count, listed

# By task and metric: the range of BERT-large's scores published before the paper, and the paper's best found (Table 1).
_PUBLISHED = {
    ("mrpc", "acc_and_f1"): ("0.880 to 0.907", 0.914),
    ("rte", "accuracy"): ("0.700 to 0.704", 0.773),
    ("cola", "mcc"): ("0.606 to 0.621", 0.676),
    ("sst2", "accuracy"): ("0.925 to 0.932", 0.951),
}

# Columns of Table 2 that say nothing of a training without labels or examples.
_OF_DATA = ("majority baseline", "training examples", "validation examples")


def best_found(studies: Sequence[FinishedTrials]) -> Section:
    """The paper's Table 1: best found score of each sweep, its seeds, and the spread it was picked from."""
    rows, readings, missing = [], [], []
    scales = [study.scale for study in studies]
    worst = shared_word(scales, "worst_word", "worst")
    for study in studies:
        sweep, trials = study.sweep, _with_stopped(study)
        # Those that went on were chosen by their scores, so they say nothing of trials in general.
        sample = study.trials[:0] if study.selected else study.trials
        utilities = study.scale.turned(sample["score"])
        best = trials.loc[study.scale.turned(trials["score"]).idxmax()]
        seeds = {"init seed": best["init"], "order seed": best["order"]}
        if any(other.trials["dropout"].nunique() > 1 for other in studies):
            seeds["dropout seed"] = best["dropout"]
        before, found = _PUBLISHED.get((sweep.task, sweep.metric), (None, None))
        rows.append(
            {
                "sweep": study.name,
                "trials": len(trials),
                "best found": float(study.scale.turned(best["score"])),
                **(seeds if sweep.seeded else dict.fromkeys(seeds)),
                "mean": float(utilities.mean()),
                "std": float(utilities.std()),
                worst: float(utilities.min()),
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
                f"{study.name}: mean, std, {worst} and diverged are not available: "
                f"{count(len(trials) - len(study.trials))} of {len(trials):,} stopped for their scores"
            )
        if len(trials) == 1:
            missing.append(f"{study.name}: no standard deviation of a single trial; run more seeds")
    table = pd.DataFrame(rows)
    table = table.astype({name: "Int64" for name in table if name.endswith(" seed") or name == "diverged"})
    table, decimals = in_scores(table, studies, ["best found", "mean", worst], amounts=["std"])
    if any((study.utilities == study.utilities.max()).sum() > 1 for study in studies):
        tie = " Where several trials share it, the seeds are those of the first."
    else:
        tie = ""
    caption = (
        f"Best found: the {shared_word(scales, 'best_word', 'best')} validation score of any evaluation of any "
        "finished trial (Dodge et al. 2020, Table 1); mean, standard deviation (n - 1) and "
        f"{worst} are over the trials' best scores. The best was picked after seeing these scores, on the same "
        f"validation examples, so it promises more than that trial will score on new ones.{tie}"
    )
    if table["published before"].notna().any():
        caption += (
            " Published before, and best found in the paper: scores of BERT-large fine-tuned on the full training data "
            "and read on the full validation data, for reference; not comparable with another model or fewer examples."
        )
    else:
        table = table.drop(columns=["published before", "best found in the paper"])
    reading = "\n".join(readings)
    return Section("table-1", "Best found", reading, caption, table=table, missing=missing, decimals=decimals)


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
            f"reached {study.short(study.scale.turned(best['score']))} ({_seeds(study, best)})."
        )
    found, diverged = study.utilities, int(study.trials["diverged"].sum())
    seeds = f" ({_seeds(study, best)})" if study.sweep.seeded else ""
    if len(found) == 1:
        ended = ", and it diverged" if diverged else ""
        return f"{study.name}: the only finished trial reached {study.short(found[0])}{seeds}{ended}."
    if found.max() == found.min():
        ended = "; all of them diverged" if diverged == len(found) else ""
        return f"{study.name}: all {len(found):,} trials reached {study.short(found[0])}{ended}."
    tied = int((found == found.max()).sum())
    who = f"the best of {count(len(found))}{seeds}" if tied == 1 else f"{tied} of {count(len(found))} share the best"
    text = (
        f"{study.name}: {who} {'reached' if tied == 1 else 'score,'} {study.short(found.max())}; the mean is "
        f"{study.short(found.mean())}, the standard deviation {study.scale.written(found.std(ddof=1), fewer=1)}, the "
        f"{study.scale.worst_word} {study.short(found.min())}"
    )
    if diverged == len(found):
        return f"{text}; all of them diverged."
    return f"{text}; {f'{diverged:,}' if diverged else 'none'} diverged."


def tasks(studies: Sequence[FinishedTrials]) -> Section:
    """The paper's Table 2: task, metric, majority baseline and sizes, with what was trained and how."""
    rows, readings, missing = [], [], []
    scales = [study.scale for study in studies]
    threshold = f"diverged {shared_word(scales, 'diverged_word', 'at or beyond')}"
    for study in studies:
        sweep = study.sweep
        rows.append(
            {
                "sweep": study.name,
                "task": sweep.task or None,
                "metric": sweep.metric or None,
                "better": study.scale.better_word,
                "majority baseline": sweep.majority,
                threshold: sweep.diverged_at,
                "training examples": sweep.train_examples,
                "validation examples": sweep.validation_examples,
                "model": model_in_words(sweep.config),
                "recipe": recipe_in_words(sweep.config.get("recipe", {})) or arguments_in_words(sweep.config),
                "evaluations a trial": int(pd.notna(study.curves).sum(axis=1).max()),
            }
        )
        parts = [f"{count(rows[-1]['evaluations a trial'], 'evaluation')} a trial"]
        if study.scale.lower_is_better:
            parts.append(f"of {sweep.metric} the lower is better")
        if sweep.majority is not None:
            parts.append(f"always predicting the majority class scores {study.scale.written(sweep.majority, fewer=1)}")
        if sweep.diverged_at is not None:
            parts.append(f"a trial that never got beyond {study.short(study.threshold)} counts as diverged")
        readings.append(f"{study.name}: {'; '.join(parts)}.")
        unknown = [name for name, value in rows[-1].items() if value is None]
        if unknown:
            missing.append(f"{study.name}: not known: {', '.join(unknown)}")
    table = pd.DataFrame(rows)
    table = table.astype({"majority baseline": float, threshold: float})
    table = table.astype({"training examples": "Int64", "validation examples": "Int64"})
    decimals = in_scores(table, studies, amounts=["majority baseline", threshold])[1]  # as recorded
    caption = "What was trained on what (Dodge et al. 2020, Table 2)."
    if not any(study.scale.lower_is_better for study in studies):
        table = table.drop(columns="better")
    # Of trainings of one's own alone, there are no classes to predict and no examples to count, nor a word for either.
    if all(study.own for study in studies):
        table = table.drop(columns=[name for name in _OF_DATA if table[name].isna().all()])
        table = table.rename(columns={"task": "training", "model": "class", "recipe": "arguments"})
        gone = [name for name in _OF_DATA if name not in table]
        missing = [f"Left out, as these trainings do not give it: {listed(gone)}"] if gone else []
    if "majority baseline" in table:
        caption += (
            " Majority baseline: the score of always predicting the most frequent label of the validation examples."
        )
    caption += " Evaluations are those after the first training step."
    reading = "\n".join(readings)
    return Section("table-2", "Tasks", reading, caption, table=table, missing=missing, decimals=decimals)


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


def arguments_in_words(config: dict) -> str | None:
    """What the module and the data of a training of one's own were made with, and for how many epochs."""
    training = config.get("training", {})
    if not training.get("module"):
        return None
    words = [*_arguments(training["module"])]
    data = training.get("data") or {}
    if data.get("_target_"):
        words.append(f"data {data['_target_']}({', '.join(_arguments(data))})")
    epochs = training.get("epochs")
    if isinstance(epochs, int | float):
        words.append(f"{epochs:g} epoch{'s' * (epochs != 1)}")
    return ", ".join(words) or None


def _arguments(target: dict) -> list[str]:
    return [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in target.items()
        if name != "_target_"
    ]
