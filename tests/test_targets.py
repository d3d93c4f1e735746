"""Classes that a config names by ``_target_``."""

from __future__ import annotations

import sys

import pytest

from seedgrid import targets
from seedgrid.errors import InputError


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, whose modules nobody else finds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    targets.forget()
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]
    targets.forget()


def test_a_class_of_a_file_here_is_made_with_its_arguments(here):
    (here / "net_of_mine.py").write_text(
        "class Net:\n    def __init__(self, width, inner=None):\n        self.width, self.inner = width, inner\n"
    )
    inner = {"_target_": "fractions.Fraction", "numerator": 1, "denominator": 2}
    made = targets.make("training.module", {"_target_": "net_of_mine.Net", "width": 3, "inner": inner})
    assert (made.width, made.inner) == (3, 0.5)


def test_an_edited_file_is_read_again_by_the_next_command_and_not_before(here):
    source = here / "net_of_mine.py"
    source.write_text("def Net():\n    return 'first'\n")
    config = {"_target_": "net_of_mine.Net"}
    assert targets.make("training.module", config) == "first"
    source.write_text("def Net():\n    return 'the second'\n")
    assert targets.make("training.module", config) == "first"
    targets.forget()
    assert targets.make("training.module", config) == "the second"


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({}, r"^key\._target_ has no value"),
        (
            {"_target_": "no_such_module.Net"},
            r"^key\._target_=no_such_module\.Net: cannot be imported \(Mod.*; give",
        ),
        ({"_target_": "fractions.Fractoin"}, r"has no attribute 'Fractoin'"),
        (
            {"_target_": "fractions.Fraction", "nominator": 1},
            r"^key: fractions\.Fraction could not be made \(Type.*",
        ),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(config, line):
    with pytest.raises(InputError, match=line) as refused:
        targets.make("key", config)
    assert "\n" not in str(refused.value)
