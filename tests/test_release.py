"""What is given away works where there is no checkout: the archives are whole, and the wheel runs in a new environment.

Of the files in the folder ``RELEASE`` (``make release``); without it, they are built here.
"""

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata

from seedgrid import __version__

pytest.importorskip("hatchling")


def build(kind, source, folder):
    words = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(folder)]
    done = subprocess.run(words, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [built] = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def sdist(repository, tmp_path_factory):
    [*given] = Path(os.environ.get("RELEASE", os.devnull)).glob("*.tar.gz")
    return given[0] if given else build("sdist", repository, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory):
    [*given] = Path(os.environ.get("RELEASE", os.devnull)).glob("*.whl")
    return given[0] if given else build("wheel", repository, tmp_path_factory.mktemp("wheel"))


def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_the_code_the_configs_and_nothing_else(repository, wheel):
    tree = {path.relative_to(repository / "src") for path in (repository / "src").rglob("*") if path.is_file()}
    tree |= {Path("seedgrid", path.relative_to(repository)) for path in (repository / "conf").rglob("*.yaml")}
    assert names(wheel) == {path.as_posix() for path in tree if "__pycache__" not in path.parts}


def test_the_sdist_makes_the_same_wheel(sdist, wheel, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    [source] = tmp_path.iterdir()
    assert names(build("wheel", source, tmp_path / "again")) == names(wheel)


def test_metadata_are_valid_and_of_one_version(repository, wheel):
    with zipfile.ZipFile(wheel) as archive:
        [file] = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Metadata.from_email(archive.read(file), validate=True)
    assert (metadata.name, str(metadata.version)) == ("seedgrid", __version__)
    assert metadata.license_expression == "MIT" and metadata.description.startswith("# seedgrid\n")
    [changed, *_] = re.findall(r"^## \[([^]]+)\]", (repository / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert changed == __version__


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The ``seedgrid`` of a new environment that has the wheel, and beside it what the present one has."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    words = ["-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet", "--no-deps", "--no-index"]
    done = subprocess.run([sys.executable, *words, str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [site] = folder.glob("lib/python*/site-packages")
    (site / "present.pth").write_text("\n".join(place for place in sys.path if place.endswith("site-packages")))
    return folder / "bin" / "seedgrid"


EVERY_HELP = """
import sys
from seedgrid.commands import COMMANDS, main
for name in COMMANDS:
    sys.argv[1:] = [name, "--help"]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (name, ended.code)
import seedgrid
print(seedgrid.__file__)
"""


@pytest.fixture
def ran(installed, tmp_path):
    """What a command of that environment prints, in an empty folder without a checkout."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"GLUE_DIR": "", "CUDA_VISIBLE_DEVICES": "", "PATH": f"{installed.parent}:{os.environ['PATH']}"}

    def run(*words):
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_every_command_of_the_wheel_has_its_help(ran, installed):
    helps = ran(installed.with_name("python"), "-c", EVERY_HELP)
    assert helps.count("== Config (override anything: key=value) ==") == 9
    assert Path(helps.splitlines()[-1]).is_relative_to(installed.parents[1])  # not of a checkout
    assert ran("seedgrid", "--version") == f"seedgrid {__version__}\n"


def test_the_wheel_runs_the_quickstart(ran):
    sizes = ["task.source.train_size=32", "task.source.validation_size=16", "recipe.epochs=1", "model.layers=1"]
    words = ["experiment=quickstart", *sizes, "logger=none", "seed.init=0", "seed.order=0,1", "hydra/launcher=basic"]
    ran("seedgrid", "init")  # whose conf/ is then read too
    said = ran("seedgrid", "train", "-m", *words)
    assert "runs/quickstart: 2 trials, 2 completed" in said
    assert said.splitlines()[-1].split() == ["report", "seedgrid", "report", "sweep=runs/quickstart"]
