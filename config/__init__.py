"""What a campaign manager writes and an operator sets: schema, loading, checking, money, limits.

The lowest layer: it imports none of the other packages.
"""
