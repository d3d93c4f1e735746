"""The user's own files: the same examples from every format, exact texts, and errors that name the place."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedgrid.errors import InputError
from seedgrid.training.text.data import sources
from seedgrid.training.text.data.files import ENDINGS, SEPARATORS, distinct_labels, read
from seedgrid.training.text.settings import DataSettings
from seedgrid.training.text.tasks import FileSource, Task

KEY = "task.source.train"
ROWS = (
    {"review": 'A "good" one, really.', "title": "first\nline", "stars": "good"},
    {"review": "007", "title": "NA", "stars": "None"},
    {"review": "tab\there", "title": "1.10", "stars": "good"},
)


def write(path: Path, rows: list[dict]) -> Path:
    """Write rows the way that each format's own library does."""
    if path.suffix in SEPARATORS:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=SEPARATORS[path.suffix])
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(list(rows), indent=1))
    else:
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def source_of(path: Path, **columns) -> FileSource:
    return FileSource(
        kind="files", train=str(path), validation=str(path), **{"text": "text", "label": "label", **columns}
    )


def read_all(path: Path, labels: tuple[str, ...] | None = None, **columns):
    source = source_of(path, **columns)
    labels = labels or distinct_labels(source)
    return read(str(path), source, labels, KEY), labels


def refusal(path: Path, labels: tuple[str, ...] | None = None, **columns) -> str:
    with pytest.raises(InputError) as refused:
        read_all(path, labels, **columns)
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_gives_the_same_examples(tmp_path, ending):
    path = write(tmp_path / f"train{ending}", ROWS)
    examples, labels = read_all(path, text="review", text_pair="title", label="stars")
    assert labels == ("None", "good")
    assert examples.text == tuple(row["review"] for row in ROWS)
    assert examples.text_pair == tuple(row["title"] for row in ROWS)
    assert examples.label.tolist() == [1, 0, 1]
    assert examples.label.dtype == np.int64


@pytest.mark.parametrize("ending", ENDINGS)
def test_one_text_has_no_second(tmp_path, ending):
    examples, _ = read_all(write(tmp_path / f"train{ending}", ROWS), text="review", label="stars")
    assert examples.text_pair is None


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("labels", [(1, 0, 1), (1.0, 0.0, 1.0), ("1", "0", "1")])
def test_numbers_are_the_same_labels_however_they_are_written(tmp_path, ending, labels):
    path = write(tmp_path / f"train{ending}", [{"text": "a", "label": label} for label in labels])
    examples, names = read_all(path)
    assert names == ("0", "1")
    assert examples.label.tolist() == [1, 0, 1]


@pytest.mark.parametrize("ending", ENDINGS)
def test_true_and_false_are_the_same_labels_in_every_format(tmp_path, ending):
    path = write(tmp_path / f"train{ending}", [{"text": "a", "label": True}, {"text": "b", "label": False}])
    examples, names = read_all(path)
    assert names == ("false", "true")
    assert examples.label.tolist() == [1, 0]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ((10, 9, 2), ("2", "9", "10")),
        (("10", "9", "2"), ("2", "9", "10")),
        ((0.5, -1.0, 3.0), ("-1", "0.5", "3")),
        (("v10", "v9", "2"), ("2", "v10", "v9")),
    ],
)
def test_labels_that_are_numbers_sort_as_numbers_and_others_as_text(tmp_path, ending, labels, names):
    path = write(tmp_path / f"train{ending}", [{"text": "a", "label": label} for label in labels])
    assert read_all(path)[1] == names


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_column_of_numbers_is_text_too(tmp_path, ending):
    path = write(tmp_path / f"train{ending}", [{"text": 12, "label": "a"}, {"text": 7, "label": "b"}])
    assert read_all(path)[0].text == ("12", "7")


@pytest.mark.parametrize(
    "text", ["007", "1.10", "1e5", "NA", "None", "null", "nan", "True", " a ", "2020-01-01", "#", "'"]
)
@pytest.mark.parametrize("ending", SEPARATORS)
def test_a_delimited_text_is_kept_to_the_letter(tmp_path, ending, text):
    path = write(tmp_path / f"train{ending}", [{"text": text, "label": "a"}, {"text": text, "label": "b"}])
    assert read_all(path)[0].text == (text, text)


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_what_a_csv_writer_writes_is_read_to_the_letter(tmp_path_factory, data):
    text = st.text(st.characters(codec="utf-8"), min_size=1)
    rows = data.draw(st.lists(st.fixed_dictionaries({"text": text, "label": st.sampled_from("ab")}), min_size=1))
    path = write(tmp_path_factory.mktemp("files") / "train.csv", rows)
    examples, _ = read_all(path, labels=("a", "b"))
    assert examples.text == tuple(row["text"] for row in rows)
    assert examples.label.tolist() == ["ab".index(row["label"]) for row in rows]


def test_byte_order_mark_windows_line_ends_and_blank_lines_do_not_count(tmp_path):
    path = tmp_path / "train.csv"
    path.write_bytes("\ufefftext,label\r\na,1\r\n\r\nb,0\r\n\r\n".encode())
    examples, _ = read_all(path)
    assert examples.text == ("a", "b")


def test_other_columns_may_hold_anything(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("id,text,label,\n1,a,0,\nA2,b,1,x\n")
    assert read_all(path)[0].text == ("a", "b")


@pytest.mark.parametrize(
    "name", ["a b.jsonl", "train[1].jsonl", "tr*in.jsonl", "TRAIN.JSONL", "été.parquet", "a[1].csv"]
)
def test_the_name_of_a_file_is_no_pattern(tmp_path, name):
    (tmp_path / "train1.jsonl").write_text("no JSON")
    path = tmp_path / name
    write(path.with_suffix(path.suffix.lower()), [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]).rename(
        path
    )
    assert read_all(path)[0].text == ("a", "b")


COMPRESS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("compressed", COMPRESS)
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_compressed_file_gives_the_same_examples(tmp_path, ending, compressed):
    plain = write(tmp_path / f"train{ending}", ROWS)
    path = tmp_path / f"train{ending}{compressed}"
    path.write_bytes(COMPRESS[compressed](plain.read_bytes()))
    columns = {"text": "review", "text_pair": "title", "label": "stars"}
    assert read_all(path, **columns)[0].digest() == read_all(plain, **columns)[0].digest()


@pytest.mark.parametrize("name", ["train.zip", "train.csv.zip"])
def test_an_archive_of_one_file_is_read(tmp_path, name):
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.write(
            write(tmp_path / "train.csv", [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]), "t.csv"
        )
        archive.writestr("__MACOSX/._t.csv", "what a Mac leaves")
    assert read_all(tmp_path / name)[0].text == ("a", "b")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_what_a_spreadsheet_saves_is_read(tmp_path, encoding):
    path = tmp_path / "train.csv"
    path.write_bytes("text;label\r\nd\u00e9j\u00e0, vu;1\r\nb;0\r\n".encode(encoding))
    assert read_all(path)[0].text == ("d\u00e9j\u00e0, vu", "b")


def test_lines_of_json_may_have_different_keys(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"text": "2020-01-01", "label": 0}\n{"label": "1", "meta": {"text": 1}, "text": "b"}\n')
    examples, labels = read_all(path)
    assert (examples.text, labels) == (("2020-01-01", "b"), ("0", "1"))


@pytest.mark.parametrize("given", [("1", "0"), ("1.0", "0.0")])
def test_labels_of_the_config_are_those_of_the_file_however_they_are_written(tmp_path, given):
    path = write(tmp_path / "train.jsonl", [{"text": "a", "label": 1.0}, {"text": "b", "label": 0}])
    assert read_all(path, given)[0].label.tolist() == [0, 1]


# -------------------------------------------------------------------------------------------------------- what fails


@pytest.mark.parametrize("ending", ENDINGS)
def test_two_columns_of_one_name_are_refused_where_they_are_used(tmp_path, ending):
    path = tmp_path / f"train{ending}"
    separator = SEPARATORS.get(ending, "")
    if separator:
        lines = (("text", "label", "label", "id", "id"), ("a", "0", "1", "2", "3"), ("b", "1", "0", "2", "3"))
        path.write_text("".join(separator.join(cells) + "\n" for cells in lines))
    elif ending == ".parquet":
        arrays = [pa.array(values) for values in (["a", "b"], [0, 1], [1, 0], [2, 2], [3, 3])]
        pq.write_table(pa.Table.from_arrays(arrays, names=["text", "label", "label", "id", "id"]), path)
    else:
        path.write_text('{"text": "a", "label": 0, "label": 1, "id": 2, "id": 3}\n')
    assert "label" in (answer := refusal(path))
    assert "twice" in answer or "2 columns of that name" in answer
    if separator or ending == ".parquet":
        refusal(path, label="id")


def test_labels_that_differ_in_blanks_are_refused_with_their_place(tmp_path):
    path = write(tmp_path / "train.csv", [{"text": "a", "label": name} for name in ("neg", "pos", "neg ")])
    assert refusal(path) == f"{path}, example 3: label 'neg ' differs from 'neg' in nothing but blanks; mend the file"


@pytest.mark.parametrize(
    ("label", "labels", "reason"),
    [
        ("neg ", ("neg", "pos"), "neg, pos, but differs from 'neg' in nothing but blanks or case; "),
        ("Neg", ("neg", "pos"), "neg, pos, but differs from 'neg' in nothing but blanks or case; "),
        ("-1", ("0", "1"), "0, 1, but often marks examples without a label; "),
        ("no", ("false", "true"), "false, true: YAML takes no and yes for false and true unless they are quoted; "),
        ("x", tuple(map(str, range(80))), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... (80 in all); "),
        ("x", (" a", ""), "' a', ''; "),
    ],
)
def test_an_unknown_label_comes_with_what_it_may_be(tmp_path, label, labels, reason):
    path = write(tmp_path / "dev.csv", [{"text": "a", "label": label}])
    assert (
        refusal(path, labels)
        == f"{path}, example 1: label '{label}' is not one of {reason}mend the file or set task.labels"
    )


def test_labels_that_are_scores_are_said_to_look_so(tmp_path):
    path = write(tmp_path / "dev.csv", [{"text": "a", "label": k / 7} for k in range(40)])
    assert ": 40 different ones in 40 examples, as of a score or a number of the example; " in refusal(
        path, ("0.5", "1")
    )


def test_half_a_character_is_no_text(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"text": "cut \\ud83d", "label": 0}\n')
    assert refusal(path).startswith(f"{path}, example 1: column 'text' holds half of a character")


@pytest.mark.parametrize("content", ["[1, 2]", '"text"', '{"text": "a", "label": "x"}\n3\n'])
def test_json_without_columns_is_refused(tmp_path, content):
    path = tmp_path / "train.jsonl"
    path.write_text(content)
    assert "instead of an object with a value for each column" in refusal(path)


@pytest.mark.parametrize("ending", [".csv.gz", ".csv.bz2", ".csv.xz", ".zip"])
def test_a_broken_compressed_file_is_named(tmp_path, ending):
    path = tmp_path / f"train{ending}"
    for content in (b"text,label\na,1\n", b"", gzip.compress(b"text,label\n" * 99)[:-12]):
        path.write_bytes(content)
        assert str(path) in refusal(path)


def test_an_archive_of_several_files_names_them(tmp_path):
    path = tmp_path / "train.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "text,label\n")
        archive.writestr("b.csv", "text,label\n")
    assert refusal(path) == f"{path}: holds 2 files, a.csv, b.csv; unpack it and name one"


def test_utf_16_without_its_mark_is_no_utf_8(tmp_path):
    path = tmp_path / "train.csv"
    path.write_bytes("text,label\na,1\n".encode("utf-16-le"))
    assert refusal(path) == f"{path}, line 1: not UTF-8 text; convert the file to UTF-8"


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("role", ["text", "text_pair", "label"])
def test_a_missing_column_is_named_with_those_there_are(tmp_path, ending, role):
    path = write(tmp_path / f"train{ending}", [{"text": "a", "label": "x"}])
    expected = f"task.source.{role}=body: {path} has no such column; it has text, label"
    assert refusal(path, **{role: "body"}) == expected


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_unknown_label_is_named_with_its_place(tmp_path, ending):
    path = write(tmp_path / f"dev{ending}", [{"text": "a", "label": "x"}, {"text": "b", "label": "z"}])
    assert refusal(path, labels=("x", "y")).startswith(f"{path}, example 2: label 'z' is not one of x, y;")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("column", ["text", "label"])
def test_an_empty_text_or_label_is_named_with_its_place(tmp_path, ending, value, column):
    rows = [{"text": "a", "label": "None"}, {"text": "b", "label": "nan"}]
    rows[1][column] = value
    path = write(tmp_path / f"train{ending}", rows)
    expected = f"{path}, example 2: column '{column}' is empty; mend or remove it"
    assert refusal(path) == expected
    assert refusal(path, labels=("None", "nan", "")) == expected


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_an_empty_cell_among_numbers_is_no_text(tmp_path, ending):
    path = write(tmp_path / f"train{ending}", [{"text": 1, "label": "x"}, {"text": None, "label": "y"}])
    assert refusal(path) == f"{path}, example 2: column 'text' is empty; mend or remove it"


def test_not_a_number_is_no_label(tmp_path):
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "label": pa.array([1.0, float("nan")])}), path)
    assert refusal(path) == f"{path}, example 2: column 'label' is empty; mend or remove it"


def test_a_list_is_no_text(tmp_path):
    path = write(tmp_path / "train.jsonl", [{"text": ["a", "b"], "label": "x"}])
    assert refusal(path) == f"{path}, example 1: column 'text' holds a list, not text"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("text,label\na,0\nb,c,1\n", "line 3: 3 columns instead of 2; "),
        ("text,label\na,0\nb\n", "line 3: 1 columns instead of 2; "),
        ("text,label\na, b,0\nc, d,1\n", "line 2: 3 columns instead of 2; "),  # in every line: no hidden index
        ('text,label\n"a\nb",0\n"c,1\nd,1\n', "line 4: unexpected end of data; "),
        ('text,label\n"a" b,0\nc,1\n', "line 2: ',' expected after '\"'; "),
    ],
)
def test_a_malformed_csv_is_named_with_its_line(tmp_path, content, complaint):
    path = tmp_path / "train.csv"
    path.write_text(content)
    assert refusal(path).startswith(f"{path}, {complaint}")


def test_a_tsv_whose_quotes_are_text_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text('text\tlabel\n"a b\t1\nb" c\t0\nd\t1\n')
    examples, _ = read_all(path)
    assert examples.text == ('"a b', 'b" c', "d")
    assert examples.label.tolist() == [1, 0, 1]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".json"])
def test_text_in_another_encoding_is_named_with_its_line(tmp_path, ending):
    path = write(tmp_path / f"train{ending}", [{"text": "a", "label": "x"}, {"text": "cafe", "label": "y"}])
    content = path.read_bytes()
    path.write_bytes(content.replace(b"cafe", b"caf\xe9"))
    line = content[: content.index(b"cafe")].count(b"\n") + 1
    assert refusal(path) == f"{path}, line {line}: not UTF-8 text; convert the file to UTF-8"


@pytest.mark.parametrize("ending", [".jsonl", ".json"])
@pytest.mark.parametrize("rows", [10, 30_000])  # more than the library reads at once
def test_a_malformed_line_of_json_is_named(tmp_path, capfd, ending, rows):
    lines = [json.dumps({"text": "words " * 8, "label": k % 2}) for k in range(rows)]
    lines[-2] = lines[-2].removesuffix("}")
    path = tmp_path / f"train{ending}"
    path.write_text("\n".join(lines) + "\n")
    assert refusal(path) == f"{path}, line {rows - 1}: Expecting ',' delimiter; mend or remove the line"
    assert capfd.readouterr() == ("", "")


def test_a_malformed_array_of_json_is_named_with_its_line(tmp_path):
    path = tmp_path / "train.json"
    path.write_text('[\n {"text": "a", "label": 1},\n {"text": "b" "label": 0}\n]\n')
    assert refusal(path) == f"{path}, line 3: Expecting ',' delimiter; mend or remove the line"


def test_a_broken_parquet_file_is_named(tmp_path, capfd):
    path = tmp_path / "train.parquet"
    path.write_bytes(b"PAR1 and no more")
    assert refusal(path).startswith(f"{KEY}={path}: no examples can be read from this parquet file: ")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        (".csv", ""),
        (".csv", "\n\n"),
        (".csv", "text,label\n"),
        (".tsv", "text\tlabel\n"),
        (".jsonl", ""),
        (".jsonl", "\n"),
        (".json", "[]"),
    ],
)
def test_an_empty_file_is_named(tmp_path, ending, content):
    path = tmp_path / f"train{ending}"
    path.write_text(content)
    message = refusal(path)
    assert str(path) in message
    assert "no examples" in message


def test_a_table_without_rows_is_named(tmp_path):
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.int64())}), path)
    assert refusal(path).startswith(f"{KEY}={path}: no examples")


def test_an_unknown_ending_is_named_with_those_there_are(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("text,label\na,1\n")
    expected = f"{KEY}={path}: unknown ending '.txt'; use one of .csv, .tsv, .jsonl, .json, .parquet, "
    assert refusal(path) == f"{expected}compressed as .gz, .bz2, .xz, .zip or not"


def test_a_missing_file_is_named_with_its_key(tmp_path):
    assert refusal(tmp_path / "nowhere.csv") == f"{KEY}={tmp_path / 'nowhere.csv'}: no such file"


# --------------------------------------------------------------------------------------------------------- the task


def task(train: Path, validation: Path, test: Path | None = None, **changes) -> Task:
    source = {"kind": "files", "train": str(train), "validation": str(validation), "text": "text", "label": "label"}
    source["test"] = None if test is None else str(test)
    return Task.model_validate({"name": "csv", "source": source, "metric": "accuracy", **changes})


def everything() -> DataSettings:
    return DataSettings(root=None, train_size=None, validation_size=None, max_length=128)


def test_a_task_of_ones_own_files_takes_its_labels_from_the_training_file(tmp_path):
    train = write(tmp_path / "train.csv", [{"text": "a", "label": 10}, {"text": "b", "label": 9}])
    validation = write(tmp_path / "dev.jsonl", [{"text": "c", "label": 9}])
    test = write(tmp_path / "test.parquet", [{"text": "d", "label": 10.0}])
    data = sources.load(task(train, validation, test), everything())
    assert data.labels == ("9", "10")
    assert data.validation.label.tolist() == [0]
    assert (data.test.text, data.test.label.tolist()) == (("d",), [1])


def test_a_task_of_ones_own_files_takes_the_labels_of_the_config(tmp_path):
    train = write(tmp_path / "train.csv", [{"text": "a", "label": "good"}, {"text": "b", "label": "bad"}])
    data = sources.load(task(train, train, labels=["good", "bad", "mixed"]), everything())
    assert data.labels == ("good", "bad", "mixed")
    assert data.train.label.tolist() == [0, 1]


def test_a_label_that_only_validation_has_is_refused(tmp_path):
    train = write(tmp_path / "train.csv", [{"text": "a", "label": "good"}, {"text": "b", "label": "bad"}])
    validation = write(tmp_path / "dev.csv", [{"text": "a", "label": "mixed"}])
    with pytest.raises(InputError, match=r"dev\.csv, example 1: label 'mixed' is not one of bad, good"):
        sources.load(task(train, validation), everything())


def test_a_training_file_with_a_single_label_is_refused(tmp_path):
    train = write(tmp_path / "train.csv", [{"text": "a", "label": "good"}])
    with pytest.raises(InputError, match=r"task\.metric: a task needs at least two labels, this one has 1"):
        sources.load(task(train, train), everything())


def test_a_metric_of_two_classes_is_refused_where_the_file_has_three(tmp_path):
    train = write(tmp_path / "train.csv", [{"text": "a", "label": label} for label in "xyz"])
    with pytest.raises(InputError, match=r"task\.metric: metric 'f1' is for two classes, this task has 3"):
        sources.load(task(train, train, metric="f1"), everything())
