"""Anybody's trials come in as CSV; all trials go out as one Parquet table, and come back the same."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seedgrid.errors import InputError
from seedgrid.records.store import Sweep, read_sweep, with_best
from seedgrid.records.tidy import check_export, export_csv, export_parquet, read_csv_trials, read_exported
from seedgrid.report.arrays import finished_trials

SEEDS = ["init", "order", "dropout"]


@pytest.fixture
def written(tmp_path):
    def write(text: str | bytes, name: str = "trials.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def read(path: Path, metric: str = "accuracy", diverged_at: float | None = None) -> Sweep:
    return read_csv_trials(path, metric, "mine", diverged_at)


# --------------------------------------------------------------------------------------------------------------- CSV

TABLE = """\
init,order,step,epoch,score
1,0,10,1.0,0.75
0,0,10,1.0,0.5
0,0,0,0.0,0.9
1,0,20,2.0,0.625
0,0,20,2.0,0.5
"""


def test_a_tidy_table_is_a_sweep_with_a_row_per_trial_and_per_evaluation(written):
    path = written(TABLE)
    sweep = read(path, diverged_at=0.5)
    assert sweep.trials[[*SEEDS, "status", "steps", "best_found", "best_step", "diverged"]].values.tolist() == [
        [0, 0, 0, "completed", 20, 0.5, 10, True],  # the 0.9 before training does not count
        [1, 0, 0, "completed", 20, 0.75, 10, False],
    ]
    assert sweep.evaluations["step"].tolist() == [0, 10, 20, 10, 20]
    assert sweep.evaluations["epoch"].tolist() == [0, 1, 2, 1, 2]
    assert sweep.evaluations["score"].tolist() == [0.9, 0.5, 0.5, 0.75, 0.625]
    assert (sweep.name, sweep.task, sweep.metric, sweep.folder) == ("trials", "mine", "accuracy", path)
    assert sweep.seeded and not sweep.has_predictions
    assert finished_trials(sweep).grid.scores.tolist() == [[0.5], [0.75]]


@pytest.mark.parametrize(
    "text",
    [
        "0.5\n0.75\n0.25\n",
        "score\n0.5\n0.75\n0.25",
        "\n\nSCORE\r\n0.5\r\n\r\n0.75\r\n0.25\r\n",
        '\ufeff"0.5"\n .75 \n25e-2',
    ],
)
def test_a_score_a_line_is_a_trial_a_line_without_seeds(written, text):
    sweep = read(written(text))
    assert not sweep.seeded
    assert sweep.trials["init"].tolist() == [0, 1, 2]
    assert sweep.trials["best_found"].tolist() == [0.5, 0.75, 0.25]
    assert finished_trials(sweep).scores.tolist() == [0.5, 0.75, 0.25]


def test_seeds_without_steps_are_one_evaluation_a_trial(written):
    sweep = read(written("score,Order,init\n0.5,2,1.0\n0.75,1,1.0\n"))
    assert sweep.trials[["init", "order", "best_found"]].values.tolist() == [[1, 1, 0.75], [1, 2, 0.5]]
    assert finished_trials(sweep).curves.tolist() == [[0.75], [0.5]]


def test_tabs_separate_the_columns_of_a_tsv(written):
    sweep = read(written("init\torder\tdropout\tscore\n1\t2\t3\t0.5\n1\t2\t4\t0.75\n", "trials.TSV"))
    assert sweep.trials[SEEDS].values.tolist() == [[1, 2, 3], [1, 2, 4]]


def test_a_single_seed_is_both_so_that_trials_are_pairs(written):
    sweep = read(written("seed,score\n7,0.5\n3,0.75\n"))
    assert sweep.trials[SEEDS].values.tolist() == [[3, 3, 0], [7, 7, 0]]
    assert sweep.seeded and not finished_trials(sweep).crossed
    steps = read(written(" Seed , STEP,dropout, score\n7,10,1,0.5\n7,20,1,0.75\n"))
    assert steps.trials[[*SEEDS, "steps"]].values.tolist() == [[7, 7, 1, 20]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("init;order;step;epoch;score\n0;0;9;1,5;0,81\n0;1;9;1,5;0,8\n", "its scores are taken so: 0,81 is 0.81"),
        ('\ufeffinit,order,score\n0,0,"0,81"\n0,1,"0,8"\n', "its scores are taken so: 0,81 is 0.81"),
        ("init\torder\tscore\n0\t0\t81%\n0\t1\t80 %\n", "its scores are taken so: 81% is 0.81"),
        ("init;order;score\n0;0;81,0 %\n0;1;80,0 %\n", "its scores are taken so: 81,0 % is 0.81"),
        ("score\n0,81\n0,8\n", "its scores are taken so: 0,81 is 0.81"),
        ("init;order;score\n0;0;0.81\n0;1;.8\n", ""),
    ],
)
def test_a_spreadsheets_ways_of_writing_are_read_and_said(written, text, said):
    sweep = read(written(text))
    assert sweep.trials["best_found"].tolist() == [0.81, 0.8]
    assert sweep.read_as == said


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zip"])
def test_a_compressed_table_is_read(tmp_path, ending):
    path = tmp_path / f"trials.csv{ending}"
    pd.read_csv(io.StringIO(TABLE)).to_csv(path, index=False)
    sweep = read(path)
    assert (sweep.name, len(sweep.trials)) == ("trials", 2)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(InputError, match=r"trials.csv.\w+: cannot be decompressed \(.*\); fetch it again"):
        read(path)


LOSSES = "loss eval_loss val/loss valLoss MSELoss logloss perplexity test-ppl RMSE val.mae WER error_rate Brier Error"


@pytest.mark.parametrize("metric", [*LOSSES.split(), "cross entropy"])
def test_a_loss_is_refused_unless_the_direction_is_given(written, metric):
    path = written("0.5\n0.6\n")
    with pytest.raises(InputError, match=rf"^metric={re.escape(metric)}: .*the lower is better.*give direction=min"):
        read(path, metric)
    sweep = read_csv_trials(path, metric, None, 0.6, "min")
    assert (sweep.direction, sweep.scale.best(sweep.trials["best_found"])) == ("min", 0.5)
    assert sweep.trials["diverged"].tolist() == [False, True]
    assert read_csv_trials(path, metric, None, None, "max").direction == "max"
    with pytest.raises(
        InputError, match=r"trials.csv: unknown column .*; a loss is a score too, of which direction=min"
    ):
        read(written(f"init,order,{metric}\n0,0,0.5\n"))


@pytest.mark.parametrize(
    "metric", ["negative_loss", "neg_log_loss", "-loss", "1 - error", "bleu", "terminal", "glossary f1"]
)
def test_a_score_that_sounds_like_a_loss_is_none(written, metric):
    assert read(written("-0.5\n-0.6\n"), metric).metric == metric


def test_scores_of_a_metric_of_ones_own_may_be_any_number(written):
    assert read(written("-3.5\n28.4\n"), "bleu").trials["best_found"].tolist() == [-3.5, 28.4]
    assert read(written("-1\n0.25\n"), "mcc").trials["best_found"].tolist() == [-1, 0.25]


CELLS = st.tuples(st.integers(0, 2**32 - 1) | st.integers(0, 3), st.integers(0, 3), st.integers(1, 3))


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(CELLS, st.floats(0, 1), min_size=1), st.randoms())
def test_every_number_arrives_to_the_last_bit_whatever_the_order_of_the_lines(written, table, random):
    lines = [",".join(map(repr, (*cell, score))) for cell, score in table.items()]
    random.shuffle(lines)
    sweep = read(written("\n".join(["init,order,step,score", *lines])))
    found = sweep.evaluations
    assert list(found[["init", "order", "step"]].itertuples(index=False, name=None)) == sorted(table)
    assert found["score"].tolist() == [table[cell] for cell in sorted(table)]
    best = {
        pair: max(score for cell, score in table.items() if cell[:2] == pair) for pair in {cell[:2] for cell in table}
    }
    assert sweep.trials.set_index(["init", "order"])["best_found"].to_dict() == best


HEADER = "init,order,step,epoch,score\n"
GOOD = "0,0,10,1,0.5\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": empty"),
        ("\n\n", ": empty"),
        (HEADER, ": has a header and no line below it"),
        (
            "init,order,scores\n0,0,0.5\n",
            ": unknown column 'scores'; rename or remove it: columns are init, order, drop",
        ),
        (",init,order,score\n0,0,0,0.5\n", ": unknown column ''"),
        ("init|order|score\n0|0|0.5\n", ": unknown column 'init|order|score'; rename or remove it: columns are init,"),
        ("0,81\n0,82\n", ": has no header; begin the file with a line that names its columns (init, order, dropout,"),
        ("seed,init,order,score\n0,0,0,0.5\n", ": column seed is init and order seed in one; remove it, or columns"),
        ("seed,score\nx,0.5\n", ", line 2: seed is 'x'; it is no finite number"),
        ("seed,score\n3,0.5\n3,0.6\n", ", line 3: seed=3 is on line 2 already; remove one"),
        ("accuracy\n0.5\n", ": unknown column 'accuracy'"),
        ("0,0,0.5\n0,1,0.5\n", ": has no header"),
        ("init,order,score,score\n0,0,0.5,0.5\n", ": column score occurs twice"),
        ("init,order\n0,0\n", ": has no column score, only init, order"),
        ("init,score\n0,0.5\n", ": column init needs column order"),
        ("order,score\n0,0.5\n", ": column order needs column init"),
        ("dropout,score\n0,0.5\n", ": column dropout needs column init"),
        ("step,score\n1,0.5\n", ": column step needs column init"),
        ("init,order,epoch,score\n0,0,1,0.5\n", ": column epoch needs column step"),
        (HEADER + GOOD + "0,1,10,1\n", ", line 3: 4 columns instead of 5"),
        (HEADER + GOOD + "\n\n0,1,10,1,0,914\n", ", line 5: 6 columns instead of 5"),
        ("0.5\n0,914\n", ", line 2: score is '0,914'; it is no finite number; write one, and the whole column in one"),
        ("score\n81%\n0.82\n", ", line 2: score is '81%'; it is no finite number; write one, and the whole column"),
        ('init,order,step,score\n0,0,"1,000",0.5\n', ", line 2: step is '1,000'; it is no finite number"),
        ("init,order,score\n0,0,0.5\nMean,,0.5\n", ", line 3: init is 'Mean'; a line that sums up the others is no t"),
        ("init,order,score\n0,0,0.5\nstd,,nan\n", ", line 3: score is 'nan'; a line that sums up the others is no t"),
        ("score\n0.5\nmean: 0.5\n", ", line 3: score is 'mean: 0.5'; a line that sums up the others is no trial; rem"),
        (HEADER + GOOD + "\n0,1,10,1,\n", ", line 4: score is ''; a run without a score: remove its line (all that"),
        (HEADER + GOOD + "0,1,10,1,high\n0,2,10,1,low\n", ", line 3: score is 'high'; it is no finite number"),
        (
            HEADER + GOOD + "0,1,10,1,nan\n",
            ", line 3: score is 'nan'; a run without a score: remove its line (all that",
        ),
        (HEADER + "0,1,10,1,-inf\n", ", line 2: score is '-inf'; a run without a score: remove its line (all that"),
        ("0.5\n0.5\n1_0\n0.5\n", ", line 3: score is '1_0'; it is no finite number"),
        ("nan\n0.5\n", ", line 1: score is 'nan'"),
        (HEADER + GOOD + "0,1,10,1,91.4\n", ", line 3: score is '91.4'; accuracy lies from 0 to 1 (0.914, not 91.4)"),
        ("0.5\n-0.1\n", ", line 2: score is '-0.1'; accuracy lies from 0 to 1"),
        (HEADER + GOOD + "-1,1,10,1,0.5\n", ", line 3: init is '-1'; it must be a whole number from 0 to 4294967295"),
        (HEADER + GOOD + "0,1.5,10,1,0.5\n", ", line 3: order is '1.5'; it must be a whole number"),
        (HEADER + GOOD + "4294967296,1,10,1,0.5\n", ", line 3: init is '4294967296'; it must be a whole number"),
        (HEADER + GOOD + "0,,10,1,0.5\n", ", line 3: order is ''; it is no finite number"),
        (HEADER + GOOD + "0,1,-10,1,0.5\n", ", line 3: step is '-10'; it must be a whole number"),
        (HEADER + GOOD + "0,1,10,-1,0.5\n", ", line 3: epoch is '-1'; epochs are counted from 0"),
        (HEADER + GOOD + "0,1,10,1,0.5\n" + GOOD, ", line 4: init=0, order=0, step=10 is on line 2 already"),
        ("init,order,score\n1,1,0.5\n\n1,1,0.6\n", ", line 4: init=1, order=1 is on line 2 already"),
        (HEADER + "0,3,0,0,0.5\n", ": trial init=0, order=3 has only step 0"),
        (HEADER.encode() + b"0,0,10,1,\xff\n", ", line 2: not UTF-8 text"),
    ],
)
def test_a_wrong_file_is_named_with_the_line_and_what_is_wrong_there(written, text, message):
    path = written(text)
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}{message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("line", "fault"), [("0,7,0.5,1", "4 columns instead of 3"), ("0,7,x", "score is 'x'")])
def test_a_wrong_line_far_down_is_found_past_empty_ones(written, line, fault):
    good = "".join(f"{init},0,0.5\n\n" for init in range(150_000))  # more than is parsed at a time
    with pytest.raises(InputError, match=rf", line 300002: {fault}"):
        read(written(f"init,order,score\n{good}{line}\n{good}"))


def test_a_csv_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"^path=.*nowhere.csv: no such file"):
        read(tmp_path / "nowhere.csv")


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(st.sampled_from("0123456789.,-\n\r\t\"' einf") | st.characters(codec="utf-8"), max_size=40), st.booleans()
)
def test_any_text_is_read_or_refused_in_one_line(written, text, headed):
    try:
        sweep = read(written(("init,order,score\n" if headed else "") + text))
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert sweep.evaluations["score"].between(0, 1).all()


# ------------------------------------------------------------------------------------------------------------ export


def record(sweep: Path, init: int, order: int, scores: list[float], status: str, error: str | None = None) -> None:
    """A trial's record as it lies on disk: ``scores`` at steps 0, 10, 20, ..., ten steps are an epoch."""
    folder = sweep / f"init={init:03d},order={order:03d}"
    folder.mkdir(parents=True)
    steps = np.arange(len(scores)) * 10
    table = {"step": steps, "score": np.array(scores, float)}
    if scores:
        losses = np.where(status == "nonfinite", np.nan, 0.7 - 0.01 * steps)
        table = {
            "step": steps,
            "epoch": steps / 10,
            "loss": losses,
            "accuracy": scores,
            "score": scores,
            "seconds": 0.25,
        }
    pd.DataFrame(table).to_parquet(folder / "evaluations.parquet", index=False)
    losses = pd.DataFrame({"step": range(1, 21), "loss": 0.5, "learning_rate": 1e-3})
    losses.to_parquet(folder / "train_loss.parquet", index=False)
    trial = {
        "record_version": 1,
        "seeds": {"init": init, "order": order, "dropout": 0},
        "status": status,
        "steps": 20,
        "seconds": 12.5 + init,
        "error": error,
        "diverged_at": 0.5,
        "train_examples": 160,
        "validation_examples": 32,
        "identity": {"data.validation": "a321d3262abe6e14"},
        "versions": {"torch": "2.13.0"},
        "config": {
            "task": {"name": "grammar", "metric": "accuracy", "diverged_at": None},
            "model": {"name": "minilm", "layers": 2},
            "recipe": {"name": "default", "epochs": 2.0},
        },
    }
    (folder / "trial.json").write_text(json.dumps(trial))


@pytest.fixture
def recorded(tmp_path) -> Sweep:
    """A sweep of finished trials, a diverged one, and those that a crash, a stop, a NaN and a start leave behind."""
    folder = tmp_path / "runs" / "grammar-minilm-default"
    record(folder, 0, 0, [0.5, 0.75, 0.625], "completed")
    record(folder, 0, 1, [0.5, 0.5, 0.25], "completed")
    record(folder, 1, 0, [], "failed", "OSError: no space left")
    record(folder, 1, 1, [0.5, 0.625], "stopped")
    record(folder, 2, 0, [0.5, 0.5], "nonfinite")
    record(folder, 2, 1, [], "running")
    return read_sweep(folder)


@pytest.fixture
def foreign(written) -> Sweep:
    return read(written("0.5\n0.75\n0.25\n"), "mcc", 0.25)


def same(found: Sweep, wanted: Sweep) -> None:
    pd.testing.assert_frame_equal(found.trials.drop(columns="folder"), wanted.trials.drop(columns="folder"))
    pd.testing.assert_frame_equal(found.evaluations, wanted.evaluations)
    kept = ("name", "task", "metric", "diverged_at", "majority", "train_examples", "validation_examples")
    for fact in (*kept, "validation_digest", "identity", "versions", "seeded", "config"):
        assert getattr(found, fact) == getattr(wanted, fact)
    before, after = finished_trials(wanted), finished_trials(found)
    for array in ("scores", "curves", "epochs"):
        np.testing.assert_array_equal(getattr(after, array), getattr(before, array))
    np.testing.assert_array_equal(after.grid.scores, before.grid.scores)


def test_what_was_exported_comes_back_exactly(recorded, foreign, tmp_path):
    path = tmp_path / "new folder" / "trials.parquet"
    export_parquet([recorded, foreign], path)
    first, second = read_exported(path)
    same(first, recorded)
    same(second, foreign)
    for sweep in (first, second):
        assert sweep.folder == path and (sweep.trials["folder"] == str(path)).all()
        assert not sweep.has_predictions
    again = tmp_path / "again.parquet"
    export_parquet([first, second], again)
    assert again.read_bytes() == path.read_bytes()


def test_pandas_and_datasets_load_the_same_table(recorded, foreign, tmp_path):
    path = tmp_path / "trials.parquet"
    export_parquet([recorded, foreign], path)
    frame = pd.read_parquet(path)
    assert (frame["best_so_far"].dropna() >= frame["score"][frame["best_so_far"].notna()]).all()
    best = frame[frame["step"] > 0].groupby(["sweep", "init", "order"])["score"].max()
    assert best["grammar-minilm-default"].to_dict() == {(0, 0): 0.75, (0, 1): 0.5, (1, 1): 0.625, (2, 0): 0.5}
    assert best["trials"].tolist() == [0.5, 0.75, 0.25]
    assert frame.loc[frame["sweep"] == "trials", "model"].isna().all()
    loaded = datasets.load_dataset(
        "parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    ).to_pandas()
    pd.testing.assert_frame_equal(loaded, frame, check_dtype=False)


def test_a_trial_without_an_evaluation_has_one_row_without_a_step(recorded, tmp_path):
    path = tmp_path / "trials.parquet"
    export_parquet([recorded], path)
    rows = pd.read_parquet(path).query("step.isna()")
    assert rows[["init", "order", "status"]].values.tolist() == [[1, 0, "failed"], [2, 1, "interrupted"]]
    assert rows["error"].iloc[0] == "OSError: no space left"
    assert rows[["epoch", "loss", "accuracy", "score", "best_so_far", "seconds"]].isna().all(axis=None)


def test_each_column_is_described_and_the_file_says_what_is_known_of_each_sweep(recorded, foreign, tmp_path):
    path = tmp_path / "trials.parquet"
    export_parquet([recorded, foreign], path)
    schema = pq.read_schema(path)
    assert schema.names == [
        *("sweep", "task", "model", "recipe", "metric", "direction", "lowest_possible", "highest_possible", *SEEDS),
        *("status", "diverged", "total_steps", "trial_seconds"),
        *("error", "step", "epoch", "loss", "accuracy", "score", "best_so_far", "seconds"),
    ]
    assert all(len(field.metadata[b"description"]) > 10 for field in schema)
    first, second = json.loads(schema.metadata[b"seedgrid"])["sweeps"]
    assert (first["diverged_at"], first["validation_examples"], first["validation_digest"]) == (
        0.5,
        32,
        "a321d3262abe6e14",
    )
    assert first["config"] == recorded.config
    assert (second["seeded"], second["majority"]) == (False, None)


def test_no_folder_of_the_exporters_machine_is_in_the_file(recorded, tmp_path):
    path = tmp_path / "trials.parquet"
    places = {"data": {"root": str(tmp_path / "glue")}, "model": {"path": "google/bert"}, "columns": ["a", "/b/c"]}
    recorded = replace(recorded, config={**recorded.config, **places})
    export_parquet([recorded], path)
    export_parquet([recorded], path)  # known as the same sweep
    content = str(pq.read_table(path).to_pylist()) + str(pq.read_schema(path).metadata)
    assert str(tmp_path) not in content
    config = read_exported(path)[0].config
    assert [config["data"]["root"], config["model"]["path"], config["columns"]] == ["glue", "google/bert", ["a", "c"]]


def test_a_grid_of_25_by_25_with_31_evaluations_takes_a_few_hundred_kilobytes(tmp_path):
    seeds = np.arange(625)
    steps = np.arange(31) * 23
    scores = np.random.default_rng(0).integers(0, 409, (625, 31)) / 408
    evaluations = pd.DataFrame(
        {
            "init": np.repeat(seeds // 25, 31),
            "order": np.repeat(seeds % 25, 31),
            "dropout": 0,
            "step": np.tile(steps, 625),
            "epoch": np.tile(steps / 230, 625),
            "loss": np.random.default_rng(1).random(625 * 31),
            "acc_and_f1": scores.ravel(),
            "score": scores.ravel(),
            "seconds": np.nan,
        }
    )
    trials = pd.DataFrame({"init": seeds // 25, "order": seeds % 25, "dropout": 0, "status": "completed", "steps": 690})
    trials = trials.assign(seconds=600.5, error=None, folder="")
    sweep = Sweep(tmp_path, *with_best(trials, evaluations, 0.75), {}, name="mrpc", metric="acc_and_f1")
    export_parquet([sweep], tmp_path / "trials.parquet")
    assert (tmp_path / "trials.parquet").stat().st_size < 400_000
    same(read_exported(tmp_path / "trials.parquet")[0], sweep)


def test_a_sweep_in_several_row_groups_comes_back_whole(tmp_path):
    trials, steps = 10_000, 30
    table = {
        "init": np.repeat(np.arange(trials), steps),
        "order": 0,
        "step": np.tile(np.arange(1, steps + 1), trials),
        "score": np.random.default_rng(0).random(trials * steps),
    }
    path = tmp_path / "many.csv"
    pd.DataFrame(table).to_csv(path, index=False)
    sweep = read(path)
    export_parquet([sweep], tmp_path / "trials.parquet")
    assert pq.read_metadata(tmp_path / "trials.parquet").num_row_groups == 2
    (found,) = read_exported(tmp_path / "trials.parquet")
    same(found, sweep)


def test_an_export_is_replaced_by_one_of_the_same_sweeps_and_by_no_other(recorded, foreign, tmp_path):
    path = tmp_path / "trials.parquet"
    export_parquet([recorded], path)
    record(recorded.folder, 3, 0, [0.5, 0.5, 0.75], "completed")
    export_parquet([read_sweep(recorded.folder), foreign], path)
    assert [len(sweep.trials) for sweep in read_exported(path)] == [7, 3]
    whole = path.read_bytes()
    other = replace(recorded, config={**recorded.config, "recipe": {"name": "mosbach2021"}})
    for sweeps in ([foreign], [recorded], [other, foreign]):
        with pytest.raises(InputError, match=rf"^to={re.escape(str(path))}: exists and is no export of these sweeps"):
            export_parquet(sweeps, path)
        with pytest.raises(InputError):  # known before the work starts
            check_export(sweeps, path)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("what", ["text", "parquet", "folder", "csv"])
def test_what_is_no_export_is_never_overwritten(recorded, tmp_path, what):
    path = tmp_path / ("trials.csv" if what == "csv" else "trials.parquet")
    if what == "folder":
        path.mkdir()
    elif what == "parquet":
        pd.DataFrame({"score": [0.5]}).to_parquet(path)
    else:
        path.write_text("mine")
    before = None if what == "folder" else path.read_bytes()
    with pytest.raises(InputError, match=rf"^to={re.escape(str(path))}: "):
        export_parquet([recorded], path)
    assert path.is_dir() if before is None else path.read_bytes() == before


def test_as_csv_the_table_is_the_same_and_replaces_one_of_the_same_sweeps_only(recorded, foreign, tmp_path):
    export_parquet([recorded, foreign], tmp_path / "trials.parquet")
    path = tmp_path / "exported.csv"
    for _ in range(2):
        export_csv([recorded, foreign], path)
    table, text = pq.read_table(tmp_path / "trials.parquet"), pyarrow.csv.read_csv(path)
    assert text.column_names == table.column_names
    assert text.column("best_so_far").to_pylist() == table.column("best_so_far").to_pylist()
    assert text.column("order").to_pylist() == table.column("order").to_pylist()
    with pytest.raises(InputError, match="exists and is no export of these sweeps"):
        export_csv([recorded], path)


def test_a_place_where_nothing_can_be_written_is_named(recorded, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"^to=.*/file/trials.parquet: cannot be written"):
        export_parquet([recorded], tmp_path / "file" / "trials.parquet")


def test_two_sweeps_of_one_name_are_refused(recorded, tmp_path):
    with pytest.raises(InputError, match="two sweeps are named grammar-minilm-default"):
        export_parquet([recorded, recorded], tmp_path / "trials.parquet")
    assert not (tmp_path / "trials.parquet").exists()


def test_a_sweep_without_trials_is_exported_and_read(tmp_path):
    (tmp_path / "empty").mkdir()
    export_parquet([read_sweep(tmp_path / "empty")], tmp_path / "trials.parquet")
    (found,) = read_exported(tmp_path / "trials.parquet")
    assert (found.name, len(found.trials), len(found.evaluations)) == ("empty", 0, 0)


def test_other_files_are_no_exports(recorded, written, tmp_path):
    path = tmp_path / "trials.parquet"
    export_parquet([recorded], path)
    whole, schema = path.read_bytes(), pq.read_schema(path)
    without_metadata, without_score, renamed = (tmp_path / f"{name}.parquet" for name in ("bare", "columns", "renamed"))
    pd.read_parquet(path).to_parquet(without_metadata)
    pq.write_table(pq.read_table(path).drop_columns("score"), without_score)
    table = pq.read_table(path)
    pq.write_table(table.set_column(0, schema.field("sweep"), pa.repeat("other", len(table))), renamed)
    for wrong in (
        tmp_path / "nowhere.parquet",
        tmp_path,
        written(TABLE),
        without_metadata,
        without_score,
        renamed,
        *(written(whole[:length], f"{length}.parquet") for length in (0, 4, len(whole) // 2, len(whole) - 1)),
    ):
        with pytest.raises(InputError) as error:
            read_exported(wrong)
        assert str(wrong) in str(error.value) and "\n" not in str(error.value)


def test_an_export_of_which_a_completed_trial_lost_rows_is_refused(recorded, tmp_path):
    path = tmp_path / "trials.parquet"
    export_parquet([recorded], path)
    table = pq.read_table(path)
    last = pc.and_(pc.equal(table["init"], 0), pc.equal(table["step"], 20))
    pq.write_table(table.filter(pc.invert(pc.fill_null(last, False))), path)
    with pytest.raises(
        InputError, match=r"damaged \(init=000,order=000: completed, and its last evaluation is at step 10 of 20"
    ):
        read_exported(path)
