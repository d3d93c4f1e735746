"""GLUE's tasks, from the benchmark's own files and from the hub: every row, every label, no quote misread."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import datasets
import numpy as np
import pytest
from omegaconf import OmegaConf

from seedgrid.errors import InputError
from seedgrid.training.text.data import sources
from seedgrid.training.text.data.glue import read_folder, read_hub
from seedgrid.training.text.settings import DataSettings
from seedgrid.training.text.tasks import GlueSource, Task

PAIRS = GlueSource(
    kind="glue",
    hub_config="mrpc",
    hub_text=["sentence1", "sentence2"],
    folder="MRPC",
    header=True,
    text=["#1 String", "#2 String"],
    label="Quality",
    label_values=["0", "1"],
)
HEADER = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"
ROWS = (f"{HEADER}\n", "1\t7\t8\ta\tb\n", "0\t9\t10\tc\td\n")
SINGLES = GlueSource(
    kind="glue",
    hub_config="cola",
    hub_text=["sentence"],
    folder="CoLA",
    header=False,
    text=[3],
    label=1,
    label_values=["0", "1"],
)


def write(root: Path, train: str | bytes, dev: str | bytes = "".join(ROWS), task: str = "MRPC") -> str:
    (root / task).mkdir()
    for name, content in (("train.tsv", train), ("dev.tsv", dev)):
        (root / task / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return str(root)


def refusal(root: str, source: GlueSource = PAIRS) -> str:
    with pytest.raises(InputError) as refused:
        read_folder(root, source)
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


@pytest.fixture(scope="module")
def task(repository):
    def read(name: str) -> Task:
        return Task.model_validate(OmegaConf.to_container(OmegaConf.load(repository / f"conf/task/{name}.yaml")))

    return read


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "end"])
def test_rows_are_read_with_any_line_end_and_byte_order_mark(tmp_path, mark, line_end, last):
    content = (mark + "".join(ROWS)).replace("\n", line_end)
    train, validation = read_folder(write(tmp_path, content if last else content.removesuffix(line_end)), PAIRS)
    for examples in (train, validation):
        assert examples.text == ("a", "c")
        assert examples.text_pair == ("b", "d")
        assert examples.label.tolist() == [1, 0]
        assert examples.label.dtype == np.int64


@pytest.mark.parametrize(
    "text", ['"', 'a "b', '"a" b', "'", 'a "b" "c', "a,b", "\u2028", "a\rb", "a\x0bb", "\x85", "NA"]
)
def test_only_tabs_and_line_feeds_separate(tmp_path, text):
    train, _ = read_folder(write(tmp_path, f"{HEADER}\n1\t7\t8\t{text}\tb\n0\t9\t10\tc\t{text}\n"), PAIRS)
    assert train.text == (text, "c")
    assert train.text_pair == ("b", text)


def test_without_a_header_the_first_line_is_an_example(tmp_path):
    rows = 'gj04\t1\t\tThe "book" fell.\ngj04\t0\t*\tBook the fell.\n'
    train, validation = read_folder(write(tmp_path, rows, rows, task="CoLA"), SINGLES)
    assert train.text == ('The "book" fell.', "Book the fell.")
    assert train.text_pair is None
    assert train.label.tolist() == [1, 0]
    assert validation.digest() == train.digest()


def test_columns_are_found_by_name_in_any_order(tmp_path):
    rows = "#2 String\tQuality\t#1 String\nb\t1\ta\n"
    train, _ = read_folder(write(tmp_path, rows), PAIRS)
    assert (train.text, train.text_pair, train.label.tolist()) == (("a",), ("b",), [1])


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (ROWS[0] + ROWS[1] + "0\t9\t10\tc\n", "line 3: 4 columns instead of 5; mend or remove the line"),
        (ROWS[0] + "0\t9\t10\tc\td\te\n", "line 2: 6 columns instead of 5; mend or remove the line"),
        (ROWS[0] + "\n" + ROWS[1], "line 2: 1 columns instead of 5; mend or remove the line"),
        (ROWS[0] + "2\t9\t10\tc\td\n", "line 2: label '2' is not one of 0, 1; mend or remove the line"),
        (ROWS[0] + "\t9\t10\tc\td\n", "line 2: label '' is not one of 0, 1; mend or remove the line"),
        ("Quality\t#1 String\n", "holds no examples; download it again"),
        ("Quality\t#1 String\n1\ta\n", "line 1: no column '#2 String'; the file has Quality, #1 String"),
        ("", "holds no examples; download it again"),
        (ROWS[0].encode() + b"1\t7\t8\tcaf\xe9\tb\n", "line 2: not UTF-8 text; convert the file to UTF-8"),
    ],
)
@pytest.mark.parametrize("file", ["train.tsv", "dev.tsv"])
def test_a_malformed_file_is_named_with_its_line(tmp_path, rows, complaint, file):
    root = write(tmp_path, rows) if file == "train.tsv" else write(tmp_path, "".join(ROWS), rows)
    message = refusal(root)
    assert message.startswith(f"{tmp_path / 'MRPC' / file}")
    assert message.endswith(complaint)


def test_too_few_columns_without_a_header_are_named(tmp_path):
    assert refusal(write(tmp_path, "gj04\t1\ttext\n", task="CoLA"), SINGLES).endswith(
        "train.tsv, line 1: 3 columns, at least 4 are needed"
    )


def test_a_missing_root_is_named_with_both_remedies(tmp_path):
    message = refusal(str(tmp_path / "nowhere"))
    assert message.startswith(f"data.root={tmp_path / 'nowhere'}: no such folder")
    assert "data.root=null" in message


def test_a_missing_file_is_named(tmp_path):
    (tmp_path / "MRPC").mkdir()
    assert refusal(str(tmp_path)).startswith(f"{tmp_path / 'MRPC' / 'train.tsv'}: no such file")


def test_a_users_home_may_be_written_short(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, "".join(ROWS))
    assert len(read_folder("~", PAIRS)[0]) == 2


# ------------------------------------------------------------------------------------------ the benchmark's own files

# Rows and labels of train and dev, as the benchmark publishes them.
ROW_COUNTS = {"mrpc": (3668, 408), "rte": (2490, 277), "cola": (8551, 1043), "sst2": (67349, 872)}


def independent_rows(path: Path, header: bool) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        rows = list(csv.reader((line.rstrip("\r\n") for line in file), delimiter="\t", quoting=csv.QUOTE_NONE))
    return rows[header:]


@pytest.mark.skipif(not os.environ.get("GLUE_DIR"), reason="GLUE_DIR does not name a folder with GLUE's TSV files")
@pytest.mark.parametrize("name", ROW_COUNTS)
def test_rows_texts_and_labels_of_the_real_files_are_all_there(task, name):
    source = task(name).source
    data = sources.load(
        task(name), DataSettings(root=os.environ["GLUE_DIR"], train_size=None, validation_size=None, max_length=128)
    )
    label_column = {"mrpc": 0, "rte": 3, "cola": 1, "sst2": 1}[name]
    text_columns = {"mrpc": (3, 4), "rte": (1, 2), "cola": (3,), "sst2": (0,)}[name]
    splits = zip((data.train, data.validation), ("train.tsv", "dev.tsv"), ROW_COUNTS[name], strict=True)
    for examples, file, count in splits:
        rows = independent_rows(Path(os.environ["GLUE_DIR"]).expanduser() / source.folder / file, source.header)
        assert len(examples) == count
        labels = Counter(row[label_column] for row in rows)
        assert len(labels) == 2
        assert {value: int((examples.label == k).sum()) for k, value in enumerate(source.label_values)} == labels
        assert list(examples.text) == [row[text_columns[0]] for row in rows]
        if len(text_columns) == 2:
            assert list(examples.text_pair) == [row[text_columns[1]] for row in rows]
        else:
            assert examples.text_pair is None


# ----------------------------------------------------------------------------------------------------------- the hub


@pytest.fixture
def hub(monkeypatch):
    """Puts a data set in the hub's place."""

    def offer(names: list[str], columns: tuple[str, ...] = ("sentence1", "sentence2")) -> list[tuple]:
        features = datasets.Features(
            {**{column: datasets.Value("string") for column in columns}, "label": datasets.ClassLabel(names=names)}
        )
        asked = []

        def split(*rows):
            table = {column: [row[k] for row in rows] for k, column in enumerate((*columns, "label"))}
            return datasets.Dataset.from_dict(table, features=features)

        def load_dataset(*arguments):
            asked.append(arguments)
            first, second = ("a", "b"), ("c", "d")
            width = len(columns)
            return datasets.DatasetDict(
                train=split((*first[:width], 1), (*second[:width], 0)),
                validation=split((*second[:width], 0)),
                test=split((*second[:width], -1)),
            )

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return asked

    return offer


def test_the_hub_gives_the_same_examples_as_the_files(hub, tmp_path):
    asked = hub(["no", "yes"])
    train, validation = read_hub(PAIRS, ("no", "yes"))
    assert asked == [("nyu-mll/glue", "mrpc")]
    from_files, _ = read_folder(write(tmp_path, "".join(ROWS)), PAIRS)
    assert train.digest() == from_files.digest()
    assert (validation.text, validation.text_pair, validation.label.tolist()) == (("c",), ("d",), [0])


def test_the_hub_gives_single_texts(hub):
    hub(["no", "yes"], ("sentence",))
    train, _ = read_hub(SINGLES, ("no", "yes"))
    assert (train.text, train.text_pair, train.label.tolist()) == (("a", "c"), None, [1, 0])


def test_labels_in_another_order_than_the_hubs_are_refused(hub):
    hub(["yes", "no"])
    with pytest.raises(InputError, match=r"task\.labels=\['no', 'yes'\]: the hub's data set names its labels"):
        read_hub(PAIRS, ("no", "yes"))


@pytest.mark.parametrize("root", [None, ""])
def test_an_empty_root_means_the_hub(hub, task, root):
    asked = hub(["not_equivalent", "equivalent"])
    data = sources.load(task("mrpc"), DataSettings(root=root, train_size=None, validation_size=None, max_length=128))
    assert len(asked) == 1
    assert data.labels == ("not_equivalent", "equivalent")
    assert data.test is None


# ------------------------------------------------------------------------------------------------------------- sizes


def test_a_smaller_size_is_the_same_subset_every_time(tmp_path, task):
    rows = ROWS[0] + "".join(f"{k % 2}\t7\t8\ta{k}\tb{k}\n" for k in range(50))
    root = write(tmp_path, rows, rows)

    def load(train_size, validation_size):
        settings = DataSettings(root=root, train_size=train_size, validation_size=validation_size, max_length=128)
        return sources.load(task("mrpc"), settings)

    data = load(10, 20)
    assert (len(data.train), len(data.validation)) == (10, 20)
    assert load(10, None).train.digest() == data.train.digest()
    for text, pair, label in zip(data.train.text, data.train.text_pair, data.train.label, strict=True):
        assert pair == text.replace("a", "b")
        assert label == int(text[1:]) % 2


def test_more_examples_than_there_are_cannot_be_asked_for(tmp_path, task):
    settings = DataSettings(root=write(tmp_path, "".join(ROWS)), train_size=None, validation_size=3, max_length=128)
    with pytest.raises(InputError, match=r"data\.validation_size=3: the task has only 2 examples"):
        sources.load(task("mrpc"), settings)
