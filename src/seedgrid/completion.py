"""Tab completion: the sub-commands of ``seedgrid``, and behind them Hydra's groups, options and keys."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hydra._internal.utils import get_args_parser
from hydra.plugins.completion_plugin import DefaultCompletionPlugin

from seedgrid.commands import COMMANDS
from seedgrid.composition import composing
from seedgrid.configs import given

# Bash replaces only what is behind the last '=' of a word, as long as that is one of its COMP_WORDBREAKS.
_BASH = r"""
_seedgrid() {
    local IFS=$'\n' line="${COMP_LINE:0:COMP_POINT}"
    local word="${line##* }"
    COMPREPLY=($("$1" completion words "$line" 2> /dev/null))
    if [[ $word == *=* && $COMP_WORDBREAKS == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%=*}="}")
    fi
}
complete -o nospace -o default -F _seedgrid seedgrid
"""


def complete(words: Sequence[str]) -> None:
    """What ``seedgrid completion`` does: print the shell's script, or, asked by that, what a last word may become."""
    match words:
        case ["words", line]:
            print("\n".join(choices(line)))
        case ["bash"]:
            print(_BASH.strip())
        case _:
            sys.exit(
                "error: seedgrid completion takes the name of a shell, of which it knows bash: seedgrid completion bash"
            )


def choices(line: str) -> list[str]:
    """What the last word of a command line may become; words that are whole end with a blank.

    Args:
        line: up to the cursor, the program's name included.
    """
    _, *words = line.split()
    if not words or (len(words) == 1 and not line[-1].isspace()):
        start = "".join(words)
        return [f"{name} " for name in ["init", *COMMANDS, "completion"] if name.startswith(start)]
    name = words[0]
    if name == "completion":
        return ["bash "]
    if name not in COMMANDS:
        return []
    rest = line.split(None, 2)[2] if len(words) > 1 else ""
    folder = get_args_parser().parse_known_args(words)[0].config_dir
    with given(folder), composing() as hydra:
        return DefaultCompletionPlugin(hydra.config_loader)._query(config_name=name, line=rest)
