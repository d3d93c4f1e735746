"""``seedgrid`` alone, what it says of commands that there are not, and what the tab key finds."""

import re
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
        (["completion", "csh"], "seedgrid completion takes the name of a shell, of which it knows bash: "),
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
def pressed(tmp_path_factory):
    """What the tab key finds for a line in bash, which has loaded our script."""
    place = tmp_path_factory.mktemp("bin")
    (place / "seedgrid").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m seedgrid "$@"\n')
    (place / "seedgrid").chmod(0o755)

    def found(line):
        script = f"""
            PATH="{place}:$PATH"
            eval "$(seedgrid completion bash)"
            [[ $(complete -p seedgrid) == *"-F _seedgrid"* ]] || exit 1
            COMP_LINE=$1 COMP_POINT=${{#1}}
            _seedgrid seedgrid
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        done = subprocess.run(["bash", "-c", script, "bash", line], capture_output=True, text=True, cwd=place)
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
    assert pressed(line) == found
