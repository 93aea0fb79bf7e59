"""Kills in earnest: the whole engine as real processes, and kill -9 among them. `make kill-drill`.

auctions    the market prices that are replayed, from a file or drawn
market      an exchange over HTTP that bills late, twice, out of order, and again until it is heard
drill       the engine, the kills, and what the ledger says against the exchange's books
"""
