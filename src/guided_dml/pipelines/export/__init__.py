"""A trained network in; what predicts without the project out."""
