"""Writes docs/configuration.md from conf/, the comments in it, and the settings classes that check it (make docs)."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hydra_plugins.seedgrid_sweepers import StartManySweeperConfig
from seedgrid.report.comparing import CompareSettings
from seedgrid.report.dashboard import DashboardSettings
from seedgrid.report.entry import ReportSettings
from seedgrid.report.exporting import ExportSettings
from seedgrid.report.planning import PlanSettings
from seedgrid.report.viewing import ViewSettings
from seedgrid.sweep.plan import Options
from seedgrid.sweep.upload import UploadSettings
from seedgrid.sweep.watch import StatusSettings
from seedgrid.training.own.settings import OwnSettings
from seedgrid.training.text.settings import TextSettings

CONF = Path(__file__).parents[1] / "conf"
PAGE = Path(__file__).with_suffix(".md")

# What checks conf/NAME.yaml, of each command.
CHECKED_BY: dict[str, type[BaseModel]] = {
    "train": TextSettings,
    "report": ReportSettings,
    "export": ExportSettings,
    "plan": PlanSettings,
    "compare": CompareSettings,
    "status": StatusSettings,
    "view": ViewSettings,
    "dashboard": DashboardSettings,
    "upload": UploadSettings,
}

_LINE = re.compile(r"(?P<indent> *)(?P<key>[\w.]+):(?: +(?P<value>[^#]\S*(?: +[^#\s]\S*)*))?(?: +# (?P<comment>.*))?")
_KEYS = ["| key | default | allowed | says |", "|---|---|---|---|"]
_INTRO = """\
# Every key

Made from `conf/` and its comments by `make docs`; a test fails where the two differ. To change this page, change the
comments.

A key is set on the command line: `seedgrid train recipe.epochs=5`. A group takes one of its options:
`seedgrid train task=mrpc`. `-m` sweeps: `seed.init='range(0,5)'`. Each command refuses a key that it does not know and
a value that is not allowed, before it reads any data. `null` stands for none; `by option`: each option gives a value.
"""


_SWEEPERS = """\
`grid`, the default, runs all trials. `start_many` starts many, stops early and continues some
([more](start-many.md)); its keys:"""
_LAUNCHERS = "By default `workers`; Hydra's own `basic` runs trials one after the other."


@dataclass(frozen=True)
class Key:
    """A key of a YAML file: its path, its value as it is written, and its comment."""

    path: str
    value: str
    comment: str


@dataclass(frozen=True)
class Config:
    """A YAML file: the comment that it begins with, and its keys."""

    header: str
    keys: tuple[Key, ...]

    def own(self) -> Iterator[Key]:
        """The keys that are no business of Hydra's."""
        yield from (key for key in self.keys if not key.path.startswith("hydra."))


def read(path: Path) -> Config:
    """Read a file line by line; a comment of whole lines belongs to the key below it, at its top to the file.

    Raises:
        ValueError: a line that this simple reading does not understand.
    """
    header, above, keys, parents = [], [], [], []
    for line in path.read_text().splitlines():
        if line.startswith("# @package") or not line.strip() or line.lstrip().startswith("- "):
            continue
        if line.lstrip().startswith("# "):
            (above if parents or keys else header).append(line.strip()[2:])
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{path}: cannot read the line {line!r}")
        depth = len(match["indent"]) // 2
        parents = [*parents[:depth], match["key"]]
        comment = " ".join(filter(None, (match["comment"], *above)))
        above = []
        if match["value"] is not None:
            keys.append(Key(".".join(parents), match["value"], comment))
    return Config(" ".join(header), tuple(keys))


def allowed(hint: object) -> str:
    """A type with its range, in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        bounds = [
            bound for each in arguments[1:] for bound in (each.metadata if isinstance(each, FieldInfo) else [each])
        ]
        words = [word for bound in bounds if (word := _bound(bound))]
        return ", ".join([allowed(arguments[0]), *words])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(allowed, arguments))
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is list:
        return f"list ({allowed(arguments[0])})"
    return {bool: "`true`, `false`", int: "integer", float: "number", str: "text", type(None): "`null`"}.get(hint, "")


def _bound(bound: object) -> str | None:
    match bound:
        case annotated_types.Ge(ge=least):
            return f"≥ {least}"
        case annotated_types.Gt(gt=least):
            return f"> {least}"
        case annotated_types.Le(le=most):
            return f"≤ {most}"
        case annotated_types.Lt(lt=most):
            return f"< {most}"
        case annotated_types.MinLen(min_length=1):
            return "not empty"
    return None


def allowed_at(model: type[BaseModel], path: str, kind: str | None) -> str:
    """What is allowed at a key; ``kind`` chooses where a key has several forms."""
    name, _, rest = path.partition(".")
    hint = typing.get_type_hints(model, include_extras=True).get(name)
    if hint is None or not rest:
        return allowed(hint)
    for member in _models(hint):
        names = member.model_fields
        if "kind" not in names or kind is None or kind in typing.get_args(names["kind"].annotation):
            return allowed_at(member, rest, kind)
    return ""


def _models(hint: object) -> Iterator[type[BaseModel]]:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield hint
    for argument in typing.get_args(hint):
        yield from _models(argument)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _said(comment: str) -> str:
    """A comment as Markdown: what is in angle brackets is no HTML."""
    return comment.replace("<", "\\<").replace("None:", "null:")


def _default(value: str) -> str:
    return "must be given" if value == "???" else f"`{value}`"


def group_lines(group: str, first: str, model: type[BaseModel] | None) -> list[str]:
    """The options of a group, and every key that one of them has.

    Args:
        group: folder below conf/.
        first: the option that is the default.
        model: has the group's name as one of its fields; None: nothing is known of types.
    """
    configs = {path.stem: read(path) for path in sorted((CONF / group).glob("*.yaml"))}
    configs = {first: configs.pop(first), **configs}
    lines = ["| option | says | sets |", "|---|---|---|"]
    rows: dict[tuple[str, str | None], list[Key]] = {}
    of_default = {key.path: key.value for key in configs[first].keys}
    for option, config in configs.items():
        kind = next((key.value for key in config.keys if key.path.endswith("source.kind")), None)
        for key in config.keys:
            form = kind if key.path.startswith("source.") else None
            rows.setdefault((key.path, form), []).append(key)
        new = [key for key in config.keys if key.path != "name" and of_default.get(key.path) != key.value]
        others = re.findall(r"override /(\w+)@\S+: (\w+)", (CONF / group / f"{option}.yaml").read_text())
        words = [f"`{name}={value}`" for name, value in (*((key.path, key.value) for key in new), *others)]
        sets = "the defaults below" if option == first else ", ".join(words)
        lines.append(_row(f"`{option}`", _said(config.header), sets))
    lines += ["", *_KEYS]
    for (path, form), keys in rows.items():
        values = {key.value for key in keys}
        value = of_default.get(path) if form is None or of_default.get("source.kind") == form else None
        default = _default(value or values.pop()) if value or len(values) == 1 else "by option"
        # The longest comment: some options only say how they differ.
        comment = max((key.comment for key in keys), key=len)
        name = f"`{group.replace('/', '.')}.{path}`" + (f", `{form}`" if form else "")
        types_ = allowed_at(model, f"{group}.{path}", form) if model else ""
        lines.append(_row(name, default, types_, _said(comment)))
    return lines


def experiment_lines() -> list[str]:
    """What each experiment sets."""
    lines = ["| option | says | sets |", "|---|---|---|"]
    for path in sorted((CONF / "experiment").glob("*.yaml")):
        config = read(path)
        chosen = re.findall(r"^  - (?:override /)?(.+)$", path.read_text(), re.MULTILINE)
        chosen = [choice.replace(": ", "=") if ": " in choice else f"experiment={choice}" for choice in chosen]
        keys = [f"{key.path.removeprefix('hydra.sweeper.params.')}={key.value}" for key in config.keys]
        lines.append(_row(f"`{path.stem}`", _said(config.header), ", ".join(f"`{word}`" for word in (*chosen, *keys))))
    return lines


def start_many_lines() -> list[str]:
    """The keys of the sweeper ``start_many``, whose defaults and meaning are in the code."""
    text = " ".join(Options.__doc__.partition("Attributes:")[2].split())
    names = list(Options.model_fields)
    says = re.split(rf"(?:^| )(?:{'|'.join(names)}): ", text)[1:]
    hints = typing.get_type_hints(Options, include_extras=True)
    defaults = {field.name: field.default for field in fields(StartManySweeperConfig)}
    lines = [*_KEYS]
    for name, said in zip(names, says, strict=True):
        written = "null" if defaults[name] is None else str(defaults[name])
        kind = "list of `{at: fraction, keep: count}`" if name == "rungs" else allowed(hints[name])
        lines.append(_row(f"`hydra.sweeper.{name}`", f"`{written}`", kind, _said(said.rstrip(".").replace("``", "`"))))
    return lines


def training_lines() -> list[str]:
    """The kinds of training, and the keys of the user's own."""
    lines = ["| option | says |", "|---|---|"]
    configs = {path.stem: read(path) for path in sorted((CONF / "training").glob("*.yaml"))}
    lines += [_row(f"`{option}`", _said(config.header)) for option, config in configs.items()]
    lines += ["", "The keys of `training=own` ([more](any-training.md)):", "", *_KEYS]
    for key in configs["own"].keys:
        kind = allowed_at(OwnSettings, f"training.{key.path}", None)
        lines.append(_row(f"`training.{key.path}`", _default(key.value), kind, _said(key.comment)))
    return lines


def train_lines(groups: dict[str, str]) -> list[str]:
    """The groups of seedgrid train, each with its default option, and Hydra's that this project has options of."""
    lines = []
    for group, option in groups.items():
        if group != "experiment":
            lines += ["", f"### {group}", "", f"By default `{group}={option}`.", ""]
            lines += training_lines() if group == "training" else group_lines(group, option, TextSettings)
    lines += ["", "### experiment", "", "Whole studies; none by default.", "", *experiment_lines()]
    lines += ["", "### hydra/sweeper", "", _SWEEPERS, "", *start_many_lines()]
    return [*lines, "", "### hydra/launcher", "", _LAUNCHERS, "", *group_lines("hydra/launcher", "workers", None)]


def page() -> str:
    """The whole page.

    Raises:
        ValueError: a file of conf/ cannot be read, or it is not known what checks it.
    """
    unknown = {path.stem for path in CONF.glob("*.yaml")} - {"multirun"} - CHECKED_BY.keys()
    if unknown:
        raise ValueError(f"conf/{unknown.pop()}.yaml: name what checks it in CHECKED_BY of docs/configuration.py")
    lines = [_INTRO]
    for name, model in CHECKED_BY.items():
        path = CONF / f"{name}.yaml"
        config = read(path)
        groups = dict(re.findall(r"^  - (\w+): (\w+)$", path.read_text(), re.MULTILINE))
        lines += [f"## seedgrid {name}", "", config.header, "", *_KEYS]
        keys = list(config.own())
        if name == "train":  # of the default training, whose groups and keys are for all of the config
            keys += read(CONF / "training" / "text.yaml").own()
            text = (CONF / "training" / "text.yaml").read_text()
            groups |= dict(re.findall(r"^  - /(\w+): (\w+)$", text, re.MULTILINE))
        for key in keys:
            kind = allowed_at(model, key.path, None)
            lines.append(_row(f"`{key.path}`", _default(key.value), kind, _said(key.comment)))
        if name == "train":
            lines += train_lines(groups)
        elif groups:
            named = ", ".join(f"[`{group}`](#{group}), here by default `{option}`" for group, option in groups.items())
            lines += ["", f"And the group {named}."]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
