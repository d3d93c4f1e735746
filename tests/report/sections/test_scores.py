"""Tables 1 and 2 say what is in the trials."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from seedgrid.report.sections.scores import best_found, recipe_in_words, tasks

SEEDS = [(0, 0), (0, 1), (1, 0), (1, 1)]
CURVES = [[0.6, 0.9, 0.7], [0.5, 0.5, 0.5], [0.8, 0.7, 0.6], [0.5, 0.6, 0.7]]


def test_best_found_is_the_highest_score_of_any_evaluation_and_names_its_seeds(study_of):
    row = best_found([study_of(CURVES, SEEDS)]).table.iloc[0]
    found = [0.9, 0.5, 0.8, 0.7]
    assert (row["trials"], row["best found"], row["init seed"], row["order seed"]) == (4, 0.9, 0, 0)
    assert row["mean"] == pytest.approx(np.mean(found))
    assert row["std"] == pytest.approx(np.std(found, ddof=1))
    assert (row["lowest"], row["diverged"]) == (0.5, 1)


def test_best_found_names_the_dropout_seed_where_it_varies(study_of):
    section = best_found([study_of(CURVES, [(0, 0, 0), (0, 0, 7), (1, 0, 0), (1, 0, 7)])])
    assert "(init seed 0, order seed 0, dropout seed 0)" in section.reading
    assert "dropout" not in best_found([study_of(CURVES, SEEDS)]).reading


def test_several_sweeps_get_a_row_each_in_their_order(study_of):
    section = best_found([study_of(CURVES, SEEDS, name="b"), study_of(np.array(CURVES) - 0.1, SEEDS, name="a")])
    assert section.table["sweep"].tolist() == ["b", "a"]
    assert section.table["best found"].tolist() == pytest.approx([0.9, 0.8])


@pytest.mark.parametrize(
    ("task", "metric", "before", "found"),
    [
        ("mrpc", "acc_and_f1", "0.880 to 0.907", 0.914),
        ("rte", "accuracy", "0.700 to 0.704", 0.773),
        ("cola", "mcc", "0.606 to 0.621", 0.676),
        ("sst2", "accuracy", "0.925 to 0.932", 0.951),
    ],
)
def test_the_papers_tasks_come_with_the_papers_scores_for_reference(study_of, task, metric, before, found):
    section = best_found([study_of(CURVES, SEEDS, task=task, metric=metric), study_of(CURVES, SEEDS, name="mine")])
    columns = section.table[["published before", "best found in the paper"]]
    assert columns.iloc[0].tolist() == [before, found]
    assert columns.iloc[1].isna().all()
    assert "BERT-large" in section.caption


@pytest.mark.parametrize(("task", "metric"), [("grammar", "accuracy"), ("mrpc", "f1")])
def test_other_tasks_and_metrics_have_no_reference(study_of, task, metric):
    section = best_found([study_of(CURVES, SEEDS, task=task, metric=metric)])
    assert not {"published before", "best found in the paper"} & set(section.table)
    assert "BERT-large" not in section.caption


def test_trials_that_share_the_best_score_are_counted(study_of):
    section = best_found([study_of([[0.9], [0.7], [0.9]], [(0, 0), (0, 1), (1, 0)])])
    assert "2 of 3 trials share the best score, 0.900" in section.reading
    assert "those of the first" in section.caption


def test_trials_without_seeds_name_none(study_of):
    row = best_found([study_of(CURVES, SEEDS, seeded=False)]).table.iloc[0]
    assert row["init seed"] is pd.NA


def test_an_unknown_threshold_is_said(study_of):
    section = best_found([study_of(CURVES, SEEDS, diverged_at=None)])
    assert "no threshold of divergence is known" in section.missing[0]


def test_the_tasks_table_tells_what_was_trained_on_what(study_of):
    row = tasks([study_of(CURVES, SEEDS, task="rte", majority=0.53)]).table.iloc[0]
    assert (row["task"], row["metric"], row["model"]) == ("rte", "accuracy", "bert_tiny")
    assert (row["majority baseline"], row["diverged at or below"]) == (0.53, 0.5)
    assert (row["training examples"], row["validation examples"], row["evaluations a trial"]) == (480, 240, 3)
    assert row["recipe"] == "default (3 epochs, batch 16, rate 2e-05)"


def test_what_is_not_known_of_other_peoples_trials_is_listed(study_of):
    section = tasks([study_of(CURVES, SEEDS, config={}, majority=None, train_examples=None)])
    assert tuple(section.missing) == ("study: not known: majority baseline, training examples, model, recipe",)
    assert section.table["training examples"].iloc[0] is pd.NA


def test_a_stopped_trial_may_have_found_the_best_and_selected_trials_have_no_mean(study_of):
    section = best_found([study_of(CURVES, SEEDS, status=["stopped", "stopped", "completed", "completed"])])
    row = section.table.iloc[0]
    assert (row["trials"], row["best found"], row["order seed"]) == (4, 0.9, 0)
    assert row[["mean", "std", "lowest", "diverged"]].isna().all()
    assert tuple(section.missing) == (
        "study: mean, std, lowest and diverged are not available: 2 trials of 4 stopped for their scores",
    )


@pytest.mark.parametrize(("epochs", "said"), [(1.0, "1 epoch"), (0.5, "0.5 epochs"), (3, "3 epochs")])
def test_epochs_are_counted_in_words(epochs, said):
    assert recipe_in_words({"name": "short", "epochs": epochs}) == f"short ({said})"
