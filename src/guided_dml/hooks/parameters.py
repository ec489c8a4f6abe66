"""Parameters and the runner are checked before anything is read."""

from __future__ import annotations

from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

from guided_dml.parameters import validated
from guided_dml.run_options import check_runner


class ParameterHooks:
    """Checks all parameters of a session, and its runner."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check all parameters."""
        validated(context.config_loader["parameters"])

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Check the runner."""
        check_runner(run_params["runner"])
