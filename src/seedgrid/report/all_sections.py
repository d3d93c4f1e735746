"""The report's sections in the order of its page: what the paper has, each followed by what it should have had."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seedgrid.report.arrays import FinishedTrials
from seedgrid.report.section import Section
from seedgrid.report.sections.agreement import agreement_and_ensemble
from seedgrid.report.sections.cost import cost
from seedgrid.report.sections.curves import curves, evaluation_correlation
from seedgrid.report.sections.divergence import divergence_by_seed
from seedgrid.report.sections.expected import expected_best
from seedgrid.report.sections.extremes import best_and_worst_seeds
from seedgrid.report.sections.gradients import gradient_norms
from seedgrid.report.sections.honesty import honest_best_found
from seedgrid.report.sections.scores import best_found, tasks
from seedgrid.report.sections.seeds import seed_grid, shared_seeds
from seedgrid.report.sections.stopping import early_stopping
from seedgrid.report.sections.transfer import init_seeds_across_tasks
from seedgrid.report.sections.variance import variance_shares


def build_sections(
    studies: Sequence[FinishedTrials], level: float, splits: int, seed: int, advance: Callable[[str], object]
) -> list[Section]:
    """All sections of a report on one or several sweeps.

    Args:
        studies: the sweeps, side by side.
        level: of all intervals.
        splits: halvings of the validation examples.
        seed: of everything that is drawn.
        advance: called with the name of each part before it is computed.
    """

    def computed(name: str, build: Callable[..., Section], *arguments: object, **options: object) -> Section:
        advance(name)
        return build(studies, *arguments, **options)

    sections = [
        computed("scores", best_found),
        computed("tasks", tasks),
        computed("expected best", expected_best, level=level, seed=seed),
        computed("honest best", honest_best_found, splits=splits, level=level, seed=seed),
        computed("grid", seed_grid),
        computed("shared seeds", shared_seeds),
        computed("variance", variance_shares, level=level, seed=seed),
        *computed("best and worst seeds", best_and_worst_seeds, seed=seed),
    ]
    if len(studies) > 1:
        sections.append(computed("seeds across tasks", init_seeds_across_tasks, seed=seed))
    sections += [
        computed("curves", curves),
        computed("divergence", divergence_by_seed, level=level, seed=seed),
        computed("gradient norms", gradient_norms),
        computed("early evaluations", evaluation_correlation),
    ]
    *stopping, plans = computed("early stopping", early_stopping, seed=seed)
    return [
        *sections,
        *stopping,
        computed("cost", cost, plans),
        computed("agreement", agreement_and_ensemble),
    ]


def count_parts(studies: Sequence[FinishedTrials]) -> int:
    """How often :func:`build_sections` calls ``advance``."""
    return 15 + (len(studies) > 1)
