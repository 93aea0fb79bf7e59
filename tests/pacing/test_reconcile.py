"""The audit of the ledger against its bills, and the log of changes."""

import redis.asyncio

from config import redis_keys
from config.limits import CHANGE_TEXT_CHARS_MAX
from config.money import BILLION
from pacing import reconcile
from pacing.bills import bills_between, stream_state
from pacing.change_log import LoggedChange, latest, record
from pacing.ledger import Ledger
from pacing.reconcile import Audit, Checkpoint

CODE = 0xC0FFEE
PRICE = 2_500_000
LINE_ITEM = 0xBEEF


class Books:
    """A ledger with one campaign, which is billed and audited."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client
        self.ledger = Ledger(client)
        self.minute = 0
        self.sequence = 0

    async def open(self) -> None:
        await self.ledger.register(CODE, "spring", 100 * BILLION, None, "UTC")
        seconds, _ = await self.client.time()
        self.minute = seconds // 60

    async def bill(self, count: int = 1) -> None:
        for _ in range(count):
            self.sequence += 1
            entry = {"bid": f"1-{self.minute}-{self.sequence}"}
            day, expiry_s = self.minute // 1_440, self.minute * 60 + 70
            await self.ledger.settle(
                CODE, 1, self.minute, self.sequence, PRICE, 5_000_000, day, expiry_s, entry
            )

    async def audit(self) -> Audit:
        found = await reconcile.audit(self.client, self.ledger, CODE, 1_000.0)
        assert found is not None
        return found


async def books_of(client: redis.asyncio.Redis) -> Books:
    books = Books(client)
    await books.open()
    return books


async def test_what_is_spent_is_the_sum_of_bills_and_adjustments_from_audit_to_audit(
    redis_client: redis.asyncio.Redis,
) -> None:
    books = await books_of(redis_client)
    assert (await books.audit()).faults == ()
    for _ in range(3):
        await books.bill(5)
        assert await books.ledger.adjust(CODE, f"a{books.sequence}", -1_000_000, "a credit note")
        found = await books.audit()
        assert (found.faults, found.mismatch, found.since_s) == ((), 0, 0)
    assert found.spent == 15 * PRICE - 3_000_000 == found.billed


async def test_bills_that_were_trimmed_after_they_were_added_up_are_remembered(
    redis_client: redis.asyncio.Redis,
) -> None:
    books = await books_of(redis_client)
    await books.bill(10)
    await books.audit()
    await redis_client.xtrim(redis_keys.bills(CODE), maxlen=2, approximate=False)
    await books.bill(3)
    found = await books.audit()
    assert (found.faults, found.billed, found.since_s) == ((), 13 * PRICE, 0)


async def test_bills_trimmed_unseen_make_the_audit_begin_anew_and_say_since_when(
    redis_client: redis.asyncio.Redis,
) -> None:
    books = await books_of(redis_client)
    await books.bill(10)
    await redis_client.xtrim(redis_keys.bills(CODE), maxlen=2, approximate=False)
    found = await books.audit()
    assert (found.faults, found.billed, found.since_s) == ((), 10 * PRICE, 1_000)
    await books.bill()
    found = await books.audit()
    assert (found.faults, found.billed, found.since_s) == ((), 11 * PRICE, 1_000)


async def test_a_difference_is_found_whichever_side_is_wrong_and_stays_until_it_is_accepted(
    redis_client: redis.asyncio.Redis,
) -> None:
    books = await books_of(redis_client)
    await books.bill(4)
    await books.audit()
    # Money that no bill explains.
    await redis_client.hincrby(redis_keys.ledger(CODE), "spent", 7)
    for _ in range(2):
        found = await books.audit()
        assert found.mismatch == 7
        assert "spring says 0.010000007 is spent, and its bills come to 0.01" in found.faults
        await books.bill(0)
    assert await reconcile.accept(redis_client, CODE, 2_000.0) == 7
    found = await books.audit()
    assert (found.faults, found.since_s) == ((), 2_000)
    # A bill that no account knows.
    await redis_client.xadd(redis_keys.bills(CODE), {"bid": "1-1-1", "price_cpm_micros": "30"})
    assert (await books.audit()).mismatch == -30


async def test_a_stream_that_was_lost_is_a_difference(redis_client: redis.asyncio.Redis) -> None:
    books = await books_of(redis_client)
    await books.bill(4)
    await books.audit()
    await redis_client.delete(redis_keys.bills(CODE))
    await books.bill()
    found = await books.audit()
    assert (found.mismatch, found.since_s) == (4 * PRICE, 1_000)


async def test_every_account_is_audited_in_the_config_or_not(redis_client: redis.asyncio.Redis) -> None:
    books = await books_of(redis_client)
    await books.ledger.register(7, "autumn", BILLION, None, "UTC")
    audits = await reconcile.audit_all(redis_client, books.ledger, 1_000.0)
    assert [audit.account.campaign_id for audit in audits] == ["autumn", "spring"]
    assert await reconcile.audit(redis_client, books.ledger, 8, 1_000.0) is None
    assert await reconcile.accept(redis_client, 8, 1_000.0) is None


async def test_a_line_items_own_account_is_held_against_its_bills(redis_client: redis.asyncio.Redis) -> None:
    books = await books_of(redis_client)
    own = LINE_ITEM << 32 | CODE
    await books.ledger.register_line_item(own, "spring-banner", 10 * BILLION, None, "UTC")
    expiry_s = books.minute * 60 + 70
    bill = (CODE, 1, books.minute, 1, PRICE, 5_000_000, books.minute // 1_440, expiry_s, {"bid": "1"})
    await books.ledger.settle(*bill, line_item=LINE_ITEM)
    await books.ledger.adjust(CODE, "note", -1_000_000, "a credit note", line_item=LINE_ITEM)
    (found,) = await reconcile.audit_all(redis_client, books.ledger, 1_000.0)
    assert found.faults == ()
    await redis_client.hincrby(redis_keys.ledger(own), "spent", 7)
    await redis_client.hincrby(redis_keys.ledger(own), "leased", 5)
    (found,) = await reconcile.audit_all(redis_client, books.ledger, 1_000.0)
    (sides, bills) = found.faults
    assert sides.startswith("the account of spring-banner does not add up")
    assert bills == (
        "spring-banner of spring says 0.001500007 is spent of its own budget, and its bills come to 0.0015"
    )
    assert (found.mismatch, found.of_line_items) == (0, 7)
    await redis_client.hincrby(redis_keys.ledger(own), "leased", -5)
    assert await reconcile.accept(redis_client, CODE, 2_000.0) == 0
    (found,) = await reconcile.audit_all(redis_client, books.ledger, 1_000.0)
    assert (found.faults, found.of_line_items) == ((), 0)


async def test_bills_are_read_in_pages_from_one_entry_to_another(redis_client: redis.asyncio.Redis) -> None:
    books = await books_of(redis_client)
    await books.bill(9)
    entries = [bill async for page in bills_between(redis_client, CODE) for bill in page]
    assert [bill.minute for bill in entries] == [books.minute] * 9
    middle = [
        bill.entry_id
        async for page in bills_between(redis_client, CODE, entries[2].entry_id, entries[6].entry_id)
        for bill in page
    ]
    assert middle == [bill.entry_id for bill in entries[3:7]]
    state = await stream_state(redis_client, CODE)
    assert (state.added, state.length, state.is_whole) == (9, 9, True)
    assert Checkpoint().last_id < state.last_id == entries[-1].entry_id


async def test_the_log_keeps_changes_in_order_and_cuts_what_is_too_long(
    redis_client: redis.asyncio.Redis,
) -> None:
    await record(redis_client, [])
    first = LoggedChange(by="a@h", action="pause", campaign="spring")
    second = LoggedChange(by="b" * 1_000, action="config", campaign="x", what="budget", before="1", after="2")
    await record(redis_client, [first, second])
    (_, one), (_, two) = await latest(redis_client, 10)
    assert one == first
    assert (two.by, two.after) == ("b" * CHANGE_TEXT_CHARS_MAX, "2")
    assert [change for _, change in await latest(redis_client, 1)] == [two]
