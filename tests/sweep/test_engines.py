"""The same sweep has the same numbers on every engine that Hydra can launch it on."""

import os
import subprocess
import sys
import time

import pytest
from joblib import Parallel, delayed

from seedgrid.records.store import read_sweep
from seedgrid.trials.entry import keep_worker

PAIRS = ("seed.init=0,1", "seed.order=1")
NAMES = ("init=000,order=001", "init=001,order=001")


@pytest.mark.parametrize(
    "launcher",
    [
        ("hydra/launcher=ray_trials",),
        ("hydra/launcher=submitit_processes",),
    ],
    ids=["ray", "submitit"],
)
def test_same_numbers_on_every_engine(command, tiny, reference, numbers, tmp_path, launcher):
    pytest.importorskip("ray" if "ray" in launcher[0] else "submitit")
    sweep = tmp_path / "sweep"
    code, output, errors = command("-m", *tiny, *PAIRS, *launcher, f"sweep={sweep}", new=True)
    assert code == 0, errors
    assert "2 trials, 2 completed" in output
    assert numbers(sweep) == {name: numbers(reference)[name] for name in NAMES}


CLUSTER = """
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
print(cluster.address, flush=True)
input()
cluster.shutdown()
"""


def test_the_nodes_of_a_ray_cluster_share_a_grid(command, tiny, reference, numbers, tmp_path):
    pytest.importorskip("ray.cluster_utils")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", CLUSTER], text=True, cwd=tmp_path, **pipes) as cluster:
        address = cluster.stdout.readline().strip()
        words = [*PAIRS, f"sweep={tmp_path / 'sweep'}", "hydra/launcher=ray_trials"]
        code, output, errors = command("-m", *tiny, *words, f"hydra.launcher.address={address}", new=True)
        cluster.communicate("\n")
    assert code == 0, errors
    assert "2 trials, 2 completed" in output
    assert numbers(tmp_path / "sweep") == {name: numbers(reference)[name] for name in NAMES}


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


def test_workers_whose_sweep_was_killed_finish_their_trials_and_end(tiny, tmp_path):
    psutil = pytest.importorskip("psutil")
    sweep = tmp_path / "sweep"
    words = ["-m", *tiny, "recipe.epochs=20", "seed.init=range(0,4)", "hydra.launcher.n_jobs=2", f"sweep={sweep}"]
    main = subprocess.Popen([sys.executable, "-m", "seedgrid", "train", *words], cwd=tmp_path)
    while len(list(sweep.glob("init=*/trial.json"))) < 2:
        assert main.poll() is None
        time.sleep(0.1)
    workers = [child for child in psutil.Process(main.pid).children() if "LokyProcess" in " ".join(child.cmdline())]
    main.kill()
    main.wait()
    _, left = psutil.wait_procs(workers, timeout=120)
    assert len(workers) == 2
    assert not left
    assert sorted(read_sweep(sweep).trials["status"]) == ["completed", "completed"]
