"""A trained network in; its embeddings, scores and figures out."""

from guided_dml.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
