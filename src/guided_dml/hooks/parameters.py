"""Parameters and the runner are checked before anything is read; all steps keep to the threads."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.pipeline import Node, Pipeline

from guided_dml.errors import InputError, counted, known
from guided_dml.methods import METHODS
from guided_dml.parameters import Parameters, validated
from guided_dml.robustness.names import MADE_SETS, chosen_families, sets_in
from guided_dml.robustness.protocol import check_protocol
from guided_dml.run_options import check_runner, data_sets

logger = logging.getLogger(__name__)


class ParameterHooks:
    """Checks all parameters of a session, and its runner, and sets its threads."""

    def __init__(self) -> None:
        self._parameters: Parameters
        self._after_run = ExitStack()

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check all parameters, and the names in them."""
        loader = context.config_loader
        parameters = validated(loader["parameters"])
        self._parameters, robustness = parameters, parameters.robustness
        if parameters.evaluation.split == "validation" and not parameters.data.validation_share:
            raise InputError(
                "evaluation.split: 'validation' given, but there are no validation images; "
                "data.validation_share has to be above 0"
            )
        chosen_families(robustness.families)
        data_set = loader["globals"]["dataset"]
        sets = {*MADE_SETS, *data_sets(Path(loader.conf_source))} - {data_set}
        known("set in robustness.ood", sets_in(robustness.ood), sets)
        if robustness.domain == data_set:
            raise InputError(
                f"robustness.domain: {data_set!r} given, which is the data set itself; set it to "
                "null"
            )
        threads, cores = parameters.compute.threads or 1, os.cpu_count() or 1
        if threads > cores:
            logger.warning(
                "compute.threads: %d given, but this machine has %s; threads that wait for each "
                "other are many times slower",
                threads,
                counted(cores, "core"),
            )

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Check the runner, and what some steps need."""
        self._after_run.close()  # (another hook may have refused the run before)
        check_runner(run_params["runner"])
        inputs = pipeline.inputs()
        self._trains_student = "params:student" in inputs
        self._methods = [name for name in METHODS if f"params:{name}" in inputs]
        if self._trains_student:
            self._parameters.student.check_pretrained()
        if "params:compute" in inputs:
            self._set_threads()
        asked = run_params["pipeline_names"] or ()
        if any(name.startswith("robustness") for name in asked):
            check_protocol(self._parameters.evaluation)
        if any(name.startswith("export") for name in asked):
            self._check_export()

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Put the threads back."""
        self._after_run.close()

    on_pipeline_error = after_pipeline_run

    def _set_threads(self) -> None:
        """Let PyTorch, and so all steps, use ``compute.threads``; refuse what is not at hand."""
        from guided_dml.training.policy import Policy, on_threads

        threads = Policy.of(self._parameters.compute).threads
        self._after_run.enter_context(on_threads(threads))

    def _check_export(self) -> None:
        """Refuse, or tell, what an exported network does not do, as it has one image at a time."""
        if self._parameters.evaluation.batch_statistics:
            raise InputError(
                "evaluation.batch_statistics: true given; an exported network embeds each image "
                "alone, with the statistics of its training; set it to false"
            )
        if self._parameters.data.raw_pixel_training:
            logger.warning(
                "data.raw_pixel_training: the network has learned from pixels of 0-255, but what "
                "is exported normalises them, as the evaluation does; it will be poor"
            )

    @hook_impl(tryfirst=True)
    def before_node_run(self, node: Node, inputs: dict[str, Any]) -> None:
        """Refuse a network that cannot be built for the images before its teacher is trained."""
        if node.name == "train_gemini" and self._trains_student:
            from guided_dml.training.train import check_student

            shape, parameters = inputs["train_images"]["images"].shape[1:], self._parameters
            methods = [getattr(parameters, name) for name in self._methods]
            followers = [method for method in methods if method.follows_teacher]
            check_student(shape, parameters.student, followers)
