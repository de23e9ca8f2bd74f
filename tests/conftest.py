"""How much Hypothesis tries: `pytest --hypothesis-profile=thorough` tries for hours."""

from hypothesis import HealthCheck, settings

# what CI runs is the same every time: a failure there is the change's, not the day's
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile(
    "thorough",
    parent=settings.get_profile("ci"),
    derandomize=False,
    max_examples=100_000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci")
