"""The page on statistics: its examples run, and it names every statistic that there is, and none that there is not."""

import doctest
import importlib
import inspect
import pkgutil
import re

import pytest

import seedgrid.analysis
from seedgrid.records.store import read_sweep
from seedgrid.report.all_sections import build_sections
from seedgrid.report.arrays import finished_trials


@pytest.fixture(scope="module")
def page(repository):
    return repository / "docs" / "statistics.md"


def test_the_examples_give_what_the_page_says(page, fences):
    names: dict[str, object] = {}
    examples = [fence for fence in fences(page) if fence.language == "pycon"]
    assert len(examples) >= 6
    for fence in examples:
        said: list[str] = []
        parsed = doctest.DocTestParser().get_doctest(fence.text, names, page.name, str(page), fence.line - 1)
        runner = doctest.DocTestRunner()
        runner.run(parsed, out=said.append, clear_globs=False)
        names = parsed.globs
        assert not runner.failures, "".join(said)


def test_it_names_every_function_of_the_analysis_and_no_other(page):
    text = page.read_text()
    modules = {name: importlib.import_module(f"seedgrid.analysis.{name}") for name in _modules()}
    there = {
        f"{name}.{function}"
        for name, module in modules.items()
        for function, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not function.startswith("_")
    }
    named = set(re.findall(rf"`((?:{'|'.join(modules)})\.\w+)`", text))
    named |= {word for words in re.findall(r"\[`([^\]]*)`\]", text) for word in words.replace("`", "").split(", ")}
    assert named == there


def _modules():
    return [module.name for module in pkgutil.iter_modules(seedgrid.analysis.__path__)]


def test_it_names_every_section_of_the_report(page, write_sweep, tmp_path):
    studies = [
        finished_trials(read_sweep(write_sweep(tmp_path / name, inits=3, orders=3, seed=seed)))
        for seed, name in enumerate(("a", "b"))
    ]
    sections = build_sections(studies, level=0.95, splits=5, seed=0, advance=lambda name: None)
    rows = re.findall(r"^\| (.*) \| .* \|$", page.read_text(), re.MULTILINE)[1:]
    named = [title for row in rows for title in row.split("; ") if not title.startswith("`")]
    assert sorted(named) == sorted(section.title for section in sections)
