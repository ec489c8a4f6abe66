"""``python -m guided_dml`` runs the project like ``kedro run`` does, with the same options."""

import sys
from pathlib import Path

from guided_dml.interruption import end_on_interrupt


def main() -> None:
    """Bootstrap the project around the working directory and hand over to ``kedro run``."""
    end_on_interrupt()
    from kedro.framework.startup import bootstrap_project
    from kedro.utils import find_kedro_project

    bootstrap_project(find_kedro_project(Path.cwd()) or Path.cwd())
    from guided_dml.cli import run

    run.main(args=sys.argv[1:], prog_name="guided_dml")


if __name__ == "__main__":
    main()
