"""How long a test waits for what is to come.

A wait ends when what it waits for is there, so this bounds a hang and nothing else: a machine several times
slower than the one a test was written on, and busy besides, still comes in time.
"""

from typing import Final

SECONDS_MAX: Final = 240
