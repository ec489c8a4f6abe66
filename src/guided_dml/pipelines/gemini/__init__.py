"""Triplets in; GEMINI, the master, out."""

from guided_dml.pipelines.gemini.pipeline import create_pipeline

__all__ = ["create_pipeline"]
