"""Kedro's settings of this project (https://docs.kedro.org/en/stable/configure/project_settings/)."""

import warnings

from guided_dml.config import DataSetConfigLoader
from guided_dml.datasets.atomic import write_atomically
from guided_dml.hooks import ParameterHooks, ProgressHooks, VersionHooks
from guided_dml.tracking import TrackingHooks

# Kedro 1.7 calls a function that OmegaConf 2.4 renamed; nothing that a user could mend.
warnings.filterwarnings("ignore", message=r"register_new_resolver\(\) is deprecated")

write_atomically()

# (the last with tryfirst is called first: wrong parameters are told before missing versions)
HOOKS = (VersionHooks(), ParameterHooks(), ProgressHooks(), TrackingHooks())

CONFIG_LOADER_CLASS = DataSetConfigLoader

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    # A plain `kedro run` is that of the digits, whatever their folder says.
    "default_run_env": "digits",
    # Kedro's patterns, without those that reach into folders of other names, like recipes.
    "config_patterns": {
        "catalog": ["catalog*", "catalog*/**"],
        "parameters": ["parameters*", "parameters*/**"],
    },
    # An environment holds only what differs from base, down to single parameters.
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
}
