"""The folder of the best model: one whole model, the best one, whoever finishes when."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from seedgrid.errors import InputError
from seedgrid.evaluation.evaluation import Evaluation
from seedgrid.records.record import TrialRecord
from seedgrid.training.contract import Run
from seedgrid.training.text import best_model
from seedgrid.training.text.card import card
from seedgrid.training.text.data.datamodule import TokenDataModule
from seedgrid.training.text.data.examples import Examples
from seedgrid.training.text.data.tokens import tokenize
from seedgrid.training.text.model.network import build_network, pads_left
from seedgrid.training.text.model.packing import can_pack
from seedgrid.training.text.model.step import TrainingStep
from seedgrid.training.text.training import TextTraining
from seedgrid.trials.best_model import FOLDER, keep_if_best, read_facts, write_card
from seedgrid.trials.best_of_trial import BestOfTrial


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


class Model(Run):
    """A network that nobody trains."""

    def __init__(self, network, tokenizer_folder, max_length) -> None:
        self.network, self.tokenizer_folder, self.max_length = network, tokenizer_folder, max_length

    def fit(self, course) -> None:
        raise NotImplementedError

    def state(self) -> dict:
        raise NotImplementedError

    def weights(self) -> dict:
        return self.network.state_dict()

    def whole(self, weights) -> dict:
        return best_model.whole(self.network, weights)

    def furnish(self, folder) -> None:
        best_model.furnish(folder, self.network, self.tokenizer_folder, self.max_length)


def keep(sweep, model: Model, facts: dict) -> None:
    keep_if_best(sweep, model, card(facts, "the trials so far"), facts, model.weights())


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
    keep(tmp_path, Model(network(1), tiny_model, 64), facts(0.7))
    assert read_facts(tmp_path / FOLDER) == facts(0.7)
    assert kept_mark(tmp_path) == 1


@pytest.mark.parametrize(("later", "kept"), [(0.8, 2), (0.6, 1), (0.7, 1)])
def test_a_better_model_replaces_a_worse_one(tmp_path, tiny_model, network, later, kept):
    keep(tmp_path, Model(network(1), tiny_model, 64), facts(0.7))
    keep(tmp_path, Model(network(2), tiny_model, 64), facts(later))
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
        keep(tmp_path, Model(network(position), tiny_model, 64), facts(0.7, **TIED[position]))
    assert read_facts(tmp_path / FOLDER) == facts(0.7, **TIED[0])
    assert kept_mark(tmp_path) == 0


def test_the_folder_is_an_ordinary_hugging_face_model(tmp_path, tiny_model, network):
    keep(tmp_path, Model(network(1), tiny_model, 64), facts(0.7))
    folder = tmp_path / FOLDER
    classify = pipeline("text-classification", model=str(folder))
    assert {answer["label"] for answer in classify("The sailors laugh.", top_k=2)} == {"bad", "good"}
    loaded = AutoModelForSequenceClassification.from_pretrained(folder).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in network(1).state_dict().items())
    text = "The sailors laugh."
    expected = AutoTokenizer.from_pretrained(str(tiny_model))(text)["input_ids"]
    assert AutoTokenizer.from_pretrained(str(folder))(text)["input_ids"] == expected


TEXTS = ("a b c", "d", "e f g h i j k l m n o p", "q r", "b a c")
PAIRS = ("s t", "u v w x y z a b c", "c", "b d f", "e")


def test_loaded_as_the_readme_says_it_predicts_what_a_trial_recorded(family, recipe, tmp_path):
    source = shutil.copytree(family, tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    # Once trained for several labels at a time.
    (source / "config.json").write_text(json.dumps(config | {"problem_type": "multi_label_classification"}))
    network = build_network(source, ("bad", "good", "so-so"), init_seed=0, layers=2)
    with torch.no_grad():  # a head that tells texts apart
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1 and not name.startswith(network.base_model_prefix):
                parameter.mul_(30)
    keep(tmp_path, Model(network, source, 9), facts(0.7))
    classify = pipeline("text-classification", model=str(tmp_path / FOLDER))
    for pairs in (None, PAIRS):
        tokens = tokenize(Examples(TEXTS, pairs, np.zeros(5, dtype=np.int64)), AutoTokenizer.from_pretrained(source), 9)
        assert tokens.lengths.max() == 9
        logits = recorded(network, recipe, tokens)
        asked = list(TEXTS)
        if pairs is not None:
            asked = [{"text": text, "text_pair": pair} for text, pair in zip(TEXTS, pairs, strict=True)]
        answers = classify(asked, truncation=True)
        assert [answer["label"] for answer in answers] == [
            network.config.id2label[k] for k in logits.argmax(1).tolist()
        ]
        scores = torch.tensor([answer["score"] for answer in answers])
        torch.testing.assert_close(scores, logits.softmax(1).amax(1), rtol=1e-4, atol=1e-5)
        batch = classify.tokenizer(
            list(TEXTS), None if pairs is None else list(pairs), truncation=True, padding=True, return_tensors="pt"
        )
        with torch.inference_mode():
            torch.testing.assert_close(classify.model(**batch).logits, logits, rtol=1e-4, atol=1e-4)
    assert logits.std(dim=0).min() > 0.01


def test_a_padding_token_that_only_the_model_names_is_the_tokenizers_too(family_folder, tmp_path):
    source = shutil.copytree(family_folder("gpt2"), tmp_path / "source")
    config = json.loads((source / "tokenizer_config.json").read_text())
    del config["pad_token"]
    (source / "tokenizer_config.json").write_text(json.dumps(config))
    assert AutoTokenizer.from_pretrained(str(source)).pad_token is None
    keep(tmp_path, Model(build_network(source, ("bad", "good"), init_seed=0), source, 9), facts(0.7))
    classify = pipeline("text-classification", model=str(tmp_path / FOLDER))
    alone, together = (classify(list(TEXTS), truncation=True, batch_size=size) for size in (1, 3))
    for one, other in zip(alone, together, strict=True):
        assert one["label"] == other["label"]
        assert one["score"] == pytest.approx(other["score"], rel=1e-5)


def recorded(network, recipe, tokens) -> torch.Tensor:
    """Logits as an evaluation of a trial gives them."""
    packing = can_pack(network)
    data = TokenDataModule(
        tokens,
        tokens,
        order_seed=0,
        batch_size=2,
        validation_batch_size=3,
        steps=1,
        pad_id=network.config.pad_token_id or 0,
        pad_left=pads_left(network.config),
        packing=packing,
    )
    step = TrainingStep(network.eval(), recipe)
    with torch.inference_mode():
        logits = torch.cat([step.logits(batch) for batch in data.val_dataloader()])
    return torch.empty_like(logits).index_copy_(0, torch.from_numpy(data.validation_order), logits)


def test_a_network_in_training_is_left_as_it_is(tmp_path, tiny_model, network):
    trained = network(1)
    keep(tmp_path, Model(trained, tiny_model, 64), facts(0.7))
    assert trained.training
    assert all(parameter.requires_grad for parameter in trained.parameters())


def test_the_weights_of_the_best_evaluation_are_handed_over_whatever_was_trained_since(tmp_path, tiny_model, network):
    trained = network(0)
    record = TrialRecord(tmp_path / "init=000,order=000", {}, np.zeros(1, np.int64))
    about = {name: value for name, value in facts(0).items() if name not in ("score", "step", "epoch")}
    best = BestOfTrial(record, TextTraining(None), Model(trained, tiny_model, 64), about)

    def train_on(step: int, score: float) -> None:
        with torch.no_grad():
            trained.classifier.bias.fill_(step)
        evaluation = Evaluation(step, step / 10, 0.5, {"accuracy": score}, score, 0.1, torch.zeros(1, 2))
        record.add_evaluation(evaluation)
        best.on_evaluation(None, evaluation)

    for step, score in ((0, 0.9), (10, 0.5), (20, 0.7), (30, 0.6), (40, 0.7)):
        train_on(step, score)
        assert read_facts(tmp_path / FOLDER) is None
    best.hand_over()
    assert kept_mark(tmp_path) == 20
    assert read_facts(tmp_path / FOLDER) == facts(0.7, step=20, epoch=2.0)
    assert trained.classifier.bias[0] == 40
    train_on(50, 0.65)
    best.hand_over()
    assert kept_mark(tmp_path) == 20


def test_the_card_tells_the_facts_and_from_how_many_the_model_was_chosen(tmp_path, tiny_model, network):
    keep(tmp_path, Model(network(1), tiny_model, 64), facts(0.71234, init=3, order=17))
    card = (tmp_path / FOLDER / "README.md").read_text()
    assert "tiny fine-tuned on grammar" in card
    assert "accuracy 0.7123" in card
    assert "init 3, order 17, dropout 0" in card
    write_card(tmp_path, TextTraining(None), trials=25)
    assert "25 trials" in (tmp_path / FOLDER / "README.md").read_text()
    assert read_facts(tmp_path / FOLDER) == facts(0.71234, init=3, order=17)


def test_a_sweep_without_a_best_model_gets_no_card(tmp_path):
    write_card(tmp_path, TextTraining(None), trials=25)
    assert not (tmp_path / FOLDER).exists()
    assert read_facts(tmp_path / FOLDER) is None


def test_a_folder_that_was_left_without_weights_is_made_anew(tmp_path, tiny_model, network):
    keep(tmp_path, Model(network(1), tiny_model, 64), facts(0.7))
    (tmp_path / FOLDER / "model.safetensors").unlink()
    (tmp_path / FOLDER / "config.json").write_text("{")
    keep(tmp_path, Model(network(2), tiny_model, 64), facts(0.6))
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
            keep(tmp_path, Model(networks[k], tiny_model, 64), facts(0.1 * step + 0.01 * k, init=k, step=step))

    processes = [fork.Process(target=work, args=(k,), daemon=True) for k in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    assert read_facts(tmp_path / FOLDER) == facts(0.1 * 3 + 0.01 * 3, init=3, step=3)
    assert kept_mark(tmp_path) == 3
    assert not [path.name for path in (tmp_path / FOLDER).iterdir() if path.name.startswith(".")]


def test_what_a_killed_process_had_half_written_goes_with_the_next_better_model(tmp_path, tiny_model, network):
    keep(tmp_path, Model(network(1), tiny_model, 64), facts(0.7))
    half = tmp_path / FOLDER / ".model.safetensors.123-abc.part"
    half.write_bytes(b"half")
    keep(tmp_path, Model(network(2), tiny_model, 64), facts(0.8))
    assert not half.exists()
    assert kept_mark(tmp_path) == 2


def test_weights_that_were_cut_short_are_named(tmp_path, tiny_model, network):
    keep(tmp_path, Model(network(1), tiny_model, 64), facts(0.7))
    weights = tmp_path / FOLDER / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"model\.safetensors: damaged"):
        read_facts(tmp_path / FOLDER)
