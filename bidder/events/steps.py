"""The steps of a notice: remembered once, then each done once, also when Redis fails between two of them.

    news = await once(steps_done, remember, *steps)

That a notice came is a bit in Redis (`remember`), set before its stream entry and caps are written, which
are in other slots of a Cluster. A notice that Redis failed after that bit would be taken for its own repeat
when it comes again. So a PartlyDoneError says how many of its steps were done, and whoever brings the notice
again says so. Only a step whose reply was lost is done twice; or, of the bit, none is.
"""

from collections.abc import Awaitable, Callable

import redis


class PartlyDoneError(redis.RedisError):
    """Redis failed in the middle of a notice, after `steps_done` of its steps."""

    def __init__(self, steps_done: int, cause: redis.RedisError) -> None:
        super().__init__(str(cause))
        self.steps_done = steps_done


async def once(
    steps_done: int, remember: Callable[[], Awaitable[bool]], *steps: Callable[[], Awaitable[None]]
) -> bool:
    """Do the steps of a notice that comes for the first time, as `remember`, the first step, says.

    Those done by an earlier try are left out. Returns whether it was the first time. Raises
    redis.RedisError, as PartlyDoneError once it is remembered.
    """
    # Asked in any case: a server that has lost its last second must learn of it again.
    if not await remember() and not steps_done:
        return False
    for done, step in enumerate(steps, 1):
        if done < steps_done:
            continue
        try:
            await step()
        except redis.RedisError as error:
            raise PartlyDoneError(done, error) from error
    return True
