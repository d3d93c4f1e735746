"""Nothing but its configuration changes a trial: no batch system that it runs in, no variable that libraries read."""

from __future__ import annotations

import signal

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from seedgrid.errors import InputError
from seedgrid.trials import train as train_module
from seedgrid.trials.losses import Losses
from seedgrid.trials.preparation import prepare
from seedgrid.trials.run import run_trial

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NAME": "train",
    "SLURM_NTASKS": "4",  # without SLURM_NTASKS_PER_NODE, which Lightning wants to have beside it
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "3",
    "SLURM_NODEID": "1",
}
ELSEWHERE = SLURM | {
    # torchrun, Kubeflow
    "TORCHELASTIC_RUN_ID": "none",
    "KUBERNETES_PORT": "tcp://10.0.0.1:443",
    "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "29500",
    "WORLD_SIZE": "4",
    "RANK": "3",
    "LOCAL_RANK": "3",
    "GROUP_RANK": "1",
    "NODE_RANK": "1",
    # LSF, MPI
    "LSB_JOBID": "7",
    "LSB_DJOB_RANKFILE": "/nowhere",
    "JSM_NAMESPACE_SIZE": "4",
    "JSM_NAMESPACE_RANK": "3",
    "JSM_NAMESPACE_LOCAL_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_RANK": "3",
    # libraries' own
    "PL_TRAINER_MAX_STEPS": "4",
    "PL_TRAINER_LIMIT_TRAIN_BATCHES": "3",
    "PL_TRAINER_ACCUMULATE_GRAD_BATCHES": "2",
    "PL_TRAINER_GRADIENT_CLIP_ALGORITHM": "value",
    "PL_TRAINER_MAX_TIME": "00:00:00:00",
    "PL_TRAINER_DETECT_ANOMALY": "1",
    "PL_GLOBAL_SEED": "7",
    "PL_SEED_WORKERS": "1",
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
    "CUBLAS_WORKSPACE_CONFIG": ":16:8",
    "OMP_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "2",
}


def numbers(folder):
    with np.load(folder / "predictions.npz") as archive:
        logits = archive["logits"].tobytes()
    evaluations = pq.read_table(folder / "evaluations.parquet").drop_columns("seconds").to_pydict()
    curves = (folder / "metrics.csv").read_text().splitlines()
    return pq.read_table(folder / "train_loss.parquet").to_pydict(), evaluations, logits, len(curves)


@pytest.fixture(scope="module")
def trial(tiny, settings_of, tmp_path_factory):
    """Run a trial with curves in CSV, to the end; returns its folder."""
    parent = tmp_path_factory.mktemp("environment")

    def ran(sweep, before=None):
        settings = settings_of([*tiny, "logger=csv", "recipe.epochs=1", f"sweep={parent / sweep}"])
        folder = parent / sweep / "init=000,order=000"
        if before is not None:
            before(folder)
        assert run_trial(settings, prepare(settings)).status == "completed"
        return folder

    return ran


@pytest.fixture(scope="module")
def undisturbed(trial):
    return numbers(trial("undisturbed"))


def test_no_variable_of_a_batch_system_or_a_library_changes_a_trial(trial, undisturbed, monkeypatch):
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 3)  # which Lightning takes from some of them when it is imported
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")  # what TORCH_ALLOW_TF32_CUBLAS_OVERRIDE may do
    try:
        assert numbers(trial("elsewhere")) == undisturbed
    finally:
        torch.set_float32_matmul_precision(precision)


def test_lightnings_requeue_takes_no_part_in_a_trial(trial, undisturbed, monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    handlers = []

    class Watched(Losses):
        def on_step(self, *arguments) -> None:
            super().on_step(*arguments)
            names = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
            handlers.append({signal.getsignal(name).__module__ for name in names})

    monkeypatch.setattr(train_module, "Losses", Watched)

    def leave(folder):
        folder.mkdir(parents=True)
        (folder / "hpc_ckpt_1.ckpt").write_bytes(b"as its handler leaves one; who loads this fails")

    assert numbers(trial("left", leave)) == undisturbed
    assert handlers
    assert all(modules == {"seedgrid.trials.interrupt"} for modules in handlers)


@pytest.mark.parametrize(
    "variable", ["ATEN_CPU_CAPABILITY=default", "MKL_CBWR=COMPATIBLE", "ONEDNN_DEFAULT_FPMATH_MODE=BF16"]
)
def test_a_variable_that_changes_the_arithmetic_is_refused_in_one_line(
    tiny, settings_of, tmp_path, monkeypatch, variable
):
    name, _, value = variable.partition("=")
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=rf"^{variable}: .*; unset {name}$"):
        prepare(settings_of([*tiny, f"sweep={tmp_path / 'sweep'}"]))
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("variable", ["OMP_DYNAMIC=true", "OMP_THREAD_LIMIT=1"])
def test_what_takes_threads_away_is_refused_where_a_trial_has_several(
    tiny, settings_of, tmp_path, monkeypatch, variable
):
    name, _, value = variable.partition("=")
    monkeypatch.setenv(name, value)
    prepare(settings_of([*tiny, f"sweep={tmp_path / 'one'}"]))
    with pytest.raises(InputError, match=f"unset {name}"):
        prepare(settings_of([*tiny, "trainer.threads=2", f"sweep={tmp_path / 'two'}"]))
