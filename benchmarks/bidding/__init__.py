"""How well the engine bids: its own controller, prices and landscapes, replayed on real auctions.

    python -m benchmarks.bidding [--json] [--report FILE.html] [--data DIR] [--only E1,E4]

Each protocol is a module with a `run(data, small=False)` that returns `benchmarks.bidding.results.Result`:
its cells, each with the figure that is to be reached, and the curves a reader would want to see. What is
replayed is always a function the engine itself runs, never a copy. The data is not ours and lies beside the
project (`benchmarks.bidding.auctions`); a protocol whose file is absent is skipped, and says so.
"""
