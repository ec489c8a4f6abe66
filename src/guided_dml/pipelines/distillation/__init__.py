"""Teacher embeddings in; the student, a model for unseen images, out."""

from guided_dml.pipelines.distillation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
