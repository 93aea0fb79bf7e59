"""A simulated exchange: traffic, auctions, notices, and books of its own. It speaks HTTP only."""
