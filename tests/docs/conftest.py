"""The pages' fenced blocks, and a user who does what a page says.

A block whose first line ends in a file's name is that file (``yaml conf/task/x.yaml``), ``diff`` a change of one; the
commands of a ``console`` block are run by a shell, and what is below each must be among what it prints, in that order;
``pycon`` blocks are doctests, each in a process of its own. As long as no block has changed the code, Python is forked
from a process that has imported what it needs.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest


@dataclass(frozen=True)
class Fence:
    """A fenced block.

    Attributes:
        page: the file that it stands in.
        line: of its first line of text, from 1.
        language: first word of what is behind the opening fence; empty without one.
        name: the rest of it.
        text: what it holds.
    """

    page: Path
    line: int
    language: str
    name: str
    text: str


def _fences(page: Path) -> list[Fence]:
    found, opened = [], None
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if line.startswith("```") and opened is None:
            opened = (number + 1, *line[3:].strip().partition(" ")[::2], [])
        elif line.startswith("```"):
            start, language, name, lines = opened
            found.append(Fence(page, start, language, name, "\n".join(lines) + "\n"))
            opened = None
        elif opened is not None:
            opened[-1].append(line)
    assert opened is None, f"{page}: a block is not closed"
    return found


@pytest.fixture(scope="session")
def fences() -> Callable[[Path], list[Fence]]:
    """All fenced blocks of a page."""
    return _fences


def _commands(text: str) -> list[tuple[str, list[str]]]:
    """Each command of a console block, and the lines that it should print."""
    commands: list[tuple[str, list[str]]] = []
    goes_on = False
    for line in text.splitlines():
        if goes_on:
            commands[-1] = (f"{commands[-1][0]}\n{line}", [])
        elif line.startswith("$ "):
            commands.append((line[2:], []))
        else:
            commands[-1][1].append(line)
            continue
        goes_on = line.endswith("\\")
    return commands


def _masked(text: str) -> str:
    """Without what differs from machine to machine: scores, seconds, precision, and the seeds that came out best."""
    text = re.sub(r"-?\d+\.\d+", "0.0", text)
    text = re.sub(r"\d+ (s|min|h)\b", "0 s", text)
    text = re.sub(r"(init|order) \d+", r"\1 0", text)
    text = text.replace("on cpu, bf16-mixed", "on cpu, 32-true")
    return " ".join(text.split())


class User:
    """Somebody with the command and the package, in a folder of their own; a page that changes the code has a copy."""

    def __init__(self, repository: Path, folder: Path, start_python: Callable[..., subprocess.Popen]) -> None:
        self.repository, self.folder = repository, folder
        self.start_python = start_python
        self.script = script = folder.with_name("bin") / "seedgrid"  # as installing the package makes it
        script.parent.mkdir()
        folder.mkdir()
        script.write_text(f"#!{sys.executable}\nfrom seedgrid.commands import main\n\nmain()\n")
        script.chmod(0o755)
        places = (script.parent, Path(sys.executable).parent, os.environ["PATH"])
        self.environment = os.environ | {
            "PATH": os.pathsep.join(map(str, places)),
            "CUDA_VISIBLE_DEVICES": "",
            "GLUE_DIR": "",
            "NO_COLOR": "1",
        }

    def follow(self, fences: list[Fence]) -> None:
        """Do what the blocks say, one after the other."""
        for fence in fences:
            if fence.language == "diff":
                self._change(fence)
            elif fence.name:
                path = self.folder / fence.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(fence.text)
            elif fence.language == "console":
                for command, expected in _commands(fence.text):
                    self._run(command, expected, fence)
            elif fence.language == "pycon":
                self._test(fence)

    def _change(self, fence: Fence) -> None:
        if "PYTHONPATH" not in self.environment:  # the configs lie in it as in a wheel: conf/ is the user's own
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(self.repository / "src", self.folder / "src", ignore=ignored)
            shutil.copytree(self.repository / "conf", self.folder / "src" / "seedgrid" / "conf")
            self.environment["PYTHONPATH"] = str(self.folder / "src")
        path = self.folder / fence.name
        text = path.read_text()
        for hunk in re.split(r"^@@.*\n", fence.text, flags=re.MULTILINE):
            lines = hunk.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] in " -")
            after = "".join(line[1:] for line in lines if line[0] in " +")
            assert text.count(before) == 1, (
                f"{fence.page}, line {fence.line}: {fence.name} has no such place:\n{before}"
            )
            text = text.replace(before, after)
        path.write_text(text)

    def _run(self, command: str, expected: list[str], fence: Fence) -> None:
        code, said = self._ran(command)
        where = f"{fence.page}, line {fence.line}: {command}\n{said}"
        assert code == (1 if expected and expected[0].startswith("error:") else 0), where
        printed = iter([_masked(line) for line in said.splitlines()])
        for line in expected:
            if line.strip() not in ("", "..."):
                assert _masked(line) in printed, f"not printed, or not in this order: {line}\n{where}"

    def _ran(self, command: str) -> tuple[int, str]:
        """A command's exit code, and what it prints."""
        program, *words = shlex.split(command.replace("\\\n", ""))
        if program not in ("python", "seedgrid") or "PYTHONPATH" in self.environment:  # the code is another now
            shell = ["bash", "-c", command]
            options = {"cwd": self.folder, "env": self.environment, "text": True, "timeout": 200}
            done = subprocess.run(shell, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
            return done.returncode, done.stdout
        script = [str(self.script)] if program == "seedgrid" else []
        process = self.start_python(*script, *words, cwd=self.folder, env=self.environment)
        said = "".join(process.communicate(timeout=200))
        return process.returncode, said

    def _test(self, fence: Fence) -> None:
        """In a process of its own, which has the package as the page has left it."""
        (self.folder / "doctest.txt").write_text(fence.text)
        options = "-o ELLIPSIS -o NORMALIZE_WHITESPACE"
        self._run(f"python -m doctest {options} doctest.txt", [], fence)


@pytest.fixture(scope="session")
def generator(repository) -> ModuleType:
    """The module that writes the page of all keys."""
    spec = importlib.util.spec_from_file_location("docs_configuration", repository / "docs" / "configuration.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their types up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def user(repository, tmp_path, start_python) -> User:
    return User(repository, tmp_path / "project", start_python)
