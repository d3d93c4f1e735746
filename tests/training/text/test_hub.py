"""Without the hub, or where it refuses: one question, one line; and what is in the cache goes on working."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import datasets
import pytest
from huggingface_hub import constants

from seedgrid.errors import InputError
from seedgrid.training.text.data.glue import read_hub
from seedgrid.training.text.model.pretrained import locate
from seedgrid.training.text.settings import ModelSettings
from seedgrid.training.text.tasks import GlueSource

MODEL = ModelSettings(
    name="m", path="someone/encoder", package=None, layers=None, dropout=None, packing=True, learning_rate=1e-4
)
RTE = GlueSource(
    kind="glue",
    hub_config="rte",
    hub_text=["sentence"],
    folder="RTE",
    header=True,
    text=["sentence"],
    label="label",
    label_values=["no", "yes"],
)
ASKING = {"model": lambda: locate(MODEL), "dataset": lambda: read_hub(RTE, ("no", "yes"))}


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Callable[..., list[str]]:
    """A hub that answers all questions alike, or none; gives the list of those about repositories."""
    servers = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")

    def answering(status: int | None, error: str | None = None) -> list[str]:
        asked: list[str] = []

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if "agent" not in self.path:  # what the client asks for itself
                    asked.append(self.path)
                if status is None:
                    time.sleep(2)
                    return
                self.send_response(status)
                if error is not None:
                    self.send_header("X-Error-Code", error)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_HEAD = do_GET

            def log_message(self, *_) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        for config, name in ((constants, "ENDPOINT"), (datasets.config, "HF_ENDPOINT")):
            monkeypatch.setattr(config, name, f"http://127.0.0.1:{server.server_port}")
        return asked

    yield answering
    for server in servers:
        server.shutdown()
        server.server_close()


def refusal(kind: str) -> str:
    with pytest.raises(InputError) as refused:
        ASKING[kind]()
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


@pytest.mark.parametrize("kind", ASKING)
@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (503, None, r"cannot fetch .* from the Hugging Face hub \(it answers 503\); offline, use "),
        (429, None, r"cannot fetch .* \(it answers 429\); offline, use "),
        (
            404,
            "RepoNotFound",
            r"(neither a folder|nyu-mll/glue is no).* hub \(it answers 404\); if it is a private",
        ),
        (401, None, r".* on the hub \(it answers 401\); if it is a private one, log in \(hf auth login, or HF_TOKEN\)"),
        (403, "GatedRepo", r"(it|nyu-mll/glue) is gated on the hub; accept its terms on its page there, and log in"),
    ],
)
def test_what_the_hub_refuses_is_asked_once_and_said_in_a_line(hub, kind, status, error, reason):
    asked = hub(status, error)
    key = {"model": r"model\.path=someone/encoder: ", "dataset": "task=rte: "}[kind]
    message = refusal(kind)
    assert re.match(key + reason, message), message
    assert len(asked) == 1
    assert not datasets.config.HF_HUB_OFFLINE


@pytest.mark.parametrize("kind", ASKING)
def test_a_hub_that_cannot_be_reached_is_not_tried_again(hub, monkeypatch, kind):
    for config, name in ((constants, "ENDPOINT"), (datasets.config, "HF_ENDPOINT")):
        monkeypatch.setattr(config, name, "http://127.0.0.1:1")
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    assert "from the Hugging Face hub (ConnectError); offline, use" in refusal(kind)
    assert slept == []


@pytest.mark.parametrize("kind", ASKING)
def test_a_hub_that_does_not_answer_is_not_waited_for(hub, monkeypatch, kind):
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.1)
    asked = hub(None)
    assert "from the Hugging Face hub (ReadTimeout); offline, use" in refusal(kind)
    assert len(asked) == 1


@pytest.mark.parametrize("kind", ASKING)
def test_offline_the_hub_is_not_asked(hub, monkeypatch, kind):
    asked = hub(200)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "(HF_HUB_OFFLINE is set, and the cache does not hold it); offline, use" in refusal(kind)
    assert asked == []


@pytest.mark.parametrize("offline", [False, True])
def test_what_is_in_the_cache_is_used_without_the_hub(hub, monkeypatch, tiny_model, tmp_path, offline):
    asked = hub(503)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    revision = "0123456789012345678901234567890123456789"
    cached = tmp_path / "hub" / "models--someone--encoder"
    shutil.copytree(tiny_model, cached / "snapshots" / revision)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(revision)
    assert locate(MODEL) == cached / "snapshots" / revision

    features = datasets.Features(
        {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    table = datasets.Dataset.from_dict({"sentence": ["a", "b"], "label": [1, 0]}, features=features)
    keep_as_downloaded(table, tmp_path / "datasets" / "nyu-mll___glue" / "rte" / "0.0.0" / revision)
    train, validation = read_hub(RTE, ("no", "yes"))
    assert train.text == validation.text == ("a", "b")
    assert train.label.tolist() == [1, 0]
    assert len(asked) == (0 if offline else 2)


def keep_as_downloaded(table: datasets.Dataset, folder) -> None:
    """The layout of the datasets library's cache."""
    folder.mkdir(parents=True)
    splits = datasets.SplitDict(dataset_name="glue")
    for name in ("train", "validation"):
        with datasets.arrow_writer.ArrowWriter(
            path=str(folder / f"glue-{name}.arrow"), features=table.features
        ) as writer:
            for row in table:
                writer.write(row)
            examples, size = writer.finalize()
        splits.add(datasets.SplitInfo(name, num_bytes=size, num_examples=examples))
    info = datasets.DatasetInfo(features=table.features, splits=splits, builder_name="parquet", dataset_name="glue")
    info.config_name, info.version = "rte", "0.0.0"
    info.write_to_directory(str(folder))
