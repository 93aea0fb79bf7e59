"""The numbers that stand for ids in ledgers, notice tokens and frequency caps."""

import hashlib


def code_of(id_: str) -> int:
    """Return the 32-bit number that stands for an id in tokens, ledgers and caps; never 0.

    `config.check` refuses a folder in which two campaigns or two line items share a code.
    """
    return int.from_bytes(hashlib.blake2b(id_.encode(), digest_size=4).digest(), "big") or 1


def account_code(campaign_id: str, line_item_id: str) -> int:
    """Return the 64-bit number of the account of a line item with a budget of its own.

    The account of a campaign has the campaign's code. A line item that moves to another campaign spends
    from an account of that one.
    """
    return code_of(line_item_id) << 32 | code_of(campaign_id)
