"""Writes a report's files: the page, its figures as SVG and PNG, its tables as CSV and LaTeX."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import os
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from numbers import Integral, Real
from pathlib import Path

import jinja2
import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from seedgrid import __version__
from seedgrid.errors import InputError
from seedgrid.files import write_whole
from seedgrid.records.store import Sweep
from seedgrid.report.section import Section
from seedgrid.settings import SettingsGroup
from seedgrid.wording import DECIMALS, number

_PIXELS_PER_INCH = 150
_ABOUT = re.compile(r'<meta name="(made-from|made-of)" content="([^"]*)">')
_FILES = re.compile(r'href="((?:figures|tables)/[^"/]+)"')  # of an earlier page


def check_output(folder: Path, title: str, named: Sequence[str | Path]) -> None:
    """Raise InputError unless a page can be written to ``folder``: new, empty, or with such a page of the same sweeps.

    Args:
        folder: where the page would be written.
        title: how the titles of such pages begin.
        named: where its sweeps are, as the user said it.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"output={folder}: a file; name a folder")
    page = folder / "index.html"
    if page.exists():
        begin = page.read_text(encoding="utf-8", errors="replace")[:2000]
        if f"<title>{title}" not in begin:
            raise InputError(f'output={folder}: its index.html is no page "{title}"; name another folder')
        if dict(_ABOUT.findall(begin)).get("made-from") not in (None, _made_from(folder, named)):
            raise InputError(f"output={folder}: holds such a page of other sweeps or files; name another folder")
    elif any(not path.name.startswith(".") for path in folder.iterdir()):
        raise InputError(f"output={folder}: not empty, and without such a page; name another folder")


def _made_from(folder: Path, named: Sequence[str | Path]) -> str:
    """Digest of where a page's sweeps are, seen from its folder: the same when both are moved together."""
    places = sorted(os.path.relpath(Path(name).resolve(), folder.resolve()) for name in named)
    return hashlib.sha256("\n".join(places).encode()).hexdigest()[:16]


def made_of(sweeps: Sequence[Sweep], options: SettingsGroup, kind: type[SettingsGroup]) -> str:
    """What decides a page's numbers: a digest of the trials, and those of the options that are of this kind."""
    return " ".join(
        [*(sweep.digest for sweep in sweeps), *(f"{key}={getattr(options, key)}" for key in kind.model_fields)]
    )


def read_made_of(page: Path) -> str | None:
    """What a page was made of, as :func:`made_of`; None: there is no such page."""
    try:
        with page.open(encoding="utf-8", errors="replace") as file:
            return dict(_ABOUT.findall(file.read(2000))).get("made-of")
    except OSError:
        return None


def write_report(
    sections: Sequence[Section],
    folder: Path,
    *,
    title: str,
    notes: Sequence[str],
    named: Sequence[str | Path],
    made_of: str = "",
    advance: Callable[[str], object] = lambda what: None,
) -> Path:
    """Write ``index.html``, which needs no other file, with ``figures/`` and ``tables/`` beside it.

    An earlier page in the folder is replaced file by file; those of its files that no section has now are removed.

    Args:
        sections: in the order of the page.
        folder: made if need be.
        title: heading of the page.
        notes: sentences under it: what the report covers, and what it has to be read with.
        named: where its sweeps are, as the user said it; by it :func:`check_output` knows the page again.
        made_of: what :func:`made_of` says of it, by which one sees whether the page still says what the trials do.
        advance: called with each section's title before its files are written.

    Returns:
        Path of ``index.html``.

    Raises:
        InputError: the folder cannot be written.
    """
    figures, tables, views = folder / "figures", folder / "tables", []
    files: dict[Path, bytes] = {}
    for section in sections:
        advance(section.title)
        view: dict[str, object] = {"section": section}
        if section.figure is not None:
            drawn = files[figures / f"{section.key}.svg"] = svg(section.figure)
            files[figures / f"{section.key}.png"] = png(section.figure)
            view["figure"] = base64.b64encode(drawn).decode()
        if section.table is not None:
            files[tables / f"{section.key}.csv"] = section.table.to_csv(index=False).encode()
            files[tables / f"{section.key}.tex"] = _latex(section).encode()
            view["table"] = _html_table(section)
        views.append(view)
    made_from = _made_from(folder, named)
    page = render("report", title=title, made_from=made_from, made_of=made_of, notes=notes, views=views)
    # The page first: by it a later run knows the folder for its own.
    path = folder / "index.html"
    files = {path: page.encode(), **files}
    try:
        before = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        earlier = {folder / name for name in _FILES.findall(before)}
        for each, content in files.items():
            each.parent.mkdir(parents=True, exist_ok=True)
            write_whole(each, lambda file, content=content: file.write(content))
        for old in earlier - files.keys():
            old.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"output={folder}: cannot be written ({error.strerror or error}); name another") from None
    return path


def render(template: str, **content: object) -> str:
    """A page: the template of this name filled in, text escaped."""
    made = f"{datetime.now():%Y-%m-%d %H:%M}"
    return _TEMPLATES.get_template(f"{template}.html.jinja").render(version=__version__, made=made, **content)


def svg(figure: Figure) -> bytes:
    """The same figure gives the same bytes: no date, and ids that follow from the content."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "seedgrid", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", dpi=_PIXELS_PER_INCH, metadata={"Date": None})
    return buffer.getvalue()


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_PIXELS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def cell(value: object, decimals: int | None = None) -> str:
    """A table's cell as it is printed: small numbers and p-values as such, a dash for what is not there.

    Args:
        value: in the cell.
        decimals: of a number; None: four below a hundred, and none above.
    """
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return f"{int(value)}"
    if isinstance(value, Real):
        value = float(value)
        if value and abs(value) < 10.0 ** -(DECIMALS if decimals is None else decimals):
            return f"{value:.0e}"
        if decimals is not None:
            return number(value, decimals)
        return f"{value:.4f}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value)


def cells(section: Section) -> dict[str, list[str]]:
    """A section's table as text, by the names of its columns."""
    table, none = section.table, [None] * len(section.table)
    return {
        str(name): [cell(*pair) for pair in zip(table[name], section.decimals.get(name, none), strict=True)]
        for name in table
    }


def _html_table(section: Section) -> dict[str, list]:
    numeric = [bool(pd.api.types.is_numeric_dtype(section.table[name])) for name in section.table]
    columns = cells(section)
    return {"columns": list(columns), "numeric": numeric, "rows": list(zip(*columns.values(), strict=True))}


def _latex(section: Section) -> str:
    """A booktabs table, to be taken in with ``\\input``."""
    columns = {name: [_escaped(text) for text in column] for name, column in cells(section).items()}
    numeric = [pd.api.types.is_numeric_dtype(section.table[name]) for name in section.table]
    styler = pd.DataFrame({_escaped(name): values for name, values in columns.items()}).style.hide(axis="index")
    return styler.to_latex(
        hrules=True,
        column_format="".join("r" if number else "l" for number in numeric),
        position="t",
        position_float="centering",
        caption=_escaped(f"{section.title}. {section.caption}"),
        label=f"tab:{section.key}",
    )


_LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
}


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("seedgrid.report", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
