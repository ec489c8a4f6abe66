"""The tuned settings of a method on a data set, and how they were found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from guided_dml.comparison.sessions import Nested
from guided_dml.errors import InputError, counted


class Found(BaseModel):
    """How settings were found: the block ``found`` of their file.

    Attributes:
        score: The best trial's MAP@R on the validation images, in [0, 1].
        shared: The key of what all trials had in common: parameters and prepared data.
        parameters: The recipe, if there was one, and what was asked for in all trials, on top of
            the data set's own.
        data_version: Hash of the prepared data.
    """

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, extra="forbid")

    score: Annotated[float, Field(ge=0, le=1)]
    trials: Annotated[int, Field(ge=1)]
    shared: str
    parameters: dict[str, Any]
    data_version: str
    commit: str

    def __str__(self) -> str:
        return f"MAP@R {100 * self.score:.2f} in {counted(self.trials, 'trial')}"


def tuned_file(project: Path, data_set: str, method: str) -> Path:
    """Return where the tuned settings of a method on a data set are."""
    return project / "conf" / data_set / "tuned" / f"{method}.yml"


def read_tuned(file: Path) -> tuple[Nested, Found | None]:
    """Return tuned settings, and how they were found where the file says so.

    Raises:
        InputError: The file is damaged.
    """
    try:
        settings = dict(yaml.safe_load(file.read_text("utf-8")))
        found = settings.pop("found", None)
        return settings, None if found is None else Found.model_validate(found)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file}: not as kedro tune writes it: {reason}") from error


def write_tuned(file: Path, settings: Nested, found: Found) -> None:
    """Write tuned settings, all or nothing."""
    file.parent.mkdir(exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(yaml.safe_dump({"found": found.model_dump(), **settings}, sort_keys=False))
    partial.replace(file)


def why_kept(file: Path, found: Found) -> str:
    """Return why newly found settings do not replace those of a file; empty if they do.

    Raises:
        InputError: The file is damaged.
    """
    stored = read_tuned(file)[1] if file.exists() else found
    if stored is None:
        return "it does not say how its settings were found"
    if stored.shared != found.shared:
        return f"it was found with other parameters ({stored.parameters}) or data ({stored})"
    if stored.trials > found.trials or stored.score > found.score:
        return f"it has {stored}, these have {found}"
    return ""
