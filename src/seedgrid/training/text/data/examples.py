"""Labelled texts as they come from a source, before any tokenizer has seen them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Examples:
    """N labelled examples.

    Attributes:
        text: N strings.
        text_pair: N strings for tasks about two texts, else None.
        label: int64 array of length N, an index into the task's label names.
    """

    text: tuple[str, ...]
    text_pair: tuple[str, ...] | None
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.text)

    def take(self, indices: np.ndarray) -> Examples:
        """The examples at ``indices``, in that order."""
        pair = None if self.text_pair is None else tuple(self.text_pair[i] for i in indices)
        return Examples(tuple(self.text[i] for i in indices), pair, self.label[indices])

    def digest(self) -> str:
        """SHA-256 of the content: the same texts and labels in the same order have the same digest."""
        sha = hashlib.sha256()
        for column in (self.text, self.text_pair or ()):
            sha.update(f"{len(column)};".encode())
            for text in column:
                encoded = text.encode()
                sha.update(f"{len(encoded)}:".encode() + encoded)
        sha.update(self.label.astype("<i8").tobytes())
        return sha.hexdigest()
