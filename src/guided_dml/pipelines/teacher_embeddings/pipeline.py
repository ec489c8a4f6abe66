"""The teacher-embeddings pipeline."""

from kedro.pipeline import Pipeline

from guided_dml.pipelines.steps import step
from guided_dml.pipelines.teacher_embeddings.nodes import (
    assess_teacher,
    draw_teacher,
    embed_with_gemini,
    write_teacher_page,
)

#: What is written beside what is drawn.
CALLED = ["image_names", "split", "classes", "gemini_history", "gemini_run"]


def create_pipeline() -> Pipeline:
    """Return the pipeline that exports what the teacher knows."""
    names = ["gemini", "student.embedding_dimension", "data.raw_pixel_training", "compute"]
    master = ["gemini_weights", "train_images", "normalisation", "split"]
    master += [f"params:{name}" for name in names]
    made, page = "teacher_embeddings", ["train_images", *CALLED, "params:page"]
    judged = [made, "triplets", "split", "params:gemini.margin"]
    return Pipeline(
        [
            step(embed_with_gemini, master, made, "train"),
            step(assess_teacher, judged, "gemini_scores", "score"),
            step(draw_teacher, [made, *CALLED], ["teacher_figure", "teacher_plot"], "figures"),
            step(write_teacher_page, [made, *page], "teacher_page", "figures"),
        ]
    )
