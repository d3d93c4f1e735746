"""Tab completion: the sub-commands of ``seedgrid``, and behind them Hydra's groups, options and keys."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hydra.plugins.completion_plugin import DefaultCompletionPlugin

from seedgrid.commands import COMMANDS
from seedgrid.composition import composing

# Each asks `seedgrid completion words LINE`, of the line up to the cursor, for what its last word may become.
# Bash replaces only what is behind the last '=' of a word, as long as that is one of its COMP_WORDBREAKS.
SCRIPTS = {
    "bash": r"""
_seedgrid() {
    local IFS=$'\n' line="${COMP_LINE:0:COMP_POINT}"
    local word="${line##* }"
    COMPREPLY=($("$1" completion words "$line" 2> /dev/null))
    if [[ $word == *=* && $COMP_WORDBREAKS == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%=*}="}")
    fi
}
complete -o nospace -o default -F _seedgrid seedgrid
""",
    "zsh": r"""
_seedgrid() {
    local -a found
    found=("${(@f)$("$words[1]" completion words "$LBUFFER" 2> /dev/null)}")
    compadd -S '' -- $found || _files
}
compdef _seedgrid seedgrid
""",
    "fish": r"""
complete -c seedgrid -f -a '((commandline -opc)[1] completion words (commandline -cp | string collect) 2> /dev/null)'
""",
}


def complete(words: Sequence[str]) -> None:
    """What ``seedgrid completion`` does: print a shell's script, or, asked by one, what a word may become."""
    match words:
        case ["words", line]:
            print("\n".join(choices(line)))
        case [shell] if shell in SCRIPTS:
            print(SCRIPTS[shell].strip())
        case _:
            sys.exit(f"error: seedgrid completion takes the name of a shell: {', '.join(SCRIPTS)}")


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
        return [f"{shell} " for shell in SCRIPTS]
    if name not in COMMANDS:
        return []
    rest = line.split(name, 1)[1].lstrip()
    with composing() as hydra:
        return DefaultCompletionPlugin(hydra.config_loader)._query(config_name=name, line=rest)
