"""The targets hold for their seeds, and for some mutations of them; `make fuzz` tries more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import TARGETS

CASES = [(name, seed) for name in TARGETS for seed in SEEDS[name]]


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_seeds(name: str, seed: bytes) -> None:
    """What every fuzzer begins with breaks no rule."""
    TARGETS[name](seed)


@given(st.sampled_from(CASES), st.integers(0, 200), st.integers(0, 8), st.binary(max_size=8))
def test_mutations(case: tuple[str, bytes], place: int, gone: int, instead: bytes) -> None:
    """Nor does what differs from it in a few bytes."""
    name, seed = case
    TARGETS[name](seed[:place] + instead + seed[place + gone :])
