"""How kernels are compiled, and when what was compiled is out of date.

    @kernel
    def count(users, clauses): ...

A kernel is compiled on its first call and kept on disk, so that only the first start of an
installation waits for it. Numba notices when the file of a kernel changes, but not when one that it
inlines from another file does, or a constant that was folded in: the old code would go on running.
So the folder that holds the compiled code is named by the state of every source file a kernel could
draw on. It lies beside the sources, or in the folder that NUMBA_CACHE_DIR names; where it can't be
written, Numba keeps its code in the user's cache folder.

Processes that start together would all compile the same; `compiled_once` lets one do it and the others wait.

Numba itself is imported by that first call as well. It takes most of a second and some 60 MB, and most
commands and the events process call no kernel, though they import what defines some.
"""

import fcntl
import functools
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, cast

_ROOT = Path(__file__).resolve().parent.parent
_SOURCES = ("config", "pacing", "segments", "bidder/decision")

_P = ParamSpec("_P")
_R = TypeVar("_R", covariant=True)
_making = threading.Lock()
"""The first call of a kernel may come from two threads at once."""


class Kernel(Generic[_P, _R]):
    """A function to be compiled when it is first called; `py_func` is the same one as plain Python."""

    def __init__(self, function: Callable[_P, _R], **options: bool) -> None:
        """`options` are those of `numba.njit`."""
        self.py_func = function
        self._options = options
        self._compiled: Callable[_P, _R] | None = None

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        compiled = self._compiled
        if compiled is None:
            compiled = self._made()
        return compiled(*args, **kwargs)

    @property
    def signatures(self) -> list[Any]:
        """What it has been compiled for: the types of its arguments, once for each kind of call."""
        return cast(list[Any], cast(Any, self._made()).signatures)

    @property
    def _numba_type_(self) -> Any:
        """What Numba asks a global for that it finds in another kernel."""
        return cast(Any, self._made())._numba_type_

    def _made(self) -> Callable[_P, _R]:
        with _making:
            if self._compiled is None:
                self._compiled = _numba().njit(cache=True, nogil=True, **self._options)(self.py_func)
            return self._compiled


def kernel(function: Callable[_P, _R]) -> Kernel[_P, _R]:
    """Compile a function of arrays and scalars."""
    return Kernel(function)


def inlined(function: Callable[_P, _R]) -> Kernel[_P, _R]:
    """Compile a function as part of every kernel that calls it.

    Passing a dozen arrays, of seven words each, costs more than most functions do with them.
    """
    return Kernel(function, forceinline=True)


def compiled_once(warm_up: Callable[[], None]) -> None:
    """Call what compiles kernels; while another process does so first, wait, and load what it compiled."""
    folder = Path(_numba().config.CACHE_DIR)
    done = folder / "done"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError:
        # Numba keeps its code elsewhere, and each process may compile.
        warm_up()
        return
    with lock:
        if not done.exists():
            # Until it is closed, or this process ends.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                warm_up()
                done.touch()
                return
    warm_up()


@functools.cache
def _numba() -> Any:
    import numba

    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or _ROOT / "config" / "__pycache__")
    compiled = str(folder / f"kernels-{_state_of_sources(numba.__version__)}")
    numba.config.CACHE_DIR = compiled  # type: ignore[attr-defined] # it sets its config at run time
    return numba


def _state_of_sources(version: str) -> str:
    state = hashlib.blake2b(version.encode(), digest_size=8)
    for folder in _SOURCES:
        for path in sorted((_ROOT / folder).glob("*.py")):
            stat = path.stat()
            state.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns};".encode())
    return state.hexdigest()
