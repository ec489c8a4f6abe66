"""Images and what a method learns from in; the student, a network for unseen images, out."""

from guided_dml.pipelines.student.pipeline import create_pipeline

__all__ = ["create_pipeline"]
