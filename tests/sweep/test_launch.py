"""A worker that dies is launched again; an engine that begins no trial has refused them, and says why once."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf

from seedgrid.errors import InputError
from seedgrid.records.store import note_start
from seedgrid.sweep import on_ray
from seedgrid.sweep.launch import Engine, Job, launch


@pytest.fixture
def launched(repository, tmp_path):
    """What :func:`launch` says of one job, by Hydra's own launchers."""

    def ran(task_function, *overrides):
        trial = tmp_path / "sweep" / "init=000,order=000"
        words = [f"sweep={trial.parent}", f"hydra.sweep.dir={tmp_path}", *overrides]
        with initialize_config_dir(str(repository / "conf"), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            config = loader.load_configuration("train", words, RunMode.MULTIRUN)
            context = HydraContext(config_loader=loader, callbacks=Callbacks())
            return launch(Engine(context, task_function, config), [Job(trial, tuple(words[:1]))])

    return ran


def dies_once(config):
    trial = Path(config.sweep) / "init=000,order=000"
    note_start(trial)
    if not trial.exists():
        trial.mkdir()
        os.kill(os.getpid(), signal.SIGKILL)
    return OmegaConf.create({"error": "ended"})


def begins_once(config):
    trial = Path(config.sweep) / "init=000,order=000"
    if not trial.exists():
        note_start(trial)
        trial.mkdir()
    os.kill(os.getpid(), signal.SIGKILL)


def never_begins(config):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_before_it_has_written_anything_is_launched_again(launched, tmp_path, capsys):
    errors = launched(dies_once, "hydra.launcher.n_jobs=2")
    assert errors == {tmp_path / "sweep" / "init=000,order=000": "ended"}
    assert capsys.readouterr().err == "\na worker died (TerminatedWorkerError); launching 1 trial again\n"


def test_an_engine_that_refuses_later_leaves_what_ran_before_its_summary(launched, tmp_path):
    [(trial, reason)] = launched(begins_once, "hydra.launcher.n_jobs=2").items()
    assert trial == tmp_path / "sweep" / "init=000,order=000"
    assert reason.startswith("hydra/launcher=workers: no trial was begun (TerminatedWorkerError: ")


@pytest.mark.parametrize(
    ("launcher", "reason"),
    [
        (["hydra.launcher.n_jobs=2"], r"hydra/launcher=workers: no trial was begun \(TerminatedWorkerError: "),
        (["hydra.launcher.n_jobs=0"], r"hydra/launcher=workers: no trial was begun \(ValueError: n_jobs == 0 "),
        (
            ["hydra/launcher=slurm", "hydra.launcher.partition=none"],
            "hydra/launcher=slurm: ",
        ),
        (
            ["hydra/launcher=ray_trials", "hydra.launcher.address=127.0.0.1:1"],
            r"hydra.launcher.address=127.0.0.1:1: no Ray there \(.*refused\)",
        ),
    ],
    ids=["no worker comes up", "bad option", "slurm", "ray"],
)
def test_an_engine_that_begins_no_trial_is_not_asked_again_and_gives_its_reason(launched, capsys, launcher, reason):
    pytest.importorskip({"slurm": "submitit", "ray_t": "ray"}.get(launcher[0][15:20], "joblib"))
    with pytest.raises(InputError, match=f"^{reason}") as refused:
        launched(never_begins, *launcher)
    assert "\n" not in str(refused.value)
    assert "launching" not in capsys.readouterr().err


def test_without_ray_its_launcher_says_how_to_get_it(launched, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"^hydra/launcher=ray_trials: Ray is not installed; pip install ray$"):
        launched(never_begins, "hydra/launcher=ray_trials")


def test_a_trial_that_no_node_of_ray_has_room_for_does_not_wait_in_silence(capsys):
    nodes = [{"CPU": 4.0}, {"CPU": 2.0, "GPU": 1.0}]
    on_ray._check_room(nodes, None, 4, 0)
    on_ray._check_room(nodes, None, 2, 0.5)
    with pytest.raises(
        InputError, match=r"num_cpus=4, num_gpus=1: a trial takes more than a node of Ray has \(4 CPUs, "
    ):
        on_ray._check_room(nodes, None, 4, 1)
    assert capsys.readouterr().err == ""
    on_ray._check_room(nodes, "auto", 4, 1)
    assert "waiting for one that has" in capsys.readouterr().err
