"""The same sweep has the same numbers on every engine that Hydra can launch it on."""

import os
import sys
import time

import pytest
from joblib import Parallel, delayed

from seedgrid.trials.entry import keep_worker

GRID = ("seed.init=range(0,2)", "seed.order=range(0,2)")


@pytest.mark.parametrize(
    "launcher",
    [
        ("hydra/launcher=ray_trials", "hydra.launcher.ray.init.num_cpus=2"),
        ("hydra/launcher=submitit_processes",),
    ],
    ids=["ray", "submitit"],
)
def test_same_numbers_on_every_engine(command, tiny, reference, numbers, tmp_path, launcher):
    pytest.importorskip("ray" if "ray" in launcher[0] else "submitit")
    sweep = tmp_path / "sweep"
    code, output, errors = command("-m", *tiny, *GRID, *launcher, f"sweep={sweep}")
    assert code == 0, errors
    assert "4 trials, 4 completed" in output
    assert numbers(sweep) == numbers(reference)


def test_the_slurm_launcher_composes(command):
    pytest.importorskip("submitit")
    code, output, errors = command(
        "hydra/launcher=slurm", "trainer=gpu", "--cfg", "hydra", "--package", "hydra.launcher"
    )
    assert code == 0, errors
    assert "array_parallelism: 32" in output
    assert "timeout_min: 240" in output


def test_a_worker_that_grows_is_kept():
    pytest.importorskip("psutil")  # without it joblib does not look

    def trial(number: int) -> int:
        keep_worker()
        if number > 1:  # after the first task of each worker, from which joblib measures
            sys.kept = [*getattr(sys, "kept", []), bytearray(os.urandom(1) * 2**29)]
        time.sleep(1.2)  # joblib looks once a second
        return os.getpid()

    workers = Parallel(n_jobs=2, batch_size=1)(delayed(trial)(number) for number in range(6))
    assert len(set(workers)) == 2
