"""The report as Markdown, as LaTeX, and its scores for a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from guided_dml.metrics.names import SHOWN
from guided_dml.pipelines.reporting.report import Cell, Section, Table

HEADING = "Guided deep metric learning: the comparison"

_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: "\\" + character for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",  # noqa: RUF001
    "–": "--",  # noqa: RUF001
    "∞": r"$\infty$",
    "+": "$+$",
    "<": "$<$",
    ">": "$>$",
    "|": r"\textbar{}",
}


def plain(sections: Iterable[Section]) -> str:
    """Return the tables of scores for a terminal of 80 columns."""
    lines = []
    for section in sections:
        scores, shown = section.tables[0], slice(2 + len(SHOWN))
        rows = [[cell.text for cell in row] for group in scores.groups for row in group]
        rows = [[text.replace(" ± ", "±") for text in row[shown]] for row in [scores.header, *rows]]
        lines += ["", f"{section.title}, in %", ""]
        lines += map(" ".join, _aligned(rows, _name_columns(scores)[shown]))
    return "\n".join([*lines, ""])


def markdown(sections: Iterable[Section]) -> str:
    """Return the report as Markdown."""
    lines = [f"# {HEADING}"]
    for section in sections:
        lines += ["", f"## {_plain(section.title)}", "", _plain(section.facts)]
        for table in section.tables:
            lines += ["", _plain(table.caption), "", *_markdown_table(table)]
            for note in table.notes:
                lines += ["", _plain(note)]
    return "\n".join(lines) + "\n"


def _markdown_table(table: Table) -> list[str]:
    rows = [_texts(row, _plain, "**{}**") for group in table.groups for row in group]
    left = _name_columns(table)
    header, *others = _aligned([[_plain(name).ljust(3) for name in table.header], *rows], left)
    ends = ("-" if at_left else ":" for at_left in left)
    ruler = ["-" * (len(text) - 1) + end for text, end in zip(header, ends, strict=True)]
    return [f"| {' | '.join(row)} |" for row in (header, ruler, *others)]


def _aligned(rows: list[list[str]], left: list[bool]) -> list[list[str]]:
    """Return the texts as wide as their columns, at the left or at the right."""
    widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    sides = ("<" if at_left else ">" for at_left in left)
    forms = [f"{side}{width}" for side, width in zip(sides, widths, strict=True)]
    return [list(map(format, row, forms)) for row in rows]


def _texts(row: Iterable[Cell], plain: Callable[[str], str], bold: str) -> list[str]:
    return [bold.format(plain(cell.text)) if cell.bold else plain(cell.text) for cell in row]


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return re.sub(r"[\\|*_`]|<(?! )", r"\\\g<0>", text)


def latex(sections: Iterable[Section]) -> str:
    """Return the report as a LaTeX document; its tables can be taken out one by one."""
    lines = [
        r"\documentclass{article}",
        r"\usepackage[T1]{fontenc}",
        r"\usepackage[utf8]{inputenc}",
        r"\usepackage[a4paper,margin=18mm]{geometry}",
        r"\usepackage{booktabs}",
        r"\begin{document}",
        r"\setlength{\belowcaptionskip}{4pt}",  # (captions stand above the tables)
        r"\sloppy",
        rf"\section*{{{escaped(HEADING)}}}",
    ]
    for section in sections:
        lines += ["", rf"\subsection*{{{escaped(section.title)}}}", "", escaped(section.facts)]
        for table in section.tables:
            lines += ["", *_latex_table(table)]
        lines += ["", r"\clearpage"]
    return "\n".join([*lines, r"\end{document}", ""])


def _latex_table(table: Table) -> list[str]:
    columns = "".join("l" if named else "r" for named in _name_columns(table))
    lines = [
        r"\begin{table}[!htb]",
        r"\centering",
        rf"\caption{{{escaped(table.caption)}}}",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{3.5pt}",
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        _latex_row(map(escaped, table.header)),
    ]
    for number, group in enumerate(table.groups):
        lines.append(r"\addlinespace" if number else r"\midrule")
        lines += [_latex_row(_texts(row, escaped, r"\textbf{{{}}}")) for row in group]
    lines += [r"\bottomrule", r"\end{tabular}"]
    for note in table.notes:
        lines += ["", rf"\smallskip {escaped(note)}"]
    return [*lines, r"\end{table}"]


def _latex_row(texts: Iterable[str]) -> str:
    return " & ".join(texts) + r" \\"


def escaped(text: str) -> str:
    """Return text that LaTeX shows as it is."""
    return "".join(_LATEX.get(character, character) for character in text)


def _name_columns(table: Table) -> list[bool]:
    """Tell which columns hold words, and so begin at the left."""
    return [i < table.labels and name != "n" for i, name in enumerate(table.header)]
