"""The steps of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guided_dml.pipelines.reporting.records import Comparison, Partitions, read_comparisons

if TYPE_CHECKING:
    from pandas import DataFrame
else:
    DataFrame = object  # (Kedro resolves the annotations; pandas is not to be imported for that)


def gather_runs(comparisons: Partitions, scoreboard: Partitions) -> list[Comparison]:
    """Return the runs that belong to the current comparisons.

    Args:
        comparisons: ``<data set>/<protocol>`` to what loads the settings compared now.
        scoreboard: ``<data set>/<protocol>/<method>/<settings>/seed_<n>`` to what loads a run.
    """
    return read_comparisons(comparisons, scoreboard)


def tabulate_scores(compared: list[Comparison]) -> DataFrame:
    """Return the long table: means, intervals, the paper's figures and paired tests."""
    from guided_dml.pipelines.reporting.tables import long_table

    return long_table(compared)


def write_markdown(compared: list[Comparison]) -> str:
    """Return the report as Markdown."""
    from guided_dml.pipelines.reporting.report import sections
    from guided_dml.pipelines.reporting.tables import long_table
    from guided_dml.pipelines.reporting.writing import markdown

    return markdown(sections(compared, long_table(compared)))


def write_latex(compared: list[Comparison]) -> str:
    """Return the report as a LaTeX document."""
    from guided_dml.pipelines.reporting.report import sections
    from guided_dml.pipelines.reporting.tables import long_table
    from guided_dml.pipelines.reporting.writing import latex

    return latex(sections(compared, long_table(compared)))
