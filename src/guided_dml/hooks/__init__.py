"""What the project adds to a Kedro session: checks, fixed versions, a line a step, a summary."""

from guided_dml.hooks.parameters import ParameterHooks
from guided_dml.hooks.progress import ProgressHooks
from guided_dml.hooks.versions import VersionHooks

__all__ = ["ParameterHooks", "ProgressHooks", "VersionHooks"]
