"""Who of several processes does a thing that only one may do: a Redis key with a time to live.

    election = Election(client, CONTROLLER_LEASE, "host-1", lease_s)
    if await election.elected(take_up):      # as often as there is something to do
        ...                                  # long work
        if await election.renewed():         # only who still holds the lease speaks
            ...
    await election.resign()

A leader that dies, or is silent for `lease_s`, is replaced by whoever asks next.
"""

import contextlib
import secrets
from collections.abc import Awaitable, Callable

import redis.asyncio
from redis.asyncio.lock import Lock
from redis.exceptions import LockError


async def _nothing() -> None:
    """There is nothing to take up."""


class Election:
    """One candidate for an office. Its methods raise redis.RedisError."""

    def __init__(self, client: redis.asyncio.Redis, key: bytes, owner: str, lease_s: float) -> None:
        """`owner` names this process for people who look at the lease in Redis."""
        # Two processes with one name, or one that restarted, must not take each other's lease for theirs.
        self._token = f"{owner} {secrets.token_hex(8)}"
        self._lease = Lock(client, key, timeout=lease_s, blocking=False, thread_local=False)
        self.leading = False

    async def elected(self, take_up: Callable[[], Awaitable[None]] = _nothing) -> bool:
        """Renew the lease, or take one that nobody has; say whether this is the leader.

        `take_up` is called at the beginning of a term, to go on where the last leader stopped. Who fails in
        it does not lead.
        """
        if self.leading and await self.renewed():
            return True
        if not await self._lease.acquire(token=self._token):
            return False
        await take_up()
        self.leading = True
        return True

    async def renewed(self) -> bool:
        """Renew the lease; say whether this still leads."""
        try:
            await self._lease.reacquire()
        except LockError:
            self.leading = False
        return self.leading

    async def resign(self) -> None:
        """Give up the lease, if this is the leader, so that another takes over when it asks."""
        if self.leading:
            self.leading = False
            with contextlib.suppress(LockError):
                await self._lease.release()
