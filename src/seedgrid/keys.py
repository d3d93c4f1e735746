"""Which keys there are, for whoever gave one that there is not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any


def instead(key: str, tree: Mapping[str, Any]) -> str:
    """What there is instead of a key: those that are likely meant, or else all that stand beside it.

    Args:
        key: the one that there is not, with dots.
        tree: the keys that there are; may hold ``key`` itself.
    """
    typed = key.rpartition(".")[2]
    # A recipe's first: lr is its rate rather than the one that a model recommends.
    leaves = [leaf for leaf in _leaves(tree) if not f"{leaf}.".startswith(f"{key}.")]
    leaves.sort(key=lambda leaf: not leaf.startswith("recipe."))
    likeness = {leaf: _likeness(typed, leaf.rpartition(".")[2]) for leaf in leaves}
    most = max(likeness.values(), default=0)
    if most:
        return f"did you mean {' or '.join([leaf for leaf in leaves if likeness[leaf] == most][:3])}?"
    parent = ""
    for part in key.split(".")[:-1]:
        if not isinstance(tree.get(part), Mapping):
            break
        parent, tree = f"{parent}.{part}".lstrip("."), tree[part]
    there = ", ".join(str(name) for name in tree if name != typed)
    return f"{parent} has {there}" if parent else f"there are {there}"


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _likeness(typed: str, name: str) -> int:
    """4: the same name; 3: its initials, as lr; 2: a slip of the finger; 1: all words of one in the other; 0: none."""
    of_typed, of_name = re.split(r"[_-]", typed.lower()), [word for word in name.split("_") if word]
    if of_typed == of_name:
        return 4
    if len(of_name) > 1 and typed.lower() == "".join(word[0] for word in of_name):
        return 3
    if SequenceMatcher(None, typed.lower(), name).ratio() >= 0.8:
        return 2
    return int(set(of_typed) <= set(of_name) or set(of_name) <= set(of_typed))
