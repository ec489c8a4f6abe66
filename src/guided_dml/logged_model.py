"""The model that MLflow loads: a column ``image`` of file contents in, an answer a row out.

MLflow keeps this file with the model and runs it where the model is loaded ("models from code"),
beside the ``inference`` package and without the rest of the project.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from guided_dml.inference.calibration import check_alpha
from guided_dml.inference.predictor import Predictor


class GuidedModel(PythonModel):
    """Answers for PNG, JPEG and WebP images, as they are."""

    def load_context(self, context: Any) -> None:
        """Open the export; warn if at the usual alpha nothing could be unknown."""
        self._predictor = Predictor.from_files(context.artifacts)
        check_alpha(len(self._predictor.calibration), 0.05)

    def predict(
        self,
        context: Any,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return a row for each image; one that cannot be read has only its ``error``."""
        return pd.DataFrame(self._predictor.answer(list(model_input["image"]), **(params or {})))


set_model(GuidedModel())
