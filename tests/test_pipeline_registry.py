from __future__ import annotations

from guided_dml.pipeline_registry import register_pipelines


def test_every_step_has_one_tag() -> None:
    steps = [node for pipeline in register_pipelines().values() for node in pipeline.nodes]
    assert {len(step.tags) for step in steps} == {1}
    assert {*steps[0].tags}.union(*(step.tags for step in steps)) == {
        "data",
        "train",
        "score",
        "figures",
        "report",
        "export",
        "inference",
    }
