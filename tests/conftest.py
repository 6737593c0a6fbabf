"""How Hypothesis runs here: on slow and busy machines too."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "nngraph", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("nngraph")
