"""`make fuzz`: what an attacker or a host sends, mutated, against rules that must hold for every input.

A target takes bytes and raises where a rule doesn't hold. None of them needs a proxy or a network. `seeds` says what
the inputs look like; `python -m tests.fuzz TARGET FILE` runs one again.
"""
