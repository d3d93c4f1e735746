"""What loggers are given: Lightning's, and W&B's own offline folders, read back; its servers: test_wandb_run.py."""

import csv
import re
import shutil
import threading
from collections import Counter

import numpy as np
import pytest

from seedgrid.errors import InputError
from seedgrid.records.record import TrialRecord
from seedgrid.records.rows import read_rows
from seedgrid.records.store import read_trial
from seedgrid.trials import interrupt
from seedgrid.trials.preparation import prepare
from seedgrid.trials.run import run_trial


def items(pairs):
    return {item.key or "/".join(item.nested_key): item.value_json for item in pairs}


@pytest.fixture
def wandb_runs(tiny, settings_of, tmp_path, monkeypatch, wandb_records):
    """Two trials in one process, offline; their runs as lists of records, by the run's id."""
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    sweep = tmp_path / "my-sweep"
    for init in (0, 1):
        overrides = [o for o in tiny if o != "logger=none"]
        settings = settings_of(
            [
                *overrides,
                "recipe.epochs=1",
                f"sweep={sweep}",
                f"seed.init={init}",
                "logger.tags=[mine]",
                "gradient_norms=5",
            ]
        )
        assert run_trial(settings, prepare(settings)).status == "completed"
    files = sorted(sweep.glob("wandb/offline-run-*/run-*.wandb"))
    return {path.stem.removeprefix("run-"): wandb_records(path) for path in files}


def test_each_of_two_trials_in_one_process_has_a_whole_run_of_its_own(wandb_runs):
    assert len(wandb_runs) == 2
    for run_id, records in wandb_runs.items():
        [run] = [r.run for r in records if r.WhichOneof("record_type") == "run"]
        config = items(run.config.update)
        assert run.run_id == run_id
        assert run.run_group == "my-sweep"
        assert run.job_type == "trial"
        assert run.display_name == f"my-sweep init=00{config['init']},order=000"
        assert set(run.tags) == {"grammar", "minilm", "default", "mine"}
        assert (config["order"], config["dropout"]) == ("0", "0")

        history = [items(r.history.item) for r in records if r.WhichOneof("record_type") == "history"]
        losses = [row for row in history if "train/loss" in row]
        assert [int(row["trainer/global_step"]) for row in losses] == list(range(1, 7))
        validations = [row for row in history if "validation/score" in row]
        assert [float(row["epoch"]) for row in validations] == pytest.approx([0, 1 / 3, 2 / 3, 1])

        norms = [row for row in history if "gradient_norm/head" in row]
        assert [int(row["trainer/global_step"]) for row in norms] == [1, 5]
        assert all(float(row["gradient_norm/layer_1"]) > 0 for row in norms)

        axes = {r.metric.name or r.metric.glob_name: r.metric.step_metric for r in records if r.HasField("metric")}
        assert axes["validation/*"] == "epoch"
        assert axes["train/*"] == axes["gradient_norm/*"] == "trainer/global_step"

        summary = {}
        for record in records:
            if record.WhichOneof("record_type") == "summary":
                summary |= items(record.summary.update)
        scores = [float(row["validation/score"]) for row in validations[1:]]
        assert float(summary["best_found"]) == pytest.approx(max(scores))
        assert summary["status"] == '"completed"'
        assert summary["diverged"] in ("0", "1")
        assert any(r.WhichOneof("record_type") == "exit" and r.exit.exit_code == 0 for r in records)
    inits = {items(r.run.config.update)["init"] for run in wandb_runs.values() for r in run if r.HasField("run")}
    assert inits == {"0", "1"}


def test_a_logger_that_fails_costs_the_trial_one_line_and_nothing_else(
    tiny, settings_of, tmp_path, monkeypatch, capsys
):
    import wandb

    def refuse(*args, **kwargs):
        raise wandb.errors.CommError("no route to host")

    monkeypatch.setattr(wandb, "init", refuse)
    monkeypatch.setenv("WANDB_MODE", "offline")
    overrides = [o for o in tiny if o != "logger=none"]
    settings = settings_of([*overrides, "recipe.epochs=0.5", f"sweep={tmp_path / 'sweep'}"])
    assert run_trial(settings, prepare(settings)).status == "completed"
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("logger=wandb: CommError: no route to host; trials go on without it; later: ")


def test_training_does_not_wait_for_a_server_and_nothing_is_lost_by_that(
    tiny, settings_of, tmp_path, monkeypatch, wandb_records
):
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    trained, answered, init, add_step = threading.Event(), [], wandb.init, TrialRecord.add_step

    def slow(**arguments):
        answered.append(trained.wait(60))
        return init(**arguments)

    def note(record, *row):
        add_step(record, *row)
        trained.set()

    monkeypatch.setattr(wandb, "init", slow)
    monkeypatch.setattr(TrialRecord, "add_step", note)
    overrides = [o for o in tiny if o != "logger=none"]
    settings = settings_of([*overrides, "recipe.epochs=1", f"sweep={tmp_path / 'sweep'}"])
    assert run_trial(settings, prepare(settings)).status == "completed"
    assert answered == [True]
    [file] = (tmp_path / "sweep").glob("wandb/offline-run-*/run-*.wandb")
    history = [items(r.history.item) for r in wandb_records(file) if r.WhichOneof("record_type") == "history"]
    assert [int(row["trainer/global_step"]) for row in history if "train/loss" in row] == list(range(1, 7))


def test_csv_logger_leaves_every_step_in_the_trials_folder(tiny, settings_of, tmp_path):
    overrides = [o for o in tiny if o != "logger=none"]
    settings = settings_of([*overrides, "logger=csv", "recipe.epochs=1", f"sweep={tmp_path / 'sweep'}"])
    assert run_trial(settings, prepare(settings)).status == "completed"
    with (tmp_path / "sweep" / "init=000,order=000" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == [str(step) for step in range(7)]
    assert [row["step"] for row in rows if row["train/loss"] == ""] == ["0"]
    assert [row["step"] for row in rows if row["gradient_norm/embeddings"] != ""] == ["1"]
    assert [row["step"] for row in rows if row["validation/score"] != ""] == ["0", "2", "4", "6"]


def test_a_trial_that_goes_on_has_every_step_once_in_its_csv_and_in_its_folders_of_wandbs_own(
    tiny, settings_of, tmp_path, monkeypatch, wandb_records
):
    monkeypatch.setenv("WANDB_MODE", "offline")
    for kind in ("csv", "wandb"):
        overrides = [o for o in tiny if o != "logger=none"]
        settings = settings_of([*overrides, f"logger={kind}", "recipe.epochs=1", f"sweep={tmp_path / kind}"])
        with monkeypatch.context() as patch:
            answers = iter([False, False, False, True])
            patch.setattr(interrupt, "requested", lambda answers=answers: next(answers))
            assert run_trial(settings, prepare(settings)).status == "interrupted"
        assert run_trial(settings, prepare(settings)).status == "completed"
    with (tmp_path / "csv" / "init=000,order=000" / "metrics.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == [str(step) for step in range(7)]
    # wandb sync appends the one to the other.
    runs = [wandb_records(path) for path in sorted((tmp_path / "wandb").glob("wandb/offline-run-*/run-*.wandb"))]
    steps = [
        [int(items(r.history.item)["trainer/global_step"]) for r in records if r.WhichOneof("record_type") == "history"]
        for records in runs
    ]
    assert steps == [[0, 1, 2, 3], [4, 5, 6]]
    assert len({r.run.run_id for records in runs for r in records if r.WhichOneof("record_type") == "run"}) == 1


def _read_tensorboard(sweep, trial):
    accumulators = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="pip install tensorboard"
    )
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    run = accumulators.EventAccumulator(str(sweep / trial)).Reload()
    rows = [(tag, row.step, row.value) for tag in run.Tags()["scalars"] for row in run.Scalars(tag)]
    [start] = [c for name, c in run.PluginTagToContent("hparams").items() if name.endswith("session_start_info")]
    values = HParamsPluginData.FromString(start).session_start_info.hparams.items()
    return rows, {name: value.number_value for name, value in values if value.HasField("number_value")}


def _read_mlflow(sweep, trial):
    client = pytest.importorskip("mlflow", reason="pip install mlflow").MlflowClient(f"sqlite:///{sweep}/mlflow.db")
    experiment = client.get_experiment_by_name(str(sweep))
    [run] = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == (trial, "FINISHED")
    histories = [client.get_metric_history(run.info.run_id, name) for name in run.data.metrics]
    return [(row.key, row.step, row.value) for history in histories for row in history], run.data.params


@pytest.mark.parametrize(("kind", "read"), [("tensorboard", _read_tensorboard), ("mlflow", _read_mlflow)])
def test_a_trial_whose_steps_were_logged_before_is_one_run_with_every_row_once(
    tiny, settings_of, tmp_path, monkeypatch, kind, read
):
    pytest.importorskip(kind, reason=f"pip install {kind}")
    sweep, trial = tmp_path / "sweep", "init=003,order=000"
    overrides = [o for o in tiny if o != "logger=none"]
    settings = settings_of([*overrides, f"logger={kind}", "recipe.epochs=1", f"sweep={sweep}", "seed.init=3"])
    prepared = prepare(settings)
    with monkeypatch.context() as patch:
        answers = iter([False, False, False, True])
        patch.setattr(interrupt, "requested", lambda: next(answers))
        assert run_trial(settings, prepared).status == "interrupted"
    shutil.rmtree(sweep / trial / "checkpoint")  # as after a kill before its first
    assert run_trial(settings, prepared).status == "completed"
    rows, hyperparameters = read(sweep, trial)
    recorded = read_rows(sweep / trial, read_trial(sweep / trial))
    assert Counter((name, step, np.float32(value)) for name, step, value in rows) == Counter(
        (name, step, np.float32(value)) for step, values in recorded for name, value in values.items()
    )
    assert (float(hyperparameters["init"]), float(hyperparameters["recipe.epochs"])) == (3, 1)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("nowhere.Logger", r"cannot be imported \(.*No module named 'nowhere'"),
        ("pytorch_lightning.loggers.CometLogger", "could not be made .*pip install -U .*comet"),
        ("collections.OrderedDict", "no Lightning logger; it has no log_metrics"),
    ],
)
def test_a_logger_that_cannot_be_made_is_one_line_before_any_trial(tiny, settings_of, tmp_path, target, reason):
    overrides = [o for o in tiny if o != "logger=none"]
    logger = ["logger=none", "logger.kind=lightning", f"+logger.lightning={{_target_:{target}}}"]
    with pytest.raises(InputError) as refused:
        prepare(settings_of([*overrides, *logger, f"sweep={tmp_path / 'sweep'}"]))
    assert re.match(rf"logger\.lightning\b.*{re.escape(target)}.*{reason}", str(refused.value))
    assert not list(tmp_path.iterdir())
