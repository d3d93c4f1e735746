"""What is checked before any trial starts, and what all trials of a sweep then share."""

import json
import shutil

import pytest

from seedgrid.errors import InputError
from seedgrid.records.store import trial_lock
from seedgrid.trials.preparation import claim, prepare
from seedgrid.trials.run import run_trial


@pytest.fixture
def own_model(tiny_model, tmp_path):
    """A copy of the tiny model that may be changed."""
    return shutil.copytree(tiny_model, tmp_path / "own-model")


def test_what_was_prepared_is_read_back_as_it_was(tiny, settings_of, tmp_path):
    words = [*tiny, f"sweep={tmp_path / 'sweep'}"]
    prepared = prepare(settings_of(words))
    assert prepare(settings_of([*words, f"prepared={prepared.fingerprint}"])) == prepared
    assert (prepared.train_examples, prepared.validation_examples, prepared.steps) == (90, 40, 18)
    assert prepared.diverged_at == 0.5
    assert prepared.remarks == (
        "classes      train unacceptable: 45, acceptable: 45; validation unacceptable: 20, acceptable: 20",
    )


def test_what_another_version_has_prepared_is_prepared_anew(tiny, settings_of, tmp_path):
    words = [*tiny, f"sweep={tmp_path / 'sweep'}"]
    prepared = prepare(settings_of(words))
    path = tmp_path / "sweep" / ".cache" / f"prepared-{prepared.fingerprint}.json"
    values = json.loads(path.read_text())
    del values["range"]
    path.write_text(json.dumps(values | {"train": "tokens.parquet"}))
    with pytest.raises(InputError, match=r"^prepared=\w+: not in .*; .* the same command goes on"):
        prepare(settings_of([*words, f"prepared={prepared.fingerprint}"]))
    assert prepare(settings_of(words)) == prepared


def test_validation_examples_of_one_class_are_refused(tiny, settings_of, tmp_path):
    for name, labels in (("train", "abab"), ("validation", "bbb")):
        rows = [{"text": f"sentence {k}", "label": label} for k, label in enumerate(labels)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    files = [f"task.source.{name}={tmp_path / name}.jsonl" for name in ("train", "validation")]
    words = [word for word in tiny if not word.startswith("task.source")]
    sweep = f"sweep={tmp_path / 'sweep'}"
    with pytest.raises(InputError, match=r"^task=\w+: all validation examples \(3\) are of the class b; give some of"):
        prepare(settings_of([*words, "task=csv", *files, sweep]))
    with pytest.raises(InputError, match=r"^data\.train_size=1: all train examples \(1\) .*; give more, or null for"):
        prepare(settings_of([*tiny, "data.train_size=1", sweep]))
    assert not (tmp_path / "sweep").exists()


def test_longer_examples_than_the_model_has_positions_are_refused(tiny, settings_of, own_model, tmp_path):
    words = [*tiny, f"model.path={own_model}", f"sweep={tmp_path / 'sweep'}"]
    with pytest.raises(InputError, match=r"data\.max_length=200: the model has only 128 positions"):
        prepare(settings_of([*words, "data.max_length=200"]))


def test_a_broken_model_configuration_is_named(tiny, settings_of, own_model, tmp_path):
    (own_model / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json: cannot be read"):
        prepare(settings_of([*tiny, f"model.path={own_model}", f"sweep={tmp_path / 'sweep'}"]))


def test_trials_of_another_precision_are_refused_with_what_goes_on_with_them(tiny, settings_of, tmp_path):
    words = [*tiny, f"sweep={tmp_path / 'sweep'}"]
    settings = settings_of([*words, "recipe.epochs=0.2"])
    run_trial(settings, prepare(settings))
    # As on a CPU of another kind, where trainer.precision=auto comes to this.
    with pytest.raises(InputError) as refused:
        prepare(settings_of([*words, "recipe.epochs=0.2", "trainer.precision=bf16-mixed"]))
    there, changes = f"sweep={tmp_path / 'sweep'} holds trials", "trainer.precision was 32-true, now bf16-mixed"
    assert str(refused.value) == (
        f"{there} of another configuration ({changes}); give trainer.precision=32-true to go on with them, or choose"
        " another sweep=FOLDER"
    )
    with pytest.raises(InputError, match=r"was 32-true, now bf16-mixed\); choose another sweep=FOLDER$"):
        prepare(settings_of([*words, "recipe.epochs=1", "trainer.precision=bf16-mixed"]))


def test_changed_weights_are_another_configuration(tiny, settings_of, own_model, tmp_path):
    words = [*tiny, f"model.path={own_model}", f"sweep={tmp_path / 'sweep'}"]
    before = prepare(settings_of(words))
    weights = own_model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    after = prepare(settings_of(words))
    assert before.fingerprint != after.fingerprint
    assert before.identity.keys() == after.identity.keys()
    assert {key for key in before.identity if before.identity[key] != after.identity[key]} == {"model.weights"}


def test_a_copy_of_the_model_elsewhere_is_the_same_configuration(tiny, settings_of, own_model, tmp_path):
    sweep = f"sweep={tmp_path / 'sweep'}"
    one = prepare(settings_of([*tiny, sweep]))
    assert prepare(settings_of([*tiny, f"model.path={own_model}", sweep])).fingerprint == one.fingerprint


def test_labels_found_in_the_data_are_the_same_configuration_as_labels_given(tiny, settings_of, tmp_path):
    for name in ("train", "validation"):
        rows = [{"text": f"sentence {k} of {name}", "label": k % 2} for k in range(8)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    words = [word for word in tiny if not word.startswith("task.source")]
    words += ["task=csv", f"task.source.train={tmp_path / 'train.jsonl'}", f"sweep={tmp_path / 'sweep'}"]
    words += [f"task.source.validation={tmp_path / 'validation.jsonl'}"]
    found, given = prepare(settings_of(words)), prepare(settings_of([*words, "task.labels=['0','1']"]))
    assert found.labels == given.labels == ("0", "1")
    assert found.fingerprint == given.fingerprint


def test_a_test_file_without_a_best_model_to_score_it_is_refused(tiny, settings_of, tmp_path):
    path = tmp_path / "all.csv"
    path.write_text("text,label\ngood,1\nbad,0\n")
    words = [word for word in tiny if not word.startswith("task.source")]
    words += ["task=csv", "keep_best=false", f"sweep={tmp_path / 'sweep'}"]
    words += [f"task.source.{role}={path}" for role in ("train", "validation", "test")]
    with pytest.raises(InputError, match=r"keep_best=false: task\.source\.test is scored by the best model"):
        prepare(settings_of(words))


def test_a_model_that_cannot_be_packed_is_padded_and_a_line_says_so(
    tiny, settings_of, own_model, family_folder, tmp_path, capsys
):
    words = [*tiny, "model.packing=true", f"model.path={own_model}", f"sweep={tmp_path / 'sweep'}"]
    packed = prepare(settings_of(words))
    padded = prepare(settings_of([*words, "model.packing=false"]))
    assert capsys.readouterr().err == ""
    assert {key for key in packed.identity if packed.identity[key] != padded.identity[key]} == {"model.packing"}
    prepare(settings_of([*words, f"model.path={family_folder('albert')}"]))
    assert capsys.readouterr().err.startswith("model.packing=true: albert is padded all the same")


@pytest.mark.parametrize("key", ["recipe.reinitialize=1", "recipe.freeze=1", "recipe.layer_decay=0.9"])
def test_recipes_about_layers_are_refused_where_layers_share_their_weights(
    tiny, settings_of, family_folder, tmp_path, key
):
    words = [*tiny, f"model.path={family_folder('albert')}", f"sweep={tmp_path / 'sweep'}", "model.packing=false"]
    with pytest.raises(InputError, match="the layers of albert share their weights"):
        prepare(settings_of([*words, key]))


def test_what_only_the_network_can_tell_is_found_before_any_trial(tiny, settings_of, family_folder, tmp_path):
    folder = family_folder("gpt2", pad_token_id=None)
    words = [*tiny, "model.packing=false", f"sweep={tmp_path / 'sweep'}"]
    with pytest.raises(InputError, match="names no padding token"):
        prepare(settings_of([*words, f"model.path={folder}"]))


def test_a_trial_of_a_sweep_notices_what_changed_since_its_sweep_was_started(tiny, settings_of, own_model, tmp_path):
    words = [*tiny, f"model.path={own_model}", f"sweep={tmp_path / 'sweep'}"]
    job = [*words, f"prepared={prepare(settings_of(words)).fingerprint}"]
    (own_model / "model.safetensors").touch()  # another time, the same content
    prepare(settings_of(job))
    with pytest.raises(InputError, match=r"^changed since the sweep was started: recipe\.weight_decay was 0\.01, "):
        prepare(settings_of([*job, "recipe.weight_decay=0.5"]))
    weights = own_model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"^changed since the sweep was started: model\.weights was"):
        prepare(settings_of(job))
    shutil.rmtree(own_model)
    with pytest.raises(InputError, match=r"own-model is gone"):
        prepare(settings_of(job))


def test_of_two_commands_that_find_a_new_folder_empty_one_has_it(tiny, settings_of, tmp_path):
    sweep = tmp_path / "sweep"
    short = [*tiny, f"sweep={sweep}", "recipe.epochs=0.2"]
    mine, others = settings_of(short), settings_of([*short, "recipe.weight_decay=0.5", "seed.init=1"])
    my_own, their_own = prepare(mine), prepare(others)
    claim(sweep, my_own)
    claim(sweep, their_own)  # nothing ran in between
    claim(sweep, my_own)
    with trial_lock(sweep / "init=000,order=000"):
        claim(sweep, my_own)
        outcome = run_trial(others, their_own)
    assert outcome.error.startswith(f"sweep={sweep}: another command runs another configuration there; ")
    assert run_trial(mine, my_own).status == "completed"
    outcome = run_trial(others, their_own)
    assert "recipe.weight_decay was 0.01, now 0.5" in outcome.error
    assert [path.name for path in sweep.glob("init=*")] == ["init=000,order=000"]


def test_a_damaged_best_model_is_found_before_any_trial_runs(tiny, settings_of, tmp_path):
    words = [*tiny, f"sweep={tmp_path / 'sweep'}"]
    weights = tmp_path / "sweep" / "best_model" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"half")
    with pytest.raises(InputError, match=r"model\.safetensors: damaged .*; remove"):
        prepare(settings_of(words))
    prepare(settings_of([*words, "keep_best=false"]))
