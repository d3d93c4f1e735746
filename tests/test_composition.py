"""What Hydra cannot compose is answered in one line that names what there is."""

import pytest
from hydra.errors import HydraException

from seedgrid.composition import explain
from seedgrid.keys import instead


@pytest.fixture
def answer(entry):
    """The line for words that Hydra refuses."""

    def answered(*words, name="train"):
        with pytest.raises((HydraException, ValueError, TypeError)) as refused:
            entry(name, *words)
        line = explain(refused.value, words, name)
        assert "\n" not in line
        return line

    return answered


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("seed=42", "give seed.init=42 seed.order=42, or seed=paired seed.init=42"),
        ("seed=[1,2]", "give -m seed.init=1,2 seed.order=1,2 for a grid, or -m seed=paired seed.init=1,2"),
        ("logger=null", "logger takes the name of one of its options: csv, mlflow, none, tensorboard, wandb"),
        ("logger=aim", "no such option; there are csv, mlflow, none, tensorboard, wandb"),
        ("model=org/bert", "roberta_base; one of the hub, or a folder: model.path=org/bert"),
        ("task=imdb", "sst2; your own files: task=csv task.source.train=FILE task.source.validation=FILE"),
        ("lr=1e-5", "did you mean recipe.learning_rate or model.learning_rate?"),
        ("epochs=3", "did you mean recipe.epochs?"),
        ("recipe.bach_size=3", "did you mean recipe.batch_size or evaluation.batch_size?"),
        ("trainer.devices=2", "trainer has accelerator, precision, threads, per_gpu, mps, capture, deterministic"),
        ("task.source.train=x.csv", "no such key here; task=csv has it"),
        ("hydra.sweeper.keep=3", "to start many and stop early add hydra/sweeper=start_many"),
        ("hydra.launcher.jobs=3", "no such key; hydra.launcher has n_jobs, "),
    ],
)
def test_a_word_that_cannot_be_used_is_answered_with_what_there_is(answer, word, expected):
    line = answer(word)
    assert line.startswith(f"{word}: ")
    assert expected in line


def test_a_group_of_another_command_is_no_group_here(answer):
    assert answer("seed=3", name="report") == "seed=3: no such key; did you mean random_seed?"


def test_what_else_hydra_says_is_kept_in_one_line(answer):
    assert answer("~nothing") == "Could not delete from config. 'nothing' does not exist"
    expected = "Error merging override hydra.job.num=x: Value 'x' of type 'str' could not be converted to Integer"
    assert answer("hydra.job.num=x") == expected


TREE = {"data": {"max_length": 1}, "model": {"learning_rate": 1}, "recipe": {"learning_rate": 1, "batch_size": 1}}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("max_seq_length", "did you mean data.max_length?"),
        ("per_device_train_batch_size", "did you mean recipe.batch_size?"),
        ("model.lr", "did you mean recipe.learning_rate or model.learning_rate?"),
        ("recipe.mixup", "recipe has learning_rate, batch_size"),
        ("nothing.like.it", "there are data, model, recipe"),
    ],
)
def test_of_other_keys_the_likely_ones_are_named_or_else_all(key, expected):
    assert instead(key, TREE) == expected


def test_a_key_that_was_added_is_not_named_for_itself():
    assert instead("recipe.mixup", {"recipe": {"epochs": 1, "mixup": {"alpha": 1}}}) == "recipe has epochs"


def test_an_argument_of_a_users_class_that_is_not_in_the_config_is_added_with_a_plus(answer):
    word = "training.module.width=4"
    assert (
        answer("training=own", word)
        == f"{word}: no such argument in the config; to give it to the class, write +{word}"
    )
    assert "write +" not in answer(word)
