"""The best validated weights of a sweep so far, as an ordinary Hugging Face folder."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock

from seedgrid.errors import InputError
from seedgrid.files import write_whole
from seedgrid.seeds import Seeds
from seedgrid.training.text.data.tokens import tokenizer_files

FOLDER, WEIGHTS = "best_model", "model.safetensors"


def keep_if_best(
    sweep: Path,
    network,
    tokenizer_folder: Path,
    max_length: int,
    facts: dict[str, Any],
    weights: dict[str, Any] | None = None,
) -> None:
    """Put ``network`` into ``<sweep>/best_model`` if no trial reached a better score yet.

    The weights and the facts about them are one file, replaced in one go, so that the folder always holds one whole
    model, whatever is killed when. Equal scores: the smaller seeds, then the earlier step, so that the order in which
    workers finish does not choose.

    Args:
        network: a Transformers model.
        tokenizer_folder: where its tokenizer lies.
        max_length: word pieces after which an example is cut.
        facts: ``score``, ``metric``, ``task``, ``model``, ``init``, ``order``, ``dropout``, ``step``, ``epoch``.
        weights: its ``state_dict`` when it had that score; None: as it is now.
    """
    folder = sweep / FOLDER
    with FileLock(sweep / ".cache" / "best_model.lock"):
        if not is_better(facts, folder):
            return
        for part in folder.glob(".*.part"):  # of a process that was killed while it wrote
            part.unlink()
        if not (folder / WEIGHTS).exists():
            _create(folder, network, tokenizer_folder, max_length)
        write_whole(folder / WEIGHTS, lambda file: file.write(_serialized(network, weights, facts)))
        write_whole(folder / "README.md", lambda file: file.write(_card(facts).encode()))


def read_facts(folder: Path) -> dict[str, Any] | None:
    """The facts that were stored with the weights; None if there are none.

    Raises:
        InputError: the file is no such model, or not all of it.
    """
    path = folder / WEIGHTS
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
            facts = json.loads(header.pop("__metadata__")["seedgrid"])
            if 8 + size + max(tensor["data_offsets"][1] for tensor in header.values()) != path.stat().st_size:
                raise ValueError("truncated")
            return facts
    except (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise InputError(f"{path}: damaged ({type(error).__name__}); remove {folder} and run the sweep again") from None


def is_better(facts: dict[str, Any], folder: Path) -> bool:
    """Whether weights of these facts belong into ``folder``: there are none, or worse ones."""
    best = read_facts(folder)
    return best is None or _rank(facts) > _rank(best)


def write_card(sweep: Path, trials: int) -> None:
    """Rewrite the model card at the end of a sweep, with the number of trials that the best one was chosen from."""
    folder = sweep / FOLDER
    with FileLock(sweep / ".cache" / "best_model.lock"):
        facts = read_facts(folder)
        if facts is not None:
            write_whole(folder / "README.md", lambda file: file.write(_card(facts, trials).encode()))


def _rank(facts: dict[str, Any]) -> tuple:
    return (facts["score"], *(-facts[name] for name in (*Seeds.model_fields, "step")))


def _create(folder: Path, network, tokenizer_folder: Path, max_length: int) -> None:
    from transformers import AutoTokenizer

    from seedgrid.training.text.model.network import input_names, pads_left

    beside = folder.with_name(f".{FOLDER}.part")
    shutil.rmtree(beside, ignore_errors=True)
    config = copy.deepcopy(network.config)
    config.architectures = [type(network).__name__]
    config.save_pretrained(beside)
    for file in tokenizer_files(tokenizer_folder):
        shutil.copy(file, beside)
    # The tokenizer stays as it is, but gives by itself what the network was given: where its texts are cut, whether
    # their segments are told apart, on which side they are padded.
    path = beside / "tokenizer_config.json"
    own = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    own |= {
        "model_max_length": max_length,
        "model_input_names": input_names(network.config),
        "padding_side": "left" if pads_left(network.config) else "right",
    }
    path.write_text(json.dumps(own, indent=2))
    tokenizer = AutoTokenizer.from_pretrained(str(beside))
    if tokenizer.pad_token is None and config.pad_token_id is not None:
        path.write_text(json.dumps(own | {"pad_token": tokenizer.convert_ids_to_tokens(config.pad_token_id)}, indent=2))
    if folder.exists():  # an earlier process was killed before it wrote the weights
        shutil.rmtree(folder)
    beside.rename(folder)


def _serialized(network, weights: dict[str, Any] | None, facts: dict[str, Any]) -> bytes:
    from safetensors.torch import save

    from seedgrid.training.text.model.vocabulary import whole_state

    # Of weights that go by several names (T5's words), one; loading ties the others to it.
    names, once = (dict(network.named_parameters(remove_duplicate=each)) for each in (False, True))
    whole = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in whole_state(network, weights).items()
        if name in once or name not in names
    }
    return save(whole, metadata={"format": "pt", "seedgrid": json.dumps(facts)})


def _card(facts: dict[str, Any], trials: int | None = None) -> str:
    chosen = "the trials so far" if trials is None else f"{trials} trials"
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

classify = pipeline("text-classification", model="{FOLDER}")
classify("A text.", truncation=True)  # of two texts: classify({{"text": "...", "text_pair": "..."}}, truncation=True)
```
"""
