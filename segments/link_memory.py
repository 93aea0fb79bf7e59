"""What a worker remembers of the links it has met (`segments.links`), for a minute.

    person = memory.person(id_hash)          # whom to look up: the id itself when no link is known
    memory.learn(id_hash, person)
    memory.age(now_s)                        # now and then

Two generations of a dictionary: what is learned goes to the young one, and when that is
LINK_MEMORY_SECONDS old, or full, it becomes the old one and the one before it is forgotten. So nothing is
remembered for more than twice that long, whether it is asked for or not: a link that was moved or
forgotten is out of use by then. Finding costs a look or two, and there is nothing to keep in order.
"""

from config.limits import LINK_MEMORY_IDS_MAX, LINK_MEMORY_SECONDS


class LinkMemory:
    """Partners' ids met of late, and whom they mean."""

    def __init__(self) -> None:
        self._young: dict[int, int] = {}
        self._old: dict[int, int] = {}
        self._born_s = 0.0

    def __bool__(self) -> bool:
        """Say whether any link is known."""
        return bool(self._young or self._old)

    def person(self, user_hash: int) -> int:
        """Return whom a hash means, as far as is remembered."""
        return self._young.get(user_hash) or self._old.get(user_hash, user_hash)

    def learn(self, id_hash: int, person: int) -> None:
        """Remember a link."""
        if len(self._young) >= LINK_MEMORY_IDS_MAX // 2:
            self._turn()
        self._young[id_hash] = person

    def age(self, now_s: float) -> None:
        """Forget what has been known for too long; call it more often than every LINK_MEMORY_SECONDS."""
        if now_s - self._born_s >= LINK_MEMORY_SECONDS:
            self._born_s = now_s
            self._turn()

    def _turn(self) -> None:
        self._young, self._old = {}, self._young
