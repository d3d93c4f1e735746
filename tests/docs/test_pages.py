"""What the pages tell a user to type is accepted, and what they point to is there."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict
from pydantic import TypeAdapter

from seedgrid import __version__
from seedgrid.commands import COMMANDS
from seedgrid.composition import composing
from seedgrid.configs import given
from seedgrid.settings import read_config
from seedgrid.sweep.plan import read_options
from seedgrid.training.kinds import read_settings

REPOSITORY = Path(__file__).parents[2]
FOLDERS = (".", "docs", "benchmarks", "results")
PAGES = [page for folder in FOLDERS for page in sorted((REPOSITORY / folder).glob("*.md"))]
# Options that the worked examples make, where they run; and what stands for an option.
LEFT_OUT = re.compile(r"=(reviews|minilm2|gentle|default,gentle|cosine|NAME)\b")


def _commands():
    """Every command of ours, in a block, a table or a sentence, with the page that it is on."""
    ours = rf"(?:\.venv/bin/)?(?:python train\.py|seedgrid (?:{'|'.join(COMMANDS)})\b)"
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        lines = re.findall(rf"^(?:\$ )?({ours}.*)$", text, re.MULTILINE)
        lines += re.findall(rf"`({ours}[^`]*)`", text)
        for line in lines:
            name, words = re.match(r"\S+ (\S+) ?(.*)", " ".join(line.split())).groups()
            # Without a word it is only named; NAME stands for one that the user has.
            if words and not LEFT_OUT.search(words):
                yield pytest.param(name.removesuffix(".py"), words.strip(), id=f"{page.name}: {name} {words}")
        for row in (
            re.findall(r"^\|(?!.*seedgrid ).*\| (.*) \|$", text, re.MULTILINE) if page.name == "README.md" else ()
        ):
            for words in re.findall(r"`((?:[\w./]+=[^`\s]+ ?)+)`", row):
                yield pytest.param("train", f"-m {words}", id=f"{page.name}: {words}")


@pytest.mark.parametrize(("name", "words"), list(_commands()))
def test_a_command_of_a_page_composes_and_its_settings_are_allowed(name, words, entry, generator):
    overrides = [word for word in shlex.split(words, comments=True) if word not in ("-m", "[...]")]
    if "--help" in overrides:
        return
    sweeping = shlex.split(words).count("-m") > 0
    parser = OverridesParser.create()
    combination = []
    for override in parser.parse_overrides(overrides):
        value = override.input_line
        if override.is_sweep_override():
            assert sweeping, f"{value} is swept without -m"
            value = f"{override.get_key_element()}={next(override.sweep_string_iterator())}"
        combination.append(value)
    with given(REPOSITORY / "examples" / "conf"):
        config = entry(name, *combination)
    sweeper = _sweeper(combination)
    with open_dict(config):
        config.pop("hydra", None)
    read_settings(config) if name == "train" else read_config(config, generator.CHECKED_BY[name])
    if sweeper:
        read_options(sweeper)


def _sweeper(overrides):
    """The options of start_many, where a command chooses it."""
    if "hydra/sweeper=start_many" not in overrides:
        return None
    with composing() as hydra:
        config = hydra.compose_config("train", overrides, RunMode.MULTIRUN)
    options = OmegaConf.to_container(config.hydra.sweeper)
    return {key: value for key, value in options.items() if key not in ("_target_", "_convert_", "params")}


def test_the_commands_are_found():
    found = [param.values for param in _commands()]
    assert {name for name, _ in found} >= {"train", "report", "plan", "compare", "status", "export"}
    assert len(found) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), f"{page}: {target}"
        assert not anchor or anchor in _anchors(file), f"{page}: {target}"


def _anchors(page):
    """As GitHub makes them of headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_make_target_that_a_page_names_exists():
    files = (REPOSITORY / "Makefile", REPOSITORY / "src" / "seedgrid" / "example" / "Makefile")
    targets = {name for file in files for name in re.findall(r"^([a-z-]+):", file.read_text(), re.MULTILINE)}
    named = {
        target for page in PAGES for target in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }
    assert {"sweep", "report", "test"} <= named
    assert named <= targets, named - targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_compiles_and_what_it_imports_is_there(page, fences):
    for fence in fences(page):
        if fence.language != "python":
            continue
        for node in ast.walk(ast.parse(fence.text)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{page}, line {fence.line}: {node.module}.{alias.name}"
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)


def test_every_page_is_in_the_index():
    index = (REPOSITORY / "docs" / "README.md").read_text()
    for page in REPOSITORY.glob("docs/*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page


def test_every_script_that_a_page_runs_is_there():
    for page in PAGES:
        for name in re.findall(r"python ((?:benchmarks/|tests/)[\w/]+\.py)", page.read_text()):
            assert (REPOSITORY / name).exists(), f"{page}: {name}"


def test_the_citation_is_of_this_version_and_has_what_the_format_requires():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == __version__
    assert TypeAdapter(list[dict]).validate_python(citation["authors"])
    assert {"message", "title"} <= citation.keys()
    [paper] = citation["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert "2002.06305" in paper["url"]
