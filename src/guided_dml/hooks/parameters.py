"""Parameters are checked before anything is read."""

from __future__ import annotations

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

from guided_dml.parameters import validated


class ParameterHooks:
    """Checks all parameters of a session."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check all parameters."""
        validated(context.config_loader["parameters"])
