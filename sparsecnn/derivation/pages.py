"""Explanations as Markdown, LaTeX and one self-contained HTML page with MathML.

Pure strings, built from the same parts as the pages of derivations.
"""

from __future__ import annotations

import html

import sympy as sp

from ..symbolic.evaluation import Z
from ..symbolic.parser import names_in, parse, symbol
from ..validation import InputError
from .render import formula_latex, formula_mathml, in_notebook, latex_text, page

_X = sp.Symbol("x", real=True)


def formulas(explanation):
    """``[(what, sympy expression or None, plain text)]`` of an explanation."""
    found = []
    if explanation.formula:
        found.append(("activation", *_read(explanation.formula, _X, explanation.parameters)))
    if explanation.penalty:
        found.append(("penalty", *_read(explanation.penalty, Z, explanation.parameters)))
    return found


def _read(text, variable, parameters):
    """The formula as printed, if it is in the grammar."""
    try:
        names = [n for n in names_in(text) if n != variable.name]
        signed = {n for n in names if _sign_unknown(parameters.get(n))}
        symbols = {n: symbol(n, n in signed) for n in names}
        return parse(text, {variable.name: variable, **symbols}), text
    except InputError:
        return None, text  # the parametric form, or a map of vectors


def _sign_unknown(value):
    return value is None or isinstance(value, list) or value <= 0


def _where(explanation):
    """The parameters and the support in words."""
    parts = [
        f"{n} = {v:g}" if isinstance(v, float) else f"{n} = {v}"
        for n, v in explanation.parameters.items()
    ]
    if explanation.is_prox and explanation.support != "real":
        support = explanation.support
        text = support if isinstance(support, str) else f"[{support[0]}, {support[1]}]"
        parts.append(f"the penalty is infinite outside {text}")
    return "; ".join(parts)


def _reach(explanation):
    """How far the numeric look reached, in words."""
    found = explanation.sampling
    if not found:
        return ""
    widths = ", ".join(f"{w:g} for {where}" for where, w in found["widest_unseen_dip"].items())
    low, high = found["interval"]
    return (
        f"Looked at {found['points']} points in [{low:g}, {high:g}]; slopes between "
        f"{found['smallest_slope']:.4g} and {found['largest_slope']:.4g}; dips narrower than "
        f"{widths}, or shallower than {found['shallowest_seen']}, may be missed by numbers alone."
    )


# -- text -----------------------------------------------------------------------------------
def to_markdown(explanation):
    """One explanation with its evidence."""
    lines = [f"# {explanation.name}", "", f"Verdict: **{explanation.verdict}**", ""]
    lines += [f"{explanation.reason[:1].upper()}{explanation.reason[1:]}.", ""]
    for what, expression, text in formulas(explanation):
        lines += [f"{what.capitalize()}:", ""]
        lines += [f"$${formula_latex(expression)}$$" if expression is not None else f"`{text}`", ""]
    if _where(explanation):
        lines += [f"With {_where(explanation)}.", ""]
    if explanation.witness:
        lines += ["| number | value |", "|---|---|"]
        lines += [f"| `{k}` | {v:.10g} |" for k, v in explanation.witness.items()] + [""]
    if explanation.is_prox:
        lines += ["| question | answer |", "|---|---|"]
        lines += [f"| {q} | {a} |" for q, a in explanation.facts()] + [""]
        lines += [f"Bias: {explanation.bias_rule}.", ""]
    lines += [f"- {check}" for check in explanation.checks]
    return "\n".join([*lines, "", _reach(explanation), ""]).rstrip() + "\n"


def to_latex(explanations, title):
    """A complete document."""
    lines = [
        "\\documentclass{article}", "\\usepackage{amsmath,amssymb}",
        "\\usepackage[margin=25mm]{geometry}", "\\setlength{\\parindent}{0pt}",
        f"\\title{{{latex_text(title)}}}", "\\date{}", "\\begin{document}", "\\maketitle",
    ]  # fmt: skip
    for e in explanations:
        lines += [f"\\section{{{latex_text(e.name)}: {latex_text(e.verdict)}}}"]
        lines += [latex_text(e.reason) + ".", ""]
        for what, expression, text in formulas(e):
            body = formula_latex(expression) if expression is not None else None
            shown = f"\\[ {body} \\]" if body else latex_text(text) + "\n"
            lines += [f"{what.capitalize()}: {shown}", ""]
        if _where(e):
            lines += [latex_text(f"With {_where(e)}."), ""]
        if e.witness:
            lines += [latex_text(f"Witness: {e.witness_text}."), ""]
        lines += [latex_text(f"{q}: {a}.") + "\\\\" for q, a in e.facts()]
        lines += ["", *(latex_text(str(c)) + "\n" for c in e.checks), latex_text(_reach(e))]
    return "\n".join([*lines, "\\end{document}", ""])


# -- HTML -----------------------------------------------------------------------------------
def to_html(explanations, title):
    """One page: no script, no network, formulas as MathML."""
    body = [_overview(explanations)] if len(explanations) > 1 else []
    for k, e in enumerate(explanations):
        name = f"{e.name} \u2014 " if len(explanations) > 1 else ""
        body.append(f'<h2 id="e{k}">{html.escape(name + e.verdict)}</h2>')
        body.append(_html_of(e))
    return page(title, "\n".join(body))


def notebook(explanation):
    """An explanation as a notebook shows it."""
    heading = f"<h3>{html.escape(f'{explanation.name}: {explanation.verdict}')}</h3>"
    return in_notebook(heading, _html_of(explanation))


def _overview(explanations):
    """One line for each activation."""
    rows = "".join(
        f'<tr><td><a href="#e{k}">{html.escape(e.name)}</a></td><td>{html.escape(e.verdict)}</td>'
        f"<td>{html.escape('; '.join(f'{q}: {a}' for q, a in e.facts()[:3]) or e.reason)}</td></tr>"
        for k, e in enumerate(explanations)
    )
    return f"<table><tr><th>activation</th><th>verdict</th><th></th></tr>{rows}</table>"


def _html_of(e):
    parts = [f"<p>{html.escape(e.reason[:1].upper() + e.reason[1:])}.</p>"]
    for what, expression, text in formulas(e):
        shown = f"<p><code>{html.escape(text)}</code></p>"
        if expression is not None:
            shown = formula_mathml(expression)
        parts.append(f'<div class="because">{what.capitalize()}</div>{shown}')
    if _where(e):
        parts.append(f'<div class="assuming">With {html.escape(_where(e))}.</div>')
    if e.witness:
        parts.append(_table("witness", [(k, f"{v:.10g}") for k, v in e.witness.items()]))
    if e.is_prox:
        parts.append(_table("the penalty", e.facts()))
        parts.append(f'<p class="because">Bias: {html.escape(e.bias_rule)}.</p>')
    items = "".join(f'<li class="{c.verdict}">{html.escape(str(c))}</li>' for c in e.checks)
    parts.append(f'<ul class="evidence">{items}</ul>')
    if e.sampling:
        parts.append(f'<p class="assuming">{html.escape(_reach(e))}</p>')
    return "\n".join(parts)


def _table(heading, rows):
    cells = "".join(
        f'<tr><td style="padding-right:1.5rem">{html.escape(q)}</td><td>{html.escape(a)}</td></tr>'
        for q, a in rows
    )
    return f"<h3>{html.escape(heading.capitalize())}</h3><table>{cells}</table>"


def write(explanations, title, path):
    """Write explanations as HTML, LaTeX (``.tex``) or Markdown (``.md``), by the file's ending."""
    if path.suffix == ".tex":
        text = to_latex(explanations, title)
    elif path.suffix == ".md":
        text = "\n".join(to_markdown(e) for e in explanations)
    else:
        text = to_html(explanations, title)
    path.write_text(text, encoding="utf-8")
