"""New images in; what a trained network says of them out."""

from guided_dml.pipelines.inference.pipeline import create_pipeline

__all__ = ["create_pipeline"]
