"""The atlas to read: as text, as the README's table, and row by row as HTML and LaTeX.

``cards`` derives, verifies and draws every row once and keeps what came out as plain strings, so
that ``book`` can store them. Rows themselves are ``table``'s.
"""

from __future__ import annotations

import inspect
import re

import sympy as sp

from .. import priors
from ..priors import SymbolicPrior
from ..symbolic.evaluation import Z
from ..symbolic.evidence import weakest
from ..symbolic.parser import parse
from ..symbolic.prox import ScalarProx, X
from ..tables import Table, fragment
from ..validation import InputError
from . import pictures, render
from .forward import derive, domain
from .named import scalar_penalty
from .notation import plain

SECTIONS = {
    "forward": "Priors of one coefficient, and the activation each one implies",
    "vector": "Priors that couple coefficients",
    "ill-posed": "Penalties without a prox",
    "backward": "Activations, and the prior behind each one",
    "mean": "Activations as posterior means",
}
_HOW = {
    "derived": "derived by the engine in closed form, then verified",
    "implicit": "derived by the engine; a branch or a jump is left to Newton's method; verified",
    "given": "given, and verified",
    "refused": "refused by the engine",
    "explained": "read from the activation, then verified",
}
#: rows that couple coefficients: how they are made in the package, what they do in a network
_COUPLED = {
    "group_laplace": ("GroupLaplace(lam, groups)", "feature maps that live and die together"),
    "top_k": ("TopK(k)", "the k largest stay, the others are silenced"),
}
_PARAMETRIC = (
    "no elementary form: $\\varphi(\\sigma(x)) = x\\sigma(x) - \\int_0^x \\sigma - "
    "\\tfrac12\\sigma(x)^2$, $\\sigma$ the activation"
)
_YEAR = re.compile(r"\b(1[89]|20)\d\d\b")


class Atlas(tuple):
    """The rows of the atlas, in order; a tuple that can show itself."""

    def find(self, key, section=None):
        """The first row of this name.

        Raises
        ------
        InputError
            If there is none.
        """
        for row in self:
            if row.key == key and section in (None, row.section):
                return row
        raise InputError(f"key is {key!r}; expected the key of a row, such as {self[0].key!r}.")

    def summary(self):
        """Text: one line a row, by sections."""
        lines = []
        for section, title in SECTIONS.items():
            lines += ["", title]
            for row in (row for row in self if row.section == section):
                cells = (row.prior, row.activation) if row.prior else (row.activation, row.penalty)
                name, what = (plain(in_math(text)) for text in cells)
                lines.append(f"  {row.key:<27}{name:<36} {what}".rstrip())
        return "\n".join(lines[1:])

    def __repr__(self):
        return f"Atlas({len(self)} rows)"

    def _repr_html_(self):
        rows = [
            (row.key, *(plain(in_math(t)) for t in (row.prior, row.penalty, row.activation)))
            for row in self
        ]
        return fragment(Table(("row", "prior", "penalty", "activation"), rows, words=4))

    def to_markdown(self, keys=None):
        """A table of rows as Markdown: prior, penalty, prox as derived, and its name in a network.

        Parameters
        ----------
        keys : sequence of str, optional
            Which rows; default all priors.
        """
        if keys is None:
            keys = [row.key for row in self if row.section in ("forward", "vector")]
        lines = [
            "| prior | penalty `phi(z)` | prox = activation, of `x` | in a network |",
            "|---|---|---|---|",
        ]
        for key in keys:
            row = self.find(key)
            cells = (_call(row), _penalty_text(row), _prox_text(row), _network_text(row))
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)


# -- Markdown -------------------------------------------------------------------------------
def _call(row):
    """How the row's prior is made in the package."""
    if row.key in _COUPLED:
        return f"`{_COUPLED[row.key][0]}`"
    if row.package_class:
        names = list(inspect.signature(getattr(priors, row.package_class)).parameters)
        given = list(row.parameters)
        in_order = given == names[: len(given)]
        return f"`{row.package_class}({', '.join(n if in_order else f'{n}={n}' for n in given)})`"
    return row.prior


def _penalty_text(row):
    if isinstance(row.support, str):
        where = ", `z >= 0`" if row.support == "nonnegative" else ""
    else:
        where = f" on `[{row.support[0]}, {row.support[1]}]`"
    found = _parsed(row.penalty, row, Z)
    if found is None or not found.has(sp.Piecewise):
        return f"`{row.penalty}`{where}"
    return _cases_text(sp.piecewise_fold(found).args) + where


def _prox_text(row):
    if row.section != "forward":
        return row.activation
    return _cases_text(case[:2] for case in _solution(own_derivation(row)).cases)


def _network_text(row):
    return _COUPLED.get(row.key, ("", row.activation))[1]


def _cases_text(cases):
    """Pairs (value, condition) in words; the last condition is "else"."""
    words, cases = [], list(cases)
    for value, condition in cases:
        if isinstance(value, sp.Eq):
            sign = "`sign(x)` times " if value.rhs.has(sp.Abs) else ""
            shown = f"{sign}the root `z` of `{_code(value.lhs)} = {_code(value.rhs)}`"
        else:
            shown = f"`{_code(value)}`"
        last = condition in (None, sp.true)
        words.append(f"{'else ' * (last and len(cases) > 1)}{shown}")
        words[-1] += "" if last else f" if `{_code(condition)}`"
    return ", ".join(words)


def _code(expression):
    """In the grammar of ``SymbolicPrior``; an equation as in print."""
    if isinstance(expression, sp.Eq):
        return f"{_code(expression.lhs)} = {_code(expression.rhs)}"
    return sp.sstr(expression, order="rev-lex").replace("Abs(", "abs(")


# -- a row as strings -----------------------------------------------------------------------
def own_derivation(row):
    """The derivation of a forward row from its own formula (a class may have more parameters)."""
    return derive(SymbolicPrior(row.penalty, support=row.support, **row.parameters))


def _made(row):
    """How to make it in Python."""
    call = _call(row).strip("`")
    return f"sc.{call}, sc.derive('{row.key}')" if row.package_class else f"sc.derive('{row.key}')"


_SHOWN = {name: f"\\{name}" for name in ("alpha", "gamma", "kappa", "mu", "theta", "delta")}
_SHOWN |= {"lam": "\\lambda", "eps": "\\epsilon", "<=": "\\leq", ">=": "\\geq", "^2": "^2"}
_SHOWN |= {"+-": "\\pm"}
_WORD = re.compile(
    rf"sqrt\((\w+)\)|\b({'|'.join(k for k in _SHOWN if k.isalpha())})\b|<=|>=|\^2|\+-"
)


def in_math(text):
    """Words of a row, with its parameters and signs as formulas between dollar signs."""

    def shown(found):
        if found.group(1):
            return f"$\\sqrt{{{_SHOWN.get(found.group(1), found.group(1))}}}$"
        return f"${_SHOWN[found.group()]}$"

    return _WORD.sub(shown, text)


def _solution(derivation):
    return next(s.formula for s in derivation.steps if isinstance(s.formula, ScalarProx))


def card(row):
    """One row, derived, verified and drawn: a dict of strings.

    Returns
    -------
    dict
        ``title``, ``verdict``, ``html`` and ``latex``.
    """
    evidence = row.verify()
    entries, picture, more = _PARTS[row.section](row)
    entries.append(("evidence", _HOW[row.how], None))
    verdict = weakest(evidence)
    anchor = f"{row.section}-{row.key}"
    title = in_math(row.prior) or row.key
    shown = "".join(f"<dt>{name}</dt><dd>{_html_entry(*value)}</dd>" for name, *value in entries)
    return {
        "title": title,
        "verdict": verdict,
        "html": f'<section id="{anchor}"><h3>{render.html_text(title)} {render.badge(verdict)}</h3>'
        f"<dl>{shown}</dl>{render.html_evidence(evidence)}{picture}{more}</section>",
        "latex": "\n".join(
            [
                f"\\subsection*{{{render.latex_text(title)}}}",
                *(_latex_entry(*entry) for entry in entries),
                *render.latex_evidence(evidence),
            ]
        ),
    }


def _html_entry(text, formula):
    parts = [render.html_text(text)] if text else []
    return "".join(parts + ([] if formula is None else [render.formula_mathml(formula)]))


def _latex_entry(name, text, formula):
    lines = [f"\\par\\noindent\\textsf{{{name}}} \\quad {render.latex_text(text)}"]
    return "\n".join(lines + ([] if formula is None else [render.fitted(formula)]))


def _forward_parts(row):
    derivation = own_derivation(row)
    curvature = next(s for s in derivation.steps if s.claim.startswith("The p") and not s.formula)
    prior = row.make_prior()
    conditions = " ".join([curvature.claim, _flags(prior.is_proper, prior.is_sparse)])
    if curvature.assumptions:
        conditions += f" Here {'; '.join(curvature.assumptions)}."
    entries = [
        ("penalty", "", derivation.steps[0].formula),
        ("prox", "", _solution(derivation)),
        ("activation", in_math(row.activation), None),
        ("in the package", _made(row), None),
        ("conditions", conditions, None),
    ]
    verification = derivation.verify()
    count = f"derivation in {len(derivation.steps)} steps: {verification.verdict}"
    steps = render.html_steps(derivation, verification, drawn=False)
    more = f"<details><summary>{count}</summary>{steps}</details>"
    picture = pictures.figure_html(pictures.curves(derivation), row.prior)
    return entries + _notes(row), picture, more


def _flags(proper, sparse):
    words = {True: "yes", False: "no", None: "not known"}
    return f"A density: {words[proper]}. Exact zeros: {words[sparse]}."


def _notes(row):
    if not row.note:
        return []
    return [("source" if _YEAR.search(row.note) else "note", in_math(row.note), None)]


def _stated_parts(row):
    entries = [("penalty", row.penalty, None)] if row.penalty else []
    if row.parameters:
        values = ", ".join(f"{name} = {value:g}" for name, value in row.parameters.items())
        entries.append(("for example", values, None))
    if row.section != "ill-posed":
        entries.append(("activation", in_math(row.activation), None))
    return entries + _notes(row), _mean_picture(row), ""


def _mean_picture(row):
    key = row.key.removeprefix("mean_")
    if row.section != "mean" or key not in ("exponential", "half_normal", "laplace", "uniform"):
        return ""
    derivation = derive(key, estimator="mean")
    return pictures.figure_html(pictures.curves(derivation), f"{row.prior}, posterior mean")


def _backward_parts(row):
    found = row.explanation()
    entries = [("activation", "", _parsed(row.activation, row, X)), ("verdict", found.reason, None)]
    if found.is_prox:
        formula = _penalty_formula(row, found.prior)
        stated = _PARAMETRIC if "sigma(x)" in str(found.penalty) else str(found.penalty)
        entries.append(("penalty", "" if formula is not None else stated, formula))
        convex = "Convex." if found.convex else "Not convex."
        entries.append(("conditions", f"{convex} {_flags(found.proper, found.sparse)}", None))
    if found.witness:
        witness = ", ".join(f"{k} = {v:.10g}" for k, v in found.witness.items())
        entries.append(("witness", witness, None))
    mean = {False: "of no prior", None: "not known"}.get(found.posterior_mean, found.posterior_mean)
    if found.is_prox:
        entries.append(("posterior mean", str(mean), None))
    drawable = found.is_prox and found.prior is not None and found.prior.is_separable
    picture = pictures.figure_html(pictures.curves(found.prior), row.key) if drawable else ""
    return [e for e in entries if e[1] or e[2] is not None], picture, ""


def _penalty_formula(row, prior):
    """The penalty of an activation and where it is finite, or None where it has no formula."""
    if prior is None or not prior.formula:
        return None
    phi = _parsed(row.penalty or prior.formula, row, Z)
    equation = sp.Eq(sp.Symbol("phi"), phi, evaluate=False)
    return [equation, *domain(scalar_penalty(prior)[0])]


def _parsed(text, row, variable):
    """A formula of the atlas as a SymPy object, or None where it is a name."""
    symbols = {n: sp.Symbol(n, real=True) for n in row.parameters} | {variable.name: variable}
    try:
        found = parse(text, symbols)
    except InputError:
        return None
    long = [n for n in found.atoms(sp.Rational) if n.q > 10**6]  # decimals, read exactly
    return found.xreplace({n: sp.Float(n, 6) for n in long})


_PARTS = {
    "forward": _forward_parts,
    "vector": _stated_parts,
    "ill-posed": _stated_parts,
    "mean": _stated_parts,
    "backward": _backward_parts,
}


# -- all rows -------------------------------------------------------------------------------
def to_html(rows, cards):
    """The atlas page: every row with its picture; no script, no network."""
    body = [render.contents((_anchor(k), SECTIONS[k]) for k in SECTIONS)]
    for section, title in SECTIONS.items():
        inside = [(r, c) for r, c in zip(rows, cards, strict=True) if r.section == section]
        links = [(f"{section}-{r.key}", c["title"]) for r, c in inside]
        body.append(f'<h2 id="{_anchor(section)}">{title}</h2>{render.contents(links)}')
        body += [c["html"] for _, c in inside]
    return render.page("Atlas of priors and activations", "\n".join(body))


def _anchor(section):
    return f"section-{section}"


def to_latex(rows, cards):
    """The atlas as an appendix of the book."""
    lines = ["\\clearpage\\appendix\\section{Atlas of priors and activations}"]
    for section, title in SECTIONS.items():
        lines.append(f"\\subsection{{{title}}}")
        lines += [c["latex"] for r, c in zip(rows, cards, strict=True) if r.section == section]
    return "\n".join(lines)
