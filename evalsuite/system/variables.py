"""Which environment variables child processes get, so that no score depends on the shell.

docs/reference/environment.md lists them.
"""

from __future__ import annotations

import os
import re

_SYSTEM = re.compile(
    r"PATH|HOME|USER|LOGNAME|TMPDIR|TEMP|TMP|TZ|LANG|LANGUAGE|LC_\w+|LD_LIBRARY_PATH|LD_PRELOAD"
    r"|VIRTUAL_ENV|XDG_\w+|PYTHON(PATH|HOME|PYCACHEPREFIX|DONTWRITEBYTECODE)|COV(ERAGE)?_\w+"
    r"|EVALSUITE_\w+|OPENAI_(API_KEY|ORG_ID|PROJECT_ID)|SSL_CERT_(FILE|DIR)"
    r"|(?i:(https?|all|no)_proxy)|(OMP|MKL|OPENBLAS)_NUM_THREADS|OMP_WAIT_POLICY|NLTK_DATA"
)
"""What a process that scores may inherit."""
_DEVICES = re.compile(r"(CUDA|NVIDIA|HIP|ROCR|ROCM|HSA)_\w+|SLURM_\w+")
"""What a process needs to use a device."""
_LESS_PRECISE = re.compile(
    r"NVIDIA_TF32_OVERRIDE|TORCH_ALLOW_TF32_CUBLAS_OVERRIDE|(ONEDNN|DNNL)_DEFAULT_FPMATH_MODE"
    r"|XLA_USE_BF16|XLA_DOWNCAST_BF16|USE_HUB_KERNELS|TRANSFORMERS_SDPA_FORCE_GQA"
    r"|(ACCELERATE|FSDP)_\w+|PYTHONOPTIMIZE"
)
"""What would let torch or transformers compute in another dtype or with other kernels."""
_ROUNDING = re.compile(
    r"(ATEN|CUBLAS|CUBLASLT|CUDNN|DNNL|KMP|MKL|ONEDNN|OPENBLAS|PYTORCH|TORCH"
    r"|TORCHINDUCTOR|TRANSFORMERS)_\w+|OMP_NUM_THREADS|CUDA_VISIBLE_DEVICES"
)
"""What can change the rounding of a result; run.json records it."""


def for_scoring(*, devices: bool = False) -> dict[str, str]:
    """The variables that a process with VLMEvalKit inherits; with those of `devices` or not."""
    return {
        name: value
        for name, value in os.environ.items()
        if _SYSTEM.fullmatch(name)
        or (devices and _DEVICES.fullmatch(name) and not _LESS_PRECISE.fullmatch(name))
    }


def for_predicting() -> dict[str, str]:
    """The variables that a worker inherits: all but those that make it less precise."""
    return {k: value for k, value in os.environ.items() if not _LESS_PRECISE.fullmatch(k)}


def recorded() -> dict[str, str]:
    """Variables of this process that can change the rounding of a result."""
    return {k: value for k, value in sorted(os.environ.items()) if _ROUNDING.fullmatch(k)}
