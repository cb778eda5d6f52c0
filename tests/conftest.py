"""Nothing but what every test needs: pytest's own tester is loaded by `addopts`."""

from hypothesis import settings

# A busy machine is no failure of what is tested.
settings.register_profile("without-a-clock", deadline=None)
settings.load_profile("without-a-clock")
