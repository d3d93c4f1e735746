"""Trials as jobs of a real Slurm; skipped where none answers. Run on one node, of Debian's packages."""

from __future__ import annotations

import json
import shutil
import subprocess
import time

import pytest
from hydra import compose, initialize_config_dir

pytest.importorskip("hydra_plugins.hydra_submitit_launcher")


def answers() -> bool:
    if shutil.which("sinfo") is None:
        return False
    return subprocess.run(["sinfo", "--noheader", "--states=idle,mixed,alloc"], capture_output=True).stdout != b""


needs_slurm = pytest.mark.skipif(not answers(), reason="no Slurm here: sinfo does not answer")
ON_SLURM = ("-m", "hydra/launcher=slurm", "hydra.launcher.name=seedgrid-test")


@needs_slurm
def test_a_grid_has_the_numbers_of_one_in_a_single_process(command, tiny, reference, numbers, tmp_path):
    sweep = tmp_path / "sweep"
    grid = ("seed.init=range(0,2)", "seed.order=range(0,2)", f"sweep={sweep}")
    # As inside of an allocation of several tasks.
    code, output, errors = command(*ON_SLURM, *tiny, *grid, env={"SLURM_NTASKS": "4", "SLURM_PROCID": "1"}, new=True)
    assert code == 0, errors
    assert "4 trials, 4 completed" in output
    assert "sacct" not in errors
    assert numbers(sweep) == numbers(reference)


@needs_slurm
def test_a_job_at_its_time_limit_writes_its_checkpoint_and_the_next_goes_on_to_the_same_numbers(
    start, command, tiny, numbers, tmp_path
):
    trial = [*tiny, "seed.init=0", "seed.order=0", "recipe.epochs=60", "evaluation.per_epoch=0.2", "keep_best=false"]
    sweep = tmp_path / "sweep"
    process = start(*ON_SLURM, *trial, f"sweep={sweep}")
    record = sweep / "init=000,order=000" / "trial.json"
    while not record.exists() or not json.loads(record.read_text())["seconds"]:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    # What Slurm sends, so many seconds before the limit.
    subprocess.run(["scancel", "--signal=USR2", "--name=seedgrid-test"], check=True)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "was asked to end before it was done (by its time limit" in errors
    assert json.loads(record.read_text())["status"] == "running"
    assert (record.parent / "checkpoint" / "state.pt").exists()
    for words in (
        (*ON_SLURM, f"sweep={sweep}"),
        (f"sweep={tmp_path / 'undisturbed'}",),
    ):
        assert command(*words, *trial)[0] == 0
    assert numbers(sweep) == numbers(tmp_path / "undisturbed")


@needs_slurm
def test_jobs_that_slurm_refuses_are_one_line(command, tiny, tmp_path):
    words = (*ON_SLURM, *tiny, "hydra.launcher.partition=nowhere", f"sweep={tmp_path / 'sweep'}")
    code, _, errors = command(*words)
    assert code == 1
    [line] = [line for line in errors.splitlines() if "trials" not in line and line]
    assert line.startswith("error: hydra/launcher=slurm: Slurm refuses the jobs (")
    assert "nvalid partition" in line


@pytest.mark.parametrize(("trainer", "gpus"), [("cpu", None), ("gpu", 1)])
def test_a_job_asks_for_a_gpu_only_where_its_trial_wants_one(repository, trainer, gpus):
    with initialize_config_dir(str(repository / "conf"), version_base="1.3"):
        config = compose("train", [f"trainer={trainer}", "hydra/launcher=slurm"], return_hydra_config=True)
    assert config.hydra.launcher.gpus_per_node == gpus


def test_without_slurm_its_launcher_says_so(command, tiny, tmp_path):
    words = ("-m", "hydra/launcher=slurm", *tiny, f"sweep={tmp_path / 'sweep'}")
    code, _, errors = command(*words, env={"PATH": ""})
    assert code == 1
    assert "error: hydra/launcher=slurm: no Slurm here (no srun)" in errors
