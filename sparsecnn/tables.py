"""What results show of themselves: a table as text and in a notebook. Knows no other module."""

from __future__ import annotations

import dataclasses
import html

#: how a notebook draws what results show; every rule is about our own elements only
STYLE = """<style>
.sparsecnn{overflow-x:auto}.sparsecnn table{border-collapse:collapse;margin:.3rem 0 .6rem}
.sparsecnn td,.sparsecnn th{padding:.15rem .7rem;text-align:right;white-space:nowrap}
.sparsecnn td.word,.sparsecnn th.word{text-align:left}
.sparsecnn thead th{border-bottom:1px solid currentColor}
.sparsecnn caption,.sparsecnn p{text-align:left;margin:.2rem 0;caption-side:top}
.sparsecnn caption{white-space:nowrap}
</style>"""


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells with a heading; the first columns are words, the others numbers.

    Attributes
    ----------
    head : sequence of str
        Empty for a table without one.
    rows : sequence of sequences of str
    title : str
        Above the table, a line or more.
    notes : sequence of str
        Below it.
    words : int
        How many columns are words, which stand to the left.
    """

    head: tuple
    rows: tuple
    title: str = ""
    notes: tuple = ()
    words: int = 1

    def text(self, indent=""):
        """Columns of equal width, words to the left and numbers to the right.

        Examples
        --------
        >>> print(Table(("solver", "gap"), [("forward", "0.5"), ("exact", "0")]).text())
        solver   gap
        forward  0.5
        exact      0
        """
        rows = [row for row in (self.head, *self.rows) if row]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [self.title] if self.title else []
        sides = "<" * self.words + ">" * (len(widths) - self.words)
        for row in rows:
            cells = (f"{c:{side}{w}}" for c, side, w in zip(row, sides, widths, strict=True))
            lines.append((indent + "  ".join(cells)).rstrip())
        return "\n".join([*lines, *self.notes])

    def html(self):
        """The same as an HTML table."""
        lines = [f"<caption>{_escaped(self.title)}</caption>"] if self.title else []
        if self.head:
            lines.append(f"<thead>{self._row('th', self.head)}</thead>")
        lines.append(f"<tbody>{''.join(self._row('td', row) for row in self.rows)}</tbody>")
        notes = "".join(f"<p>{_escaped(note)}</p>" for note in self.notes)
        return f"<table>{''.join(lines)}</table>{notes}"

    def _row(self, kind, cells):
        kinds = [f'{kind} class="word"'] * self.words + [kind] * (len(cells) - self.words)
        inner = "".join(
            f"<{opened}>{_escaped(cell)}</{kind}>"
            for opened, cell in zip(kinds, cells, strict=True)
        )
        return f"<tr>{inner}</tr>"


def fragment(*parts):
    """Pieces of HTML, tables among them, as a notebook shows them."""
    inner = "".join(part.html() if isinstance(part, Table) else part for part in parts)
    return f'{STYLE}<div class="sparsecnn">{inner}</div>'


def _escaped(text):
    return html.escape(text).replace("\n", "<br/>")
