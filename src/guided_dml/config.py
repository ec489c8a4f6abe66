"""The project's configuration loader: an environment is a data set, and names it."""

from __future__ import annotations

from typing import Any

from kedro.config import OmegaConfigLoader

from guided_dml.errors import InputError, one_of

#: The environments that are not data sets of their own; they describe the digits.
DEFAULT = (None, "", "base", "local")


class DataSetConfigLoader(OmegaConfigLoader):
    """Kedro's loader, with ``${globals:dataset}`` set to the environment's name.

    Every stored path contains it. An environment that forgot to say so would otherwise write
    among the digits, and the next run on digits would train on its images.
    """

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return the configuration of a kind: catalog, parameters, globals."""
        config: dict[str, Any] = super().__getitem__(key)
        old = {"raw_train", "raw_test"} & set(config) if key == "catalog" else None
        if old:  # (nothing reads them: the digits' raw_images would be taken in silence)
            raise InputError(
                f"catalog: {one_of(old)}: write one entry raw_images in their place; "
                "docs/data-sets.md shows it"
            )
        if key == "globals":
            config.setdefault("dataset", "digits" if self.env in DEFAULT else self.env)
        return config
