"""The page of a best model, which needs no torch."""

from __future__ import annotations

from typing import Any


def card(facts: dict[str, Any], chosen: str) -> str:
    """The page of a best model; as :meth:`seedgrid.training.contract.Training.card`."""
    return f"""---
library_name: transformers
pipeline_tag: text-classification
---
# {facts["model"]} fine-tuned on {facts["task"]}

| | |
|---|---|
| task | {facts["task"]} |
| score | {facts["metric"]} {facts["score"]:.4f} on the validation set |
| seeds | init {facts["init"]}, order {facts["order"]}, dropout {facts["dropout"]} |
| weights after | step {facts["step"]}, epoch {facts["epoch"]:.2f} |
| chosen | the best evaluation of {chosen}, which differ in nothing but their seeds |

The score was used to choose, so it overstates what new data will show.

```python
from transformers import pipeline

classify = pipeline("text-classification", model="best_model")
classify("A text.", truncation=True)  # of two texts: classify({{"text": "...", "text_pair": "..."}}, truncation=True)
```
"""
