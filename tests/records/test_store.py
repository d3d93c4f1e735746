"""Records on disk become tidy frames, while trials run too, and what is damaged is named."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedgrid.errors import InputError
from seedgrid.records import index as index_module
from seedgrid.records.index import Index
from seedgrid.records.store import (
    Sweep,
    check_finished,
    read_seeds,
    read_sweep,
    read_trial,
    sweeps_below,
    trial_folders,
    trial_lock,
    trial_name,
)
from seedgrid.seeds import Seeds
from seedgrid.sweep.status import SweepWatch

FILES = ("trial.json", "evaluations.parquet", "train_loss.parquet", "predictions.npz")
CONFIG = {"task": {"name": "grammar", "metric": "accuracy"}}
EVALUATION = {"schedule": "even", "per_epoch": 2, "at_start": True}


def write_trial(
    sweep: Path,
    seeds: Seeds,
    scores: list[float],
    status: str = "completed",
    diverged_at: float = 0.5,
    **changes,
) -> Path:
    """A record as DESIGN.md describes it, by hand: ``scores`` at steps 0, 5, 10, ...; 10 steps are an epoch."""
    folder = sweep / trial_name(seeds)
    folder.mkdir(parents=True)
    steps = [5 * k for k in range(len(scores))]
    evaluations = {
        "step": steps,
        "epoch": [step / 10 for step in steps],
        "loss": [0.7 - 0.01 * step for step in steps],
        "accuracy": scores,
        "score": scores,
        "seconds": [0.25] * len(steps),
    }
    pd.DataFrame(evaluations).to_parquet(folder / "evaluations.parquet", index=False)
    taken = range(1, (steps[-1] if steps else 0) + 1)
    losses = {"step": list(taken), "loss": [1 / step for step in taken], "learning_rate": [1e-3] * len(taken)}
    types = {"step": "int64", "loss": "float64", "learning_rate": "float64"}
    pd.DataFrame(losses).astype(types).to_parquet(folder / "train_loss.parquet", index=False)
    logits = np.arange(len(steps) * 6, dtype=np.float32).reshape(-1, 3, 2)
    np.savez(folder / "predictions.npz", steps=np.array(steps), logits=logits, labels=np.array([0, 1, 1]))
    trial = {
        "record_version": 1,
        "seeds": seeds.model_dump(),
        "status": status,
        "steps": steps[-1] if status == "completed" else 20,  # of the whole training
        "seconds": 12.5,
        "error": None,
        "diverged_at": diverged_at,
        "train_examples": 160,
        "validation_examples": 3,
        "identity": {"data.validation": "0123456789abcdef"},
        "versions": {"torch": "2.13.0"},
        "config": CONFIG,
        **changes,
    }
    (folder / "trial.json").write_text(json.dumps(trial))
    return folder


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Trials are entered into an index as soon as they are read, however new they are."""
    monkeypatch.setattr(index_module, "SETTLED", 0)


def learn(sweep: Path) -> None:
    """Leave an index of all of a sweep's trials in its folder, unknown to this process."""
    index = Index(sweep)
    for _, folder in trial_folders(sweep):
        index.find(folder, whole=True)
        check_finished(folder, index)
    index.save()
    assert (sweep / ".cache" / "index").exists()


# ------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("seeds", "name"),
    [
        (Seeds(), "init=000,order=000"),
        (Seeds(init=3, order=17), "init=003,order=017"),
        (Seeds(init=3, order=17, dropout=2), "init=003,order=017,dropout=002"),
        (Seeds(init=1234, order=2**32 - 1), "init=1234,order=4294967295"),
    ],
)
def test_a_trial_is_named_by_its_seeds_and_the_dropout_seed_only_where_it_is_not_its_default(seeds, name):
    assert trial_name(seeds) == name


@settings(deadline=None)
@given(*[st.integers(0, 2**32 - 1)] * 3)
def test_names_and_seeds_determine_each_other(init, order, dropout):
    seeds = Seeds(init=init, order=order, dropout=dropout)
    assert read_seeds(trial_name(seeds)) == seeds


@pytest.mark.parametrize(
    "name",
    [
        *("best_model", "damaged", ".cache", "wandb", "init=003", "order=017,init=003", "init=003,order=017 copy"),
        *("init=-01,order=000", "init=a,order=000", "init=003,order=017,dropout="),
        # Not what trial_name gives, so that a record is never found under two names.
        *("init=3,order=17", "init=003,order=017,dropout=000", "init=0003,order=0017", "init=٣٣٣,order=017"),
        "init=99999999999,order=000",  # no seed
    ],
)
def test_other_names_are_no_trials(name):
    assert read_seeds(name) is None


def test_trials_are_listed_in_the_order_of_their_seeds(tmp_path):
    wanted = [Seeds(init=2), Seeds(init=2, dropout=1), Seeds(init=2, order=10), Seeds(init=1000), Seeds(init=1001)]
    for seeds in reversed(wanted):
        write_trial(tmp_path, seeds, [0.5, 0.6])
    (tmp_path / "init=005,order=000").mkdir()  # a trial that has not written its first record
    (tmp_path / "best_model").mkdir()
    assert [seeds for seeds, _ in trial_folders(tmp_path)] == wanted
    assert [folder.name for _, folder in trial_folders(tmp_path)] == [trial_name(seeds) for seeds in wanted]


def test_sweeps_are_found_down_to_three_levels_and_not_inside_of_each_other(tmp_path):
    for name in ("b", "a/c", "a/b/c", "a/d/e/f", "b/inside", ".cache/hidden"):
        write_trial(tmp_path / name, Seeds(), [0.5, 0.6])
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    assert list(sweeps_below(tmp_path)) == [tmp_path / name for name in ("a/b/c", "a/c", "b")]
    assert list(sweeps_below(tmp_path / "b")) == [tmp_path / "b"]
    assert list(sweeps_below(tmp_path / "nowhere")) == []


def test_a_folder_that_is_not_there_has_no_trials(tmp_path):
    assert list(trial_folders(tmp_path / "nowhere")) == []


# ------------------------------------------------------------------------------------------------------------ frames


@pytest.fixture(params=[False, True], ids=["", "indexed"])
def sweep(tmp_path, request):
    write_trial(tmp_path, Seeds(init=1), [0.9, 0.6, 0.8, 0.7, 0.8])
    write_trial(tmp_path, Seeds(init=0, order=1), [0.5, 0.5, 0.5, 0.4, 0.5])
    write_trial(tmp_path, Seeds(init=0), [0.5, 0.7, 0.6, 0.6, 0.75])
    if request.param:
        learn(tmp_path)
    return tmp_path


def test_a_sweep_has_a_row_per_trial(sweep):
    trials = read_sweep(sweep).trials
    expected = {
        "init": [0, 0, 1],
        "order": [0, 1, 0],
        "dropout": [0, 0, 0],
        "status": ["completed"] * 3,
        "steps": [20] * 3,
        "seconds": [12.5] * 3,
        "best_found": [0.75, 0.5, 0.8],  # the 0.9 before the first step does not count
        "best_step": [20, 5, 10],  # the first of equals
        "best_epoch": [2.0, 0.5, 1.0],
        "last_step": [20] * 3,
        "diverged": [False, True, False],  # at the threshold is diverged
        "folder": [str(sweep / name) for name in ("init=000,order=000", "init=000,order=001", "init=001,order=000")],
    }
    assert {name: trials[name].tolist() for name in expected} == expected
    assert set(trials.columns) == {*expected, "error"}
    assert trials["error"].isna().all()


def test_a_sweep_has_a_row_per_evaluation(sweep):
    evaluations = read_sweep(sweep).evaluations
    columns = [*("init", "order", "dropout", "step", "epoch", "loss", "accuracy", "score", "seconds", "best_so_far")]
    assert list(evaluations.columns) == columns
    assert len(evaluations) == 15
    of_last = evaluations[evaluations["init"] == 1]
    assert of_last["step"].tolist() == [0, 5, 10, 15, 20]
    assert of_last["epoch"].tolist() == [0, 0.5, 1, 1.5, 2]
    assert of_last["score"].tolist() == [0.9, 0.6, 0.8, 0.7, 0.8]
    np.testing.assert_array_equal(of_last["best_so_far"], [np.nan, 0.6, 0.8, 0.8, 0.8])
    assert of_last["loss"].tolist() == pytest.approx([0.7, 0.65, 0.6, 0.55, 0.5])


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_predictions_are_read_as_numpy_reads_them(tmp_path, write):
    folder = tmp_path / trial_name(Seeds())
    folder.mkdir()
    logits = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    written = {"steps": np.arange(4), "logits": logits, "labels": np.array([0, 1, 1], np.int8), "turned": logits.T}
    write(folder / "predictions.npz", **written, **{"a" * 40: np.zeros((0, 2)), "one": np.float64(0.5)})
    read = Sweep(tmp_path, pd.DataFrame(), pd.DataFrame(), {}).predictions(Seeds())
    with np.load(folder / "predictions.npz") as archive:
        assert list(read) == list(archive)
        for name, array in archive.items():
            np.testing.assert_array_equal(read[name], array, strict=True)
            assert read[name].flags["WRITEABLE"]


def test_a_sweep_has_a_row_per_step_and_each_trials_predictions(sweep):
    records = read_sweep(sweep)
    assert list(records.train_loss.columns) == ["init", "order", "dropout", "step", "loss", "learning_rate"]
    assert len(records.train_loss) == 60
    assert records.train_loss["loss"].tolist()[:3] == [1, 1 / 2, 1 / 3]
    predictions = records.predictions(Seeds(init=0, order=1))
    assert predictions["steps"].tolist() == [0, 5, 10, 15, 20]
    assert predictions["logits"].shape == (5, 3, 2)
    assert predictions["logits"].dtype == np.float32
    assert predictions["labels"].tolist() == [0, 1, 1]


def test_gradient_norms_are_read_of_the_trials_that_have_them(sweep):
    assert read_sweep(sweep).gradient_norms.empty
    measured = pd.DataFrame({"step": [1, 10], "layer_1": np.float32([0.5, 0.25]), "head": np.float32([2, 1])})
    path = sweep / "init=000,order=001" / "gradient_norms.parquet"
    measured.to_parquet(path, index=False)
    norms = read_sweep(sweep).gradient_norms
    assert norms[["init", "order", "dropout"]].to_numpy().tolist() == [[0, 1, 0]] * 2
    pd.testing.assert_frame_equal(norms[list(measured)], measured)
    check_finished(path.parent)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match=r"order=001/gradient_norms\.parquet: damaged; redo=true"):
        check_finished(path.parent)
    with pytest.raises(InputError, match=r"order=001/gradient_norms\.parquet: damaged; redo=true"):
        _ = read_sweep(sweep).gradient_norms


def test_a_sweep_has_its_trials_config(sweep):
    read_sweep(str(sweep)).config.clear()
    assert read_sweep(str(sweep)).config == CONFIG


def test_dropout_seeds_tell_trials_apart(tmp_path):
    write_trial(tmp_path, Seeds(), [0.5, 0.6])
    write_trial(tmp_path, Seeds(dropout=4), [0.5, 0.9])
    trials = read_sweep(tmp_path).trials
    assert trials["dropout"].tolist() == [0, 4]
    assert trials["best_found"].tolist() == [0.6, 0.9]


# ---------------------------------------------------------------------------------------------------- while it runs


def test_an_empty_sweep_has_empty_frames(tmp_path):
    records = read_sweep(tmp_path)
    assert len(records.trials) == len(records.evaluations) == len(records.train_loss) == 0
    assert {"init", "status", "best_found", "best_step", "last_step", "diverged"} <= set(records.trials.columns)
    assert records.config == {}


def test_a_running_trial_is_read_with_what_it_has(sweep):
    write_trial(sweep, Seeds(init=2), [0.5, 0.55], status="running")
    with trial_lock(sweep / "init=002,order=000"):
        trial = read_sweep(sweep).trials.iloc[-1]
    assert (trial["status"], trial["best_found"], trial["best_step"], trial["last_step"]) == ("running", 0.55, 5, 5)


def test_a_trial_that_is_recorded_as_running_and_that_no_process_runs_is_interrupted(sweep):
    write_trial(sweep, Seeds(init=2), [0.5, 0.55], status="running")
    assert read_sweep(sweep).trials["status"].tolist()[-1] == "interrupted"
    with trial_lock(sweep / "init=002,order=000"):
        assert read_sweep(sweep).trials["status"].tolist()[-1] == "running"


@pytest.mark.parametrize("missing", [("evaluations.parquet",), ("train_loss.parquet",), FILES[1:]])
def test_a_running_trial_may_lack_files(sweep, missing):
    folder = write_trial(sweep, Seeds(init=2), [0.5, 0.55], status="running")
    for name in missing:
        (folder / name).unlink()
    records = read_sweep(sweep)
    assert records.trials["init"].tolist() == [0, 0, 1, 2]
    assert records.trials["best_found"].isna().tolist() == [False] * 3 + ["evaluations.parquet" in missing]
    steps_of_running = (records.train_loss["init"] == 2).sum()
    assert steps_of_running == (0 if "train_loss.parquet" in missing else 5)
    assert len(records.train_loss) == 60 + steps_of_running


def test_trials_without_an_evaluation_stand_beside_others(sweep):
    # Before its first evaluation a record has an empty table, whose columns are not known yet.
    for init in (2, 3):
        folder = write_trial(sweep, Seeds(init=init), [], status="running")
        empty = pd.DataFrame({"step": pd.Series(dtype="int64"), "score": pd.Series(dtype="float64")})
        empty.to_parquet(folder / "evaluations.parquet", index=False)
    records = read_sweep(sweep)
    assert records.trials["best_found"].isna().tolist() == [False, False, False, True, True]
    assert records.trials["last_step"].tolist() == [20, 20, 20, 0, 0]
    assert len(records.evaluations) == 15
    assert len(records.train_loss) == 60


def test_a_trial_whose_first_step_is_not_evaluated_yet_has_no_best(tmp_path):
    write_trial(tmp_path, Seeds(), [0.9], status="running")
    records = read_sweep(tmp_path)
    trial = records.trials.iloc[0]
    assert np.isnan(trial["best_found"])
    assert trial["last_step"] == 0
    assert not trial["diverged"]
    assert records.evaluations["best_so_far"].isna().all()


def test_a_trial_that_runs_has_not_diverged_yet(tmp_path):
    write_trial(tmp_path, Seeds(), [0.5, 0.4], status="running")
    assert not read_sweep(tmp_path).trials["diverged"].any()


def test_a_trial_with_a_loss_that_is_no_number_has_diverged_whatever_its_score(tmp_path):
    write_trial(tmp_path, Seeds(init=0), [0.5, 0.9], status="nonfinite")
    write_trial(tmp_path, Seeds(init=1), [0.5], status="nonfinite")
    trials = read_sweep(tmp_path).trials
    assert trials["diverged"].tolist() == [True, True]
    assert trials["best_found"].tolist() == pytest.approx([0.9, np.nan], nan_ok=True)


def test_a_failed_trials_error_is_kept_and_it_has_not_diverged(tmp_path):
    write_trial(tmp_path, Seeds(), [0.5, 0.4], status="failed", error="MemoryError: no more")
    trial = read_sweep(tmp_path).trials.iloc[0]
    assert trial["error"] == "MemoryError: no more"
    assert not trial["diverged"]


def test_listing_trials_reads_no_losses(sweep):
    for path in sweep.glob("*/train_loss.parquet"):
        content = bytearray(path.read_bytes())
        content[4:200] = bytes(196)  # its rows are counted at the end of the file
        path.write_bytes(content)
    records = read_sweep(sweep)
    assert len(records.trials) == 3
    with pytest.raises(InputError, match=r"train_loss\.parquet: damaged"):
        _ = records.train_loss


def test_records_are_read_without_torch_and_hydra():
    code = "import sys, seedgrid.records.store; sys.exit(bool({'torch', 'hydra'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


# --------------------------------------------------------------------------------------------------------- damage


def refusal(read, *arguments) -> str:
    with pytest.raises(InputError) as refused:
        read(*arguments)
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


def test_versions_of_a_package_that_differ_between_trials_are_kept_together(sweep):
    assert not read_sweep(sweep).mixed_versions
    folder = next(path for _, path in trial_folders(sweep))
    record = json.loads((folder / "trial.json").read_text())
    (folder / "trial.json").write_text(json.dumps(record | {"versions": {"torch": "2.12.0", "numpy": "2.3.5"}}))
    assert read_sweep(sweep).mixed_versions == {"torch": "2.12.0, 2.13.0", "numpy": "2.3.5, unknown"}


def test_a_sweep_that_is_not_there_is_named(tmp_path):
    assert refusal(read_sweep, tmp_path / "nowhere").startswith(f"sweep={tmp_path / 'nowhere'}: no such folder")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"null", b"\xff\xfe", b'"record_version"', b'{"record_version": 1}']
)
def test_a_damaged_trial_json_is_named_with_the_remedy(sweep, content):
    path = sweep / "init=000,order=001" / "trial.json"
    path.write_bytes(content)
    for read, argument in ((read_trial, path.parent), (read_sweep, sweep)):
        message = refusal(read, argument)
        assert message.startswith(f"{path}: damaged")
        assert message.endswith("redo=true runs the trial again")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_a_record_of_another_version_is_named(tmp_path, version):
    folder = write_trial(tmp_path, Seeds(), [0.5, 0.6], record_version=version)
    expected = (
        f"{folder / 'trial.json'}: record version {version}, this release reads 1; redo=true runs the trial again"
    )
    assert refusal(read_trial, folder) == expected
    assert refusal(read_sweep, tmp_path) == expected


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 something PAR1"])
@pytest.mark.parametrize("status", ["completed", "running"])
def test_a_damaged_table_is_named(sweep, content, status):
    folder = write_trial(sweep, Seeds(init=7), [0.5, 0.6], status=status)
    (folder / "evaluations.parquet").write_bytes(content)
    expected = f"{folder / 'evaluations.parquet'}: damaged; redo=true runs the trial again"
    assert refusal(read_sweep, sweep) == expected


@pytest.mark.parametrize("status", ["completed", "nonfinite"])
def test_a_finished_trial_without_its_evaluations_is_named(tmp_path, status):
    folder = write_trial(tmp_path, Seeds(), [0.5, 0.6], status=status)
    learn(tmp_path)
    (folder / "evaluations.parquet").unlink()
    expected = f"{folder / 'evaluations.parquet'}: missing; redo=true runs the trial again"
    assert refusal(read_sweep, tmp_path) == expected


def test_a_finished_trial_with_all_its_files_passes_the_check(tmp_path):
    check_finished(write_trial(tmp_path, Seeds(), [0.5, 0.6]))


@pytest.mark.parametrize("name", FILES[1:])
def test_a_finished_trial_with_a_missing_or_damaged_file_does_not_pass_the_check(tmp_path, name):
    path = write_trial(tmp_path, Seeds(), [0.5, 0.6]) / name
    path.write_bytes(path.read_bytes()[:40])
    assert refusal(check_finished, path.parent) == f"{path}: damaged; redo=true runs the trial again"
    path.unlink()
    assert refusal(check_finished, path.parent) == f"{path}: missing; redo=true runs the trial again"


def lose(folder: Path, name: str, rows: slice) -> None:
    """Keep only some rows of a trial's table."""
    table = pd.read_parquet(folder / name)
    table[rows].to_parquet(folder / name, index=False)


PLANNED = {"steps_per_epoch": 10, "config": CONFIG | {"evaluation": EVALUATION}}


@pytest.mark.parametrize(
    ("status", "name", "rows", "reason"),
    [
        ("completed", "train_loss.parquet", slice(5, None), "completed with 15 of 20 training losses"),
        ("completed", "evaluations.parquet", slice(1, None), r"other evaluations than planned \(step 0\)"),
        ("completed", "evaluations.parquet", slice(-1), "completed, and its last evaluation is at step 15 of 20"),
        ("nonfinite", "evaluations.parquet", slice(1, None), r"nonfinite with other evaluations .* \(step 0\)"),
        ("stopped", "train_loss.parquet", slice(12), "stopped with an evaluation at step 20 and 12 training losses"),
    ],
)
def test_a_record_that_cannot_be_is_refused_by_every_reader(tmp_path, status, name, rows, reason):
    folder = write_trial(tmp_path, Seeds(), [0.5, 0.6, 0.7, 0.7, 0.8], status=status, **PLANNED)
    check_finished(folder)
    assert len(read_sweep(tmp_path).trials) == 1
    lose(folder, name, rows)
    for message in (
        refusal(read_sweep, tmp_path),
        refusal(check_finished, folder),
        *SweepWatch(tmp_path).look().damaged,
    ):
        assert re.match(rf"{folder}: .*{reason}.*; redo=true runs the trial again", message), message


def test_a_trial_that_ended_early_may_have_fewer_rows(tmp_path):
    for init, status in enumerate(("nonfinite", "stopped", "running", "failed")):
        write_trial(tmp_path, Seeds(init=init), [0.5, 0.6, 0.7], status=status, **PLANNED)
    write_trial(tmp_path, Seeds(init=9), [0.5], status="nonfinite", **PLANNED)
    assert read_sweep(tmp_path).trials["last_step"].tolist() == [10, 10, 10, 10, 0]
    assert not SweepWatch(tmp_path).look().damaged
    for init in (0, 1, 9):
        check_finished(tmp_path / trial_name(Seeds(init=init)))


def test_predictions_of_other_evaluations_do_not_pass_the_check(tmp_path):
    folder = write_trial(tmp_path, Seeds(), [0.5, 0.6])
    np.savez(folder / "predictions.npz", steps=[5], logits=np.zeros((1, 3, 2), np.float32), labels=np.array([0, 1, 1]))
    assert "predictions of other evaluations than recorded" in refusal(check_finished, folder)


def test_a_record_under_the_name_of_another_trial_is_refused(tmp_path):
    folder = write_trial(tmp_path, Seeds(init=1), [0.5, 0.6])
    learn(tmp_path)
    folder.rename(tmp_path / "init=002,order=000")
    with pytest.raises(InputError, match=r"init=002,order=000/trial\.json: holds the trial of init 1, order 0, "):
        read_sweep(tmp_path)


@pytest.mark.parametrize("indexed", [False, True])
def test_trials_of_two_configurations_in_one_folder_are_refused_with_what_differs(tmp_path, indexed):
    same = {"data.validation": "0123456789abcdef"}
    write_trial(tmp_path, Seeds(init=0), [0.5, 0.6], identity={**same, "recipe.epochs": 3})
    write_trial(tmp_path, Seeds(init=1), [0.5, 0.6], identity={**same, "recipe.epochs": 4})
    if indexed:
        learn(tmp_path)
    with pytest.raises(InputError, match=r"init=001.*another configuration .*\(recipe\.epochs was 3, now 4\); move"):
        read_sweep(tmp_path)
