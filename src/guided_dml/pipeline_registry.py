"""The pipelines that `kedro run --pipelines=NAME` knows."""

from kedro.pipeline import Pipeline

from guided_dml.parameters import BASELINES
from guided_dml.pipelines import (
    baselines,
    distillation,
    evaluation,
    gemini,
    ingestion,
    reporting,
    teacher_embeddings,
    triplets,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline by its name; `__default__` is the whole guided way.

    A baseline's pipeline trains and evaluates it; `baselines` are all of them.
    """
    steps = {
        "ingestion": ingestion.create_pipeline(),
        "triplets": triplets.create_pipeline(),
        "gemini": gemini.create_pipeline(),
        "teacher_embeddings": teacher_embeddings.create_pipeline(),
        "distillation": distillation.create_pipeline(),
        "evaluation": evaluation.create_pipeline(method="guided"),
    }
    methods = {
        method: baselines.create_pipeline(method) + evaluation.create_pipeline(method)
        for method in BASELINES
    }
    return {
        **steps,
        **methods,
        "baselines": sum(methods.values(), Pipeline([])),
        "reporting": reporting.create_pipeline(),
        "__default__": sum(steps.values(), Pipeline([])),
    }
