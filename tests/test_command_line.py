"""What Hydra's grammar splits: refused in one line that says what to type, which then is read to the letter."""

import shlex
import subprocess

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from seedgrid.command_line import refusal
from seedgrid.shell import command, quoted


def read_back(word):
    return OverridesParser.create().parse_override(word).value()


NAMES = ["train (1).csv", "Review (full)", "a=b.csv", "x{y}.csv", "it's.csv", "müller.csv", 'say "x".csv', "a;b"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_the_grammar_splits_is_answered_with_the_quoting_that_works(name):
    answer = refusal(f"task.source.train={name}", swept=True)
    assert "\n" not in answer
    [word] = shlex.split(answer.partition("shell's quotes: ")[2])
    assert refusal(word, swept=False) is None
    assert read_back(word) == name


@pytest.mark.parametrize("name", [*NAMES, "a\\b", 'a\\"b\\', "a b", "", "\\'"])
def test_what_is_quoted_is_read_back_to_the_letter(name):
    assert read_back(f"sweep={quoted(name)}") == name


@pytest.mark.parametrize(
    ("word", "swept", "answer"),
    [
        ("file.csv", True, "not of the form key=value; a value with blanks is quoted: 'key=\"a value\"'"),
        ("src", True, "not of the form key=value; a sweep's folder: sweep=src"),
        (
            "seed.init=range(0,5",
            True,
            "cannot be read; several seeds are swept over with -m: seed.init=0,1,2 or 'seed.init=range(0,5)'",
        ),
        ("seed.init=0,1", False, "several values are swept over with -m"),
        ("seed.init=range(0,5)", False, "several values are swept over with -m"),
        ("a.b=x,y", False, "several values are swept over with -m; one text with a comma is quoted: 'a.b=\"x,y\"'"),
        ("a.b=[x (1),y]", True, 'cannot be read; texts that are not plain words are quoted: \'a.b=["a (b)","c"]\''),
    ],
)
def test_other_words_that_cannot_be_meant_are_said_to_be_so(word, swept, answer, repository, monkeypatch):
    monkeypatch.chdir(repository)
    assert refusal(word, swept) == answer


@pytest.mark.parametrize(
    "word", ["task=csv", "~logger", "+a.b=1", "a.b=", "a=[1,'x']", "seed.init=range(0,5)", "a=1,2"]
)
def test_what_hydra_reads_is_left_to_it(word):
    assert refusal(word, swept=True) is None


def test_a_printed_command_is_read_back_to_the_letter_from_a_shell():
    folders = [*NAMES, "runs/a+recipe.learning_rate-0.0001", "runs/a,recipe.epochs=1", "2024", "null", "a b", "a\\b"]
    words = command("report", sweep=folders, a=folders[0]).partition(" report ")[2]
    shell = ["bash", "-c", f"printf '%s\\n' {words}"]
    several, one = subprocess.run(shell, capture_output=True, text=True, check=True).stdout.splitlines()
    assert read_back(several) == folders
    assert read_back(one) == folders[0]


def test_the_folder_of_a_swept_value_is_printed_without_quotes():
    folders = [f"runs/rate+recipe.learning_rate-{rate}" for rate in ("0.0001", "1e-05")]
    assert command("compare", a=folders[0], b=folders[1]).endswith(f" compare a={folders[0]} b={folders[1]}")
