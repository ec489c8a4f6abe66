"""Labelled images in; a network trained with a baseline's loss out."""

from guided_dml.pipelines.baselines.pipeline import create_pipeline

__all__ = ["create_pipeline"]
