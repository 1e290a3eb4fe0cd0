"""Closed forms from the literature that the engine does not find itself: stated, then verified.

Each is put against the derived implicit prox, which knows nothing of it.
"""

from __future__ import annotations

import numpy as np
import sympy as sp

from ..symbolic.evidence import CONFIRMED, PROVED, REFUTED, Evidence


def two_thirds(x, lam):
    """``lam |z|^(2/3)``: a quartic in ``|z|^(1/3)``, beyond ``2 (2 lam/3)^(3/4)``.

    Cao, Sun & Xu 2013, Fast image deconvolution using closed-form thresholding formulas.
    """
    size = np.maximum(np.abs(x), 2 * (2 * lam / 3) ** 0.75)
    angle = np.arccosh(27 * size**2 / (16 * (2 * lam) ** 1.5)) / 3
    a = 2 / np.sqrt(3) * (2 * lam) ** 0.25 * np.sqrt(np.cosh(angle))
    root = ((a + np.sqrt(2 * size / a - a**2)) / 2) ** 3
    return np.sign(x) * np.where(np.abs(x) > 2 * (2 * lam / 3) ** 0.75, root, 0.0)


def garrote(x, lam):
    """``x - lam^2 / x`` beyond ``lam`` (Gao 1998)."""
    away = np.abs(x) > lam
    return np.where(away, x - lam**2 / np.where(away, x, 1.0), 0.0)


def student_t(x, c, gamma):
    """Best real root of ``z^3 - x z^2 + (gamma^2 + 2 c) z - x gamma^2``."""
    objective = lambda z, at: 0.5 * (at - z) ** 2 + c * np.log1p((z / gamma) ** 2)  # noqa: E731
    return _best_root(x, objective, lambda at: [1, -at, gamma**2 + 2 * c, -at * gamma**2])


def fraction(x, lam, eps):
    """Best of zero and the real roots of ``(|x| - z)(z + eps)^2 = lam eps``, ``z > 0``."""

    def objective(z, at):
        return np.where(z >= 0, 0.5 * (at - z) ** 2 + lam * z / (np.abs(z) + eps), np.inf)

    def cubic(at):
        return [1, 2 * eps - at, eps**2 - 2 * eps * at, lam * eps - at * eps**2]

    return np.sign(x) * _best_root(np.abs(x), objective, cubic, (0.0,))


def _best_root(x, objective, coefficients, also=()):
    best = np.empty(np.shape(x))
    for k, at in enumerate(x):
        roots = np.roots(coefficients(at))
        real = np.array([*roots.real[np.abs(roots.imag) < 1e-7], *also])
        best[k] = real[np.argmin(objective(real, at))]
    return best


def uniqueness_of_student_t():
    """The cubic has one real root for every ``x`` iff ``c <= 4 gamma^2``: its discriminants."""
    z, x, w = sp.symbols("z x w", real=True)
    c, gamma = sp.symbols("c gamma", positive=True)
    cubic = z**3 - x * z**2 + (gamma**2 + 2 * c) * z - x * gamma**2
    in_square = sp.expand(sp.discriminant(cubic, z)).subs(x**4, w**2).subs(x**2, w)
    twice = sp.factor(sp.discriminant(in_square, w))
    holds = sp.expand(twice + 16 * c * (4 * gamma**2 - c) ** 3) == 0
    detail = f"discriminant in x^2 of the cubic's discriminant in z: {twice}; so c <= 4 gamma^2"
    return Evidence("symbolic", PROVED if holds else REFUTED, detail)


FORMS = {
    "l_two_thirds": two_thirds,
    "garrote": garrote,
    "student_t": student_t,
    "student_t_jump": student_t,
    "fraction": fraction,
}


def check_given(key, prox, values, x):
    """Evidence that the stated closed form is the implicit prox."""
    apart = np.abs(FORMS[key](x, **values) - prox(x))
    k = int(np.argmax(apart))
    if not apart[k] <= 1e-7:
        where = {"x": float(x[k]), "apart": float(apart[k]), **values}
        return Evidence("numeric", REFUTED, "the stated closed form differs", where)
    detail = f"the stated closed form equals the derived prox at {len(x)} inputs to {apart[k]:.1e}"
    return Evidence("numeric", CONFIRMED, detail)
