"""How commands end that cannot do what is asked for, or whose reader has gone."""

import subprocess
import sys

import pytest

from seedgrid.errors import InputError, plain_exit


def test_what_cannot_be_used_is_one_line_and_other_errors_stay_what_they_are():
    @plain_exit()
    def command(error):
        raise error

    with pytest.raises(SystemExit, match=r"^error: size=0: give more$"):
        command(InputError("size=0: give more"))
    with pytest.raises(ZeroDivisionError):
        command(ZeroDivisionError())


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("report.py", ["sweep=mine", "splits=2"]),
        ("compare.py", ["a=mine", "b=other", "max_budget=0"]),
        ("plan.py", ["sweep=mine", "budget=2"]),
        ("plan.py", ["budget=2"]),
        ("status.py", ["sweep=mine"]),
        ("dashboard.py", ["sweep=mine", "dry_run=true"]),
    ],
)
def test_a_reader_who_has_seen_enough_sees_no_traceback(repository, write_sweep, tmp_path, script, words):
    write_sweep(tmp_path / "mine", 2, 2)
    write_sweep(tmp_path / "other", 2, 2, seed=1)
    process = subprocess.Popen(
        [sys.executable, str(repository / script), *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait() == 1
    assert "Traceback" not in errors
    assert "Broken" not in errors
