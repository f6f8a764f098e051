"""Training from a recipe, with Lightning (extra `train`)."""
