"""Which ad to bid, and at what price: pure, over whole batches. `decide.decide` is the one entry."""
