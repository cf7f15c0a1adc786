"""What all tests share: how thoroughly properties are tried."""

from hypothesis import HealthCheck, settings

# No deadline: a busy machine is no failure.
settings.register_profile("seks", deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("seks")
