"""The report as Markdown, as LaTeX, and its scores for a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import zip_longest
from textwrap import wrap

from guided_dml.pipelines.reporting.parts import Bold, Command, Section, Table

HEADING = "Guided deep metric learning: the comparison"

#: LaTeX: columns of a table in letters of the usual size; letters in a line of a column's name, and
#: in a cell, beyond which it is broken.
NARROW, NAME, WORDS = 9, 14, 60

FIGURES_ARE = "In data/08_reporting/comparison, each under the version of this report:"

FIGURES = {
    "comparison_figure.png": "the scores with their intervals",
    "cost_figure.png": "MAP@R against the seconds of a run",
    "embedding_grid_figure.png": "where each method puts the queries",
    "atlas_page.html": "the same as a page, with the images",
    "comparison_severity_figure.png": "Recall@1 by the severity of each corruption",
    "comparison_shift_figure.png": "Recall@1 of clean and of corrupted images",
    "comparison_few_shot_figure.png": "accuracy with a few images of new classes",
}

_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: "\\" + character for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",  # noqa: RUF001
    "–": r"\textendash{}",  # noqa: RUF001
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
        table = section.brief
        rows = [[text.replace(" ± ", "±") for text in row] for row in table.rows]
        rows = [*_broken(table.header, _longest(rows)), *rows]
        lines += ["", f"{section.title}, in %", ""]
        lines += [" ".join(row).rstrip() for row in _aligned(rows, _name_columns(table))]
        lines += table.notes
    return "\n".join([*lines, ""])


def _broken(header: list[str], widths: list[int]) -> list[list[str]]:
    """Return the lines of a header that is broken where the columns below it end."""
    names = [
        wrap(name, max([width, *map(len, name.split())]))[::-1]
        for name, width in zip(header, widths, strict=True)
    ]
    return [list(line) for line in zip_longest(*names, fillvalue="")][::-1]


def markdown(sections: Iterable[Section]) -> str:
    """Return the report as Markdown."""
    lines = [f"# {HEADING}"]
    for section in sections:
        lines += ["", f"## {_plain(section.title)}", "", _plain(section.facts)]
        for table in section.tables:
            lines += ["", _plain(table.caption), "", *_markdown_table(table)]
            for note in table.notes:
                lines += ["", f"    {note}" if isinstance(note, Command) else _plain(note)]
    lines += ["", "## Figures", "", FIGURES_ARE, ""]
    lines += [f"- `{name}`: {shows}" for name, shows in FIGURES.items()]
    return "\n".join(lines) + "\n"


def _markdown_table(table: Table) -> list[str]:
    rows = [_texts(row, _plain, "**{}**") for row in table.rows]
    left = _name_columns(table)
    header, *others = _aligned([[_plain(name).ljust(3) for name in table.header], *rows], left)
    ends = ("-" if at_left else ":" for at_left in left)
    ruler = ["-" * (len(text) - 1) + end for text, end in zip(header, ends, strict=True)]
    return [f"| {' | '.join(row)} |" for row in (header, ruler, *others)]


def _aligned(rows: list[list[str]], left: list[bool]) -> list[list[str]]:
    """Return the texts as wide as their columns, at the left or at the right."""
    sides = ("<" if at_left else ">" for at_left in left)
    forms = [f"{side}{width}" for side, width in zip(sides, _longest(rows), strict=True)]
    return [list(map(format, row, forms)) for row in rows]


def _texts(row: Iterable[str], plain: Callable[[str], str], bold: str) -> list[str]:
    return [bold.format(plain(text)) if isinstance(text, Bold) else plain(text) for text in row]


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
    lengths = _longest(table.rows)
    columns = "".join(map(_latex_column, _name_columns(table), lengths))
    lines = [
        r"\begin{table}[!htb]",
        r"\centering",
        rf"\caption{{{escaped(table.caption)}}}",
        r"\scriptsize" if len(table.header) > NARROW else r"\footnotesize",
        r"\setlength{\tabcolsep}{3.5pt}",
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        _latex_row(map(_latex_name, table.header, _name_columns(table))),
    ]
    for number, group in enumerate(table.groups):
        lines.append(r"\addlinespace" if number else r"\midrule")
        lines += [_latex_row(_texts(row, escaped, r"\textbf{{{}}}")) for row in group]
    lines += [r"\bottomrule", r"\end{tabular}"]
    for note in table.notes:
        text = rf"\texttt{{{escaped(note)}}}" if isinstance(note, Command) else escaped(note)
        lines += ["", rf"\smallskip {text}"]
    return [*lines, r"\end{table}"]


def _latex_column(at_left: bool, longest: int) -> str:
    if longest > WORDS:
        return r"p{70mm}"
    return "l" if at_left else "r"


def _latex_name(name: str, at_left: bool) -> str:
    """Return the name of a column, a long one in several lines."""
    lines = wrap(name, NAME)
    if len(lines) < 2:
        return escaped(name)
    text = r"\\".join(map(escaped, lines))
    return rf"\shortstack[{'l' if at_left else 'r'}]{{{text}}}"


def _longest(rows: list[list[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _latex_row(texts: Iterable[str]) -> str:
    return " & ".join(texts) + r" \\"


def escaped(text: str) -> str:
    """Return text that LaTeX shows as it is."""
    text = "".join(_LATEX.get(character, character) for character in text)
    return text.replace("--", "-{}-")  # (an option of a command is no dash)


def _name_columns(table: Table) -> list[bool]:
    """Tell which columns hold words, and so begin at the left."""
    return [i < table.labels and name != "n" for i, name in enumerate(table.header)]
