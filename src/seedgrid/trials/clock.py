"""How long a trial has taken."""

from __future__ import annotations

import time


class Clock:
    """Counts a trial's seconds, from those on that it took before it was resumed."""

    def __init__(self, before: float = 0.0) -> None:
        self._begin = time.monotonic() - before

    def seconds(self) -> float:
        return time.monotonic() - self._begin
