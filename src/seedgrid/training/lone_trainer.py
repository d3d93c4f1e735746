"""Lightning's Trainer, for one trial by itself."""

from __future__ import annotations

import inspect
import os
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.plugins.environments import LightningEnvironment


def lone_trainer(**given: Any) -> pl.Trainer:
    """A Trainer of one process on one device, with its defaults for all that is not given, wherever it runs.

    By itself Lightning takes part in Slurm, torchrun, LSF, MPI and Kubeflow where it finds their variables, loads a
    ``hpc_ckpt_*.ckpt`` that lies in its root folder, and reads what is not given from ``PL_TRAINER_...``.

    The training is one pass over its batches; validation, checkpoints, loggers and all that is printed are the trial's.
    """
    defaults = {name: parameter.default for name, parameter in inspect.signature(pl.Trainer).parameters.items()}
    alone = {"plugins": [LightningEnvironment()], "default_root_dir": os.devnull, "use_distributed_sampler": False}
    own = {
        "max_epochs": 1,
        "limit_val_batches": 0,
        "enable_checkpointing": False,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return pl.Trainer(**defaults | alone | own | given)
