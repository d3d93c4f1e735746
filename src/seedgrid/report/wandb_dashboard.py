"""A workspace and a report in Weights & Biases on a sweep: their panels, which runs they show, their words and links.

Building them needs neither network nor account; only :func:`find_place` and :func:`save` ask W&B's servers.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from seedgrid.errors import InputError
from seedgrid.records.store import FINISHED, read_trial
from seedgrid.report.arrays import SEEDS, FinishedTrials
from seedgrid.report.page import cell, cells
from seedgrid.report.section import Section
from seedgrid.report.sections.divergence import divergence_by_seed
from seedgrid.report.sections.expected import expected_best
from seedgrid.report.sections.scores import best_found
from seedgrid.settings import LoggerSettings
from seedgrid.shell import command
from seedgrid.trials.wandb_mode import group_of, run_id
from seedgrid.trials.wandb_run import PATIENCE, set_up
from seedgrid.wording import DECIMALS, count

EPOCH, STEP = "epoch", "trainer/global_step"
# Lines and bars of a panel: unless told otherwise, W&B draws those of the first ten runs.
_MOST_RUNS = 1000
# Rows of the grid of curves, a seed each: the paper's grids have 25.
_MOST_ROWS = 25
_MOST_LISTED = 50
_PAPER = "https://arxiv.org/abs/2002.06305"


@dataclass(frozen=True)
class Place:
    """Where in W&B the runs of a sweep are.

    Attributes:
        address: of W&B's pages.
        entity, project: of the runs.
    """

    address: str
    entity: str
    project: str

    @property
    def page(self) -> str:
        return f"{self.address.rstrip('/')}/{quote(self.entity)}/{quote(self.project)}"


def assumed_place(settings: LoggerSettings) -> Place:
    """As :func:`find_place`, without asking a server: the user's default entity is called ``your-entity``."""
    return Place(set_up().app_url, settings.entity or "your-entity", settings.project)


def find_place(settings: LoggerSettings) -> Place:
    """Where the user's runs go; makes the project if there is none yet, for runs that are still to be uploaded.

    Raises:
        InputError: no entity is given, and the account has no default one.
        wandb.errors.Error: the server cannot be reached or refuses.
    """
    app_url = set_up().app_url
    api = wandb.Api(timeout=PATIENCE)
    entity = settings.entity or api.default_entity
    if entity is None:
        raise InputError("logger.entity has no value, and the account no default entity: give logger.entity=...")
    if all(project.name != settings.project for project in api.projects(entity)):
        api.create_project(settings.project, entity)
    return Place(app_url, entity, settings.project)


def save(study: FinishedTrials, place: Place) -> tuple[str, str]:
    """Make a workspace and a report that links to it on W&B's servers; returns their addresses."""
    workspace = build_workspace(study, place).save()
    return workspace.url, build_report(study, place, workspace.url).save().url


def preview(study: FinishedTrials, place: Place) -> dict[str, Any]:
    """What :func:`save` would send, in the form of W&B's interface; the workspace's address is known only then."""
    built = {"workspace": build_workspace(study, place), "report": build_report(study, place, place.page)}
    return {
        name: one._to_model().model_dump(mode="json", by_alias=True, exclude_none=True) for name, one in built.items()
    }


def build_workspace(study: FinishedTrials, place: Place) -> ws.Workspace:
    """Panels over all runs of a sweep's trials, also those that are still to come."""
    sections = {
        "Validation curves": _curves(study),
        "Best found": _best(study),
        "Diverged": _diverged(study),
        "Training": _training(study),
    }
    return ws.Workspace(
        entity=place.entity,
        project=place.project,
        name=_without_symbols(f"{study.name}: what the seeds did"),
        sections=[ws.Section(name=name, panels=panels, is_open=True) for name, panels in sections.items() if panels],
        settings=ws.WorkspaceSettings(max_runs=_MOST_RUNS),
        runset_settings=ws.RunsetSettings(
            filters=_runs(study),
            order=[ws.Ordering(ws.Summary("best_found"), ascending=study.scale.lower_is_better)],
            pinned_columns=[
                *(f"config:{name}.value" for name in SEEDS),
                *(f"summary:{name}" for name in ("best_found", "best_epoch", "diverged", "status")),
            ],
        ),
    )


def build_report(study: FinishedTrials, place: Place, workspace_url: str) -> wr.Report:
    """What the records say of a sweep, beside panels over its runs, with links to the runs it speaks of."""
    found, expected, diverged = best_found([study]), expected_best([study]), divergence_by_seed([study])
    best_first = wr.OrderBy(wr.SummaryMetric("best_found"), ascending=study.scale.lower_is_better)
    trials = wr.Runset(name="trials", filters=_runs(study), order=[best_first])
    reports = wr.Runset(name="reports", filters=_runs(study, "report"))
    what = [study.sweep.task, study.sweep.metric, *(["lower is better"] if study.scale.lower_is_better else [])]
    figure = wr.MediaBrowser(title=expected.title, media_keys=[f"figures/{expected.key}"], layout=wr.Layout(w=24, h=12))

    def panels(*panels: Any, runs: wr.Runset = trials) -> wr.PanelGrid:
        return wr.PanelGrid(runsets=[runs], panels=list(panels), hide_run_sets=True)

    return wr.Report(
        entity=place.entity,
        project=place.project,
        title=f"{study.name[:100]}: what the seeds did",
        description=f"{', '.join(what)}: {count(len(study.trials), 'finished trial')}",
        width="fluid",
        blocks=[
            *_said(found),
            wr.UnorderedList(_links(study, place, workspace_url)),
            wr.H2("Validation curves"),
            panels(*_curves(study)),
            wr.H2("Best found"),
            panels(*_best(study)),
            wr.H2(expected.title),
            *_said(expected),
            *([] if expected.table is None else [wr.MarkdownBlock(_markdown(expected))]),
            wr.P(["The figure is there once it is sent by: ", wr.InlineCode(_report_command(study, place))]),
            panels(figure, runs=reports),
            wr.H2("Diverged"),
            *_said(diverged),
            *_list_diverged(study, place),
            *([panels(*_diverged(study))] if _diverged(study) else []),
            wr.H2("Training"),
            panels(*_training(study)),
            *(block for name in _shared(study) for block in _grid_of_curves(study, name)),
        ],
    )


# -------------------------------------------------------------------------------------------------------------- panels


def _curves(study: FinishedTrials) -> list[wr.LinePlot]:
    return [
        _lines(f"{study.sweep.metric}: every trial", EPOCH, "validation/score"),
        *(_lines(f"{study.sweep.metric}: by {name} seed", EPOCH, "validation/score", name) for name in _shared(study)),
        _lines("validation loss: every trial", EPOCH, "validation/loss"),
    ]


def _best(study: FinishedTrials) -> list[Any]:
    score = wr.SummaryMetric("best_found")
    across = wr.ParallelCoordinatesPlot(
        title="best found: seeds",
        columns=[
            *(wr.ParallelCoordinatesPlotColumn(wr.Config(name), f"{name} seed") for name in _varied(study)),
            wr.ParallelCoordinatesPlotColumn(score, "best found"),
        ],
    )
    bars = {"orientation": "v", "max_runs_to_show": _MOST_RUNS, "max_bars_to_show": _MOST_RUNS}
    return [
        wr.BarPlot(title="best found: every trial", metrics=["best_found"], **bars),
        across,
        *(wr.ScatterPlot(title=f"best found: by {name} seed", x=wr.Config(name), y=score) for name in _varied(study)),
    ]


def _diverged(study: FinishedTrials) -> list[Any]:
    """Means of a summary key that is 1 for a trial that diverged and 0 for any other: shares.

    None where trials were stopped for their scores: it is not known which of them would have diverged.
    """
    if study.selected:
        return []
    return [
        wr.ScalarChart(title="diverged: share of trials", metric="diverged", groupby_aggfunc="mean"),
        *(
            wr.BarPlot(
                title=f"diverged: share by {name} seed",
                metrics=["diverged"],
                groupby=wr.Config(name),
                groupby_aggfunc="mean",
                max_bars_to_show=_MOST_RUNS,
            )
            for name in _shared(study)
        ),
    ]


def _training(study: FinishedTrials) -> list[wr.LinePlot]:
    groups = [name for name in study.sweep.gradient_norms if name not in (*SEEDS, "step")]
    return [
        _lines("training loss: every trial", STEP, "train/loss"),
        *(_lines(f"gradient norm: {name}", STEP, f"gradient_norm/{name}", log_y=True) for name in groups),
    ]


def _lines(title: str, x: str, y: str, by: str | None = None, **options: Any) -> wr.LinePlot:
    """A line a run; with ``by``, a line a seed: the mean of its runs, and their range."""
    if by is not None:
        options |= {"groupby": wr.Config(by), "groupby_aggfunc": "mean", "groupby_rangefunc": "minmax"}
    return wr.LinePlot(title=title, x=x, y=[y], title_x=x.rpartition("_")[2], max_runs_to_show=_MOST_RUNS, **options)


def _grid_of_curves(study: FinishedTrials, name: str) -> list[Any]:
    """A heading that unfolds to a row of panels for each seed, with a line for each of its trials."""
    seeds = sorted(int(seed) for seed in study.sweep.trials[name].unique())
    if len(seeds) > _MOST_ROWS:
        return [wr.P(f"No grid of curves by {name} seed: its {len(seeds)} rows would be more than {_MOST_ROWS}.")]
    rows = []
    for seed in seeds:
        panels = [
            _lines(f"{study.sweep.metric}: {name} seed {seed}", EPOCH, "validation/score", layout=wr.Layout(w=12, h=6)),
            _lines(f"training loss: {name} seed {seed}", STEP, "train/loss", layout=wr.Layout(x=12, w=12, h=6)),
        ]
        runs = wr.Runset(name=f"{name} seed {seed}", filters=_runs(study, **{name: seed}))
        rows.append(wr.PanelGrid(runsets=[runs], panels=panels, hide_run_sets=True))
    return [wr.H2(f"Grid of curves: a row for each {name} seed", collapsed_blocks=rows)]


def _varied(study: FinishedTrials) -> list[str]:
    """Kinds of seeds of which there are several; init and order seed always."""
    return SEEDS if study.sweep.trials["dropout"].nunique() > 1 else SEEDS[:2]


def _shared(study: FinishedTrials) -> list[str]:
    """Kinds of seeds of which there are several, some of them in several trials."""
    trials = study.sweep.trials
    return [name for name in SEEDS if 1 < trials[name].nunique() < len(trials)]


# ---------------------------------------------------------------------------------------------------------------- runs


def _runs(study: FinishedTrials, job_type: str = "trial", **seeds: int) -> str:
    """The runs of a sweep's group, in the library's language of filters."""
    conditions = [f"Metric('Group') == {_literal(group_of(study.sweep.folder))}", f"Metric('JobType') == '{job_type}'"]
    return " and ".join([*conditions, *(f"Config('{name}') == {seed}" for name, seed in seeds.items())])


def _literal(text: str) -> str:
    """All but letters and digits escaped: the library doubles a "=" in a name and stumbles over quotes."""
    escaped = (sign if sign.isalnum() else f"\\U{ord(sign):08x}" for sign in text)
    return f"'{''.join(escaped)}'"


def _without_symbols(text: str) -> str:
    """The library takes any symbol, such as "=", for an emoji, and refuses it in a workspace's name."""
    return "".join("-" if unicodedata.category(sign)[0] in "SC" else sign for sign in text)


# --------------------------------------------------------------------------------------------------------------- words


def _said(section: Section) -> list[wr.P]:
    return [wr.P(line) for line in (*section.reading.splitlines(), *section.missing)]


def _links(study: FinishedTrials, place: Place, workspace_url: str) -> list[Any]:
    scored = study.sweep.trials.dropna(subset="best_found")
    scored = scored[scored["status"].isin((*FINISHED, "stopped"))]
    scale, utilities = study.scale, study.scale.turned(scored["best_found"])
    best, worst = scored.loc[utilities.idxmax()], scored.loc[utilities.idxmin()]
    group = f"{place.page}/groups/{quote(group_of(study.sweep.folder), safe='')}"
    return [
        ["Best: ", _link(study, place, best), f", {_said_score(study, best)}"],
        [f"{scale.worst_word.capitalize()}: ", _link(study, place, worst), f", {_said_score(study, worst)}"],
        ["All panels of this report, and the table of runs: ", wr.Link("workspace", workspace_url)],
        ["All runs of the sweep: ", wr.Link("group", group)],
        "What became of a trial is its run's status: completed, stopped (at a rung), nonfinite, failed, interrupted or"
        " running. W&B's own state says how the process ended that sent it.",
        ["The study that it repeats: ", wr.Link("Dodge et al. (2020)", _PAPER)],
    ]


def _list_diverged(study: FinishedTrials, place: Place) -> list[Any]:
    diverged = study.trials[study.trials["diverged"]]
    if diverged.empty:
        return []
    items: list[Any] = [
        [_link(study, place, trial), f", {_said_score(study, trial)} ({trial['status']})"]
        for _, trial in diverged.head(_MOST_LISTED).iterrows()
    ]
    if len(diverged) > _MOST_LISTED:
        items.append(f"and {len(diverged) - _MOST_LISTED:,} more")
    return [wr.UnorderedList(items)]


def _link(study: FinishedTrials, place: Place, trial: pd.Series) -> wr.Link:
    """To a trial's run, whose id its record has."""
    folder = Path(trial["folder"])
    return wr.Link(folder.name, f"{place.page}/runs/{run_id(read_trial(folder))}")


def _report_command(study: FinishedTrials, place: Place) -> str:
    where = f"logger=wandb logger.entity={place.entity} logger.project={place.project}"
    return f"{command('report', sweep=str(study.sweep.folder))} {where}"


def _said_score(study: FinishedTrials, trial: pd.Series) -> str:
    decimals = study.scale.decimals
    return cell(trial["best_found"], None if decimals == DECIMALS else decimals)


def _markdown(section: Section) -> str:
    """The table of one sweep's section, without its name."""
    columns = cells(section)
    del columns["sweep"]
    rows = [list(columns), ["---:"] * len(columns), *zip(*columns.values(), strict=True)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
