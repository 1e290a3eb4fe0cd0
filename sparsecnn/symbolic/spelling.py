"""What people write for a formula in the grammar of ``parser``: bars, ``^``, ``lambda``, ``np.``.

Text and syntax trees only; what the names mean is ``parser``'s.
"""

from __future__ import annotations

import ast
import re

from ..validation import InputError

#: libraries whose functions may be written with their prefix
_LIBRARIES = ("np", "numpy", "math", "sp", "sympy", "torch", "F", "jnp", "scipy")
#: words of Python that are names in formulas
_WORDS = {"lambda": "lam"}


def spelt(text, argument="formula"):
    """``text`` with ``^``, ``|z|`` and ``lambda`` as Python writes them.

    Examples
    --------
    >>> spelt("lambda*|z|^1.5 + ||z| - 1|")
    'lam*abs(z)**1.5 + abs(abs(z) - 1)'
    """
    for word, name in _WORDS.items():
        text = re.sub(rf"\b{word}\b", name, text)
    return _without_bars(text.replace("^", "**"), argument)


def _without_bars(text, argument):
    """Bars as calls of ``abs``: one after an operand closes, another opens.

    A bar between two parenthesised conditions, ``(z < 0) | (z > 1)``, stays as it is.
    """
    if "|" not in text:
        return text
    parts, open_at, before = [], [], ""
    for k, character in enumerate(text):
        if character == "|":
            if not (before.isalnum() or before in ("_", ".", ")")):
                open_at.append(k)
                part, before = "abs(", "("
            elif open_at:
                open_at.pop()
                part = before = ")"
            elif before == ")":
                part = before = "|"
            else:
                raise InputError(
                    f"{argument} {text!r} has a bar after an operand at position {k}; expected "
                    "pairs such as |z|, and * between factors. Write abs(z)."
                )
            parts.append(part)
        else:
            parts.append(character)
            before = before if character.isspace() else character
    if open_at:
        raise InputError(
            f"{argument} {text!r} has a bar without its other half at position {open_at[-1]}; "
            "expected pairs such as |z|. Write abs(z)."
        )
    return "".join(parts)


class _Plain(ast.NodeTransformer):
    def visit_Attribute(self, node):
        if isinstance(node.value, ast.Name) and node.value.id in _LIBRARIES:
            return ast.copy_location(ast.Name(node.attr, node.ctx), node)
        return node


def without_prefixes(tree):
    """The tree with ``np.log(z)`` as ``log(z)``."""
    return _Plain().visit(tree)
