"""Where pretrained weights lie, and what identifies them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import huggingface_hub
import pytest
import torch

from seedgrid.errors import InputError
from seedgrid.training.text.model.pretrained import locate, weights_digest
from seedgrid.training.text.settings import ModelSettings


def model(path: str | None = None, package: str | None = None) -> ModelSettings:
    return ModelSettings(
        name="m", path=path, package=package, layers=None, dropout=None, packing=True, learning_rate=1e-4
    )


def refusal(settings: ModelSettings) -> str:
    with pytest.raises(InputError) as refused:
        locate(settings)
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


@pytest.fixture
def copy(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "copy")


def test_a_local_folder_is_taken_as_it_is(tiny_model):
    assert locate(model(str(tiny_model))) == tiny_model


def test_a_users_home_may_be_written_short(copy, monkeypatch):
    monkeypatch.setenv("HOME", str(copy.parent))
    assert locate(model("~/copy")) == copy


def test_a_package_carries_its_weights_in_its_model_folder(tiny_model, tmp_path, monkeypatch):
    shutil.copytree(tiny_model, tmp_path / "an_encoder" / "model")
    (tmp_path / "an_encoder" / "__init__.py").write_text("raise AssertionError('nothing needs to be imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert locate(model(package="an_encoder")) == tmp_path / "an_encoder" / "model"


def test_a_path_goes_before_a_package(tiny_model):
    assert locate(model(str(tiny_model), package="not_there")) == tiny_model


@pytest.mark.parametrize("name", ["not_there", "not_there.at_all"])
def test_a_missing_package_is_named_with_how_to_install_it(name):
    expected = f"model.package={name}: not installed; pip install {name.replace('_', '-')}"
    assert refusal(model(package=name)) == expected


def test_a_package_without_code_is_not_installed(tmp_path, monkeypatch):
    (tmp_path / "empty_folder").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert refusal(model(package="empty_folder")).startswith("model.package=empty_folder: not installed")


@pytest.mark.parametrize("path", ["/nowhere/model", "./nowhere", "~/nowhere", "a/b/c"])
def test_a_missing_folder_is_named(path):
    assert refusal(model(path)) == f"model.path={path}: no such folder"


@pytest.mark.parametrize(
    ("file", "complaint"),
    [("config.json", "no config.json"), ("model.safetensors", "no weights"), ("tokenizer.json", "no tokenizer")],
)
def test_a_folder_that_lacks_a_part_of_a_model_is_named(copy, file, complaint):
    (copy / file).unlink()
    message = refusal(model(str(copy)))
    assert message.startswith(f"model.path={copy}: {copy} has {complaint}")


def test_older_formats_of_weights_and_vocabulary_will_do(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    (copy / "tokenizer.json").rename(copy / "vocab.txt")
    assert locate(model(str(copy))) == copy


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 133466304\n"


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "pytorch_model.bin"])
def test_a_pointer_in_place_of_a_file_is_refused_with_the_remedy(copy, file):
    if file.endswith(".bin"):
        (copy / "model.safetensors").unlink()
    (copy / file).write_text(POINTER)
    expected = f"{copy / file} is a git-lfs pointer; run git lfs pull in its folder, or fetch the model again"
    assert refusal(model(str(copy))) == f"model.path={copy}: {expected}"


@pytest.mark.parametrize("size", [0, 5, 500, -1])
def test_weights_that_came_only_in_part_are_refused(copy, size):
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    left = weights.stat().st_size
    expected = f"{weights} is damaged, or cut off after {left:,} bytes; fetch the model again"
    assert refusal(model(str(copy))) == f"model.path={copy}: {expected}"


def test_older_weights_that_came_only_in_part_are_refused(copy):
    (copy / "model.safetensors").unlink()
    torch.save({"weight": torch.zeros(9)}, copy / "pytorch_model.bin")
    assert locate(model(str(copy))) == copy
    (copy / "pytorch_model.bin").write_bytes((copy / "pytorch_model.bin").read_bytes()[:-100])
    assert "pytorch_model.bin is damaged, or cut off after" in refusal(model(str(copy)))


def test_weights_in_parts_of_which_one_is_missing_are_refused(copy):
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (copy / "model.safetensors").rename(copy / parts["a"])
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    assert refusal(model(str(copy))) == (
        f"model.path={copy}: {copy} lacks a part of the weights, {parts['b']}; fetch the model again"
    )


@pytest.fixture
def hub(copy, tmp_path, monkeypatch):
    """The folder that stands for the hub's ``someone/encoder``; what is fetched lies in ``snapshot``."""

    def snapshot_download(name, allow_patterns, local_files_only):
        assert name == "someone/encoder"
        snapshot = tmp_path / "snapshot"
        snapshot.mkdir(exist_ok=True)
        for file in copy.iterdir():
            if any(file.match(pattern) for pattern in allow_patterns):
                shutil.copy(file, snapshot)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return copy


def test_a_hub_name_is_fetched_with_its_tokenizer_and_weights_in_one_format(hub):
    (hub / "pytorch_model.bin").write_text("the same weights again")
    (hub / "training_args.bin").write_text("no weights")
    (hub / "onnx").mkdir()
    fetched = {file.name for file in locate(model("someone/encoder")).iterdir()}
    assert fetched == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


def test_older_weights_are_fetched_where_the_hub_has_no_others(hub):
    (hub / "model.safetensors").rename(hub / "pytorch_model.bin")
    fetched = {file.name for file in locate(model("someone/encoder")).iterdir()}
    assert fetched == {"config.json", "pytorch_model.bin", "tokenizer.json", "tokenizer_config.json"}


def test_a_hub_model_without_weights_that_torch_reads_is_refused(hub, tmp_path):
    (hub / "model.safetensors").rename(hub / "tf_model.h5")
    expected = f"model.path=someone/encoder: {tmp_path / 'snapshot'} has no weights"
    assert refusal(model("someone/encoder")).startswith(expected)


def test_what_cannot_be_a_name_on_the_hub_is_refused():
    assert refusal(model("no name!")).startswith("model.path=no name!: neither a folder here nor a public model")


def test_a_copy_of_a_model_has_its_digest(tiny_model, copy):
    (copy / "README.md").write_text("a card is no part of the numbers")
    assert weights_digest(copy) == weights_digest(tiny_model)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_other_weights_configuration_or_tokenizer_have_another_digest(tiny_model, copy, file):
    (copy / file).write_bytes((copy / file).read_bytes() + b" ")
    assert weights_digest(copy) != weights_digest(tiny_model)


def test_weights_are_found_and_identified_without_torch():
    code = "import sys, seedgrid.training.text.model.pretrained; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
