"""A user's own configs: what they add and replace, what of a folder is left alone, and what is said of it."""

import pickle
import re

import pytest
from hydra.errors import HydraException
from hydra.types import RunMode

from seedgrid import configs
from seedgrid.composition import compose, composing, explain
from seedgrid.configs import CONF, given, left_alone
from seedgrid.sweep.expand import read_once

HALF = (CONF / "recipe" / "default.yaml").read_text().replace("weight_decay: 0.01", "weight_decay: 0.5")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, to whose ``conf`` files are written; what was said before is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(configs, "_said", set())

    def write(name, text, folder="conf"):
        file = tmp_path / folder / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return write


def test_options_are_added_and_those_of_the_packages_name_replaced_which_is_said_once(here, capsys):
    here("task/mine", "defaults: [grammar]\nname: mine\n")
    here("recipe/default", HALF)
    for _ in range(2):
        config = compose("train", ["task=mine"])
    assert config.task.name == "mine"
    assert config.task.source.kind == "grammar"  # an option of the package's
    assert config.recipe.weight_decay == 0.5
    assert capsys.readouterr().err == "conf/recipe/default.yaml: replaces recipe=default of the package\n"


def test_a_copy_of_the_packages_file_replaces_nothing(here, capsys):
    here("recipe/default", (CONF / "recipe" / "default.yaml").read_text())
    compose("train")
    assert capsys.readouterr().err == ""


def test_errors_list_the_users_options_too(here):
    here("task/mine", "name: mine\nsource: {kind: glue, own: 1}\n")
    for word, expected in (
        ("task=imdb", "no such option; there are cola, csv, grammar, mine, mrpc"),
        ("task=null", "its options: cola, csv, grammar, mine, mrpc"),
        ("task.source.own=1", "no such key here; task=mine has it"),
    ):
        with pytest.raises((HydraException, ValueError, TypeError)) as refused:
            compose("train", [word])
        assert expected in explain(refused.value, [word], "train")


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2\n"])
def test_a_file_that_is_no_config_is_one_line(here, text):
    here("model/bad", text)
    with pytest.raises(HydraException) as refused:
        compose("train", ["model=bad"])
    line = explain(refused.value, ["model=bad"], "train")
    assert re.fullmatch(r"conf/model/bad\.yaml: no config can be read from it \(.*\); mend the file", line)


def test_what_commands_begin_with_and_how_hydra_behaves_stay_the_packages(here):
    here("hydra/job_logging/none", "root: [")
    here("hydra/launcher/mine", "defaults: [workers]\nn_jobs: 7\n")
    with composing() as hydra:
        config = hydra.compose_config("train", ["hydra/launcher=mine"], RunMode.MULTIRUN)
    assert config.hydra.launcher.n_jobs == 7


def test_a_folder_of_another_program_is_left_alone_unless_it_is_named(here, capsys):
    here("logger/wandb", "_target_: somewhere.Else\n")
    here("train", "nothing: 1\n")
    assert compose("train").logger.kind == "wandb"
    assert (
        left_alone()
        == "conf is not used: conf/train.yaml makes it another program's; --config-dir=conf takes its options"
    )
    with given("conf"):
        config = compose("train")
    assert config.logger == {"_target_": "somewhere.Else"} and "task" in config
    assert "conf/logger/wandb.yaml: replaces logger=wandb" in capsys.readouterr().err


def test_a_given_folder_comes_before_the_one_here(here, tmp_path):
    here("recipe/mine", "defaults: [default]\nname: here\n")
    here("recipe/mine", "defaults: [default]\nname: given\n", folder="elsewhere")
    here("recipe/other", "defaults: [default]\nname: other\n")
    with given(tmp_path / "elsewhere"):
        assert compose("train", ["recipe=mine"]).recipe.name == "given"
        assert compose("train", ["recipe=other"]).recipe.name == "other"


def test_the_packages_own_folder_is_nobody_elses(repository, monkeypatch):
    monkeypatch.chdir(repository)
    assert configs.own_folders() == []
    assert left_alone() is None


def test_workers_compose_of_what_the_command_has_read_wherever_they_run(here, tmp_path, monkeypatch):
    file = here("recipe/mine", "defaults: [default]\nname: mine\nwarmup: 0.3\n")
    with composing() as hydra:
        loader = hydra.config_loader
        read_once(loader)
        config = loader.load_configuration("train", [], RunMode.MULTIRUN)
        read = loader.load_sweep_config(config, ["recipe=mine"])
    file.write_text("half written: [")
    (tmp_path / "node").mkdir()
    monkeypatch.chdir(tmp_path / "node")
    in_worker = pickle.loads(pickle.dumps(loader)).load_sweep_config(config, ["recipe=mine"])
    assert (in_worker.recipe, in_worker.task) == (read.recipe, read.task)
    assert read.recipe.warmup == 0.3
