"""How kernels are compiled, and when what was compiled is out of date.

    @kernel
    def count(users, clauses): ...

A kernel is compiled on its first call and kept on disk, so that only the first start of an
installation waits for it. Numba notices when the file of a kernel changes, but not when one that it
inlines from another file does, or a constant that was folded in: the old code would go on running.
So the folder that holds the compiled code is named by the state of every source file a kernel could
draw on. It lies beside the sources, or in the folder that NUMBA_CACHE_DIR names; where it can't be
written, Numba keeps its code in the user's cache folder.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import numba

_ROOT = Path(__file__).resolve().parent.parent
_SOURCES = ("config", "pacing", "segments", "bidder/decision")

_P = ParamSpec("_P")
_R = TypeVar("_R", covariant=True)


class Kernel(Protocol[_P, _R]):
    """A compiled function; `py_func` is the same one as plain Python."""

    py_func: Callable[..., Any]

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...


def _state_of_sources() -> str:
    state = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    for folder in _SOURCES:
        for path in sorted((_ROOT / folder).glob("*.py")):
            stat = path.stat()
            state.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns};".encode())
    return state.hexdigest()


numba.config.CACHE_DIR = str(  # type: ignore[attr-defined] # numba sets its config at run time
    Path(os.environ.get("NUMBA_CACHE_DIR") or _ROOT / "config" / "__pycache__")
    / f"kernels-{_state_of_sources()}"
)


def kernel(function: Callable[_P, _R]) -> Kernel[_P, _R]:
    """Compile a function of arrays and scalars."""
    return cast(Kernel[_P, _R], numba.njit(cache=True, nogil=True)(function))


def inlined(function: Callable[_P, _R]) -> Kernel[_P, _R]:
    """Compile a function as part of every kernel that calls it.

    Passing a dozen arrays, of seven words each, costs more than most functions do with them.
    """
    return cast(Kernel[_P, _R], numba.njit(cache=True, nogil=True, forceinline=True)(function))
