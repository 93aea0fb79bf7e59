"""Hostile input, drawn at random, against everything that reads from the outside.

    make fuzz                              a minute of it
    python -m tests.fuzz --seconds 3600    as long as you like

`tests.fuzz.targets` says what is fuzzed and what may come of it. The suite runs a few hundred draws of each
target (`tests/port/test_fuzz.py`, `tests/events/test_fuzz.py`); this runs until the time is up and ends with
a line of what ran. What fails is printed with the seed of its draw.
"""
