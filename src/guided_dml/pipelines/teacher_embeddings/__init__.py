"""GEMINI in; its embeddings of the training set, the reduced hypothesis space, out."""

from guided_dml.pipelines.teacher_embeddings.pipeline import create_pipeline

__all__ = ["create_pipeline"]
