from __future__ import annotations

import subprocess
import sys

from conftest import PROJECT

CODE = """
import sys
from kedro.framework.cli.cli import main
for arguments in (["--help"], ["registry", "list"], ["run", "--help"]):
    sys.argv = ["kedro", *arguments]
    try:
        main()
    except SystemExit as end:
        assert not end.code, arguments
heavy = {"torch", "torchvision", "pandas", "matplotlib", "plotly", "sklearn", "mlflow"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def test_commands_that_run_nothing_import_no_large_library() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "teacher_embeddings" in done.stdout
