"""What ``import seedgrid`` offers to whoever reads sweeps: a sweep, two of them compared, a plan for a budget."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from seedgrid.analysis import comparison, stopping
from seedgrid.errors import InputError
from seedgrid.records import store
from seedgrid.records.tidy import export_parquet, read_trials
from seedgrid.scale import Direction
from seedgrid.seeds import Seeds
from seedgrid.wording import count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seedgrid.report.comparing import ComparisonOptions
    from seedgrid.report.comparison import Compared
    from seedgrid.report.section import Section

Place = str | os.PathLike[str]


class Sweep:
    """The trials of a sweep, whether they have just been run or were read from a folder or a file.

    It holds what the records said when it was made; :func:`read` of a running sweep gives a newer one. In a notebook it
    shows a summary, the grid and the curves.
    """

    def __init__(self, records: store.Sweep) -> None:
        self.records = records

    @property
    def folder(self) -> Path:
        """Where the trials lie; of other people's, the file they were read from."""
        return self.records.folder

    @property
    def name(self) -> str:
        """Short name for captions."""
        return self.records.name

    @property
    def task(self) -> str:
        """Name of the task; empty without trials, or where it is not known."""
        return self.records.task

    @property
    def metric(self) -> str:
        """Name of the score; empty without trials."""
        return self.records.metric

    @property
    def direction(self) -> Direction:
        """``max`` where a higher score is better, else ``min``."""
        return self.records.direction

    @property
    def trials(self) -> pd.DataFrame:
        """A row per trial: seeds (``init``, ``order``, ``dropout``), ``status``, ``best_found`` and where it was first
        reached (``best_step``, ``best_epoch``), ``last_step``, ``steps``, ``diverged``, ``seconds``, ``error``,
        ``folder``.
        """
        return self.records.trials

    @property
    def evaluations(self) -> pd.DataFrame:
        """A row per evaluation: seeds, ``step``, ``epoch``, ``loss``, one column a metric, ``score``, ``best_so_far``,
        ``seconds``.
        """
        return self.records.evaluations

    @property
    def train_loss(self) -> pd.DataFrame:
        """A row per optimizer step: seeds, ``step``, ``loss``, ``learning_rate``; read when it is first asked for."""
        return self.records.train_loss

    @property
    def gradient_norms(self) -> pd.DataFrame:
        """A row per measurement: seeds, ``step``, and the L2 norm of each layer group's gradients, a column each."""
        return self.records.gradient_norms

    @cached_property
    def predictions(self) -> Predictions:
        """What each trial predicted for the validation examples, by its seeds, each read when it is asked for.

        Raises:
            InputError: these records hold none, as those of a file, or of a training that gives none.
        """
        if not self.records.has_predictions and not self.trials.empty:
            why = "this training gives none" if self.folder.is_dir() else "read the sweep's own folder"
            raise InputError(f"{self.folder}: no predictions are beside these trials; {why}")
        return Predictions(self.records)

    @property
    def best(self) -> pd.Series | None:
        """The row of the trial with the best score, of those that ended; None before one has ended with a score."""
        from seedgrid.report.overview import best_trial

        ended = self.trials[self.trials["status"].isin((*store.FINISHED, "stopped"))]
        return best_trial(ended, self.records.scale) if ended["best_found"].notna().any() else None

    @property
    def failed(self) -> pd.DataFrame:
        """The rows of the trials that failed; ``error`` says why."""
        return self.trials[self.trials["status"] == "failed"]

    def grid(self) -> Figure:
        """Best found score of every pair of seeds, as a heat map; sorted, where the seeds are no grid.

        Raises:
            InputError: no trial has finished with a score.
        """
        from seedgrid.report.arrays import finished_trials
        from seedgrid.report.overview import draw_scores

        finished_trials(self.records)
        return draw_scores(self.records)

    def curves(self) -> Figure:
        """Score of every trial at its evaluations.

        Raises:
            InputError: no trial has been evaluated yet.
        """
        from seedgrid.report.overview import draw_curves

        if not self.evaluations["step"].max() > 0:
            raise InputError(f"{self.folder}: no trial has been evaluated yet; let the sweep run first")
        return draw_curves(self.records)

    def report(self, output: Place | None = None) -> Path:
        """Write every table and figure on one page, and return its path.

        Args:
            output: folder of the page; None: ``report`` in the sweep's folder, of a file's trials here.

        Raises:
            InputError: no trial has finished with a score, or something else is in ``output``.
        """
        from seedgrid.report.entry import ReportOptions, make_report

        if output is None:
            output = self.folder / "report" if self.folder.is_dir() else "report"
        options = ReportOptions(level=0.95, splits=100, random_seed=0)
        page, *_ = make_report([self.records], Path(output), options, lambda what, parts: None, [str(self.folder)])
        return page

    def export(self, path: Place) -> Path:
        """Write all trials and evaluations as one Parquet file, which :func:`read`, pandas and ``datasets`` read.

        Raises:
            InputError: its name does not end in .parquet, or something else is there.
        """
        export_parquet([self.records], path)
        return Path(path)

    def __repr__(self) -> str:
        from seedgrid.report.overview import headline

        return "\n".join([headline(self.records), *(f"  {name:12} {value}" for name, value in self._lines())])

    def _lines(self) -> Iterator[tuple[str, str]]:
        from seedgrid.report.overview import lines

        yield from lines(self.records)
        if self.records.mixed_versions:
            yield "warning", f"the trials ran with different versions of {', '.join(self.records.mixed_versions)}"
        for trial in self.failed.itertuples():
            yield "failed", f"{Path(trial.folder).name}: {trial.error}"

    def _repr_html_(self) -> str:
        from seedgrid.report.overview import has_scores, headline

        figures = [self.grid()] if has_scores(self.records) else []
        if self.evaluations["step"].max() > 0:
            figures.append(self.curves())
        rows = [f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in self._lines()]
        table = ["<table>", *rows, "</table>"] if rows else []
        return "\n".join([_paragraph(headline(self.records), "b"), *table, *map(_img, figures)])


@dataclass(frozen=True)
class TrialPredictions:
    """What one trial predicted.

    Attributes:
        steps: (evaluations,), after which it was evaluated.
        logits: (evaluations, examples, classes), float32.
        labels: (examples,), what is right.
    """

    steps: np.ndarray
    logits: np.ndarray
    labels: np.ndarray


class Predictions(Mapping[tuple[int, ...], TrialPredictions]):
    """By (init, order), or (init, order, dropout) where the dropout seed varies, what each trial predicted.

    Trials that have not been evaluated yet are not in it.
    """

    def __init__(self, records: store.Sweep) -> None:
        self._records = records
        self._seeds: dict[tuple[int, ...], Seeds] = {}
        names = ["init", "order", "dropout"] if records.trials["dropout"].nunique() > 1 else ["init", "order"]
        for trial in records.trials.itertuples():
            if (Path(trial.folder) / "predictions.npz").exists():
                seeds = Seeds(init=int(trial.init), order=int(trial.order), dropout=int(trial.dropout))
                self._seeds[tuple(getattr(seeds, name) for name in names)] = seeds

    def __getitem__(self, seeds: tuple[int, ...]) -> TrialPredictions:
        return TrialPredictions(**self._records.predictions(self._seeds[seeds]))

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        return iter(self._seeds)

    def __len__(self) -> int:
        return len(self._seeds)

    def __repr__(self) -> str:
        return f"predictions of {count(len(self))} in {self._records.folder}"


class Comparison:
    """Two sweeps of one task against each other: is it the method or the seed?

    In a notebook it shows the verdict, the numbers and both sweeps' scores; as text it is what ``seedgrid compare``
    prints.
    """

    def __init__(self, compared: Compared, options: ComparisonOptions) -> None:
        self._compared = compared
        self._options = options

    @property
    def result(self) -> comparison.Comparison:
        """Every number, as :func:`seedgrid.analysis.comparison.compare` gives them."""
        return self._compared.result

    @property
    def difference(self) -> comparison.Difference:
        """Mean best found score of a less that of b: ``value``, ``lower``, ``upper``, ``p``, ``standard_error``, ``t``,
        ``degrees``; test and interval allow for trials that share a seed.
        """
        return self.result.difference

    @property
    def chance(self) -> comparison.Chance:
        """That a random trial of a beats a random trial of b: ``value``, ``lower``, ``upper``, ``p``."""
        return self.result.chance

    @property
    def verdict(self) -> str:
        """The answer in a sentence or two that claim no more than the interval does."""
        from seedgrid.report.comparison import verdict

        return verdict(self._compared)

    @cached_property
    def _sections(self) -> list[Section]:
        from seedgrid.report.comparison import build_sections

        return build_sections(self._compared, self._options.power)

    @cached_property
    def _notes(self) -> list[str]:
        from seedgrid.report.comparing import notes_of

        return notes_of(self._compared)

    def page(self, output: Place | None = None) -> Path:
        """Write all of it on one page, with figures, and return its path.

        Args:
            output: folder of the page; None: one in the folder of a, named after b; if a is a file, one here.

        Raises:
            InputError: something else is in ``output``.
        """
        from seedgrid.report.comparing import beside, write_page

        output = Path(output or beside(self._compared.a.sweep, self._compared.b.sweep))
        return write_page(self._compared, self._sections, self._notes, output, self._options)

    def __repr__(self) -> str:
        from seedgrid.report.comparing import in_terminal

        return in_terminal(self._sections, self._notes)

    def _repr_html_(self) -> str:
        from seedgrid.report.page import cells

        first, scores, *_ = self._sections
        table = pd.DataFrame(cells(first)) if first.decimals else first.table
        numbers = table.to_html(index=False, na_rep="-", float_format="%.4f", border=0)
        figures = [] if scores.figure is None else [_img(scores.figure)]
        return "\n".join([_paragraph(self.verdict, "b"), *map(_paragraph, self._notes), numbers, *figures])


@dataclass(frozen=True, repr=False)
class Plan(stopping.Plan):
    """What to do with a budget of full trainings: start so many trials, stop them early, continue the best.

    As text it is what ``seedgrid plan`` prints, with the budgets around it and the command that carries it out.
    """

    text: str = ""

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.text)}</pre>"


def read(place: Place, metric: str = "score", direction: Direction | None = None) -> Sweep:
    """Read a sweep: its folder, also while it runs, a file that :meth:`Sweep.export` wrote, or a CSV file of scores.

    Args:
        place: the folder or file.
        metric: of a CSV file, the name of its score.
        direction: of a CSV file, ``max`` where a higher score is better, ``min`` where a lower one is; None: a higher
            one, and a score with the name of a loss or an error is refused.

    Raises:
        InputError: there is none, it is damaged, or the file holds several sweeps.
    """
    return Sweep(read_trials(place, metric, direction))


def compare(
    a: Sweep | Place,
    b: Sweep | Place,
    *,
    paired: bool | None = None,
    level: float = 0.95,
    power: float = 0.8,
    max_budget: int = 100,
    draws: int = 2000,
    random_seed: int = 0,
) -> Comparison:
    """Compare two sweeps of one task on the same validation examples.

    Args:
        a, b: the sweeps, or where they lie.
        paired: True: seed pair by seed pair; False: all trials; None: by pair where at least half of the smaller
            sweep's trials allow it.
        level: of all intervals.
        power: chance to show the difference, for the number of seed pairs needed.
        max_budget: largest budget of the expected best, in full trainings; 0 leaves it out.
        draws: redrawn seeds for its intervals.
        random_seed: draws them.

    Raises:
        InputError: a sweep cannot be read, or the two cannot be compared.
    """
    from seedgrid.report.comparing import ComparisonOptions, check_power, compare_as_asked, pair
    from seedgrid.settings import checked

    asked = {"paired": paired, "level": level, "power": power, "max_budget": max_budget, "draws": draws}
    options = checked(ComparisonOptions, {**asked, "random_seed": random_seed})
    check_power(options)
    return Comparison(compare_as_asked(*pair(_records(a), _records(b)), options), options)


def plan(
    sweep: Sweep | Place | None = None,
    budget: float = 20,
    *,
    max_start: int = 200,
    splits: int = 10,
    random_seed: int = 0,
    evaluations: int = 30,
) -> Plan:
    """The best use of a budget: how many trials to start, when to stop them, how many to continue.

    Args:
        sweep: whose trials say, or where it lies; None: a rule of thumb.
        budget: in full trainings.
        max_start: most trials to start.
        splits: halvings of the sweep's trials for the honest value; 0: none.
        random_seed: draws them.
        evaluations: of a full training, for the rule of thumb.

    Raises:
        InputError: the sweep cannot be read, or its trials cannot answer for the budget.
    """
    from seedgrid.report.planning import PlanSettings, make_plan
    from seedgrid.settings import checked

    asked = {"budget": budget, "max_start": max_start, "splits": splits, "evaluations": evaluations}
    settings = checked(
        PlanSettings, {**asked, "random_seed": random_seed, "sweep": None, "metric": "score", "direction": None}
    )
    best, text = make_plan(None if sweep is None else _records(sweep), settings)
    return Plan(**vars(best), text=text)


def _records(sweep: Sweep | Place) -> store.Sweep:
    return sweep.records if isinstance(sweep, Sweep) else read_trials(sweep)


def _paragraph(text: str, tag: str = "span") -> str:
    return f"<p><{tag}>{escape(text)}</{tag}></p>"


def _img(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return f'<img src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
