"""Raw images in; a checked training and test set, its split and its statistics out."""

from guided_dml.pipelines.ingestion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
