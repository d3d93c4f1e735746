"""The house: imports run downwards only, and below the sweep only the entry point knows Hydra."""

from __future__ import annotations

import ast

import pytest

# Rooms of src/seedgrid, each with those whose doors open from it; all may use what lies beside the rooms.
ROOMS = {
    "analysis": (),
    "evaluation": (),
    "training": ("evaluation",),
    "records": ("analysis", "evaluation", "training"),
    "trials": ("training", "evaluation", "records"),
    "sweep": ("analysis", "evaluation", "records", "training", "trials"),
    "report": ("analysis", "evaluation", "records", "trials"),
}
# A sweep's end shows its pictures, and a plan reads an earlier sweep's trials as a report does.
UPWARDS = {("summary.py", "report"), ("plan.py", "report")}


def imported(path):
    """Modules that a file imports, wherever in it, but not for types alone."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_rooms_below_it_alone(repository, room):
    for path in (repository / "src" / "seedgrid" / room).rglob("*.py"):
        for module in imported(path):
            package, _, rest = module.partition(".")
            other = rest.partition(".")[0]
            if package == "seedgrid" and other in ROOMS and (path.name, other) not in UPWARDS:
                assert other in (room, *ROOMS[room]), f"{path.name} imports {module}"


def test_text_alone_knows_transformers_and_trials_do_not_know_text(repository):
    source = repository / "src" / "seedgrid"
    text = source / "training" / "text"
    for path in source.rglob("*.py"):
        if not path.is_relative_to(text):
            assert not any(module.startswith("transformers") for module in imported(path)), path
    for room in ("trials", "sweep", "analysis", "report", "evaluation", "training/own"):
        for path in (source / room).rglob("*.py"):
            assert not any(module.startswith("seedgrid.training.text") for module in imported(path)), path


def test_below_the_sweep_the_entry_point_alone_knows_hydra(repository):
    for room in ("analysis", "training", "evaluation", "records", "trials"):
        for path in (repository / "src" / "seedgrid" / room).rglob("*.py"):
            for module in imported(path):
                known = module.startswith(("hydra", "omegaconf", "seedgrid.command_line", "seedgrid.composition"))
                assert not known or path.name in ("entry.py", "kinds.py"), f"{path.name} imports {module}"
