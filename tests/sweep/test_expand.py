"""From the command line to sweeps: which trials are asked for, and what they are composed of."""

import pickle
import shutil
from contextlib import contextmanager

import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.types import HydraContext, RunMode

from seedgrid.errors import InputError
from seedgrid.seeds import Seeds
from seedgrid.sweep.expand import plan_sweeps, read_once
from seedgrid.sweep.grid import print_left


@contextmanager
def composing(conf, *words):
    """Hydra's loader for a folder, and the config of a sweep's command itself."""
    with initialize_config_dir(str(conf), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        read_once(loader)
        yield loader, loader.load_configuration("train", list(words), RunMode.MULTIRUN)


@pytest.fixture
def planned(repository):
    """The sweeps of a command line."""

    def plan(*words):
        with composing(repository / "conf", *words) as (loader, config):
            params = config.hydra.sweeper.params
            return plan_sweeps(HydraContext(loader, Callbacks()), config, dict(params), list(words))

    return plan


def test_a_trial_is_composed_of_what_its_command_has_read(repository, tmp_path):
    conf = shutil.copytree(repository / "conf", tmp_path / "conf")
    with composing(conf) as (loader, config):
        read = loader.load_sweep_config(config, ["recipe=debug"])
        assert read.recipe.weight_decay == 0.01
        default = (conf / "recipe" / "default.yaml").read_text()
        (conf / "recipe" / "default.yaml").write_text(default.replace("weight_decay: 0.01", "weight_decay: 0.5"))
        (conf / "recipe" / "debug.yaml").write_text("half written: [")
        in_worker = pickle.loads(pickle.dumps(loader))
        assert in_worker.load_sweep_config(config, ["recipe=debug"]) == read


def test_seeds_may_be_ranges_and_numbers_in_one_list_and_count_once(planned):
    [sweep] = planned("seed.init=range(0,3),2,7", "seed.order=4294967295")
    assert sweep.seeds == tuple(Seeds(init=init, order=4294967295) for init in (0, 1, 2, 7))


def test_studies_that_bring_their_own_seeds_are_not_swept(planned):
    with pytest.raises(InputError, match=r"^experiment=debug: brings a hydra\.sweeper of its own"):
        planned("experiment=debug,three_seeds")
    assert len(planned("experiment=debug", "recipe.epochs=1,2")) == 2


def test_pairs_and_orders_of_their_own_are_not_both_had(planned):
    with pytest.raises(InputError, match=r"^seed=paired, and seed\.order=range\(0,2\) .*for pairs add 'seed\.order=\$"):
        planned("experiment=debug", "seed=paired")
    [sweep] = planned("experiment=debug", "seed=paired", "seed.order=${seed.init}")
    assert sweep.seeds == (Seeds(init=0, order=0), Seeds(init=1, order=1))


def test_an_experiment_with_another_task_than_its_own_is_said_to_be_so(planned):
    with pytest.raises(
        InputError, match=r"^task\.source\.train_size: .*kind=files; .*leave out experiment=NAME or task="
    ):
        planned("experiment=debug", "task=csv", "task.source.train=a.csv", "task.source.validation=b.csv")


@pytest.mark.parametrize("paths", ["a/b,a_b", "a,a"])
def test_swept_values_that_would_share_a_folder_are_refused(planned, paths):
    with pytest.raises(InputError, match=r"two swept values share this folder; run them one by one"):
        planned(f"model.path={paths}")


def test_a_folder_that_refers_to_nothing_or_to_home_is_one_line_and_home(planned, monkeypatch):
    with pytest.raises(InputError, match=r"^sweep: .*HydraConfig was not set"):
        planned("sweep='runs/${hydra:job.num}'")
    with pytest.raises(InputError, match=r"^sweep: .*'nope' not found"):
        planned("sweep='${nope}'")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert planned("sweep='~/mine'")[0].settings.sweep == "/home/somebody/mine"


def test_of_a_large_grid_a_dry_run_lists_the_first_trials_and_counts_the_others(capsys):
    print_left({Seeds(init=init): "missing" for init in range(25)})
    assert len(capsys.readouterr().out.splitlines()) == 25
    print_left({Seeds(init=init): "missing" for init in range(625)})
    first, *_, last = capsys.readouterr().out.splitlines()
    assert (first, last) == ("  would run init=000,order=000", "  would run 615 more")
