"""A tiny pretrained encoder and a real training of it: each test that needs a trained model trains this one.

And what the tests of several folders share: records as trials write them, the commands that read them.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import struct
import subprocess
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the libraries are imported: no test asks the hub
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # some tests fork

import warnings
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, open_dict
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import CONFIG_MAPPING, AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from seedgrid.composition import compose
from seedgrid.evaluation.evaluation import Evaluation
from seedgrid.records.record import TrialRecord
from seedgrid.records.store import trial_name
from seedgrid.seeds import Seeds
from seedgrid.settings import Settings
from seedgrid.training.kinds import read_settings
from seedgrid.training.text.data import grammar
from seedgrid.training.text.data.datamodule import TokenDataModule
from seedgrid.training.text.data.tokens import Tokens, tokenize, used_words
from seedgrid.training.text.model.module import FineTuning
from seedgrid.training.text.model.network import build_network
from seedgrid.training.text.model.step import TrainingStep
from seedgrid.training.text.model.vocabulary import keep_used_words, whole_state
from seedgrid.training.text.settings import Recipe

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

torch.set_num_threads(1)
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


# Folders with the longest tests. They come first, so that short ones are left to fill all cores to the end.
_LONGEST = ("notebooks", "docs", "sweep", "trials", "examples", "training", "benchmarks")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return _LONGEST.index(folder) if folder in _LONGEST else len(_LONGEST)

    items.sort(key=place)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a GPU")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds ``train.py`` and ``conf/``."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def compose_config() -> Callable[..., DictConfig]:
    """Compose ``conf/train.yaml`` with overrides, as the command line does."""
    return lambda *overrides: compose("train", overrides)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A folder with a BERT of 2 layers and random weights, and a WordPiece tokenizer that knows the grammar task."""
    folder = tmp_path_factory.mktemp("tiny_model")
    normalizer, words = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    sentences = (normalizer.normalize_str(text) for text in grammar.generate(1000, 1)[0].text)
    characters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    known = sorted({word for sentence in sentences for word, _ in words.pre_tokenize_str(sentence)})
    vocabulary = dict.fromkeys([*SPECIAL, *characters, *(f"##{character}" for character in characters), *known])
    wordpiece = models.WordPiece({word: index for index, word in enumerate(vocabulary)}, unk_token="[UNK]")
    tokenizer = Tokenizer(wordpiece)
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, words
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **names).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


# Of each architecture: sizes of a tiny one, and how its tokenizer joins one text, and two.
_SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 20}
_ONE_KIND = {"type_vocab_size": 1}
_AS_BERT = ("<s> $A </s>", "<s> $A </s> $B:1 </s>:1")
_AS_ROBERTA = ("<s> $A </s>", "<s> $A </s> </s> $B </s>")
_AS_XLNET = ("$A </s> <s>:2", "$A </s> $B:1 </s>:1 <s>:2")
_AS_T5 = ("$A </s>", "$A </s> $B </s>")
FAMILIES = {
    "bert": (_SIZES, _AS_BERT),
    "roberta": (_SIZES | _ONE_KIND, _AS_ROBERTA),
    "xlm-roberta": (_SIZES | _ONE_KIND, _AS_ROBERTA),
    "distilbert": ({"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 20}, _AS_BERT),
    "albert": (_SIZES | {"embedding_size": 8}, _AS_BERT),
    "electra": (_SIZES | {"embedding_size": 8}, _AS_BERT),
    "deberta-v2": (  # as DeBERTa-v3 has it
        _SIZES
        | {"type_vocab_size": 0, "relative_attention": True, "position_biased_input": False, "position_buckets": 8}
        | {"pos_att_type": ["p2c", "c2p"], "norm_rel_ebd": "layer_norm", "share_att_key": True},
        _AS_BERT,
    ),
    "mpnet": (_SIZES, _AS_ROBERTA),
    "modernbert": (_SIZES | {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0}, _AS_BERT),
    "xlnet": (
        {"d_model": 16, "n_layer": 3, "n_head": 2, "d_inner": 20},
        ("$A </s> <s>:2", "$A </s> $B:1 </s>:1 <s>:2"),
    ),
    "t5": (
        {"d_model": 16, "d_kv": 8, "d_ff": 20, "num_layers": 3, "num_heads": 2}
        | {"pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1},
        _AS_T5,
    ),
    "gpt2": ({"n_embd": 16, "n_layer": 3, "n_head": 2, "pad_token_id": 1, "eos_token_id": 2}, _AS_T5),
}


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory) -> Callable[..., Path]:
    """A folder with a model of an architecture of ``FAMILIES``, 3 layers and random weights, that reads letters.

    Its tokenizer is Transformers' generic one, which gives no segments unless it is asked for them.
    """
    words = ("<s>", "<pad>", "</s>", "<unk>", "<mask>", *(chr(code) for code in range(ord("a"), ord("z") + 1)))
    names = dict(zip(("cls_token", "pad_token", "sep_token", "unk_token", "mask_token"), words[:5], strict=True))

    @cache
    def folder(name: str, **changes) -> Path:
        path = tmp_path_factory.mktemp(name)
        sizes, (single, pair) = FAMILIES[name]
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = AutoModel.from_config(CONFIG_MAPPING[name](**{"vocab_size": len(words)} | sizes | changes))
            with torch.no_grad():  # far from their start, where all texts look alike
                for parameter in model.parameters():
                    if parameter.ndim > 1:
                        parameter.normal_(std=0.5)
        model.save_pretrained(path)
        tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.post_processor = processors.TemplateProcessing(
            single=single, pair=pair, special_tokens=[("<s>", 0), ("</s>", 2)]
        )
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(path)
        return path

    return folder


@pytest.fixture(scope="session", params=FAMILIES)
def family(request, family_folder) -> Path:
    """Each of these folders in turn."""
    return family_folder(request.param)


@pytest.fixture(scope="session")
def tiny_tokens(tiny_model) -> tuple[Tokens, Tokens]:
    """40 training and 23 validation examples of the grammar task."""
    tokenizer = AutoTokenizer.from_pretrained(str(tiny_model))
    return tuple(tokenize(examples, tokenizer, 64) for examples in grammar.generate(40, 23))


@pytest.fixture
def recipe() -> Recipe:
    """Two epochs of five batches each over the examples of ``tiny_tokens``."""
    return Recipe(
        name="tiny",
        epochs=2,
        batch_size=8,
        learning_rate=1e-3,
        warmup=0.2,
        weight_decay=0.01,
        gradient_norm=1.0,
        clip="global",
        bias_correction=True,
        schedule="linear",
        dropout_steps="all",
        layer_decay=1.0,
        reinitialize=0,
        freeze=None,
        betas=[0.9, 0.999],
        eps=1e-8,
    )


@dataclass(frozen=True)
class Fitted:
    """What a training left: the module, its optimizer, and the loss of each step."""

    module: FineTuning
    optimizer: torch.optim.Optimizer
    losses: list[float]

    def weights(self) -> dict[str, torch.Tensor]:
        return whole_state(self.module.network)

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """What a checkpoint holds of it."""
        return self.module.network.state_dict(), self.optimizer.state_dict()


class _Losses(pl.Callback):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.losses.append(outputs["loss"].item())


@pytest.fixture
def fit(tiny_model, tiny_tokens, recipe) -> Callable[..., Fitted]:
    """Train the tiny model by Lightning's Trainer, as a trial does; 10 steps unless told otherwise."""
    default_recipe = recipe

    def fitted(
        *callbacks: pl.Callback,
        recipe: Recipe = default_recipe,
        dropout_seed: int = 0,
        dropout: float | None = None,
        start: int = 0,
        stop: int | None = None,
        state: tuple[dict, dict] = ({}, {}),
        precision: str = "32-true",
        packing: bool = True,
        static: bool = False,
        device: str = "cpu",
        capture: bool = False,
    ) -> Fitted:
        network = build_network(tiny_model, ("no", "yes"), init_seed=0, dropout=dropout)
        train, validation = tiny_tokens
        if packing:
            keep_used_words(network, torch.from_numpy(used_words(train, validation)))
        weights, optimizer_state = state
        steps = 10
        data = TokenDataModule(
            train,
            validation,
            order_seed=0,
            batch_size=recipe.batch_size,
            validation_batch_size=5,
            steps=steps,
            start=start,
            packing=packing,
            static=static,
        )
        training_step = TrainingStep(network, recipe, device, precision, capture)
        training_step.begin(0, {"network": weights, "optimizer": optimizer_state} if weights else None)
        module = FineTuning(training_step, steps, len(train), dropout_seed, start)
        losses = _Losses()
        trainer = pl.Trainer(
            accelerator="gpu" if device == "cuda" else device,
            devices=1,
            precision=precision,
            max_epochs=1,
            limit_train_batches=1.0 if stop is None else stop - start,
            callbacks=[losses, *callbacks],
            logger=False,
            limit_val_batches=0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lightning misses a validation_step, and torch's newest names
            trainer.fit(module, datamodule=data)
        return Fitted(module, training_step.optimizer, losses.losses)

    return fitted


@pytest.fixture(scope="session")
def tiny(tiny_model) -> list[str]:
    """Overrides of a trial that takes about a second: 18 steps of the tiny model."""
    return [
        f"model.path={tiny_model}",
        "model.learning_rate=1e-3",
        "task.source.train_size=90",
        "task.source.validation_size=40",
        "evaluation.per_epoch=3",
        "logger=none",
        "trainer=cpu",
        "trainer.precision=32-true",  # the same numbers on every processor that runs the tests
    ]


@pytest.fixture(scope="session")
def settings_of(compose_config) -> Callable[[list[str]], Settings]:
    """Checked settings from overrides."""

    def checked(overrides: list[str]) -> Settings:
        config = compose_config(*overrides)
        with open_dict(config):
            config.pop("hydra", None)
        return read_settings(config)

    return checked


def _read_run(path):
    """All records of a ``.wandb`` file: LevelDB's log format, blocks of 32 KiB of (checksum, length, type) + data."""
    from wandb.proto.wandb_internal_pb2 import Record  # here: where GPUs are tested, W&B may not be installed

    content, position, parts = path.read_bytes(), 7, b""  # after W&B's own header
    while position + 7 <= len(content):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        if position + 7 + length > len(content):
            return  # not written to its end yet
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


@pytest.fixture(scope="session")
def wandb_records():
    return _finished_run


def _finished_run(path):
    """All records, once the last is there: W&B's own process may write it after ``finish`` has returned."""
    for _ in range(200):
        records = list(_read_run(path))
        if any(record.WhichOneof("record_type") == "exit" for record in records):
            return records
        time.sleep(0.1)
    raise AssertionError(f"{path} is not finished")


LABELS = np.arange(40) % 2


@pytest.fixture(scope="session")
def write_sweep():
    """A grid's records, with a mean and any changes to the settings that its trials carry."""

    def written(folder, inits=5, orders=5, mean=0.8, seed=0, identity=None, status=None, norms=None, **header):
        generator = np.random.default_rng(seed)
        metric, rate = header.pop("metric", "accuracy"), header.pop("learning_rate", 1e-4)
        for init, order in np.ndindex(inits, orders):
            name = trial_name(Seeds(init=init, order=order))
            record = TrialRecord(
                folder / name,
                {
                    "seeds": {"init": init, "order": order, "dropout": 0},
                    "config": {
                        "task": {"name": header.get("task", "grammar"), "metric": metric},
                        "model": {"name": "tiny"},
                        "recipe": {"name": folder.name, "learning_rate": rate},
                    },
                    "fingerprint": "f1",
                    "identity": {"recipe.learning_rate": rate, "data.validation": "c0ffee"} | (identity or {}),
                    "train_examples": 80,
                    "validation_examples": 40,
                    "steps": 30,
                    "diverged_at": 0.5,
                    **({"logger": header["logger"]} if "logger" in header else {}),
                },
                LABELS,
            )
            final = round(float(np.clip(generator.normal(mean, 0.03), 0, 1)), 3)
            for step, score in ((10, 0.5), (20, round(final - 0.1, 3)), (30, final)):
                logits = torch.zeros(40, 2)
                record.add_evaluation(Evaluation(step, step / 10, 0.6, {metric: score}, score, 0.1, logits))
            record.train_rows = [(step, 0.6, rate) for step in range(1, 31)]
            record.gradient_norms = norms(init, order) if norms else []
            record.write((status or {}).get((init, order), "completed"), seconds=120.0)
        return folder

    return written


@pytest.fixture
def entry():
    """The composed config of a command's overrides."""
    return lambda name, *overrides: compose(name, [str(word) for word in overrides])


@pytest.fixture
def no_room():
    """A context in which this process can write nothing into files: as on a full disk, for which one must be root."""

    @contextmanager
    def limited():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


def _module(name):
    """A module beside this file."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their types up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def start_python():
    """Start ``python WORDS``, with pipes; ``new=True``: in a process that has imported nothing before."""
    with ExitStack() as opened:
        warm = cache(lambda: opened.enter_context(_module("warm_python").WarmPython()))

        def started(*words, new=False, **options):
            if not new:
                return warm().start(*words, **options)
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            return subprocess.Popen([sys.executable, *words], **pipes, **options)

        yield started


@pytest.fixture(scope="session")
def run_command(start_python):
    """Run ``seedgrid NAME`` with words, in a folder; gives what ``subprocess.run`` does."""

    def ran(name, *words, **options):
        environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "100"}
        words = ("-m", "seedgrid", name, *map(str, words))
        process = start_python(*words, env=environment, **options)
        output, errors = process.communicate(timeout=100)
        return subprocess.CompletedProcess(words, process.returncode, output, errors)

    return ran


@pytest.fixture(scope="session")
def wandb_stand_in():
    """The module of the stand-in for W&B's server."""
    return _module("wandb_server")


@pytest.fixture(scope="module")
def wandb_server(wandb_stand_in, tmp_path_factory):
    """A server, and this process logged in to it: with a home folder and an environment of its own."""
    import wandb

    with wandb_stand_in.serve() as server, pytest.MonkeyPatch.context() as patch:
        for name in [*(name for name in os.environ if name.startswith("WANDB_")), "NETRC"]:
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("WANDB_BASE_URL", server.address)
        patch.setenv("WANDB_API_KEY", wandb_stand_in.KEY)
        wandb.teardown()  # W&B's library reads its environment once
        # Its interface takes ten seconds to import where torch is there already, for pydantic to look for docstrings.
        patch.setattr("pydantic._internal._fields.extract_docstrings_from_cls", lambda *_, **__: {})
        importlib.import_module("wandb.apis.public")
        yield server
        wandb.teardown()
