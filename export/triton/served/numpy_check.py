"""Refuse to load where NumPy 2 meets a backend built for NumPy 1, which reads arrays wrongly without an error.

Servers before 24.11 return the first element of an array in every place, and send arrays as zero bytes. Only a tensor
that came through DLPack shows this within one process; under NumPy 1, creating such a tensor would crash the process.
"""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils

_FIRST_VERSION = 2  # the first major version of NumPy whose arrays older backends misread
_MESSAGE = (
    "this server's Python backend reads arrays of NumPy {version} wrongly; "
    'install "numpy<2" in the server\'s Python, or use a server of release 24.11 or newer'
)


def check_numpy() -> None:
    """Raise TritonModelException if this server's backend does not support the installed NumPy."""
    if int(np.__version__.partition(".")[0]) >= _FIRST_VERSION and not _reads_correctly():
        raise pb_utils.TritonModelException(_MESSAGE.format(version=np.__version__))


def _reads_correctly() -> bool:
    values = np.arange(4, dtype=np.float32)
    try:
        return bool(np.array_equal(pb_utils.Tensor.from_dlpack("check", values).as_numpy(), values))
    except Exception:  # whatever the backend raises, it cannot exchange this array
        return False
