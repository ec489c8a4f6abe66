"""A trained network in; what shifted, strange and unseen images do to it out."""

from guided_dml.pipelines.robustness.pipeline import create_pipeline

__all__ = ["create_pipeline"]
