"""What docs/using.md shows is run as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from conftest import PROJECT
from guided_dml.inference.predictor import Predictor

BLOCKS = re.findall(r"```python\n(.*?)```", (PROJECT / "docs" / "using.md").read_text(), re.S)

#: What the standard library, numpy and onnxruntime do not bring is not there.
REFUSING = """
import sys
class Refusing:
    def find_spec(self, name, path=None, target=None):
        known = {"numpy", "onnxruntime", *sys.stdlib_module_names}
        if name.partition(".")[0] not in known:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refusing())
"""


def test_a_dozen_lines_search_with_numpy_and_onnxruntime_alone(
    exported_project: Path, tmp_path: Path, predictor: Predictor
) -> None:
    export = Path("data/06_models/digits/guided")  # (nothing else is there to be read)
    shutil.copytree(exported_project / export, tmp_path / export)
    done = subprocess.run(
        [sys.executable, "-c", REFUSING + BLOCKS[0]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    black = np.zeros((1, 1, 8, 8), np.uint8)
    (answer,) = predictor.rows(predictor.predict(black))
    found = zip(answer["neighbours"], answer["neighbour_labels"], strict=True)
    assert done.stdout.strip() == str(list(found))
