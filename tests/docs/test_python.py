"""The page on Python: its examples run as they stand, and it names what is public and nothing else."""

import doctest
import re

import pytest

import seedgrid

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def page(repository):
    return repository / "docs" / "python.md"


def test_its_examples_give_what_it_says(page, fences, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # trials in this process, which has imported torch already
    text = "\n".join(fence.text for fence in fences(page) if fence.language == "pycon")
    said: list[str] = []
    parsed = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    runner.run(parsed, out=said.append)
    assert not runner.failures, "".join(said)
    assert runner.tries > 20


def test_it_names_every_public_name_and_no_other(page):
    table = re.split("^## ", page.read_text(), flags=re.MULTILINE)[0]
    rows = [row.split(" | ")[0] for row in re.findall(r"^\| (.*`.*) \|$", table, re.MULTILINE)]
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(seedgrid.__all__)


def test_it_names_every_member_of_a_sweep(page):
    members = [name for name in vars(seedgrid.Sweep) if not name.startswith("_")]
    text = page.read_text()
    assert [name for name in members if not re.search(rf"[.`]{name}\b", text)] == []
