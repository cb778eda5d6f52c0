"""Nothing but what every test needs: pytest's own tester is loaded by `addopts`."""
