"""Text to SymPy without evaluation: parsed by Python's ``ast`` and rebuilt node by node.

Whatever is not in the tables below is refused, so no text is ever executed. Knows no prior.
"""

from __future__ import annotations

import ast
import math
from fractions import Fraction

import sympy as sp

from ..validation import InputError, InputTypeError, did_you_mean
from .spelling import spelt, without_prefixes

MAX_CHARACTERS, MAX_NODES, MAX_DEPTH = 500, 250, 40
#: largest power of an expression, and largest number that may be written down
MAX_EXPONENT, MAX_NUMBER = 12, 10**12
#: largest value that numbers in the text may be combined to, and degree that powers may reach
MAX_VALUE, MAX_DEGREE = 10**40, 64


def _clip(value, low, high):
    return sp.Min(sp.Max(value, low), high)


def _heaviside(value, at_zero=sp.S.Half):
    return sp.Piecewise((0, value < 0), (at_zero, sp.Eq(value, 0)), (1, True))


#: name -> (constructor, least and greatest number of arguments)
FUNCTIONS = {
    **{
        name: (function, 1, 1)
        for name, function in {
            "abs": sp.Abs, "sign": sp.sign, "sqrt": sp.sqrt, "exp": sp.exp, "log": sp.log,
            "ln": sp.log, "sin": sp.sin, "cos": sp.cos, "tan": sp.tan, "sinh": sp.sinh,
            "cosh": sp.cosh, "tanh": sp.tanh, "asin": sp.asin, "acos": sp.acos, "atan": sp.atan,
            "arctan": sp.atan, "asinh": sp.asinh, "arcsinh": sp.asinh, "acosh": sp.acosh,
            "atanh": sp.atanh, "arctanh": sp.atanh, "erf": sp.erf, "erfc": sp.erfc,
        }.items()
    },
    "max": (sp.Max, 2, 6),
    "min": (sp.Min, 2, 6),
}  # fmt: skip
#: the same by the names that other libraries give them, and what they have besides
SYNONYMS = {
    **{
        name: (function, 1, 1)
        for name, function in {
            "Abs": sp.Abs, "fabs": sp.Abs, "sgn": sp.sign, "arcsin": sp.asin, "arccos": sp.acos,
            "arccosh": sp.acosh, "erfinv": sp.erfinv, "square": lambda u: u**2,
            "log1p": lambda u: sp.log(1 + u), "expm1": lambda u: sp.exp(u) - 1,
            "relu": lambda u: sp.Max(u, 0), "sigmoid": lambda u: 1 / (1 + sp.exp(-u)),
            "expit": lambda u: 1 / (1 + sp.exp(-u)), "softplus": lambda u: sp.log(1 + sp.exp(u)),
        }.items()
    },
    **dict.fromkeys(("Max", "maximum"), (sp.Max, 2, 6)),
    **dict.fromkeys(("Min", "minimum"), (sp.Min, 2, 6)),
    **dict.fromkeys(("clip", "clamp"), (_clip, 3, 3)),
    **dict.fromkeys(("Heaviside", "heaviside"), (_heaviside, 1, 2)),
    "LambertW": (sp.LambertW, 1, 2),
}  # fmt: skip
CONSTANTS = {"pi": sp.pi, "E": sp.E, "oo": sp.oo}
#: formulas of priors that couple coefficients; they are stated, not derived
VECTOR_WORDS = ("norm", "count_nonzero")
_COMPARISONS = {ast.Lt: sp.Lt, ast.LtE: sp.Le, ast.Gt: sp.Gt, ast.GtE: sp.Ge, ast.Eq: sp.Eq,
                ast.NotEq: sp.Ne}  # fmt: skip
_CALLED = {**FUNCTIONS, **SYNONYMS}
_RESERVED = {
    *FUNCTIONS,
    *CONSTANTS,
    *VECTOR_WORDS,
    "Piecewise",
    "Eq",
    "True",
    "False",
    "nan",
    "inf",
}


def symbol(name, signed=False):
    """The symbol of a parameter: positive, or any real number if ``signed``."""
    return sp.Symbol(name, real=True) if signed else sp.Symbol(name, positive=True)


def names_in(text, argument="formula"):
    """Names of variables and parameters that occur in ``text``, in order of appearance."""
    found, tree = {}, _tree(text, argument)
    called = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in _RESERVED and id(node) not in called:
            found.setdefault(node.id, (node.lineno, node.col_offset))
    return sorted(found, key=found.get)


def parse(text, symbols, argument="formula"):
    """Rebuild an expression from text.

    Parameters
    ----------
    text : str
        An expression of ``symbols``, numbers, ``+ - * / ** ^``, ``|z|``, comparisons inside
        ``Piecewise((value, condition), ...)`` or ``where(condition, value, other)``, and the
        functions in ``FUNCTIONS`` and ``SYNONYMS``, with or without a library's prefix such as
        ``np.``; ``lambda`` is read as ``lam``.
    symbols : dict of str to sympy.Symbol
        The names that may occur.
    argument : str
        How the caller calls the text, for messages.

    Returns
    -------
    sympy.Expr

    Raises
    ------
    InputTypeError
        If ``text`` is not a string.
    InputError
        If it is too long, does not parse, or contains anything outside the grammar.

    Examples
    --------
    >>> z = sp.Symbol("z", real=True)
    >>> parse("abs(z)/2", {"z": z})
    Abs(z)/2
    """
    tree = _tree(text, argument)
    expression = _Rebuilder(symbols, argument).visit(tree.body)
    if not isinstance(expression, sp.Expr):
        raise InputError(f"{argument} is a condition, {text!r}; expected a number-valued formula.")
    if expression.has(sp.zoo, sp.nan, sp.I):
        raise InputError(f"{argument} {text!r} is undefined or complex; expected a real formula.")
    refuse_endless(expression, argument)
    if _degree(expression) > MAX_DEGREE:
        raise InputError(f"{argument} has a degree above {MAX_DEGREE}; expected a lower one.")
    return expression


def refuse_endless(expression, argument):
    """Refuse what turns infinitely often in a bounded interval, such as ``sin(1/z)``.

    An oscillation of something that is not proved to be bounded there: a quotient, a logarithm, a
    tangent.
    """
    for wave in expression.atoms(sp.sin, sp.cos, sp.tan):
        parts = sp.preorder_traversal(wave.args[0])
        for part in parts:
            if isinstance(part, sp.asin | sp.acos | sp.atan | sp.tanh | sp.erf):
                parts.skip()  # bounded, and turning only where a wave inside it does
            pole = isinstance(part, sp.tan | sp.atanh) and part.free_symbols
            if isinstance(part, sp.log) or (isinstance(part, sp.Pow) and part.exp.is_negative):
                pole = (part.args[0] if isinstance(part, sp.log) else part.base).is_nonzero is None
            if pole:
                raise InputError(
                    f"{argument} contains {wave}, which turns infinitely often where {part} is "
                    "unbounded; expected finitely many turns. Keep its denominator away from zero, "
                    "such as sin(1/(1 + z**2))."
                )


def _tree(text, argument):
    if not isinstance(text, str):
        raise InputTypeError(f"{argument} is {text!r}; expected a string such as 'lam*abs(z)'.")
    if len(text) > MAX_CHARACTERS:
        raise InputError(
            f"{argument} has {len(text)} characters; expected at most {MAX_CHARACTERS}."
        )
    if not text.isascii():
        strange = next(c for c in text if not c.isascii())
        raise InputError(
            f"{argument} contains {strange!a}, which may look like another letter; expected "
            "ASCII, such as lam*abs(z)."
        )
    try:
        tree = without_prefixes(ast.parse(spelt(text, argument).strip(), mode="eval"))
        nodes = sum(1 for _ in ast.walk(tree))
        depth = _depth(tree)
    except InputError:
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{argument} {text!r} does not parse ({error}); expected a formula in z.")
    if nodes > MAX_NODES or depth > MAX_DEPTH:
        raise InputError(
            f"{argument} has {nodes} parts nested {depth} deep; expected at most {MAX_NODES} "
            f"and {MAX_DEPTH}. Shorten it."
        )
    return tree


def _case_by_case(function, values):
    """``function(*values)`` with the cases of its arguments outside, where kinks can be found."""
    for k, value in enumerate(values):
        folded = sp.piecewise_fold(value) if value.has(sp.Piecewise) else value
        if isinstance(folded, sp.Piecewise):
            rest = values[k + 1 :]
            cases = [
                (_case_by_case(function, [*values[:k], part, *rest]), condition)
                for part, condition in folded.args
            ]
            return sp.Piecewise(*cases, evaluate=False)
    return function(*values)


def _digits(base, exponent):
    """Decimal digits of a power of numbers, by estimate."""
    size = abs(float(base))
    return abs(float(exponent) * math.log10(size)) if size not in (0, math.inf) else 0


def _depth(node):
    return 1 + max((_depth(child) for child in ast.iter_child_nodes(node)), default=0)


def _degree(expression):
    """The power that repeated powers and products add up to."""
    if not expression.args:
        return int(bool(expression.free_symbols))
    parts = [_degree(a) for a in expression.args]
    if isinstance(expression, sp.Pow) and expression.exp.is_number:
        return abs(float(expression.exp)) * parts[0]
    return sum(parts) if isinstance(expression, sp.Mul) else max(parts)


class _Rebuilder(ast.NodeVisitor):
    """One method for each kind of node that is allowed; ``generic_visit`` refuses the rest."""

    def __init__(self, symbols, argument):
        self.symbols, self.argument = symbols, argument

    def generic_visit(self, node):
        self._refuse(
            f"contains {type(node).__name__.lower()}",
            "numbers, names, + - * / **, comparisons and the listed functions",
        )

    def _refuse(self, what, expected, meant=""):
        raise InputError(f"{self.argument} {what}; expected {expected}.{meant}")

    def visit_Constant(self, node):
        value = node.value
        if isinstance(value, bool):
            return sp.true if value else sp.false
        if not isinstance(value, int | float):
            self._refuse(f"contains the constant {value!r}", "numbers")
        if not abs(value) <= MAX_NUMBER:
            self._refuse("contains a huge number", f"numbers up to {MAX_NUMBER:g}")
        if value != 0 and abs(value) < 1 / MAX_NUMBER:
            self._refuse("contains a tiny number", f"numbers from {1 / MAX_NUMBER:g} up")
        fraction = Fraction(repr(value)) if isinstance(value, float) else Fraction(value)
        return sp.Rational(fraction.numerator, fraction.denominator)

    def visit(self, node):
        """One part; a number it comes to must be of moderate size."""
        value = super().visit(node)
        if isinstance(value, sp.Expr) and value.is_number and value.is_finite is not False:
            size = sp.Abs(value).evalf(15)
            if size.is_comparable and not size <= MAX_VALUE:
                self._refuse("comes to a huge number", f"numbers up to {MAX_VALUE:g}")
        return value

    def visit_Name(self, node):
        if node.id.startswith("_"):
            self._refuse(f"contains the name {node.id!r}", "names that begin with a letter")
        if node.id in self.symbols:
            return self.symbols[node.id]
        if node.id in CONSTANTS:
            return CONSTANTS[node.id]
        if node.id in ("True", "False"):
            return sp.true if node.id == "True" else sp.false
        self._refuse(
            f"contains the unknown name {node.id!r}",
            f"one of {', '.join(map(str, self.symbols))}",
            did_you_mean(node.id, (*self.symbols, *CONSTANTS)),
        )

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.USub | ast.UAdd):
            value = self._number(node.operand)
            return -value if isinstance(node.op, ast.USub) else value
        return self.generic_visit(node.op)

    def visit_BinOp(self, node):
        if isinstance(node.op, ast.BitAnd | ast.BitOr):
            join = sp.And if isinstance(node.op, ast.BitAnd) else sp.Or
            return join(self._condition(node.left), self._condition(node.right))
        left, right = self._number(node.left), self._number(node.right)
        match node.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.Div():
                if right.is_zero:
                    self._refuse("divides by zero", "a non-zero denominator")
                return left / right
            case ast.Pow():
                return self._power(left, right)
        return self.generic_visit(node.op)

    def _power(self, base, exponent):
        if exponent.is_number and not abs(exponent) <= MAX_EXPONENT:
            self._refuse("contains a huge power", f"exponents up to {MAX_EXPONENT}")
        if base.is_number and exponent.is_number and _digits(base, exponent) > 40:
            self._refuse("comes to a huge number", f"numbers up to {MAX_VALUE:g}")
        if base.is_zero and not exponent.is_positive:
            self._refuse("raises zero to a power that need not be positive", "a non-zero base")
        power = base**exponent
        merged = power.as_base_exp()[1]  # (z**12)**12 is z**144
        if merged.is_number and abs(merged) > MAX_EXPONENT:
            self._refuse("contains a huge power", f"exponents up to {MAX_EXPONENT}")
        return power

    def visit_Call(self, node):
        if not isinstance(node.func, ast.Name) or node.keywords:
            self._refuse("calls something that is not a plain function", "such as log(z)")
        name = node.func.id
        if name in VECTOR_WORDS:
            self._refuse(
                f"uses {name}, which couples coefficients",
                "the penalty of one coefficient; use GroupLaplace or TopK",
            )
        if name == "Piecewise":
            return self._piecewise(node.args)
        if name == "where":
            return self._where(node.args)
        if name in ("Eq", "Ne"):
            if len(node.args) != 2:
                self._refuse(f"calls {name} with other than two arguments", f"{name}(z, 0)")
            return getattr(sp, name)(*map(self._number, node.args))
        if name not in _CALLED:
            self._refuse(
                f"calls the unknown function {name!r}",
                f"one of {', '.join(FUNCTIONS)}",
                did_you_mean(name, (*_CALLED, "Piecewise", "where")),
            )
        function, least, most = _CALLED[name]
        if not least <= len(node.args) <= most:
            self._refuse(f"calls {name} with {len(node.args)} arguments", f"{least} to {most}")
        values = [self._number(part) for part in node.args]
        grows = name in ("exp", "sinh", "cosh") and values[0].is_number
        if grows and values[0].is_finite is not False and not abs(values[0]) <= 90:
            self._refuse("comes to a huge number", f"numbers up to {MAX_VALUE:g}")
        return _case_by_case(function, values)

    def _where(self, arguments):
        if len(arguments) != 3:
            self._refuse(f"calls where with {len(arguments)} arguments", "where(z > 0, z, 0)")
        value, other = map(self._number, arguments[1:])
        return sp.Piecewise((value, self._condition(arguments[0])), (other, True), evaluate=False)

    def _piecewise(self, arguments):
        cases = []
        for pair in arguments:
            if not isinstance(pair, ast.Tuple) or len(pair.elts) != 2:
                self._refuse("has a Piecewise whose cases are not pairs", "(value, condition)")
            cases.append((self._number(pair.elts[0]), self._condition(pair.elts[1])))
        if not cases or cases[-1][1] is not sp.true:
            self._refuse("has a Piecewise without a last case (value, True)", "that case")
        return sp.Piecewise(*cases, evaluate=False)

    def visit_Compare(self, node):
        values = [self._number(part) for part in (node.left, *node.comparators)]
        parts = []
        for left, operator, right in zip(values[:-1], node.ops, values[1:], strict=True):
            if type(operator) not in _COMPARISONS:
                self._refuse("contains an unknown comparison", "one of < <= > >= ==")
            parts.append(_COMPARISONS[type(operator)](left, right))
        return sp.And(*parts)

    def visit_BoolOp(self, node):
        join = sp.And if isinstance(node.op, ast.And) else sp.Or
        return join(*map(self._condition, node.values))

    def _number(self, node):
        value = self.visit(node)
        if not isinstance(value, sp.Expr):
            self._refuse("uses a condition as a number", "a number-valued part")
        if value.is_number and value.is_finite and abs(complex(value)) > MAX_NUMBER:
            self._refuse("contains a huge number", f"numbers up to {MAX_NUMBER:g}")
        return value

    def _condition(self, node):
        value = self.visit(node)
        if isinstance(value, sp.Expr):
            self._refuse("uses a number as a condition", "a comparison or True")
        return value
