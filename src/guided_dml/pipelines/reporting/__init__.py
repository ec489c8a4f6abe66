"""The scoreboard of a comparison in; its tables, figures and atlas out."""

from guided_dml.pipelines.reporting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
