"""docs/extending.md to the letter: a method from one file and one block, in every list."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import PROJECT

#: For a process of its own: the lists are made when the package is imported.
COMMANDS = """
from click.testing import CliRunner
from distributed import LocalCluster
from kedro.framework.startup import bootstrap_project

bootstrap_project(".")
from guided_dml.cli import cli

tiny = "student.backbone=small_cnn,student.epochs=1,data.images_per_class=6,tracking=false"
small = ["--params", tiny]
with LocalCluster(1, processes=False, threads_per_worker=1, dashboard_address=None) as cluster:
    remote = [*small, f"--scheduler={cluster.scheduler_address}"]
    for command in (
        ["run", "--pipelines=ingestion,proxy_nca", *small],
        ["tune", "--env=digits", "--method=proxy_nca", "--trials=1", *remote],
        ["compare", "--envs=digits", "--methods=proxy_nca", "--seeds=1", *remote],
    ):
        result = CliRunner().invoke(cli, command, catch_exceptions=False)
        assert result.exit_code == 0, result.output
"""


def test_a_method_is_one_file_and_one_block(project: Path) -> None:
    guide = (PROJECT / "docs" / "extending.md").read_text()
    (code,), (block,) = (
        re.findall(rf"```{language}\n(.*?)```", guide, re.DOTALL) for language in ("python", "yaml")
    )
    package = project / "src" / "guided_dml"
    shutil.copytree(PROJECT / "src" / "guided_dml", package)
    (package / "methods" / "proxy_nca.py").write_text(code)
    with (project / "conf" / "base" / "parameters.yml").open("a") as parameters:
        parameters.write(f"\n{block}")
    environment = os.environ | {"PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    settings = (project / "conf/digits/tuned/proxy_nca.yml").read_text()
    assert "scale:" in settings
    (report,) = project.glob("data/08_reporting/comparison/comparison_markdown.md/*/*.md")
    assert "| Proxy-NCA " in report.read_text()
