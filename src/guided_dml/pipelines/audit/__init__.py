"""Labelled images in; likely wrong labels, duplicates and leaks out."""

from guided_dml.pipelines.audit.pipeline import create_pipeline

__all__ = ["create_pipeline"]
