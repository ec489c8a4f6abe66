"""The pipelines that `kedro run --pipelines=NAME` knows."""

from kedro.pipeline import Pipeline

from guided_dml.pipelines import (
    distillation,
    evaluation,
    gemini,
    ingestion,
    teacher_embeddings,
    triplets,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline by its name; `__default__` is the whole guided way."""
    steps = {
        "ingestion": ingestion.create_pipeline(),
        "triplets": triplets.create_pipeline(),
        "gemini": gemini.create_pipeline(),
        "teacher_embeddings": teacher_embeddings.create_pipeline(),
        "distillation": distillation.create_pipeline(),
        "evaluation": evaluation.create_pipeline(method="guided"),
    }
    return steps | {"__default__": sum(steps.values(), Pipeline([]))}
