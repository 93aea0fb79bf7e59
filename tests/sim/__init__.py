"""Seeded trials of the money in virtual time: `make sim TRIALS=1000`, and `make sim SEED=7` for one again.

clock       virtual time, and coroutines that wait in it
world       what a trial is made of, drawn from its seed
server      the ledger's side: the naive twin behind a network that delays, loses, repeats, pauses, dies
fleet       the workers: the real `LeaseBook` and `LeaseSync`, killed, restarted and cut off
exchange    auctions and bills: late, repeated, out of order, dropped; its own books
controller  the hold-back for late bills, by the real rule
caps        frequency caps, by the real kernels, with people who ask in bursts
trial       one trial put together, held to its guarantees, and its figures
"""
