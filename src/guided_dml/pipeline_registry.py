"""The pipelines that `kedro run --pipelines=NAME` knows."""

from kedro.pipeline import Pipeline

from guided_dml.pipelines import (
    distillation,
    evaluation,
    gemini,
    ingestion,
    reporting,
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
    whole = sum(steps.values(), Pipeline([]))
    return steps | {"reporting": reporting.create_pipeline(), "__default__": whole}
