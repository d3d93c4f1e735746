"""``seedgrid`` alone, what it says of commands that there are not, and what the tab key finds."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from seedgrid.commands import COMMANDS
from seedgrid.configs import CONF


def seedgrid(*words, **options):
    return subprocess.run([sys.executable, "-m", "seedgrid", *words], capture_output=True, text=True, **options)


def test_alone_it_lists_every_command_in_a_line_each():
    done = seedgrid()
    assert done.returncode == 0
    assert re.findall(r"^  seedgrid ([a-z]+) {2,}\w", done.stdout, re.MULTILINE) == ["init", *COMMANDS]


def test_every_primary_config_has_a_command_and_a_help_of_its_own(run_command, tmp_path):
    assert {path.stem for path in CONF.glob("*.yaml")} - {"multirun"} == COMMANDS.keys()
    for name in COMMANDS:
        [header] = re.findall(r"override hydra/help: (\w+)", (CONF / f"{name}.yaml").read_text())
        assert f"seedgrid {name}" in (CONF / "hydra" / "help" / f"{header}.yaml").read_text()
    assert "seedgrid plan budget=20" in run_command("plan", "--help", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["reprot"], "reprot: no such command; did you mean report?"),
        (["sweep"], "sweep: no such command; there are init, train, status, "),
        (["task=mrpc"], "task=mrpc: no such command; a command comes first: seedgrid train task=mrpc"),
        (["completion", "csh"], "csh: seedgrid completion takes one of bash, zsh, fish"),
        (["train", "-sc", "install=bash"], "-sc: seedgrid completes words in its own way: "),
    ],
)
def test_what_is_no_command_is_one_line(words, said):
    done = seedgrid(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["--version"]])
def test_the_list_and_the_version_wait_for_no_library(words):
    says = f"import sys; sys.argv[1:] = {words}; from seedgrid.commands import main; main(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", says], capture_output=True, text=True, check=True).stdout.split()
    assert not {"hydra", "omegaconf", "numpy", "pandas", "torch"} & set(loaded)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with our command, as it is installed."""
    place = tmp_path_factory.mktemp("bin")
    (place / "seedgrid").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m seedgrid "$@"\n')
    (place / "seedgrid").chmod(0o755)
    return place


# What the tab key finds for the line $1 in a shell that has loaded our script; in zsh, until $2 is on the screen.
BASH = """
eval "$(seedgrid completion bash)"
[[ $(complete -p seedgrid) == *"-F _seedgrid"* ]] || exit 1
COMP_LINE=$1 COMP_POINT=${#1}
_seedgrid seedgrid
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "eval \\"\\$(seedgrid completion zsh)\\"; print load''ed"
zpty -r shell seen "*loaded*"
zpty -w -n shell "$1"$'\\t'
zpty -r shell seen "*seedgrid*$2*"
print -r -- "$2"
"""
FISH = """
seedgrid completion fish | source
complete -C $argv[1]
"""


@pytest.fixture
def pressed(place):
    def found(shell, script, *words):
        if shutil.which(shell) is None:
            pytest.skip(f"needs {shell}")
        environment = os.environ | {"PATH": f"{place}:{os.environ['PATH']}", "TERM": "dumb", "HOME": str(place)}
        name = [] if shell == "fish" else [shell]  # $0
        command = [shell, "-c", script, *name, *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=place, env=environment, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    return found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("seedgrid ", ["init ", *(f"{name} " for name in COMMANDS), "completion "]),
        ("seedgrid re", ["report "]),
        ("seedgrid train -m task=mr", ["mrpc"]),  # bash keeps what is before the last =
        ("seedgrid train recipe.war", ["recipe.warmup="]),
        ("seedgrid compare ma", ["max_budget="]),
    ],
)
def test_in_bash_the_tab_key_finds_commands_groups_options_and_keys(pressed, line, found):
    assert pressed("bash", BASH, line) == found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("seedgrid ", ["init", *COMMANDS, "completion"]),
        ("seedgrid train -m task=mr", ["task=mrpc"]),
    ],
)
def test_in_fish_the_tab_key_finds_commands_and_options(pressed, line, found):
    assert pressed("fish", FISH, line) == found


@pytest.mark.parametrize(("line", "found"), [("seedgrid re", "report "), ("seedgrid train -m task=mr", "task=mrpc")])
def test_in_zsh_the_tab_key_writes_what_there_is_one_of(pressed, line, found):
    assert pressed("zsh", ZSH, line, found) == [found]
