"""The training set in; the fixed triplets that GEMINI learns from out."""

from guided_dml.pipelines.triplets.pipeline import create_pipeline

__all__ = ["create_pipeline"]
