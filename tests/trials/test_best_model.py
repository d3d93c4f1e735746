"""The folder of the best model: one whole model, the best one, whoever finishes when."""

from __future__ import annotations

import itertools
import multiprocessing
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from seedgrid.errors import InputError
from seedgrid.model.network import build_network
from seedgrid.trials.best_model import FOLDER, BestOfTrial, keep_if_best, read_facts, write_card


def facts(score: float, **changes) -> dict:
    plain = {
        "score": score,
        "metric": "accuracy",
        "task": "grammar",
        "model": "tiny",
        "init": 0,
        "order": 0,
        "dropout": 0,
        "step": 10,
        "epoch": 1.0,
    }
    return {**plain, **changes}


@pytest.fixture
def network(tiny_model):
    """A network whose weights tell which one it is."""

    def marked(mark: float) -> torch.nn.Module:
        network = build_network(tiny_model, ("bad", "good"), init_seed=0)
        with torch.no_grad():
            network.classifier.bias.fill_(mark)
        return network

    return marked


def kept_mark(sweep) -> float:
    return load_file(sweep / FOLDER / "model.safetensors")["classifier.bias"][0].item()


def test_the_first_model_is_kept_with_its_facts(tmp_path, tiny_model, network):
    keep_if_best(tmp_path, network(1), tiny_model, facts(0.7))
    assert read_facts(tmp_path / FOLDER) == facts(0.7)
    assert kept_mark(tmp_path) == 1


@pytest.mark.parametrize(("later", "kept"), [(0.8, 2), (0.6, 1), (0.7, 1)])
def test_a_better_model_replaces_a_worse_one(tmp_path, tiny_model, network, later, kept):
    keep_if_best(tmp_path, network(1), tiny_model, facts(0.7))
    keep_if_best(tmp_path, network(2), tiny_model, facts(later))
    assert kept_mark(tmp_path) == kept
    assert read_facts(tmp_path / FOLDER)["score"] == max(0.7, later)


TIED = (
    {"init": 0, "order": 3, "dropout": 0, "step": 20},
    {"init": 0, "order": 3, "dropout": 0, "step": 30},
    {"init": 0, "order": 3, "dropout": 1, "step": 10},
    {"init": 0, "order": 4, "dropout": 0, "step": 10},
    {"init": 1, "order": 0, "dropout": 0, "step": 10},
)


@pytest.mark.parametrize("order", [*itertools.permutations(range(3)), (4, 3, 2, 1, 0), (2, 4, 0, 3, 1)])
def test_ties_go_to_the_smaller_seeds_and_the_earlier_step_in_whatever_order_they_come(
    tmp_path, tiny_model, network, order
):
    for position in order:
        keep_if_best(tmp_path, network(position), tiny_model, facts(0.7, **TIED[position]))
    assert read_facts(tmp_path / FOLDER) == facts(0.7, **TIED[0])
    assert kept_mark(tmp_path) == 0


def test_the_folder_is_an_ordinary_hugging_face_model(tmp_path, tiny_model, network):
    keep_if_best(tmp_path, network(1), tiny_model, facts(0.7))
    folder = tmp_path / FOLDER
    classify = pipeline("text-classification", model=str(folder))
    assert {answer["label"] for answer in classify("The sailors laugh.", top_k=2)} == {"bad", "good"}
    loaded = AutoModelForSequenceClassification.from_pretrained(folder).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in network(1).state_dict().items())
    text = "The sailors laugh."
    expected = AutoTokenizer.from_pretrained(str(tiny_model))(text)["input_ids"]
    assert AutoTokenizer.from_pretrained(str(folder))(text)["input_ids"] == expected


def test_a_network_in_training_is_left_as_it_is(tmp_path, tiny_model, network):
    trained = network(1)
    keep_if_best(tmp_path, trained, tiny_model, facts(0.7))
    assert trained.training
    assert all(parameter.requires_grad for parameter in trained.parameters())


def test_the_weights_of_the_best_evaluation_are_handed_over_whatever_was_trained_since(tmp_path, tiny_model, network):
    trained = network(1)
    best = BestOfTrial(tmp_path, trained, tiny_model)
    for mark, score in ((1, 0.5), (2, 0.7), (3, None)):
        with torch.no_grad():
            trained.classifier.bias.fill_(mark)
        if score is not None:
            best.take(facts(score))
        assert read_facts(tmp_path / FOLDER) is None
    best.hand_over()
    assert kept_mark(tmp_path) == 2
    assert read_facts(tmp_path / FOLDER) == facts(0.7)
    assert trained.classifier.bias[0] == 3
    best.take(facts(0.6))
    best.hand_over()
    assert kept_mark(tmp_path) == 2


def test_the_card_tells_the_facts_and_from_how_many_the_model_was_chosen(tmp_path, tiny_model, network):
    keep_if_best(tmp_path, network(1), tiny_model, facts(0.71234, init=3, order=17))
    card = (tmp_path / FOLDER / "README.md").read_text()
    assert "tiny fine-tuned on grammar" in card
    assert "accuracy 0.7123" in card
    assert "init 3, order 17, dropout 0" in card
    write_card(tmp_path, trials=25)
    assert "25 trials" in (tmp_path / FOLDER / "README.md").read_text()
    assert read_facts(tmp_path / FOLDER) == facts(0.71234, init=3, order=17)


def test_a_sweep_without_a_best_model_gets_no_card(tmp_path):
    write_card(tmp_path, trials=25)
    assert not (tmp_path / FOLDER).exists()
    assert read_facts(tmp_path / FOLDER) is None


def test_a_folder_that_was_left_without_weights_is_made_anew(tmp_path, tiny_model, network):
    keep_if_best(tmp_path, network(1), tiny_model, facts(0.7))
    (tmp_path / FOLDER / "model.safetensors").unlink()
    (tmp_path / FOLDER / "config.json").write_text("{")
    keep_if_best(tmp_path, network(2), tiny_model, facts(0.6))
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / FOLDER).config.num_labels == 2
    assert kept_mark(tmp_path) == 2


@pytest.mark.parametrize("content", [b"", b"short", b"\x08\x00\x00\x00\x00\x00\x00\x00nonsense"])
def test_damaged_weights_are_named_with_the_remedy(tmp_path, content):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_facts(tmp_path / FOLDER)
    assert str(refused.value).startswith(f"{tmp_path / FOLDER / 'model.safetensors'}: damaged (")
    assert len(str(refused.value).splitlines()) == 1


def test_weights_of_another_origin_are_not_taken_for_ours(tmp_path, tiny_model):
    shutil.copytree(tiny_model, tmp_path / FOLDER)
    with pytest.raises(InputError, match="damaged"):
        read_facts(tmp_path / FOLDER)


def test_processes_that_finish_together_leave_the_best(tmp_path, tiny_model, network):
    fork = multiprocessing.get_context("fork")
    together = fork.Barrier(4)
    networks = [network(k) for k in range(4)]

    def work(k: int) -> None:
        for step in range(1, 4):
            together.wait(timeout=60)
            keep_if_best(tmp_path, networks[k], tiny_model, facts(0.1 * step + 0.01 * k, init=k, step=step))

    processes = [fork.Process(target=work, args=(k,), daemon=True) for k in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    assert read_facts(tmp_path / FOLDER) == facts(0.1 * 3 + 0.01 * 3, init=3, step=3)
    assert kept_mark(tmp_path) == 3
    assert not [path.name for path in (tmp_path / FOLDER).iterdir() if path.name.startswith(".")]
