"""Tensors by name, stored as safetensors."""

from __future__ import annotations

from typing import Any

from kedro.io.core import get_filepath_str
from kedro_datasets_experimental.safetensors import SafetensorsDataset


class TensorsDataset(SafetensorsDataset):  # type: ignore[misc]
    """A dictionary of tensors; of PyTorch's a local file is mapped, not copied, into memory.

    So a step that looks at a few of the images takes memory for those only. A stored version is
    never written again, so a map of it stays what it is.
    """

    def load(self) -> dict[str, Any]:
        """Return the tensors; to change one in place does not change the file."""
        if self._protocol != "file" or self._backend == "numpy":
            tensors: dict[str, Any] = super().load()
            return tensors
        from safetensors.torch import load_file

        return load_file(get_filepath_str(self._get_load_path(), self._protocol))
