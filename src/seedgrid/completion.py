"""Tab completion: the sub-commands of ``seedgrid``, and behind them Hydra's groups, options and keys."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hydra._internal.utils import get_args_parser
from hydra.plugins.completion_plugin import DefaultCompletionPlugin

from seedgrid.commands import COMMANDS
from seedgrid.composition import composing
from seedgrid.configs import given

# What each shell is told: what stands before the cursor goes to `seedgrid completion words`, its lines are the choices.
_SCRIPTS = {
    # Bash replaces only what is behind the last '=' of a word, as long as that is one of its COMP_WORDBREAKS.
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
    # In a .zshrc that has not loaded zsh's completion yet, there is no compdef.
    "zsh": r"""
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
_seedgrid() {
    local -a found=("${(@f)$($words[1] completion words "$words[1,CURRENT-1] $PREFIX" 2> /dev/null)}")
    [[ -n $found ]] && compadd -Q -S '' -- $found || _files
}
compdef _seedgrid seedgrid
""",
    # Fish puts a blank behind a word itself, but for one that ends with '='.
    "fish": r"""
complete --command seedgrid --no-files --condition __fish_is_first_arg
complete --command seedgrid --keep-order \
    --arguments '(seedgrid completion words (commandline --cut-at-cursor | string collect) 2> /dev/null | string trim)'
""",
}


def complete(words: Sequence[str]) -> None:
    """What ``seedgrid completion`` does: print the shell's script, or, asked by that, what a last word may become."""
    match words:
        case ["words", line]:
            print("\n".join(choices(line)))
        case [shell] if shell in _SCRIPTS:
            print(_SCRIPTS[shell].strip())
        case _:
            sys.exit(f"error: {' '.join(words) or 'no shell'}: seedgrid completion takes one of {', '.join(_SCRIPTS)}")


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
        return [f"{shell} " for shell in _SCRIPTS if len(words) == 1 or shell.startswith(words[-1])]
    if name not in COMMANDS:
        return []
    rest = line.split(None, 2)[2] if len(words) > 1 else ""
    folder = get_args_parser().parse_known_args(words)[0].config_dir
    with given(folder), composing() as hydra:
        return DefaultCompletionPlugin(hydra.config_loader)._query(config_name=name, line=rest)
