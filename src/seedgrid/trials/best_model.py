"""The best validated weights of a sweep so far, in a folder as the users of such a model know it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock

from seedgrid.errors import InputError
from seedgrid.files import write_whole
from seedgrid.scale import Scale
from seedgrid.seeds import Seeds
from seedgrid.training.contract import Run, Training

FOLDER, WEIGHTS = "best_model", "model.safetensors"


def keep_if_best(sweep: Path, run: Run, card: str, facts: dict[str, Any], weights: dict[str, Any]) -> None:
    """Put weights into ``<sweep>/best_model`` if no trial reached a better score yet.

    The weights and the facts about them are one file, replaced in one go, so that the folder always holds one whole
    model, whatever is killed when. Equal scores: the smaller seeds, then the earlier step, so that the order in which
    workers finish does not choose.

    Args:
        sweep: its folder.
        run: what the weights are of.
        card: the folder's page.
        facts: ``score``, ``metric``, ``direction``, ``task``, ``model``, ``init``, ``order``, ``dropout``, ``step``,
            ``epoch``.
        weights: as :meth:`Run.weights` gave them at that score.
    """
    folder = sweep / FOLDER
    with FileLock(sweep / ".cache" / "best_model.lock"):
        if not is_better(facts, folder):
            return
        for part in folder.glob(".*.part"):  # of a process that was killed while it wrote
            part.unlink()
        if not (folder / WEIGHTS).exists():
            beside = folder.with_name(f".{FOLDER}.part")
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir()
            run.furnish(beside)
            if folder.exists():  # an earlier process was killed before it wrote the weights
                shutil.rmtree(folder)
            beside.rename(folder)
        write_whole(folder / WEIGHTS, lambda file: file.write(_serialized(run.whole(weights), facts)))
        write_whole(folder / "README.md", lambda file: file.write(card.encode()))


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


def write_card(sweep: Path, training: Training, trials: int) -> None:
    """Rewrite the model's page at the end of a sweep, with the number of trials that the best one was chosen from."""
    folder = sweep / FOLDER
    with FileLock(sweep / ".cache" / "best_model.lock"):
        facts = read_facts(folder)
        if facts is not None:
            write_whole(
                folder / "README.md", lambda file: file.write(training.card(facts, f"{trials} trials").encode())
            )


def _rank(facts: dict[str, Any]) -> tuple:
    scale = Scale.of(facts["metric"], facts.get("direction", "max"))
    return (scale.turned(facts["score"]), *(-facts[name] for name in (*Seeds.model_fields, "step")))


def _serialized(weights: dict[str, Any], facts: dict[str, Any]) -> bytes:
    from safetensors.torch import save

    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    return save(on_cpu, metadata={"format": "pt", "seedgrid": json.dumps(facts)})
