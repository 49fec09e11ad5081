"""The parts `gates` and `classifiers`, which evaluate rows at different steps in one call."""
