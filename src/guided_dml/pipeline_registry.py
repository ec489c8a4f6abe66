"""The pipelines that `kedro run --pipelines=NAME` knows."""

from kedro.pipeline import Pipeline

from guided_dml.methods import METHODS, pipeline_of
from guided_dml.pipelines.audit import pipeline as audit
from guided_dml.pipelines.evaluation import pipeline as evaluation
from guided_dml.pipelines.export import pipeline as export
from guided_dml.pipelines.gemini import pipeline as gemini
from guided_dml.pipelines.inference import pipeline as inference
from guided_dml.pipelines.ingestion import pipeline as ingestion
from guided_dml.pipelines.reporting import pipeline as reporting
from guided_dml.pipelines.robustness import pipeline as robustness
from guided_dml.pipelines.student import pipeline as student
from guided_dml.pipelines.teacher_embeddings import pipeline as teacher_embeddings
from guided_dml.pipelines.triplets import pipeline as triplets

#: A pipeline of each of these for every method, which runs when it is asked for.
ON_DEMAND = {"audit": audit, "export": export, "inference": inference, "robustness": robustness}


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline by its name; `__default__` is the whole guided way.

    A method's pipeline trains and evaluates it; `baselines` are all that need no teacher. `audit`,
    `export`, `inference` and `robustness` are guided's, `export_triplet` another method's, and so
    on.
    """
    steps = {
        "ingestion": ingestion.create_pipeline(),
        "triplets": triplets.create_pipeline(),
        "gemini": gemini.create_pipeline(),
        "teacher_embeddings": teacher_embeddings.create_pipeline(),
        "distillation": student.create_pipeline("guided"),
        "evaluation": evaluation.create_pipeline("guided"),
    }
    methods = {
        method: student.create_pipeline(method) + evaluation.create_pipeline(method)
        for method in METHODS
    }
    on_demand = {
        pipeline_of(method, name): module.create_pipeline(method)
        for name, module in ON_DEMAND.items()
        for method in METHODS
    }
    baselines = [methods[name] for name in METHODS if not METHODS[name].follows_teacher]
    return {
        **steps,
        **methods,
        **on_demand,
        "baselines": sum(baselines, Pipeline([])),
        "reporting": reporting.create_pipeline(),
        "__default__": sum(steps.values(), Pipeline([])),
    }
