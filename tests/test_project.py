"""``seedgrid init``: what it writes, what it leaves alone, and what it refuses."""

import subprocess

import pytest

from seedgrid.composition import compose
from seedgrid.configs import CONF
from seedgrid.project import init
from seedgrid.training.kinds import read_settings


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_example_composes_and_names_files_that_are_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    init(["reviews project"])
    said = capsys.readouterr().out
    assert "  cd 'reviews project'\n" in said and "train -m experiment=reviews" in said
    monkeypatch.chdir(tmp_path / "reviews project")
    settings = read_settings(compose("train", ["experiment=reviews"]))
    source = settings.task.source
    for name in (source.train, source.validation, source.test):
        assert "text,verdict\n" in (tmp_path / "reviews project" / name).read_text()
    monkeypatch.delenv("MAKEFLAGS", raising=False)  # of the make that runs the tests
    monkeypatch.delenv("MAKELEVEL", raising=False)
    done = subprocess.run(["make", "-n", "study"], capture_output=True, text=True)
    assert done.stdout.strip() == "seedgrid train -m experiment=reviews"


def test_nothing_is_overwritten_and_what_was_left_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Makefile").write_text("mine:\n")
    init(["."])
    said = capsys.readouterr().out
    assert "  is there already, left as it is:  Makefile\n" in said
    assert "make study" not in said  # it is of another Makefile
    assert (tmp_path / "Makefile").read_text() == "mine:\n"
    before = files(tmp_path)
    init(["."])
    assert files(tmp_path) == before


def test_without_a_folder_it_writes_here_only_where_nothing_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    init([])
    assert "(make study)" in capsys.readouterr().out
    before = files(tmp_path)
    with pytest.raises(
        SystemExit, match=r"^error: there is something here already \(Makefile\); seedgrid init FOLDER "
    ):
        init([])
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["one", "two"], "two: seedgrid init takes the name of one folder, or none"),
        (["task=mine"], "task=mine: seedgrid init takes the name of one folder, or none"),
        (["file"], "file: a file; name another folder"),
        (["other"], "other/conf/config.yaml: another program's configs begin there; name another folder"),
        ([str(CONF.parent)], f"{CONF.parent}: holds the package's own configs; name a folder for the project"),
    ],
)
def test_a_folder_that_will_not_do_is_one_line(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "other" / "conf").mkdir(parents=True)
    (tmp_path / "other" / "conf" / "config.yaml").write_text("")
    before = files(tmp_path)
    with pytest.raises(SystemExit) as ended:
        init(words)
    assert str(ended.value).startswith(f"error: {said}")
    assert files(tmp_path) == before
