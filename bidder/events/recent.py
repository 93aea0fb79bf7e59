"""What Redis took in the last seconds: brought again to a server that may have forgotten it.

    recent = Recent(entries_max)
    recent.add(notice, now_s)                   # whenever Redis has taken one
    for notice in recent.forgotten(life):       # now and then: `life` is whose answer it was
        ...                                     # bring it again, or recent.drop(notice)
    recent.confirm(life, asked_s, now_s)

A server that writes its file once a second (`appendfsync everysec`) and fails with its machine comes back
without its last second; so does a replica that takes over a second behind. Either answers under another
run id than the one before. Bills of that second were acknowledged, so no exchange sends them again: the
events process does, and as every notice names its bid, what was not forgotten is a repeat.

Nothing leaves while the server is away: what is dropped was taken RECENT_SECONDS before a look that still
found the same server. A process that dies together with the server's machine takes its memory along.
"""

from collections import deque
from typing import Generic, TypeVar

from config.limits import RECENT_SECONDS

Item = TypeVar("Item")


class Recent(Generic[Item]):
    """The memory of one process; of more than `entries_max` items the oldest are dropped."""

    def __init__(self, entries_max: int) -> None:
        self._entries: deque[tuple[float, Item]] = deque(maxlen=entries_max)
        self._life: object = None

    def add(self, item: Item, now_s: float) -> None:
        """Remember what was taken just now."""
        self._entries.append((now_s, item))

    def drop(self, item: Item) -> None:
        """Forget one of what is remembered: somebody else sees to it."""
        for index, (_, held) in enumerate(self._entries):
            if held is item:
                del self._entries[index]
                return

    def forgotten(self, life: object) -> list[Item]:
        """Return what this server may not know: all that is remembered, if another took it; else nothing."""
        if self._life in (None, life):
            return []
        return [item for _, item in self._entries]

    def confirm(self, life: object, asked_s: float, now_s: float) -> None:
        """Note that this server was asked at `asked_s` and answered, and now knows what was `forgotten`."""
        if self._life not in (None, life):
            # The last of it was brought this moment, perhaps long after the question, and this server may
            # fail as the last one did.
            again = [(now_s, item) for _, item in self._entries]
            self._entries.clear()
            self._entries.extend(again)
        self._life = life
        while self._entries and self._entries[0][0] < asked_s - RECENT_SECONDS:
            self._entries.popleft()
