"""The garbage collector of a worker, kept from stopping it for long.

What a request makes dies by reference count; the collector is there for the cycles that connections,
tasks and exceptions leave. Left alone it would, every few seconds, walk all that a worker has ever
remembered: prepared ads, offers, tables, some ten milliseconds each time. So:

    at the start, and after a config       what is there is frozen: never walked again
    twice a second, in the worker's tick   the young are collected, and who survives is frozen
    once an hour                           everything is thawed, collected and frozen again, so that
                                           cycles that froze while they were alive do not pile up

The oldest generation is never collected by itself. Measured over a load of 100 s: see docs/performance.md.
"""

import gc

FULL_SECONDS = 3_600.0
_YOUNG_THRESHOLDS = (700, 10)
_NEVER = 1 << 30
_YOUNG = 1


class Garbage:
    """Takes the collector over from `start` to `stop`."""

    def __init__(self) -> None:
        self._before = gc.get_threshold()
        self._full_at_s = 0.0

    def start(self, now_s: float) -> None:
        """Freeze what there is; `now_s` is any clock that only goes forward."""
        gc.set_threshold(*_YOUNG_THRESHOLDS, _NEVER)
        self._freeze_all(now_s)

    def tick(self, now_s: float) -> None:
        """Do what is due; twice a second or so."""
        if now_s >= self._full_at_s:
            gc.unfreeze()
            self._freeze_all(now_s)
        else:
            gc.collect(_YOUNG)
            gc.freeze()

    def stop(self) -> None:
        gc.set_threshold(*self._before)

    def _freeze_all(self, now_s: float) -> None:
        gc.collect()
        gc.freeze()
        self._full_at_s = now_s + FULL_SECONDS
