"""A run as a notebook shows it: question, answer, first table and first figure, as one small piece of HTML."""

import base64
import io
from collections.abc import Iterator
from html import escape
from itertools import islice

from attnbench.reports import figures
from attnbench.reports.data.values import plain
from attnbench.reports.drawing import saving, theme
from attnbench.reports.findings.run import Run
from attnbench.reports.text import first_screen
from attnbench.reports.text.answer import answer

_TALLEST = 9.0
"""Inches. Taller figures are left to `bench figures`."""
_DPI = 100
_CELL = "text-align: left; padding: 0.2em 0.8em 0.2em 0"


def html(run: Run) -> str:
    """Return HTML of which every text is escaped, with the figure as a PNG inside."""
    table = first_screen.table(run)
    parts = [f"<p><strong>{_text(run.meta['name'])}</strong>: {_text(run.meta['question'])}</p>"]
    parts += [f"<p>{_text(each)}</p>" for each in answer(run)]
    if table.rows:
        head = "".join(f'<th style="{_CELL}">{_text(each)}</th>' for each in table.header)
        rows = ("".join(f'<td style="{_CELL}">{_text(each)}</td>' for each in row) for row in table.rows)
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
        parts.append(f"<p>{_text(first_screen.caption(run))}</p>")
    return f"<div>{''.join([*parts, *islice(_images(run), 1)])}</div>"


def _images(run: Run) -> Iterator[str]:
    """Yield the figures of the run that are not too tall."""
    with saving.settings(theme.settings("paper")):
        for figure in figures.of(run).values():
            drawn = figure.draw(run, theme.INCHES["page"])
            if drawn.get_figheight() <= _TALLEST:
                file = io.BytesIO()
                drawn.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
                source = base64.b64encode(file.getvalue()).decode()
                alt = _text(str(drawn.get_label()))
                yield f'<img alt="{alt}" style="max-width: 100%" src="data:image/png;base64,{source}">'


def _text(value: object) -> str:
    """Return a text on one line, without control characters and markup."""
    return escape(plain(value, None))
