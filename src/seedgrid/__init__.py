"""Fine-tune a pretrained language model over a grid of seeds, and learn what the seeds did.

``run`` runs a sweep and ``read`` reads one; both give a :class:`Sweep`. ``compare`` sets two against each other, and
``plan`` says what to do with a budget. ``analysis`` holds the statistics, as functions on arrays.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seedgrid import analysis
    from seedgrid.errors import InputError
    from seedgrid.public import Comparison, Plan, Sweep, compare, plan, read
    from seedgrid.sweep.in_process import run

__version__ = "0.1.0"

__all__ = ["Comparison", "InputError", "Plan", "Sweep", "analysis", "compare", "plan", "read", "run"]

# Imported when they are first asked for, so that `import seedgrid` takes no time, and nothing takes torch but trials.
_PLACES = {"InputError": "seedgrid.errors", "run": "seedgrid.sweep.in_process"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "analysis":
        return import_module("seedgrid.analysis")
    return getattr(import_module(_PLACES.get(name, "seedgrid.public")), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
