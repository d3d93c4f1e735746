"""Records of a training that is not text: no labels, no examples, no losses, a score of which the lower is better."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seedgrid.errors import InputError
from seedgrid.records.rows import read_rows
from seedgrid.records.sources import SourceSettings, read_sources
from seedgrid.records.store import check_finished, read_sweep, read_trial, trial_name, with_best
from seedgrid.records.tidy import export_csv, export_parquet, read_exported
from seedgrid.report.all_sections import build_sections
from seedgrid.report.arrays import finished_trials
from seedgrid.report.comparing import read_pair
from seedgrid.report.index import SweepIndex
from seedgrid.report.page import cells
from seedgrid.seeds import Seeds
from seedgrid.sweep.progress import SweepProgress
from seedgrid.sweep.status import SweepWatch
from seedgrid.sweep.summary import compare_sweeps

STEPS = [0, 10, 20, 30]


def write(folder, width=16, metric="val_rmse", direction="min", inits=4, **changes):
    """A grid of inits x 3 whose errors fall to about 51, but for one trial that stays at 99."""
    generator = np.random.default_rng(width)
    for init, order in np.ndindex(inits, 3):
        trial = folder / trial_name(Seeds(init=init, order=order))
        trial.mkdir(parents=True)
        last = 99.0 if (init, order) == (1, 1) else round(generator.normal(51, 1), 2)
        errors = [100.0, (100 + last) / 2, last, last + 0.5]
        table = {"step": STEPS, "epoch": [step / 10 for step in STEPS], "loss": pa.nulls(4), metric: errors}
        pq.write_table(pa.table({**table, "score": errors, "seconds": [0.1] * 4}), trial / "evaluations.parquet")
        nothing = pa.nulls(30, pa.float64())
        losses = {"step": range(1, 31), "loss": nothing, "learning_rate": nothing}
        pq.write_table(pa.table(losses), trial / "train_loss.parquet")
        module = {"_target_": "mine.Net", "width": width}
        training = {"name": "houses", "kind": "own", "module": module, "data": {"_target_": "mine.Houses"}}
        known = {"task": "houses", "metric": metric, "direction": direction, "range": [0.0, None], "majority": None}
        sizes = {"predictions": False, "labels": [], "train_examples": None, "validation_examples": None}
        header = {
            **{
                "record_version": 1,
                "run_id": f"{init}{order}",
                "status": "completed",
                "seeds": {"init": init, "order": order, "dropout": 0},
            },
            **{"config": {"training": training | {"score": metric, "direction": direction, "epochs": 3}}},
            **{"identity": {"training.module.width": width}, "fingerprint": "f", "versions": {"torch": "2.13.0"}},
            **{"steps": 30, "step": 30, "diverged_at": 90.0, "seconds": 5.0, "error": None, **known, **sizes},
        }
        (trial / "trial.json").write_text(json.dumps(header | changes))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two sweeps, which are only read."""
    runs = tmp_path_factory.mktemp("own") / "runs"
    return write(runs / "narrow"), write(runs / "wide", 32)


def test_the_lowest_score_is_the_best_and_the_threshold_counts_from_above(runs):
    sweep = read_sweep(runs[0])
    assert (sweep.task, sweep.metric, sweep.direction, sweep.scale.limits) == ("houses", "val_rmse", "min", (0, np.inf))
    assert not sweep.has_predictions and sweep.majority is sweep.train_examples is sweep.validation_digest is None
    curves = sweep.evaluations.groupby(["init", "order"])
    lowest = curves["score"].agg(lambda scores: scores.iloc[1:].min())
    assert sweep.trials["best_found"].tolist() == lowest.tolist()
    assert sweep.trials.loc[sweep.trials["diverged"], ["init", "order"]].to_numpy().tolist() == [[1, 1]]
    assert (sweep.trials["best_step"] == 20).all()
    so_far = curves["best_so_far"].agg(list)
    assert all(np.isnan(each[0]) and each[1:] == sorted(each[1:], reverse=True) for each in so_far)
    assert sweep.evaluations["loss"].isna().all() and sweep.evaluations["loss"].dtype == float


def test_readers_do_without_predictions_and_losses(runs):
    trial = next(runs[0].glob("init=*"))
    check_finished(trial)
    rows = read_rows(trial, read_trial(trial))
    assert [step for step, _ in rows if step % 10 == 0] == STEPS
    assert all(value is not None for _, values in rows for value in values.values())
    assert SweepWatch(runs[0]).look().best[0] == read_sweep(runs[0]).trials["best_found"].min()
    best = read_sweep(runs[0]).trials["best_found"].min()
    progress = SweepProgress({trial: 30 for trial in runs[0].glob("init=*")})
    assert f"best so far {best:.2f}" in progress.line()
    said = []
    compare_sweeps(list(runs), said.append)
    assert f"{best:.2f}" in said[0].split()


def test_an_export_carries_direction_and_range(runs, tmp_path):
    sweep = read_sweep(runs[0])
    export_parquet([sweep], tmp_path / "trials.parquet")
    [again] = read_exported(tmp_path / "trials.parquet")
    assert again.scale == sweep.scale
    pd.testing.assert_series_equal(again.trials["best_found"], sweep.trials["best_found"])
    assert again.trials["diverged"].tolist() == sweep.trials["diverged"].tolist()
    export_csv([sweep], tmp_path / "trials.csv")
    table = pd.read_csv(tmp_path / "trials.csv")
    columns = ["metric", "direction", "lowest_possible"]
    assert table[columns].drop_duplicates().to_numpy().tolist() == [["val_rmse", "min", 0.0]]
    assert table["highest_possible"].isna().all()
    assert table.groupby(["init", "order"])["best_so_far"].min().tolist() == sweep.trials["best_found"].tolist()


def test_a_page_leaves_out_what_such_a_training_has_not_and_says_so(runs):
    study = finished_trials(read_sweep(runs[0]))
    sections = build_sections([study], 0.95, 4, 0, lambda what: None)
    text = "\n".join("\n".join((section.reading, section.caption, *section.missing)) for section in sections)
    assert "the lowest validation score" in text
    assert not re.search(r"classif|sentence|majority class|at or below|nan\b|-0\.0", text)
    by_key = {section.key: section for section in sections}
    for key in ("honest-best", "agreement"):
        assert by_key[key].missing == ["narrow: not available: its trials have no predictions beside them"]
        assert by_key[key].table is by_key[key].figure is None
    assert cells(by_key["table-1"])["best found"] == [f"{study.scores.min():.2f}"]
    assert cells(by_key["table-2"])["class"] == ["mine.Net"]
    assert study.description.startswith("narrow: 12 finished trials of mine.Net on houses (val_rmse, lower is better)")


def test_the_page_of_all_sweeps_names_the_best_and_says_which_end_that_is(runs):
    page = SweepIndex(runs[0].parent).page()
    assert "<h2>houses, val_rmse, lower is better</h2>" in page
    best = {sweep.name: sweep.trials["best_found"] for sweep in map(read_sweep, runs)}
    assert all(f">{scores.min():.2f}<" in page for scores in best.values())
    first = min(best, key=lambda name: best[name].mean())
    assert re.search(r"<option selected>(\w+)</option>", page)[1] == first


def test_wandb_lists_the_lowest_first(runs):
    dashboard = pytest.importorskip("seedgrid.report.wandb_dashboard")
    study = finished_trials(read_sweep(runs[0]))
    place = dashboard.Place("https://wandb.example.org", "me", "mine")
    assert dashboard.build_workspace(study, place).runset_settings.order[0].ascending
    said = json.dumps(dashboard.preview(study, place)["report"])
    worst, best = study.scores.max(), study.scores.min()
    assert f", {best:.2f}" in said and f", {worst:.2f}" in said
    assert said.index("Best: ") < said.index("Highest: ") and "Lowest" not in said


def test_other_scores_are_not_compared(runs, tmp_path):
    read_pair(*runs)
    for changes, said in (
        ({"metric": "val_mae"}, "different metric, val_rmse and val_mae"),
        ({"direction": "max"}, "different direction, min and max"),
    ):
        other = write(tmp_path / said.split()[1].strip(","), inits=2, **changes)
        with pytest.raises(InputError, match=said):
            read_pair(runs[0], other)


def test_a_direction_is_for_files_that_do_not_say_theirs(runs, tmp_path):
    path = tmp_path / "losses.csv"
    path.write_text("51.5\n50.5\n")
    asked = {"source": "csv", "path": str(path), "metric": "rmse", "direction": "min"}
    [sweep] = read_sources(SourceSettings(**asked, **dict.fromkeys(("sweep", "tasks", "task_name", "diverged_at"))))
    assert sweep.scale.best(sweep.trials["best_found"]) == 50.5
    asked = {"source": "sweep", "sweep": str(runs[0]), "metric": "score", "direction": "min"}
    with pytest.raises(InputError, match="direction=min: source=sweep says it itself; leave it out"):
        read_sources(SourceSettings(**asked, **dict.fromkeys(("path", "tasks", "task_name", "diverged_at"))))


def test_a_sweep_has_one_direction(runs, tmp_path):
    sweep = shutil.copytree(runs[0], tmp_path / "sweep")
    path = sweep / "init=002,order=001" / "trial.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"direction": "max"}))
    with pytest.raises(InputError, match=r"init=002,order=001: direction was min and max in trials of one sweep"):
        read_sweep(sweep)


def test_a_record_with_another_direction_is_damaged(tmp_path):
    sweep = write(tmp_path / "sweep", inits=2, direction="down")
    with pytest.raises(InputError, match=r"trial.json: damaged \(ValueError: direction is down\); redo=true"):
        read_sweep(sweep)


def test_a_score_that_is_no_finite_number_is_no_best(runs):
    sweep = read_sweep(runs[0])
    columns = ["init", "order", "dropout", "status", "steps", "seconds", "error", "folder"]
    scores = sweep.evaluations["score"].mask(sweep.evaluations["step"] == 20, np.inf)
    for direction in ("min", "max"):
        scale = replace(sweep.scale, direction=direction)
        trials, _ = with_best(sweep.trials[columns], sweep.evaluations.assign(score=scores), 90.0, scale)
        assert (trials["best_step"] != 20).all() and np.isfinite(trials["best_found"]).all()
