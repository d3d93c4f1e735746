"""The command ``seedgrid``: its sub-commands, what each calls, and what it says without one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from seedgrid import __version__

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Command:
    """A sub-command; called with its composed config, as Hydra calls a task function, here or in a worker process.

    Attributes:
        name: of its primary config too, ``conf/NAME.yaml``.
        says: what it does, in a line.
        calls: the function, ``module:name``, imported where it is called: torch and pandas take their time.
    """

    name: str
    says: str
    calls: str

    def __call__(self, config: DictConfig) -> object:
        module, _, function = self.calls.partition(":")
        return getattr(import_module(module), function)(config)


_ALL = (
    Command("train", "fine-tune: one trial, or with -m a sweep of seeds", "seedgrid.trials.entry:train"),
    Command("status", "what a sweep is doing, while it runs", "seedgrid.sweep.watch:watch"),
    Command("report", "tables and figures of one or several sweeps, on one page", "seedgrid.report.entry:report"),
    Command("view", "all sweeps side by side, in a browser on this machine", "seedgrid.report.viewing:view"),
    Command("compare", "is it the method or the seed? two sweeps of one task", "seedgrid.report.comparing:compare"),
    Command("plan", "how many trials to start, stop early, continue", "seedgrid.report.planning:plan"),
    Command("export", "all trials as one tidy file, Parquet or CSV", "seedgrid.report.exporting:export"),
    Command("upload", "send a sweep's trials to Weights & Biases", "seedgrid.sweep.upload:upload"),
    Command("dashboard", "a workspace and a report in Weights & Biases", "seedgrid.report.dashboard:dashboard"),
)
_INIT = "write the example of a project: a task on your own files, a study, a Makefile"
COMMANDS = {command.name: command for command in _ALL}


def main() -> None:
    """What the console script ``seedgrid`` calls."""
    name, *words = sys.argv[1:] or ["--help"]
    if name in ("--help", "-h"):
        print(_listed())
    elif name == "--version":
        print(f"seedgrid {__version__}")
    elif name == "init":
        from seedgrid.project import init

        init(words)
    elif name == "completion":
        from seedgrid.completion import complete  # Hydra comes with it

        complete(words)
    elif name in COMMANDS:
        run(name, words)
    else:
        sys.exit(f"error: {name}: no such command; {_instead(name)}")


def run(name: str, words: Sequence[str]) -> None:
    """Run a sub-command.

    Args:
        name: of the sub-command.
        words: what follows it on the command line: overrides, and flags of Hydra's.
    """
    from seedgrid.composition import run_command  # Hydra comes with it

    run_command(COMMANDS[name], words)


def _listed() -> str:
    says = {"init": _INIT} | {command.name: command.says for command in COMMANDS.values()}
    lines = [f"  seedgrid {name:10} {said}" for name, said in says.items()]
    return "\n".join(
        [
            "Fine-tunes a pretrained language model over a grid of seeds, and tells what the seeds did.",
            "",
            *lines,
            "",
            "  seedgrid NAME --help      its keys, with examples",
            '  seedgrid completion bash  for the tab key: eval "$(seedgrid completion bash)"; zsh and fish likewise',
            "  seedgrid --version",
        ]
    )


def _instead(name: str) -> str:
    if "=" in name or name.startswith("-"):
        return f"a command comes first: seedgrid train {name}"
    names = ["init", *COMMANDS, "completion"]
    near = get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
