"""From a recipe to weights, on Lightning (extra `train`)."""
