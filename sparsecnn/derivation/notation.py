"""A small reader of the LaTeX that claims are written in: shown as MathML, or as plain Unicode.

Knows no derivation. What a command means stands in the tables; an unknown one shows as its name.
"""

# ruff: noqa: RUF001 - Greek letters and mathematical signs are meant
from __future__ import annotations

import html
import re

MATH = re.compile(r"\$([^$]*)\$")
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[A-Za-z]|\d+(?:\.\d+)?|\S")

GREEK = dict(
    varphi="φ", phi="φ", lambda_="λ", sigma="σ", alpha="α", gamma="γ", kappa="κ", mu="μ",
    delta="δ", epsilon="ε", rho="ρ", eta="η", nabla="∇", beta="β", theta="θ", psi="ψ",
    infty="∞", ell="ℓ", pi="π", tau="τ", omega="ω", Phi="Φ", Delta="Δ", nu="ν", xi="ξ",
)  # fmt: skip
GREEK["lambda"] = GREEK.pop("lambda_")
#: relations and binary operations stand apart from their sides
_APART = dict(
    leq="≤", geq="≥", le="≤", ge="≥", neq="≠", ne="≠", preceq="⪯", to="→", times="×", iff="⇔",
    Rightarrow="⇒", wedge="∧", vee="∨", approx="≈",
) | {"in": "∈"}  # fmt: skip
_CLOSE = dict(
    langle="⟨", rangle="⟩", sum="Σ", cdot="⋅", partial="∂", pm="±", odot="⊙", quad="\u2003",
    lceil="⌈", rceil="⌉", lfloor="⌊", rfloor="⌋", cup="∪", star="⋆", prime="′", prod="∏",
    ldots="…", cap="∩", int="∫", setminus="∖", subset="⊂", top="⊤", lVert="‖", rVert="‖",
) | {"|": "‖", "{": "{", "}": "}", " ": "\u2009"}  # fmt: skip
_NOTHING = {",", ";", "!", ":", "left", "right", "displaystyle", "big", "Big", "bigl", "bigr"}
_NAMES = {
    "log", "exp", "inf", "sup", "max", "min", "arg", "sign", "det", "dim", "sqrt",
    "cos", "cosh", "sin", "sinh", "tan", "tanh", "acos", "asin", "atan", "acosh", "asinh", "atanh",
}  # fmt: skip
_WORDS = {"mathrm", "text", "operatorname", "mathbb", "mathbf"}
_BLACKBOARD = {"R": "ℝ", "Z": "ℤ", "N": "ℕ"}
KNOWN_COMMANDS = {*GREEK, *_APART, *_CLOSE, *_NOTHING, *_NAMES, *_WORDS, "frac", "tfrac", "binom"}


# -- reading --------------------------------------------------------------------------------
def read(latex):
    """The formula as a tree: tuples ``(kind, ...)`` with strings at the leaves.

    Raises
    ------
    IndexError
        If braces do not match.
    """
    nodes, rest = _row(_TOKEN.findall(latex))
    if rest:
        raise IndexError("a brace closes what was not opened")
    return nodes


def commands(latex):
    """The names of the commands in a formula."""
    return {t[1:] for t in _TOKEN.findall(latex) if t.startswith("\\")}


def _row(tokens, stop=None):
    nodes = []
    while tokens and tokens[0] != stop:
        if tokens[0] in ("^", "_"):
            script, rest = _atom(tokens[1:])
            base = nodes.pop() if nodes else ("row", [])
            which = 2 if tokens[0] == "_" else 3
            if base[0] != "script" or base[which] is not None:
                base = ("script", base, None, None)
            nodes.append(tuple(script if k == which else part for k, part in enumerate(base)))
            tokens = rest
            continue
        node, tokens = _atom(tokens)
        nodes += [node] if node else []
    return ("row", nodes), tokens


def _atom(tokens):
    token, tokens = tokens[0], tokens[1:]
    if token == "{":
        inner, tokens = _row(tokens, "}")
        return inner, _closed(tokens)
    if token.startswith("\\"):
        return _command(token[1:], tokens)
    if token[0].isdigit():
        return ("number", token), tokens
    if token.isalpha():
        return ("letter", token), tokens
    kinds = {"|": "bar", "=": "apart", "<": "apart", ">": "apart", "+": "binary", "-": "binary"}
    return (kinds.get(token, "sign"), {"-": "−", "'": "′", "*": "*"}.get(token, token)), tokens


def _closed(tokens):
    if not tokens:
        raise IndexError("a brace is not closed")
    return tokens[1:]


def _command(name, tokens):
    if name in ("tfrac", "frac", "binom"):
        if tokens[0] != "{" and len(tokens[0]) == 2 and tokens[0].isdigit():
            tokens = [tokens[0][0], tokens[0][1], *tokens[1:]]
        top, tokens = _atom(tokens)
        bottom, tokens = _atom(tokens)
        return ("choose" if name == "binom" else "fraction", top, bottom), tokens
    if name == "sqrt":
        degree = None
        if tokens[0] == "[":
            degree, tokens = _row(tokens[1:], "]")
            tokens = _closed(tokens)
        inner, tokens = _atom(tokens)
        return ("root", inner, degree), tokens
    if name in _WORDS:
        end = tokens.index("}") if "}" in tokens else len(tokens)
        word, tokens = "".join(tokens[1:end]), _closed(tokens[end:])
        if name == "mathbb":
            return ("letter", _BLACKBOARD.get(word, word)), tokens
        return ("name", word), tokens
    if name in _NOTHING:
        return None, tokens
    if name in GREEK:
        return ("letter", GREEK[name]), tokens
    if name in _APART:
        return ("apart", _APART[name]), tokens
    if name in _CLOSE:
        return ("sign", _CLOSE[name]), tokens
    return ("name", name), tokens


# -- MathML ---------------------------------------------------------------------------------
def inline_mathml(latex):
    """MathML of a formula inside a sentence; one that cannot be read shows as it is."""
    try:
        inner = mathml(latex)
    except (IndexError, ValueError):
        return f"<code>{html.escape(latex)}</code>"
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML">{inner}</math>'


def mathml(latex):
    """The inside of a formula's ``math`` element."""
    return _mathml(read(latex))


def _mathml(node):
    kind = node[0]
    if kind == "row":
        parts = []
        for before, part in zip([None, *node[1]], node[1], strict=False):
            thin = before and (_is_name(before) or part[0] == "name") and _is_letter(part, before)
            parts.append('<mspace width="0.17em"/>' * bool(thin) + _mathml(part))
        return f"<mrow>{''.join(parts)}</mrow>"
    if kind == "script":
        tag = "msubsup" if node[2] and node[3] else "msub" if node[2] else "msup"
        return f"<{tag}>{''.join(_mathml(part) for part in node[1:] if part)}</{tag}>"
    if kind == "fraction":
        return f"<mfrac>{_mathml(node[1])}{_mathml(node[2])}</mfrac>"
    if kind == "choose":
        pair = f'<mfrac linethickness="0">{_mathml(node[1])}{_mathml(node[2])}</mfrac>'
        return f"<mrow><mo>(</mo>{pair}<mo>)</mo></mrow>"
    if kind == "root":
        if node[2]:
            return f"<mroot>{_mathml(node[1])}{_mathml(node[2])}</mroot>"
        return f"<msqrt>{_mathml(node[1])}</msqrt>"
    text = html.escape(node[1])
    if text == "\u2009":
        return '<mspace width="0.3em"/>'
    if kind == "name":
        return f'<mi mathvariant="normal">{text}</mi>'
    if kind == "bar" or text in tuple("()[]{}⟨⟩‖"):
        return f'<mo stretchy="false" lspace="0" rspace="0">{text}</mo>'
    return {"number": f"<mn>{text}</mn>", "letter": f"<mi>{text}</mi>"}.get(
        kind, f"<mo>{text}</mo>"
    )


def _is_letter(*nodes):
    """Whether all of these are letters, numbers or names, perhaps with scripts."""
    kinds = [node[1][0] if node[0] == "script" else node[0] for node in nodes]
    return all(kind in ("letter", "number", "name", "fraction", "root") for kind in kinds)


# -- Unicode --------------------------------------------------------------------------------
_RAISED = dict(zip("0123456789+−=()niTlkts*′", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵀˡᵏᵗˢ*′", strict=True))
_LOWERED = dict(
    zip("0123456789+−=()aehijklmnoprstuvxβγρφ", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩ", strict=True)
)


def plain(text):
    """A sentence with its formulas between dollar signs as Unicode: ``½‖x − Dz‖² + λ|z|``."""
    return MATH.sub(lambda found: unicode_text(found.group(1)), text)


def unicode_text(latex):
    """A formula as one line of Unicode; one that cannot be read shows without its backslashes."""
    try:
        return " ".join(_unicode(read(latex)).split())
    except (IndexError, ValueError):
        return latex.replace("\\", "")


def _unicode(node):
    kind = node[0]
    if kind == "row":
        return _line(node[1])
    if kind == "script":
        base = _unicode(node[1])
        low, high = (_shifted(part, k) for k, part in enumerate(node[2:]))
        return base + low + high
    if kind == "fraction":
        top, bottom = _unicode(node[1]), _unicode(node[2])
        if (top, bottom) == ("1", "2"):
            return "½"
        top = f"({top})" if " + " in top or " − " in top else top
        return f"{top}/{_grouped(bottom)}"
    if kind == "choose":
        return f"C({_unicode(node[1])}, {_unicode(node[2])})"
    if kind == "root":
        degree = "" if node[2] is None else " " + _shifted(node[2], 1)
        return f"{degree}√{_grouped(_unicode(node[1]))}"
    return node[1]


def _shifted(node, high):
    """A script: small characters where all of it has them, else ``_(...)`` or ``^(...)``."""
    if node is None:
        return ""
    text, small = _unicode(node).replace(" ", ""), _RAISED if high else _LOWERED
    if all(c in small for c in text):
        return "".join(small[c] for c in text)
    return "_^"[high] + _grouped(text)


def _grouped(text):
    """In parentheses, unless it is a number or one letter with its scripts."""
    bare = text.rstrip("".join(_RAISED.values()) + "".join(_LOWERED.values()))
    return text if len(bare) <= 1 or bare.isdigit() else f"({text})"


def _line(nodes):
    """Nodes side by side, with the spaces that print needs and formulas do not."""
    text = ""
    for before, node in zip([None, *nodes], nodes, strict=False):
        shown = _unicode(node)
        unary = before is None or before[0] in ("apart", "binary") or before[1] in tuple("([⟨,{")
        if node[0] == "apart" or (node[0] == "binary" and not unary):
            text += f" {shown} "
        elif node[0] == "sign" and shown == ",":
            text += ", "
        elif before and before[0] == "root" and (shown[0].isalnum() or node[0] == "root"):
            text += " " + shown
        elif text and (_is_name(node) or _is_name(before)) and text[-1:].isalnum():
            text += ("" if shown[:1] in tuple("([{)]},") else " ") + shown
        else:
            text += shown
    return text


def _is_name(node):
    """Whether a word ends or starts here, which must not run into its neighbour."""
    while node and node[0] == "script":
        node = node[1]
    return bool(node) and (node[0] == "name" or node[1] == "Σ")
