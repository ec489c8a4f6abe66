"""The project's configuration loader: an environment is a data set, and names it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from guided_dml.errors import InputError, one_of
from guided_dml.run_options import DEFAULT

RECIPE_HAS = "a recipe has blocks of parameters, like student, and parameters, like seed"


class DataSetConfigLoader(OmegaConfigLoader):
    """Kedro's loader, with ``${globals:dataset}`` set to the environment's name.

    Every stored path contains it. An environment that forgot to say so would otherwise write
    among the digits, and the next run on digits would train on its images.
    """

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return a copy of the configuration of a kind (catalog, parameters, globals), read once.

        Kedro would read and resolve all files again at each of the dozen times that a session asks.
        """
        if key not in self:
            self[key] = self._read(key)
        return deepcopy(super().__getitem__(key))

    def _read(self, key: str) -> dict[str, Any]:
        config: dict[str, Any] = super().__getitem__(key)
        old = {"raw_train", "raw_test"} & set(config) if key == "catalog" else None
        if old:  # (nothing reads them: the digits' raw_images would be taken in silence)
            raise InputError(
                f"catalog: {one_of(old)}: write one entry raw_images in their place; "
                "docs/data-sets.md shows it"
            )
        if key == "parameters":
            return self._with_recipe(config)
        if key == "globals":
            config.setdefault("dataset", self._data_set)
        return config

    @property
    def _data_set(self) -> str:
        return "digits" if self.env in DEFAULT else str(self.env)

    def _with_recipe(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Lay the recipe that the parameters name over the data set's, below those of the run."""
        name = parameters.get("recipe")
        if name is None:
            return parameters
        folder = Path(self.conf_source) / self._data_set / "recipes"
        known = {file.stem: file for file in folder.glob("*") if file.suffix in (".yml", ".yaml")}
        if str(name) not in known:
            has = one_of([*known, "null"]) if known else "none"
            raise InputError(f"recipe: {name!r} given; {self._data_set} has {has}")
        file = known[str(name)]
        try:
            recipe = OmegaConf.load(file)
            merged = OmegaConf.merge(parameters, recipe, self.runtime_params or {})
        except (OSError, ValueError, TypeError, YAMLError, OmegaConfBaseException) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{file}: not a recipe, parameters by name: {reason}") from error
        for key, value in cast(dict[str, Any], recipe).items():
            given, wanted = (isinstance(some, Mapping) for some in (value, parameters.get(key)))
            asked = key in (self.runtime_params or {})  # (what is wrong there is told later)
            if key == "recipe" or key not in parameters or (given is not wanted and not asked):
                raise InputError(f"{file}: {key}: not what a recipe may have; {RECIPE_HAS}")
        return cast(dict[str, Any], OmegaConf.to_container(merged)) | {"recipe": str(name)}
