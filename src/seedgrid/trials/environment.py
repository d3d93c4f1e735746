"""What libraries read from the environment must not change a trial; nothing but its configuration may.

Refused here is what PyTorch's mathematical libraries read when they are loaded: later nobody can undo it. The rest is
undone in :mod:`seedgrid.training.process` and :mod:`seedgrid.training.lone_trainer`.
"""

from __future__ import annotations

import os

from seedgrid.errors import InputError

# Which instructions, kernels and precision they compute with: other bits for the same seeds.
_ARITHMETIC = (
    "ATEN_CPU_CAPABILITY",
    *("MKL_CBWR", "MKL_DISABLE_FAST_MM", "MKL_ENABLE_INSTRUCTIONS"),
    *(f"{prefix}_{name}" for prefix in ("ONEDNN", "DNNL") for name in ("DEFAULT_FPMATH_MODE", "MAX_CPU_ISA")),
    *("TORCH_MKLDNN_MATMUL_MIN_DIM", "TORCH_MKLDNN_MATMUL_MIN_SIZE"),
    *("TORCH_LINEAR_FLATTEN_3D", "TORCH_BLAS_PREFER_CUBLASLT", "CUBLASLT_WORKSPACE_SIZE", "NVIDIA_TF32_OVERRIDE"),
)
_THREADS = ("OMP_DYNAMIC", "OMP_THREAD_LIMIT")  # fewer threads than trainer.threads says


def refuse_other_arithmetic(threads: int) -> None:
    """Raise InputError where the environment makes libraries compute otherwise than the configuration says.

    Args:
        threads: CPU threads of a trial.
    """
    for name in (*_ARITHMETIC, *(_THREADS if threads > 1 else ())):
        value = os.environ.get(name)
        if value:
            raise InputError(
                f"{name}={value}: this environment variable changes the numbers of trials behind their configuration;"
                f" unset {name}"
            )
