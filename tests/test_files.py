"""A file is whole or absent, whatever happens while it is written."""

from __future__ import annotations

import json

import pytest

from seedgrid.errors import InputError, refusal
from seedgrid.files import read_text, write_json, write_whole


def test_a_written_file_holds_the_content_and_nothing_lies_beside_it(tmp_path):
    write_whole(tmp_path / "a.bin", lambda file: file.write(b"content"))
    assert (tmp_path / "a.bin").read_bytes() == b"content"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_writer_that_fails_leaves_the_old_content_and_nothing_beside_it(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"half of the new")
        file.flush()
        raise error

    with pytest.raises(error):
        write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_what_the_disk_has_no_room_for_is_named_and_the_old_content_stays(tmp_path, no_room):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with no_room(), pytest.raises(OSError) as refused:
        write_whole(path, lambda file: file.write(b"new"))
    assert refusal(refused.value) == f"{path}: file too large; make room there"
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_readers_see_the_old_content_until_the_new_is_whole(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"

    write_whole(path, write)
    assert path.read_bytes() == b"new"


def test_who_reads_the_old_content_while_it_is_replaced_reads_all_of_it(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        write_whole(path, lambda file: file.write(b"new"))
        assert reader.read() == b"old"


def test_json_that_no_other_reader_could_read_is_not_written(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"score": 0.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"score": float("nan")})
    assert json.loads(path.read_text()) == {"score": 0.5}


def test_text_is_read_without_byte_order_mark_and_with_its_line_ends(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffä\r\nb\rc\n".encode())
    assert read_text(path) == "ä\r\nb\rc\n"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_text_that_is_not_utf8_is_refused_with_its_line(tmp_path, mark):
    path = tmp_path / "a.txt"
    path.write_bytes(mark + "a\nb\ncafé\n".encode("latin-1"))
    with pytest.raises(InputError) as refused:
        read_text(path)
    assert str(refused.value) == f"{path}, line 3: not UTF-8 text; convert the file to UTF-8"
