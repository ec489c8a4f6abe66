"""Parameters and the runner are checked before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

from guided_dml.parameters import validated
from guided_dml.robustness.names import chosen_families, chosen_sets
from guided_dml.run_options import check_runner, data_sets


class ParameterHooks:
    """Checks all parameters of a session, and its runner."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check all parameters, and the names in them."""
        loader = context.config_loader
        robustness = validated(loader["parameters"]).robustness
        chosen_families(robustness.families)
        environments = data_sets(Path(loader.conf_source))
        chosen_sets(robustness.ood, loader["globals"]["dataset"], environments)

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Check the runner."""
        check_runner(run_params["runner"])
