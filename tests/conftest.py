"""What all tests share: examples that hypothesis draws are the same in every run, and no example has a deadline."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("solfa", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("solfa")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach for the network
