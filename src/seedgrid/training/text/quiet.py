"""Transformers keeps quiet while trials run."""

from __future__ import annotations

from transformers.utils import logging

from seedgrid.training import borrowed


def keep_quiet() -> None:
    """Have Transformers say nothing but errors, until what is borrowed is put back."""
    borrowed.note((logging.get_verbosity, logging.set_verbosity), (logging.is_progress_bar_enabled, _show_bars))
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _show_bars(shown: bool) -> None:
    (logging.enable_progress_bar if shown else logging.disable_progress_bar)()
