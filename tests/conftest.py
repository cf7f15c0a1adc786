"""What all tests share: how thoroughly properties are tried, and how failures are explained."""

import os

import pytest
from hypothesis import HealthCheck, settings

# What they assert is explained as what tests assert is.
pytest.register_assert_rewrite("tests.support", "tests.adversarial.harness")

# The programs that are started write as they do for everybody, through a buffer.
os.environ.pop("PYTHONUNBUFFERED", None)

# No deadline: a busy machine is no failure.
settings.register_profile("seks", deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("seks")
