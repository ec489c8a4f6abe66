"""The teacher-embeddings pipeline."""

from kedro.pipeline import Node, Pipeline

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
    return Pipeline(
        [
            Node(
                embed_with_gemini,
                [
                    "gemini_weights",
                    "train_images",
                    "normalisation",
                    "split",
                    "params:gemini",
                    "params:student.embedding_dimension",
                    "params:data.raw_pixel_training",
                    "params:compute",
                ],
                "teacher_embeddings",
                name="embed_with_gemini",
                tags="train",
            ),
            Node(
                assess_teacher,
                ["teacher_embeddings", "triplets", "split", "params:gemini.margin"],
                "gemini_scores",
                name="assess_teacher",
                tags="score",
            ),
            Node(
                draw_teacher,
                ["teacher_embeddings", *CALLED],
                ["teacher_figure", "teacher_plot"],
                name="draw_teacher",
                tags="figures",
            ),
            Node(
                write_teacher_page,
                ["teacher_embeddings", "train_images", *CALLED, "params:page"],
                "teacher_page",
                name="write_teacher_page",
                tags="figures",
            ),
        ]
    )
