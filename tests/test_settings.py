"""What a user may set, what is said of a mistake, and what makes a trial another trial."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from seedgrid.errors import InputError
from seedgrid.settings import fingerprint, identity, read_seeds, steps_per_epoch
from seedgrid.training.kinds import read_settings
from seedgrid.training.text.settings import total_steps
from seedgrid.training.text.training import TextTraining

CONF = Path(__file__).parents[1] / "conf"
DIGESTS = {"train": "1f", "validation": "2e"}


@pytest.fixture(scope="module")
def configs(compose_config):
    return {task: compose_config(f"task={task}") for task in ("grammar", "mrpc", "csv")}


def changed(config: DictConfig, changes: dict) -> DictConfig:
    config = config.copy()
    for key, value in changes.items():
        OmegaConf.update(config, key, value, force_add=True)
    return config


def complaint(config: DictConfig) -> str:
    with pytest.raises(InputError) as refused:
        read_settings(config)
    message = str(refused.value)
    assert len(message.splitlines()) == 1
    assert "[type=" not in message
    assert "pydantic" not in message
    return message


@pytest.mark.parametrize("task", ["grammar", "mrpc", "rte", "cola", "sst2"])
def test_the_shipped_configs_are_valid(compose_config, task):
    settings = read_settings(compose_config(f"task={task}"))
    assert settings.task.name == task
    assert settings.sweep == f"runs/{task}-minilm-default"
    assert settings.recipe.learning_rate == settings.model.learning_rate == 1e-4


@pytest.mark.parametrize("group", ["model=bert_tiny", "model=bert_large", "trainer=cpu", "logger=none", "seed=paired"])
def test_the_shipped_options_are_valid(compose_config, group):
    read_settings(compose_config(group))


EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_study_is_valid_and_names_the_seeds_that_it_sweeps(compose_config, name):
    settings = read_settings(compose_config(f"experiment={name}"))
    sweeper = OmegaConf.load(CONF / "experiment" / f"{name}.yaml").hydra.sweeper.params
    assert {"seed.init", "seed.order"} <= set(sweeper)
    assert (name == "quickstart") == (settings.sweep == "runs/quickstart")


@pytest.mark.parametrize(("task", "side"), [("mrpc", 25), ("rte", 25), ("cola", 25), ("sst2", 15)])
def test_the_papers_grids_are_the_papers(compose_config, task, side):
    settings = read_settings(compose_config(f"experiment=dodge2020_{task}"))
    assert (settings.task.name, settings.model.name, settings.recipe.name) == (task, "bert_large", "dodge2020")
    assert settings.recipe.learning_rate == 2e-5
    assert settings.evaluation.schedule == "dodge2020"
    sweeper = OmegaConf.load(CONF / "experiment" / f"dodge2020_{task}.yaml").hydra.sweeper.params
    assert sweeper == {"seed.init": f"range(0,{side})", "seed.order": f"range(0,{side})"}


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name.startswith("remedy_")])
def test_a_study_of_a_remedy_varies_one_key_of_the_recipe_and_one_of_its_values_is_the_defaults(compose_config, name):
    sweeper = OmegaConf.load(CONF / "experiment" / f"{name}.yaml").hydra.sweeper.params
    (key,) = set(sweeper) - {"seed.init", "seed.order"}
    group, leaf = key.split(".")
    assert group == "recipe"
    default = getattr(read_settings(compose_config(f"experiment={name}")).recipe, leaf)
    values = [
        getattr(read_settings(compose_config(f"experiment={name}", f"{key}={value}")).recipe, leaf)
        for value in sweeper[key].split(",")
    ]
    assert default in values
    assert len(set(values)) == len(values) > 1


def test_the_study_of_three_seeds_is_the_quickstarts_but_for_its_folder(compose_config):
    three, two = compose_config("experiment=three_seeds"), compose_config("experiment=quickstart")
    assert three.sweep == "runs/three-seeds"
    assert changed(three, {"sweep": two.sweep}) == two


def test_the_defaults_are_the_papers_recipe(configs):
    settings = read_settings(configs["grammar"])
    assert (settings.recipe.epochs, settings.recipe.batch_size, settings.recipe.warmup) == (3, 16, 0.1)
    assert (settings.recipe.weight_decay, settings.recipe.gradient_norm) == (0.01, 1.0)
    assert (settings.evaluation.per_epoch, settings.evaluation.at_start) == (10, True)
    assert settings.data.max_length == 128
    assert settings.trainer.threads == 1


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("seed.init", -1, "greater than or equal to 0"),
        ("seed.init", 2**32, "less than 4294967296"),
        ("seed.order", 1.0, "valid integer"),
        ("seed.order", "a", "valid integer"),
        ("seed.dropout", "range(0,5)", "valid integer"),
        ("seed.dropout", True, "valid integer"),
        ("recipe.batch_size", 0, "greater than or equal to 1"),
        ("recipe.batch_size", 16.5, "valid integer"),
        ("recipe.epochs", 0, "greater than 0"),
        ("recipe.epochs", math.inf, "finite"),
        ("recipe.epochs", "three", "valid number"),
        ("recipe.learning_rate", -2e-5, "greater than 0"),
        ("recipe.learning_rate", math.nan, "finite"),
        ("recipe.warmup", 1, "less than 1"),
        ("recipe.warmup", math.nan, "less than 1"),
        ("recipe.weight_decay", -0.1, "greater than or equal to 0"),
        ("recipe.gradient_norm", 0, "greater than 0"),
        ("recipe.betas", [0.9], "at least 2"),
        ("recipe.eps", 0, "greater than 0"),
        ("model.layers", 0, "greater than or equal to 1"),
        ("model.dropout", 1, "less than 1"),
        ("model.dropout", math.nan, "less than 1"),
        ("data.train_size", 0, "greater than or equal to 1"),
        ("data.max_length", 3, "greater than or equal to 4"),
        ("data.root", 5, "valid string"),
        ("evaluation.per_epoch", 0, "greater than 0"),
        ("evaluation.per_epoch", 20_000, "less than or equal to 10000"),
        ("evaluation.at_start", "yes", "valid boolean"),
        ("evaluation.batch_size", 0, "greater than or equal to 1"),
        ("trainer.accelerator", "tpu", "'auto', 'cpu' or 'gpu'"),
        ("trainer.precision", 16, "bf16-mixed"),
        ("trainer.threads", 0, "greater than or equal to 1"),
        ("trainer.per_gpu", 0, "greater than or equal to 1"),
        ("trainer.per_gpu", "some", "valid integer, or 'auto'"),
        ("trainer.mps", "yes", "valid boolean"),
        ("logger.kind", "tensorboard", "'wandb', 'lightning' or 'none'"),
        ("checkpoint.minutes", -1, "greater than or equal to 0"),
        ("gradient_norms", -1, "greater than or equal to 0"),
        ("retry", "always", "'failed' or 'none'"),
        ("sweep", "", "at least 1 character"),
        ("task.metric", "rouge", "'accuracy', 'f1'"),
        ("task.diverged_at", math.nan, "finite"),
        ("task.source.train_size", 0, "greater than or equal to 1"),
        ("task.source.kind", "web", "'glue', 'files', 'grammar'"),
    ],
)
def test_a_bad_value_is_named_with_its_key_and_what_is_allowed(configs, key, value, allowed):
    message = complaint(changed(configs["grammar"], {key: value}))
    assert message.startswith(f"{key}={'true' if value is True else value}: ")
    assert allowed in message


@pytest.mark.parametrize(
    ("key", "value"), [("recipe.betas.1", 1.0), ("task.labels.0", [0]), ("logger.tags.0", 5), ("task.source.text.1", 4)]
)
def test_a_bad_element_of_a_list_is_named_with_its_place(configs, key, value):
    lists = {
        "recipe.betas": [0.9, 1.0],
        "task.labels": [[0], "b"],
        "logger.tags": [5],
        "task.source.text": ["#1 String", 4],
    }
    key_of_list = key.rpartition(".")[0]
    message = complaint(changed(configs["mrpc"], {key_of_list: lists[key_of_list]}))
    assert message.startswith(f"{key}={value}: ")


@pytest.mark.parametrize(("value", "shown"), [(7, "7"), (1.5, "1.5"), (False, "false")])
def test_what_is_no_text_comes_with_the_quotes_that_make_it_one(configs, value, shown):
    expected = f"sweep={shown}: input should be a valid string; a text that looks like something else is quoted: "
    assert complaint(changed(configs["grammar"], {"sweep": value})) == f"{expected}'sweep=\"{shown}\"'"


@pytest.mark.parametrize("key", ["foo", "recipe.foo", "task.source.foo", "seed.foo"])
def test_an_unknown_key_is_named(configs, key):
    assert complaint(changed(configs["grammar"], {key: 1})).startswith(f"{key}: no such key; ")


def test_a_group_that_is_given_a_value_is_answered_with_its_keys(configs):
    line = complaint(changed(configs["grammar"], {"data": "mrpc"}))
    assert line.startswith("data=mrpc: give one of its keys, data.root, data.train_size, ")
    assert line.endswith("; a task is chosen with task=NAME")


@pytest.mark.parametrize("several", ["0-4", "0..4", [0, 1, 2]])
def test_several_seeds_that_are_written_as_one_are_answered_with_how_to_write_them(configs, several):
    line = complaint(changed(configs["grammar"], {"seed.init": several}))
    assert line.endswith("swept over with -m: seed.init=0,1,2 or 'seed.init=range(0,5)'")


@pytest.mark.parametrize("task", ["grammar", "csv"])
def test_a_missing_value_is_named_with_how_to_give_it(configs, task):
    key = {"grammar": "recipe.epochs", "csv": "task.source.train"}[task]
    expected = f"{key} has no value: give one, for instance {key}=... on the command line"
    assert complaint(changed(configs[task], {key: "???"})) == expected


def test_a_removed_key_is_named(configs):
    config = configs["grammar"].copy()
    OmegaConf.set_struct(config, False)
    del config.recipe.epochs
    assert complaint(config).startswith("recipe.epochs has no value")
    del config.task.source.kind
    assert complaint(config).startswith("task.source.kind has no value")


@pytest.mark.parametrize("reference", ["${nowhere}", "${task.nowhere}", "${oc.env:SEEDGRID_NOWHERE}"])
def test_an_interpolation_that_leads_nowhere_is_named(configs, reference):
    message = complaint(changed(configs["grammar"], {"recipe.learning_rate": reference}))
    assert message.startswith("recipe.learning_rate: ")
    assert "nowhere" in message.lower()


def test_an_interpolation_of_the_wrong_type_is_named_with_its_value(configs):
    message = complaint(changed(configs["grammar"], {"recipe.learning_rate": "${task.name}"}))
    assert message.startswith("recipe.learning_rate=grammar: ")


def test_a_model_without_path_and_package_is_refused(configs):
    assert "model.path is empty" in complaint(changed(configs["grammar"], {"model.package": None}))


def test_labels_that_do_not_fit_the_metric_are_refused(configs):
    message = complaint(changed(configs["mrpc"], {"task.labels": ["a", "b", "c"]}))
    assert message.startswith("task: metric 'acc_and_f1' is for two classes, this task has 3")


def test_order_seeds_follow_init_seeds_where_they_are_paired(compose_config):
    assert read_seeds(compose_config("seed=paired", "seed.init=7")).order == 7
    assert read_seeds(compose_config("seed.init=7")).order == 0


@pytest.mark.parametrize("value", ["???", "a", "${nowhere}", 1.5, None])
def test_a_seed_that_is_none_is_refused_alone_too(configs, value):
    with pytest.raises(InputError) as refused:
        read_seeds(changed(configs["grammar"], {"seed.init": value}))
    assert str(refused.value).startswith("seed")
    assert len(str(refused.value).splitlines()) == 1


def test_a_recorded_step_is_part_of_the_identity_on_a_gpu_alone(configs):
    called = changed(configs["grammar"], {"trainer.capture": False})
    assert print_of(called) == print_of(configs["grammar"])
    assert print_of(called, "gpu") != print_of(configs["grammar"], "gpu")


def test_hydras_own_part_of_the_config_is_left_aside(configs):
    read_settings(changed(configs["grammar"], {"hydra": {"job": {"num": 3}}}))


def print_of(config: DictConfig, device="cpu", precision="32-true", digests=DIGESTS, weights="3d") -> str:
    settings = read_settings(config)
    own = TextTraining(settings).identity_of(tuple(settings.task.labels or ()), digests, weights)
    return fingerprint(identity(settings, device, precision, own))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("task.labels", ["no", "perhaps", "yes"]),
        ("task.metric", "mcc"),
        ("data.max_length", 64),
        ("model.layers", 2),
        ("model.dropout", 0.0),
        ("recipe.epochs", 2),
        ("recipe.batch_size", 8),
        ("recipe.learning_rate", 1e-5),
        ("recipe.warmup", 0.0),
        ("recipe.weight_decay", 0.0),
        ("recipe.gradient_norm", None),
        ("recipe.betas", [0.9, 0.98]),
        ("recipe.eps", 1e-6),
        ("evaluation.per_epoch", 1),
        ("evaluation.at_start", False),
        ("evaluation.batch_size", 64),
        ("trainer.threads", 2),
        ("trainer.deterministic", False),
    ],
)
def test_what_changes_a_trials_numbers_changes_the_fingerprint(configs, key, value):
    assert print_of(changed(configs["grammar"], {key: value})) != print_of(configs["grammar"])


@pytest.mark.parametrize(
    "content",
    [
        {"device": "gpu"},
        {"precision": "bf16-mixed"},
        {"digests": {**DIGESTS, "train": "1e"}},
        {"digests": {**DIGESTS, "validation": "2f"}},
        {"weights": "3e"},
    ],
)
def test_device_precision_and_the_content_of_data_and_weights_change_the_fingerprint(configs, content):
    assert print_of(configs["grammar"], **content) != print_of(configs["grammar"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed.init", 5),
        ("seed.order", 5),
        ("seed.dropout", 5),
        ("sweep", "elsewhere"),
        ("task.name", "other"),
        ("task.diverged_at", 0.5),
        ("task.source.seed", 1),  # counts by the content that it leads to
        ("data.root", "/elsewhere"),
        ("data.train_size", 100),  # likewise
        ("model.name", "other"),
        ("model.path", "/elsewhere"),
        ("recipe.name", "other"),
        ("trainer.accelerator", "cpu"),
        ("trainer.precision", "32-true"),
        ("trainer.per_gpu", 2),
        ("trainer.per_gpu", "auto"),
        ("trainer.mps", True),
        ("trainer.capture", False),  # on a CPU
        ("logger.kind", "none"),
        ("logger.tags", ["a"]),
        ("checkpoint.minutes", 0),
        ("gradient_norms", 0),
        ("keep_best", False),
        ("dry_run", True),
        ("retry", "none"),
        ("redo", True),
        ("prepared", "abc"),
    ],
)
def test_what_leaves_a_trials_numbers_alone_leaves_the_fingerprint_alone(configs, key, value):
    assert print_of(changed(configs["grammar"], {key: value})) == print_of(configs["grammar"])


def test_a_whole_number_and_its_float_have_the_same_fingerprint(configs):
    assert print_of(changed(configs["grammar"], {"recipe.epochs": 3.0})) == print_of(configs["grammar"])


def test_the_recommended_rate_counts_only_where_the_recipe_uses_it(configs):
    own_rate = changed(configs["grammar"], {"recipe.learning_rate": 3e-5})
    assert print_of(changed(own_rate, {"model.learning_rate": 1e-3})) == print_of(own_rate)
    assert print_of(changed(configs["grammar"], {"model.learning_rate": 1e-3})) != print_of(configs["grammar"])


@pytest.mark.parametrize(("examples", "batch_size", "steps"), [(32, 16, 2), (33, 16, 3), (1, 16, 1), (3668, 16, 230)])
def test_the_last_batch_of_an_epoch_may_be_smaller(examples, batch_size, steps):
    assert steps_per_epoch(examples, batch_size) == steps


@pytest.mark.parametrize(("epochs", "steps"), [(3, 30), (0.5, 5), (0.25, 3), (0.24, 2), (1e-6, 1)])
def test_a_fraction_of_an_epoch_has_its_share_of_steps_halves_up_and_at_least_one(configs, epochs, steps):
    recipe = read_settings(changed(configs["grammar"], {"recipe.epochs": epochs, "recipe.batch_size": 10})).recipe
    assert total_steps(100, recipe) == steps


@hypothesis_settings(deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 512))
def test_an_epoch_has_room_for_all_examples_and_no_empty_batch(examples, batch_size):
    steps = steps_per_epoch(examples, batch_size)
    assert (steps - 1) * batch_size < examples <= steps * batch_size
