"""How a sentence says numbers."""

from __future__ import annotations

import math

DECIMALS = 4  # of a score, unless its size asks for others
_MOST_DECIMALS, _MOST_DIGITS = 8, 9


def count(number: int, what: str = "trial") -> str:
    """Such as "1 trial" and "25 trials"."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def p_value(p: float) -> str:
    """Such as "p = 0.14" and "p < 0.001", or that there is none."""
    if math.isnan(p):
        return "no p-value, as scores do not vary"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def listed(parts: list[str]) -> str:
    """Such as "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def percent(share: float) -> str:
    """Such as "45 %", and "0.4 %" and "99.6 %" near the ends."""
    whole = share in (0, 1) or 0.0995 <= abs(share) < 0.985 or abs(share) > 1
    return f"{100 * share:.0f} %" if whole else f"{100 * share:.1f} %"


def hours(seconds: float) -> str:
    """A duration as a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def number(value: float, decimals: int) -> str:
    """A number with so many decimals, fewer beyond nine digits; as a power of ten where that takes too many."""
    if not math.isfinite(value):
        return f"{value}"
    if value == 0:
        decimals = min(decimals, DECIMALS)
    digits = len(f"{abs(value):.0f}")
    if decimals > _MOST_DECIMALS or digits > _MOST_DIGITS:
        return f"{value:.{DECIMALS - 1}e}"
    return f"{value:,.{min(decimals, _MOST_DIGITS - digits)}f}"
