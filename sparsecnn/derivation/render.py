"""Derivations as text, Markdown, LaTeX and one self-contained HTML page with MathML.

Pure strings; cases are printed here, because SymPy's presentation printer has no good Piecewise.
"""

from __future__ import annotations

import html
import itertools
import pathlib
import re

import sympy as sp

from ..symbolic.evidence import weakest
from ..symbolic.prox import ScalarProx

_ENTITY = re.compile(r"&(?!lt;|gt;|amp;|quot;|apos;)[A-Za-z]+;")
_MATH = re.compile(r"\$([^$]*)\$")


# -- formulas -------------------------------------------------------------------------------
def in_greek(expression):
    """The expression with the package's ``lam`` and ``eps`` as the letters they stand for."""
    names = {"lam": "lambda", "eps": "epsilon", "lam_minus": "lambda_-", "lam_plus": "lambda_+"}
    return expression.xreplace(
        {s: sp.Symbol(names[s.name], **s.assumptions0) for s in expression.free_symbols
         if s.name in names}
    )  # fmt: skip


def cases_of(solution):
    """The rows ``(value, condition)`` of a derived prox, as SymPy objects and LaTeX conditions."""
    x = sp.Symbol("x", real=True)
    size = sp.Abs(x) if solution.is_even else x
    rows = []
    for branch, following in itertools.pairwise((*solution.branches, None)):
        if branch.value is None:
            value = sp.Eq(branch.equation.subs(x, size) + size, size, evaluate=False)
        else:
            value = branch.value.subs(x, size)
            value = sp.sign(x) * value if solution.is_even else value
        condition = None if following is None else sp.Le(size, following.start.value)
        rows.append((value, condition))
    return rows


def formula_latex(formula):
    """LaTeX of a step's formula: an expression, a list of them, or a derived prox."""
    if isinstance(formula, ScalarProx):
        rows = [
            f"{_implicit(value, _latex(value), 'z: ')} & "
            + ("\\text{otherwise}" if condition is None else f"\\text{{if }} {_latex(condition)}")
            for value, condition in cases_of(formula)
        ]
        if len(rows) == 1:
            return "\\operatorname{prox}_\\varphi(x) = " + rows[0].split(" & ")[0]
        body = " \\\\ ".join(rows)
        return f"\\operatorname{{prox}}_\\varphi(x) = \\begin{{cases}} {body} \\end{{cases}}"
    if isinstance(formula, list | tuple):
        return ",\\quad ".join(_latex(f) for f in formula)
    return _latex(formula)


def _latex(expression):
    return sp.latex(in_greek(expression))


def _implicit(value, shown, prefix):
    return prefix + shown if isinstance(value, sp.Eq) else shown


def formula_mathml(formula):
    """Presentation MathML of a step's formula."""
    if isinstance(formula, ScalarProx):
        rows = "".join(
            f"<mtr><mtd>{_mathml(value)}</mtd><mtd>{_condition_mathml(condition)}</mtd></mtr>"
            for value, condition in cases_of(formula)
        )
        head = "<msub><mi>prox</mi><mi>&#x3C6;</mi></msub><mo>(</mo><mi>x</mi><mo>)</mo><mo>=</mo>"
        return _math(head + _cases(rows))
    if isinstance(formula, list | tuple):
        return _math("<mo>,</mo><mspace width='1em'/>".join(_mathml(f) for f in formula))
    return _math(_mathml(formula))


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
    kinks = expression.atoms(sp.Piecewise) if isinstance(expression, sp.Basic) else ()
    if kinks:  # cases inside a sum or product: print them where they stand
        stand_ins = {kink: sp.Symbol(f"PIECE{k}") for k, kink in enumerate(kinks)}
        text = _mathml(expression.xreplace(stand_ins))
        for kink, mark in stand_ins.items():
            text = re.sub(rf"<mi>{mark.name}</mi>", lambda _, k=kink: _mathml(k), text)
            text = re.sub(
                rf"<msub><mi>PIECE</mi><m[in]>{mark.name[5:]}</m[in]></msub>",
                lambda _, k=kink: _mathml(k), text,
            )  # fmt: skip
        return text
    text = sp.mathml(in_greek(expression), printer="presentation").replace(
        "<mo>-</mo>", "<mo>&#x2212;</mo>"
    )
    return _ENTITY.sub(lambda m: html.unescape(m.group()), text)  # XML knows only five names


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
def to_text(derivation):
    """The claims and reasons, numbered."""
    lines = [derivation.title]
    for number, step in enumerate(derivation.steps, 1):
        lines.append(f"{number}. {step.claim}")
        lines.append(f"   because {step.because}")
    return "\n".join(lines)


def to_markdown(derivation, verification):
    """One derivation with its evidence."""
    lines = [f"# {derivation.title}", "", f"Verdict: **{verification.verdict}**", ""]
    pairs = zip(derivation.steps, verification.evidence, strict=True)
    for number, (step, found) in enumerate(pairs, 1):
        lines += [f"## {number}. {step.claim}", "", f"Because {step.because}", ""]
        if step.assumptions:
            lines += ["Assuming " + "; ".join(step.assumptions) + ".", ""]
        if step.formula is not None:
            lines += [f"$${formula_latex(step.formula)}$$", ""]
        lines += [f"- {e}" for e in found] + [""]
    return "\n".join(lines)


_LATEX_SPECIAL = {"&": "\\&", "%": "\\%", "#": "\\#", "_": "\\_", "{": "\\{", "}": "\\}",
                  "^": "\\^{}", "~": "\\~{}", "\\": "\\textbackslash{}", "<": "$<$", ">": "$>$",
                  "|": "$|$"}  # fmt: skip


def _latex_text(text):
    """Escape prose, leaving what stands between dollar signs."""
    parts = _MATH.split(text)
    for k in range(0, len(parts), 2):
        parts[k] = "".join(_LATEX_SPECIAL.get(c, c) for c in parts[k])
    return "".join(p if k % 2 == 0 else f"${p}$" for k, p in enumerate(parts))


def to_latex(chapters, title):
    """A complete document: ``chapters`` are pairs (derivation, verification)."""
    lines = [
        "\\documentclass{article}",
        "\\usepackage{amsmath,amssymb}",
        "\\usepackage[margin=25mm]{geometry}",
        "\\allowdisplaybreaks",
        f"\\title{{{_latex_text(title)}}}",
        "\\date{}",
        "\\begin{document}",
        "\\maketitle",
    ]
    for derivation, verification in chapters:
        lines.append(f"\\section{{{_latex_text(derivation.title)}}}")
        lines.append("\\begin{enumerate}")
        for step, found in zip(derivation.steps, verification.evidence, strict=True):
            lines.append(
                f"\\item {_latex_text(step.claim)}\\\\ Because {_latex_text(step.because)}"
            )
            if step.assumptions:
                lines.append("\\\\ Assuming " + _latex_text("; ".join(step.assumptions)) + ".")
            if step.formula is not None:
                lines.append(f"\\[ {formula_latex(step.formula)} \\]")
            for e in found:
                lines.append(f"\\\\ {{\\footnotesize {_latex_text(str(e))}}}")
        lines.append("\\end{enumerate}")
    return "\n".join([*lines, "\\end{document}", ""])


# -- HTML -----------------------------------------------------------------------------------
_STYLE = """
body{font:16px/1.55 Georgia,serif;color:#1d2433;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1,h2{font-family:system-ui,sans-serif;line-height:1.25}h2{font-size:1.35rem;margin-top:2.5rem}
ol>li{margin:1.4rem 0}math{font-size:1.12em}
.formula{margin:.8rem 0;overflow-x:auto;overflow-y:hidden}
mtable.cases{border-left:2px solid currentColor;border-radius:.5rem;margin-left:.3rem}
.because{color:#414a5e}.assuming{font-style:italic;color:#5a6478}
.evidence{font:13px/1.5 ui-monospace,monospace;margin:.3rem 0 0;padding:0;list-style:none}
.evidence li{padding:.15rem .6rem;border-left:4px solid #8a93a6;margin:.2rem 0;background:#f5f6f9}
.PROVED{border-color:#16794c!important}.CONFIRMED{border-color:#2766c8!important}
.REFUTED{border-color:#b3261e!important}.UNDECIDED{border-color:#a86b00!important}
nav a{margin-right:1rem}
mtd{text-align:left;padding:.15rem .5rem}
@media(prefers-color-scheme:dark){body{background:#14171f;color:#e4e7ee}.because{color:#b4bccb}
.assuming{color:#9aa3b5}.evidence li{background:#1e232e}}
"""


def to_html(chapters, title):
    """One page: no script, no network, formulas as MathML."""
    body = [f"<h1>{html.escape(title)}</h1>"]
    if len(chapters) > 1:
        links = (f'<a href="#c{k}">{html.escape(d.title)}</a>' for k, (d, _) in enumerate(chapters))
        body.append(f"<nav>{' '.join(links)}</nav>")
    for k, (derivation, verification) in enumerate(chapters):
        verdict = verification.verdict
        heading = f"{derivation.title} \u2014 {verdict}" if len(chapters) > 1 else verdict
        body.append(f'<h2 id="c{k}">{html.escape(heading)}</h2><ol>')
        for step, found in zip(derivation.steps, verification.evidence, strict=True):
            body.append(_html_step(step, found))
        body.append("</ol>")
    return page(title, "\n".join(body))


def page(title, body):
    """A complete HTML document."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width,initial-scale=1"/>'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _html_step(step, found):
    parts = [f'<li><strong>{_html_text(step.claim)}</strong><div class="because">Because ']
    parts.append(f"{_html_text(step.because)}</div>")
    if step.assumptions:
        parts.append(
            f'<div class="assuming">Assuming {_html_text("; ".join(step.assumptions))}.</div>'
        )
    if step.formula is not None:
        parts.append(formula_mathml(step.formula))
    items = "".join(f'<li class="{e.verdict}">{html.escape(str(e))}</li>' for e in found)
    parts.append(f'<ul class="evidence {weakest(found)}">{items}</ul></li>')
    return "".join(parts)


def _html_text(text):
    parts = _MATH.split(text)
    return "".join(html.escape(p) if k % 2 == 0 else inline_mathml(p) for k, p in enumerate(parts))


# -- a small reader of the LaTeX that claims are written in ----------------------------------
_GREEK = {
    name: f"&#x{code:X};"
    for name, code in {
        "varphi": 0x3C6, "phi": 0x3C6, "lambda": 0x3BB, "sigma": 0x3C3, "alpha": 0x3B1,
        "gamma": 0x3B3, "kappa": 0x3BA, "mu": 0x3BC, "delta": 0x3B4, "epsilon": 0x3B5,
        "rho": 0x3C1, "eta": 0x3B7, "nabla": 0x2207, "beta": 0x3B2, "theta": 0x3B8,
        "psi": 0x3C8, "infty": 0x221E, "ell": 0x2113,
    }.items()
}  # fmt: skip
_SIGNS = {
    name: f"&#x{code:X};"
    for name, code in {
        "leq": 0x2264, "geq": 0x2265, "le": 0x2264, "ge": 0x2265, "neq": 0x2260, "langle": 0x27E8,
        "rangle": 0x27E9, "in": 0x2208, "preceq": 0x2AAF, "sum": 0x2211, "cdot": 0x22C5,
        "to": 0x2192, "|": 0x2016, "times": 0xD7, "partial": 0x2202, "pm": 0xB1, "iff": 0x21D4,
        "quad": 0x2003, "odot": 0x2299, "Rightarrow": 0x21D2,
    }.items()
} | {",": "", "left": "", "right": ""}  # fmt: skip
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[A-Za-z]|\d+(?:\.\d+)?|\S")


def inline_mathml(latex):
    """MathML of the small part of LaTeX that claims use; anything else shows as text."""
    tokens = _TOKEN.findall(latex)
    try:
        nodes, rest = _row(tokens)
    except IndexError:
        nodes, rest = "", ["?"]
    if rest:
        return f"<code>{html.escape(latex)}</code>"
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML"><mrow>{nodes}</mrow></math>'


def _row(tokens, stop=None):
    nodes = []
    while tokens and tokens[0] != stop:
        if tokens[0] in ("^", "_"):
            kind, tokens = tokens[0], tokens[1:]
            script, tokens = _atom(tokens)
            base = nodes.pop() if nodes else "<mrow/>"
            if tokens and tokens[0] in "^_" and tokens[0] != kind:
                other, tokens = _atom(tokens[1:])
                low, high = (script, other) if kind == "_" else (other, script)
                nodes.append(f"<msubsup>{base}{low}{high}</msubsup>")
            else:
                tag = "msup" if kind == "^" else "msub"
                nodes.append(f"<{tag}>{base}{script}</{tag}>")
            continue
        node, tokens = _atom(tokens)
        nodes.append(node)
    return "".join(nodes), tokens


def _atom(tokens):
    token, tokens = tokens[0], tokens[1:]
    if token == "{":
        inner, tokens = _row(tokens, "}")
        return f"<mrow>{inner}</mrow>", tokens[1:]
    if token.startswith("\\"):
        return _command(token[1:], tokens)
    if token[0].isdigit():
        return f"<mn>{token}</mn>", tokens
    if token.isalpha():
        return f"<mi>{token}</mi>", tokens
    if token == "|":
        return '<mo stretchy="false" lspace="0" rspace="0">|</mo>', tokens
    if token == "'":
        return "<mo>&#x2032;</mo>", tokens
    return f"<mo>{'&#x2212;' if token == '-' else html.escape(token)}</mo>", tokens


def _command(name, tokens):
    if name in ("tfrac", "frac"):
        if tokens[0] != "{" and len(tokens[0]) == 2 and tokens[0].isdigit():
            tokens = [tokens[0][0], tokens[0][1], *tokens[1:]]
        top, tokens = _atom(tokens)
        bottom, tokens = _atom(tokens)
        return f"<mfrac>{top}{bottom}</mfrac>", tokens
    if name == "sqrt":
        inner, tokens = _atom(tokens)
        return f"<msqrt>{inner}</msqrt>", tokens
    if name in ("mathrm", "text", "operatorname", "mathbb"):
        word, tokens = _word(tokens)
        variant = "double-struck" if name == "mathbb" else "normal"
        return f'<mi mathvariant="{variant}">{html.escape(word)}</mi>', tokens
    if name in _GREEK:
        return f"<mi>{_GREEK[name]}</mi>", tokens
    if name in _SIGNS:
        return (f"<mo>{_SIGNS[name]}</mo>" if _SIGNS[name] else ""), tokens
    if name in (
        "log",
        "exp",
        "inf",
        "max",
        "min",
        "cos",
        "cosh",
        "sin",
        "sinh",
        "tanh",
        "acos",
        "asinh",
    ):
        return f"<mi mathvariant='normal'>{name}</mi>", tokens
    return f"<mtext>{html.escape(name)}</mtext>", tokens


def _word(tokens):
    """The letters in braces as one word, and the tokens after them."""
    end = tokens.index("}")
    return "".join(tokens[1:end]), tokens[end + 1 :]
