"""Content and product categories, and the taxonomies they are numbered in.

An advertiser's `categories` are IAB Content 1.0 (`IAB11-4`), where a category's children begin
with its own id. The other taxonomies (AdCOM, list "Category Taxonomies": 2 is Content 2.0, 7 Content
3.0, 8 Ad Product 2.0 and so on) number theirs without a system, and we carry no table of them: an ad
is in those that its `other_categories` say, and no parent is known.

A category is written as one text everywhere: `IAB11-4`, or taxonomy and id, `7:483`.
"""

from collections.abc import Iterable, Mapping

CONTENT_1 = 1
_CONTENT_1_PREFIX = "IAB"


def category_key(text: str, taxonomy: int) -> str:
    """Return how a category is written here; an IAB id is one of Content 1.0 whatever is claimed."""
    text = text.strip()
    # A block must not be lost to a spelling.
    in_capitals = text.upper()
    return in_capitals if in_capitals.startswith(_CONTENT_1_PREFIX) else f"{taxonomy}:{text}"


def taxonomy_of(key: str) -> int:
    """Return the number of the taxonomy that a category is in."""
    return CONTENT_1 if key.startswith(_CONTENT_1_PREFIX) else int(key.partition(":")[0])


def parent(key: str) -> str:
    """Return the category above one of Content 1.0; what has none known above it, itself."""
    return key.partition("-")[0] if key.startswith(_CONTENT_1_PREFIX) else key


def all_keys(categories: Iterable[str], others: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return everything an ad is declared to be, from `categories` and `other_categories`."""
    return (*categories, *(f"{taxonomy}:{id_}" for taxonomy, ids in others.items() for id_ in ids))
