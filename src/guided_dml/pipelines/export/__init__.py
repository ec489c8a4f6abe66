"""A trained network in; what predicts without the project out."""

from guided_dml.pipelines.export.pipeline import create_pipeline

__all__ = ["create_pipeline"]
