"""The files of a report: what is in them, what a second run replaces, and what is never overwritten."""

from __future__ import annotations

import base64
import io
import re

import pandas as pd
import pytest
from matplotlib.figure import Figure

from seedgrid.errors import InputError
from seedgrid.report.page import cell, check_output, write_report
from seedgrid.report.section import Section


def drawn() -> Figure:
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, 1], [0.5, 0.9])
    return figure


@pytest.fixture
def section() -> Section:
    table = pd.DataFrame({"sweep": ["a_b & <c>", "d"], "p": [3e-7, float("nan")], "trials": [25, 4]})
    return Section("table-1", "Best found", "0.5 < 0.9 & more.", "25 trials.", drawn(), table, ("d: not available",))


def write(sections, folder):
    return write_report(sections, folder, title="What the seeds did", notes=["a note"], named=["runs/a"])


def test_the_page_needs_no_other_file(section, tmp_path):
    page = write([section], tmp_path / "report").read_text()
    sources = re.findall(r'(?:src|href)="([^"#]+)"', page)
    embedded = [source for source in sources if source.startswith("data:")]
    assert len(embedded) == 1
    # What is left are links to the files beside it, which a reader may follow.
    assert all(re.match(r"(figures|tables)/", source) for source in sources if source not in embedded)
    svg = base64.b64decode(embedded[0].partition("base64,")[2])
    assert svg == (tmp_path / "report/figures/table-1.svg").read_bytes()


def test_text_from_the_data_cannot_become_markup(section, tmp_path):
    page = write([section], tmp_path / "report").read_text()
    assert "a_b &amp; &lt;c&gt;" in page
    assert "0.5 &lt; 0.9 &amp; more." in page
    assert "<c>" not in page


def test_tables_come_back_from_their_csv_files_with_every_digit(section, tmp_path):
    write([section], tmp_path / "report")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "report/tables/table-1.csv"), section.table)


def test_latex_tables_escape_what_latex_would_take_for_commands(section, tmp_path):
    write([section], tmp_path / "report")
    latex = (tmp_path / "report/tables/table-1.tex").read_text()
    assert r"a\_b \& $<$c$>$ & 3e-07 & 25 \\" in latex
    assert r"\begin{tabular}{lrr}" in latex
    assert r"\label{tab:table-1}" in latex


def test_the_same_sections_give_the_same_figures_to_the_last_byte(section, tmp_path):
    write([section], tmp_path / "one")
    write([section], tmp_path / "two")
    for name in ("figures/table-1.svg", "figures/table-1.png", "tables/table-1.csv", "tables/table-1.tex"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_second_report_replaces_the_first_with_its_figures(section, tmp_path):
    folder = tmp_path / "report"
    write([section, Section("old", "An older one", "", "", drawn())], folder)
    (folder / "figures" / "mine.png").write_bytes(b"mine")
    write([section], folder)
    (folder / "figures" / "mine.png").unlink()
    assert sorted(path.name for path in (folder / "figures").iterdir()) == ["table-1.png", "table-1.svg"]
    assert "An older one" not in (folder / "index.html").read_text()


def test_a_section_without_anything_to_show_says_why(tmp_path):
    section = Section("table-3", "Shared seeds", "", "", missing=("paired: no seed occurs twice",))
    page = write([section], tmp_path / "report").read_text()
    assert "paired: no seed occurs twice" in page
    assert "Files:" not in page


@pytest.mark.parametrize("there", ["index.html", "thesis.tex"])
def test_a_folder_that_is_no_report_is_refused(there, tmp_path):
    (tmp_path / there).write_text("mine")
    with pytest.raises(InputError, match=re.escape(f"output={tmp_path}: ")):
        check_output(tmp_path, "What the seeds did", ["runs/a"])


def test_a_page_does_not_replace_one_of_another_kind_or_of_other_sweeps(section, tmp_path):
    write([section], tmp_path / "report")
    check_output(tmp_path / "report", "What the seeds did", ["runs/a"])
    with pytest.raises(InputError, match="is no page"):
        check_output(tmp_path / "report", "Method or seed", ["runs/a"])
    with pytest.raises(InputError, match="of other sweeps or files"):
        check_output(tmp_path / "report", "What the seeds did", ["runs/b"])


def test_a_file_is_no_folder_for_a_report(tmp_path):
    (tmp_path / "report").write_text("mine")
    with pytest.raises(InputError, match="a file; name a folder"):
        check_output(tmp_path / "report", "What the seeds did", ["runs/a"])


def test_an_empty_folder_can_hold_a_report(tmp_path):
    check_output(tmp_path, "What the seeds did", ["runs/a"])


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (0.91444444, "0.9144"),
        (0.0, "0.0000"),
        (3e-7, "3e-07"),
        (-0.25, "-0.2500"),
        (123456.7, "123,457"),
        (25, "25"),
        (True, "yes"),
        (None, "-"),
        (float("nan"), "-"),
        (pd.NA, "-"),
        (float("inf"), "inf"),
        ("order 3", "order 3"),
    ],
)
def test_cells_are_printed_to_be_read(value, printed):
    assert cell(value) == printed


def test_pictures_are_of_the_resolution_that_print_wants(section, tmp_path):
    from PIL import Image

    write([section], tmp_path / "report")
    picture = Image.open(io.BytesIO((tmp_path / "report/figures/table-1.png").read_bytes()))
    assert picture.size == (450, 300)
