"""Derivations as text, Markdown, LaTeX and one self-contained HTML page with MathML.

Pure strings; cases are printed here, because SymPy's presentation printer has no good Piecewise.
What stands in a sentence between dollar signs is ``notation``'s; what is drawn, ``pictures``'.
"""

from __future__ import annotations

import html
import pathlib
import re
import textwrap

import sympy as sp

from ..symbolic.evidence import weakest
from ..symbolic.prox import ScalarProx
from ..tables import fragment
from . import pictures
from .notation import MATH, inline_mathml, mathml, plain

_ENTITY = re.compile(r"&(?!lt;|gt;|amp;|quot;|apos;)[A-Za-z]+;")
_COLUMNS = 96
#: in SymPy's MathML: fences that need not grow, and functions that need a little room before them
_FENCE = '<mo stretchy="false" lspace="0" rspace="0">%s</mo>'
_SHORT = re.compile(
    r"<mo>\(</mo>((?:</?mrow>|<mi>[^<]*</mi>|<mn>[^<]*</mn>|<mo>[^()<]*</mo>)*)<mo>\)</mo>"
)
_FUNCTION = re.compile(r"(<mi>(?:log|sign|(?:arc)?(?:sin|cos|tan)h?)</mi>)")


# -- formulas -------------------------------------------------------------------------------
def in_greek(expression):
    """The expression with the package's ``lam`` and ``eps`` as the letters they stand for."""
    names = {"lam": "lambda", "eps": "epsilon", "lam_minus": "lambda_-", "lam_plus": "lambda_+"}
    return expression.xreplace(
        {s: sp.Symbol(names[s.name], **s.assumptions0) for s in expression.free_symbols
         if s.name in names}
    )  # fmt: skip


def formula_latex(formula):
    """LaTeX of a step's formula: an expression, a list of them, or a derived prox."""
    if isinstance(formula, list | tuple):
        return ",\\quad ".join(_latex(f) for f in formula)
    if not isinstance(formula, ScalarProx):
        return _latex(formula)
    rows = [
        f"{_root_latex(case)}{_latex(case.value)} & "
        + (
            "\\text{otherwise}"
            if case.condition is None
            else f"\\text{{if }} {_latex(case.condition)}"
        )
        for case in formula.cases
    ]
    if len(rows) == 1:
        return "\\operatorname{prox}_\\varphi(x) = " + rows[0].split(" & ")[0]
    body = " \\\\ ".join(rows)
    return f"\\operatorname{{prox}}_\\varphi(x) = \\begin{{cases}} {body} \\end{{cases}}"


def _root_latex(case):
    """What stands before the equation of an implicit branch: which of its roots is meant."""
    if not isinstance(case.value, sp.Eq):
        return ""
    sign = "\\operatorname{sign}(x)\\," if case.value.rhs.has(sp.Abs) else ""
    which = f"\\text{{{case.root}}}\\ " if case.root else ""
    return f"{sign}z,\\ z\\ \\text{{the}}\\ {which}\\text{{root}}\\ \\text{{of}}\\ "


def _latex(expression):
    return sp.latex(_folded(in_greek(expression))).replace("\\phi", "\\varphi")


def formula_text(formula):
    """A step's formula over several lines of Unicode."""
    if isinstance(formula, list | tuple):
        return "\n\n".join(formula_text(f) for f in formula)
    if not isinstance(formula, ScalarProx):
        return sp.pretty(_folded(in_greek(formula)), use_unicode=True, num_columns=_COLUMNS)
    left, cases = sp.Function("prox")(sp.Symbol("x", real=True)), formula.cases
    rows, where, n_roots = [], {}, sum(isinstance(case.value, sp.Eq) for case in cases)
    for k, (value, condition, root) in enumerate(cases):
        if isinstance(value, sp.Eq):
            z = sp.Symbol("z" if n_roots == 1 else f"z_{k + 1}")
            where.setdefault(value, []).append((sp.pretty(z), root))
            value = sp.sign(left.args[0]) * z if value.rhs.has(sp.Abs) else z
        rows.append((value, True if condition is None else condition))
    value = rows[0][0] if len(rows) == 1 else sp.Piecewise(*rows, evaluate=False)
    parts = [formula_text(sp.Eq(left, value, evaluate=False))]
    for equation, names in where.items():
        meant = ", ".join(f"{name} is the {which} root".replace("  ", " ") for name, which in names)
        parts += [f"where {meant} of", formula_text(equation)]
    return "\n\n".join(parts)


def formula_mathml(formula):
    """Presentation MathML of a step's formula."""
    if isinstance(formula, list | tuple):
        return _math("<mo>,</mo><mspace width='1em'/>".join(_mathml(f) for f in formula))
    if not isinstance(formula, ScalarProx):
        return _math(_mathml(formula))
    cases = formula.cases
    values = [mathml(_root_latex(case)) + _mathml(case.value) for case in cases]
    rows = "".join(
        f"<mtr><mtd>{value}</mtd><mtd>{_condition_mathml(condition)}</mtd></mtr>"
        for value, (_, condition, _) in zip(values, cases, strict=True)
    )
    shown = values[0] if len(cases) == 1 else _cases(rows)
    return _math(mathml("\\mathrm{prox}_\\varphi(x) =") + shown)


def _math(inner):
    return (
        '<div class="formula"><math xmlns="http://www.w3.org/1998/Math/MathML" display="block">'
        f"<mrow>{inner}</mrow></math></div>"
    )


def _cases(rows):
    # a bar instead of a brace: stretching a brace needs a mathematical font
    return f'<mtable class="cases">{rows}</mtable>'


def _condition_mathml(condition):
    if condition is None:
        return "<mtext>otherwise</mtext>"
    return f"<mtext>if&#xA0;</mtext>{_mathml(condition)}"


def _mathml(expression):
    """MathML of one expression; Piecewise as cases, relations with their sides printed apart."""
    if isinstance(expression, sp.Piecewise):
        rows = "".join(
            f"<mtr><mtd>{_mathml(value)}</mtd>"
            f"<mtd>{_condition_mathml(None if condition is sp.true else condition)}</mtd></mtr>"
            for value, condition in expression.args
        )
        return _cases(rows)
    if isinstance(expression, sp.core.relational.Relational):
        sign = {"==": "=", "<=": "&#x2264;", ">=": "&#x2265;", "<": "&lt;", ">": "&gt;"}
        left, right = _mathml(expression.lhs), _mathml(expression.rhs)
        return f"{left}<mo>{sign[expression.rel_op]}</mo>{right}"
    folded = _folded(expression)
    if isinstance(folded, sp.Piecewise):
        return _mathml(folded)
    text = sp.mathml(in_greek(expression), printer="presentation")
    text = text.replace("<mo>-</mo>", "<mo>&#x2212;</mo>").replace("<mn>-", "<mn>&#x2212;")
    text = _FUNCTION.sub(r'<mspace width="0.17em"/>\1', text)
    text = _SHORT.sub(rf"{_FENCE % '('}\1{_FENCE % ')'}", text)
    return _ENTITY.sub(lambda m: html.unescape(m.group()), text)  # XML knows only five names


def _folded(expression):
    """Cases inside a sum or a product as cases of the whole, the variable first in conditions."""
    if isinstance(expression, sp.Rel):
        return expression.func(*map(_folded, expression.args), evaluate=False)
    if not expression.has(sp.Piecewise):
        return expression
    folded = sp.piecewise_fold(expression)
    if not isinstance(folded, sp.Piecewise):
        return folded
    return sp.Piecewise(*((value, _turned(c)) for value, c in folded.args), evaluate=False)


def _turned(condition):
    if isinstance(condition, sp.Rel):
        if not {s.name for s in condition.lhs.free_symbols} & {"x", "z"}:
            condition = condition.reversed
        if condition.lhs.could_extract_minus_sign():
            condition = condition.reversedsign
    return condition


def write_page(derivation, verification, path):
    """Write a derivation as HTML, LaTeX (``.tex``) or Markdown (``.md``), by the file's ending."""
    path = pathlib.Path(path)
    if path.suffix == ".tex":
        text = to_latex([(derivation, verification)], derivation.title)
    elif path.suffix == ".md":
        text = to_markdown(derivation, verification)
    else:
        text = to_html([(derivation, verification)], derivation.title)
    path.write_text(text, encoding="utf-8")


# -- text -----------------------------------------------------------------------------------
def to_text(derivation, evidence=None):
    """Claims, reasons and formulas, numbered, for a terminal; with their evidence if given."""
    verdict = "" if evidence is None else f": {weakest([e for f in evidence for e in f])}"
    lines = [f"{derivation.title}{verdict}"]
    for k, step in enumerate(derivation.steps):
        mark = "" if evidence is None else f"{weakest(evidence[k])}  "
        lines += _filled(f"{k + 1}. {mark}{plain(step.claim)}", "", "   ")
        lines += _filled(f"because {plain(step.because)}", "   ", "   ")
        if step.assumptions:
            lines += _filled(f"assuming {plain('; '.join(step.assumptions))}", "   ", "   ")
        if step.formula is not None:
            lines += ["", textwrap.indent(formula_text(step.formula), " " * 8), ""]
        for e in () if evidence is None else evidence[k]:
            lines += _filled(str(e), "   - ", "     ")
    return "\n".join(line.rstrip() for line in lines)


def _filled(text, first, following):
    return textwrap.wrap(
        text, _COLUMNS, initial_indent=first, subsequent_indent=following, break_on_hyphens=False
    )


def to_markdown(derivation, verification):
    """One derivation with its evidence."""
    lines = [f"# {derivation.title}", "", f"Verdict: **{verification.verdict}**", ""]
    if derivation.source:
        lines += [f"*{derivation.source}*", ""]
    pairs = zip(derivation.steps, verification.evidence, strict=True)
    for number, (step, found) in enumerate(pairs, 1):
        lines += [f"## {number}. {step.claim}", "", f"Because {step.because}", ""]
        if step.assumptions:
            lines += ["Assuming " + "; ".join(step.assumptions) + ".", ""]
        if step.formula is not None:
            lines += [f"$${formula_latex(step.formula)}$$", ""]
        lines += [f"- {e}" for e in found] + [""]
    return "\n".join(lines)


# -- LaTeX ----------------------------------------------------------------------------------
_LATEX_SPECIAL = {"&": "\\&", "%": "\\%", "#": "\\#", "_": "\\_", "{": "\\{", "}": "\\}",
                  "^": "\\^{}", "~": "\\~{}", "\\": "\\textbackslash{}", "<": "$<$", ">": "$>$",
                  "|": "$|$", "*": "$*$"}  # fmt: skip
_PREAMBLE = r"""\documentclass{article}
\usepackage{amsmath,amssymb,graphicx,xcolor}
\usepackage[margin=25mm]{geometry}
\usepackage[hidelinks]{hyperref}
\allowdisplaybreaks\emergencystretch=3em
% a display that is wider than the line is made to fit
\newcommand{\fitted}[1]{\sbox0{$\displaystyle #1$}%
  \[\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi\]}
\definecolor{PROVED}{HTML}{16794C}\definecolor{CONFIRMED}{HTML}{2766C8}
\definecolor{REFUTED}{HTML}{B3261E}\definecolor{UNDECIDED}{HTML}{A86B00}
\newcommand{\evidence}[2]{\par{\footnotesize\color{#1}\raggedright #2\par}}"""


def latex_text(text):
    """Escape prose, leaving what stands between dollar signs."""
    parts = MATH.split(text)
    for k in range(0, len(parts), 2):
        parts[k] = "".join(_LATEX_SPECIAL.get(c, c) for c in parts[k])
    return "".join(p if k % 2 == 0 else f"${p}$" for k, p in enumerate(parts))


def to_latex(chapters, title, appendix=""):
    """A complete document: ``chapters`` are pairs (derivation, verification)."""
    lines = [_PREAMBLE, f"\\title{{{latex_text(title)}}}", "\\date{}", "\\begin{document}"]
    lines += ["\\maketitle"] + ["\\tableofcontents"] * (len(chapters) > 1)
    for derivation, verification in chapters:
        lines.append(f"\\section{{{latex_text(derivation.title)}}}")
        if derivation.source:
            lines.append(f"\\emph{{{latex_text(derivation.source)}}}")
        lines.append(latex_steps(derivation.steps, verification.evidence))
    return "\n".join([*lines, appendix, "\\end{document}", ""])


def latex_steps(steps, evidence):
    """The steps as a numbered list."""
    lines = ["\\begin{enumerate}"]
    for step, found in zip(steps, evidence, strict=True):
        lines.append(f"\\item \\textbf{{{latex_text(step.claim)}}}\\par")
        lines.append(f"Because {latex_text(step.because)}")
        if step.assumptions:
            lines.append(f"\\par\\emph{{Assuming {latex_text('; '.join(step.assumptions))}.}}")
        if step.formula is not None:
            lines.append(fitted(step.formula))
        lines += latex_evidence(found)
    return "\n".join([*lines, "\\end{enumerate}"])


def fitted(formula):
    """A displayed formula, made to fit the line."""
    return f"\\fitted{{{formula_latex(formula)}}}"


def latex_evidence(found):
    """One small line a piece of evidence."""
    return [f"\\evidence{{{e.verdict}}}{{{latex_text(str(e))}}}" for e in found]


# -- HTML -----------------------------------------------------------------------------------
_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.55 Georgia,serif;color:#1d2433;background:#fff;max-width:60rem;margin:2rem auto;
padding:0 1rem}
h1,h2,h3,h4,nav,.verdict,summary,th{font-family:system-ui,sans-serif;line-height:1.25}
h2{font-size:1.35rem;margin-top:3rem}h3{font-size:1.12rem;margin-top:2.2rem}
ol.steps>li{margin:1.6rem 0}math{font-size:1.12em}a{color:#1f5fb4}
.formula{margin:.8rem 0;overflow-x:auto;overflow-y:hidden}
mtable.cases{border-left:2px solid currentColor;border-radius:.5rem;margin-left:.3rem;
math-style:normal}
.because{color:#414a5e}.assuming,.source{font-style:italic;color:#5a6478}
.evidence{font:13px/1.5 ui-monospace,monospace;margin:.5rem 0 0;padding:0;list-style:none;
overflow-wrap:anywhere}
.evidence li{padding:.15rem .6rem;border-left:4px solid #8a93a6;margin:.2rem 0;background:#f5f6f9}
.verdict{font-size:.72rem;font-weight:600;letter-spacing:.04em;padding:.12rem .5rem;
border-radius:1rem;color:#fff;background:#6b7480;vertical-align:middle;white-space:nowrap}
.evidence .PROVED{border-color:#16794c}.evidence .CONFIRMED{border-color:#2766c8}
.evidence .REFUTED{border-color:#b3261e}.evidence .UNDECIDED{border-color:#a86b00}
.verdict.PROVED{background:#16794c}.verdict.CONFIRMED{background:#2766c8}
.verdict.REFUTED{background:#b3261e}.verdict.UNDECIDED{background:#a86b00}
nav ol{columns:16rem;padding-left:1.4rem}nav li{margin:.15rem 0}
dl{display:grid;grid-template-columns:minmax(5.5rem,auto) 1fr;gap:.3rem 1rem;margin:.6rem 0}
dt{color:#5a6478}dd{margin:0;min-width:0}dd .formula{margin:0;text-align:left}
dd .formula math{display:inline math;math-style:normal}
details>summary{cursor:pointer;color:#1f5fb4;font-size:.9rem}
mtd{text-align:left;padding:.15rem .5rem}
@media(max-width:36rem){dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}
ol.steps{padding-left:1.3rem}}
@media(prefers-color-scheme:dark){body{background:#14171f;color:#e4e7ee}.because{color:#b4bccb}
.assuming,.source,dt{color:#9aa3b5}.evidence li{background:#1e232e}
a,details>summary{color:#7fb2f0}}
"""


def to_html(chapters, title, beside=()):
    """One page of derivations: no script, no network, formulas as MathML.

    ``beside`` are pairs (file, title) of pages that lie in the same folder.
    """
    body = []
    if len(chapters) > 1:
        body.append(contents((f"c{k}", d.title) for k, (d, _) in enumerate(chapters)))
    body += [f'<p><a href="{file}">{html.escape(name)}</a></p>' for file, name in beside]
    for k, (derivation, verification) in enumerate(chapters):
        heading = derivation.title if len(chapters) > 1 else "Derivation"
        body.append(f'<h2 id="c{k}">{html.escape(heading)} {badge(verification.verdict)}</h2>')
        body.append(html_steps(derivation, verification))
    return page(title, "\n".join(body))


def contents(entries):
    """A list of links: ``entries`` are pairs (anchor, title)."""
    links = (f'<li><a href="#{anchor}">{html_text(title)}</a></li>' for anchor, title in entries)
    return f'<nav aria-label="contents"><ol>{"".join(links)}</ol></nav>'


def badge(verdict):
    """A verdict as a small coloured label."""
    return f'<span class="verdict {verdict}">{verdict}</span>'


def page(title, body):
    """A complete HTML document."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width,initial-scale=1"/>'
        f"<title>{html.escape(title)}</title><style>{_STYLE}{pictures.STYLE}</style></head>\n"
        f"<body>\n<h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def html_steps(derivation, verification, drawn=True):
    """The steps as a numbered list, each with its formula, evidence and (if drawn) picture."""
    source = f'<p class="source">{html_text(derivation.source)}</p>' if derivation.source else ""
    title = derivation.title if drawn else None
    return source + _html_list(derivation.steps, verification.evidence, title)


def notebook(derivation, evidence=None):
    """The steps of a derivation, or of its verification, as a notebook shows them."""
    verdict = "" if evidence is None else badge(derivation.verdict)
    steps = _html_list(derivation.steps, evidence or [()] * len(derivation.steps), None)
    return in_notebook(f"<h3>{html.escape(derivation.title)} {verdict}</h3>", steps)


def in_notebook(*parts):
    """Parts of a page, each rule of whose style is about them only."""
    rules = re.findall(r"([^{}]+){([^{}]*)}", _STYLE[: _STYLE.index("@media")])
    scoped = "".join(
        f"{','.join(f'.sparsecnn {one}' for one in which.strip().split(','))}{{{how}}}"
        for which, how in rules
        if which.strip() not in (":root", "body")
    )
    return fragment(f"<style>{scoped}</style>", *parts)


def _html_list(steps, evidence, title):
    pairs = zip(steps, evidence, strict=True)
    inner = "\n".join(_html_step(step, found, title) for step, found in pairs)
    return f'<ol class="steps">{inner}</ol>'


def _html_step(step, found, title):
    parts = [f'<li><strong>{html_text(step.claim)}</strong><div class="because">Because ']
    parts.append(f"{html_text(step.because)}</div>")
    if step.assumptions:
        parts.append(
            f'<div class="assuming">Assuming {html_text("; ".join(step.assumptions))}.</div>'
        )
    if step.formula is not None:
        parts.append(formula_mathml(step.formula))
    if step.prior is not None and title is not None:
        parts.append(pictures.figure_html(pictures.curves(step.prior), title))
    return "".join([*parts, html_evidence(found) if found else "", "</li>"])


def html_evidence(found):
    """Every piece of evidence on a line of its own."""
    items = "".join(f'<li class="{e.verdict}">{html.escape(str(e))}</li>' for e in found)
    return f'<ul class="evidence">{items}</ul>'


def html_text(text):
    """A sentence with its formulas as MathML."""
    parts = MATH.split(text)
    return "".join(html.escape(p) if k % 2 == 0 else inline_mathml(p) for k, p in enumerate(parts))
