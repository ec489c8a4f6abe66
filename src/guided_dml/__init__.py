"""Guided Deep Metric Learning: from raw images to a scored student, as a Kedro project."""

__version__ = "0.1.0"
