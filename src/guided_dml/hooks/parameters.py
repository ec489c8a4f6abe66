"""Parameters and the runner are checked before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

from guided_dml.blocks import EvaluationParameters
from guided_dml.parameters import validated
from guided_dml.robustness.names import check_domain, chosen_families, chosen_sets
from guided_dml.robustness.protocol import check_protocol
from guided_dml.run_options import check_runner, data_sets


class ParameterHooks:
    """Checks all parameters of a session, and its runner."""

    def __init__(self) -> None:
        self._evaluation: EvaluationParameters

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check all parameters, and the names in them."""
        loader = context.config_loader
        parameters = validated(loader["parameters"])
        self._evaluation, robustness = parameters.evaluation, parameters.robustness
        chosen_families(robustness.families)
        data_set = loader["globals"]["dataset"]
        chosen_sets(robustness.ood, data_set, data_sets(Path(loader.conf_source)))
        check_domain(robustness.domain, data_set)

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Check the runner, and that robustness can be measured if it is to be."""
        check_runner(run_params["runner"])
        if any(name.startswith("robustness") for name in run_params["pipeline_names"] or ()):
            check_protocol(self._evaluation)
