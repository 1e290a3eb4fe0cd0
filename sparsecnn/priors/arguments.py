"""What a prior's methods are given: codes, steps, gradients, ``out``, units. Knows no prior."""

from __future__ import annotations

import numbers

import array_api_compat
import numpy as np

from ..validation import InputError, InputTypeError


def float_codes(codes, name="codes"):
    """Return ``(namespace, floating array)``; integers, lists and booleans become float64."""
    if isinstance(codes, np.ma.MaskedArray):
        raise InputTypeError(
            f"{name} is a masked array, whose mask a prior cannot honour. Use {name}.filled(0)."
        )
    if not array_api_compat.is_array_api_obj(codes):
        try:
            codes = np.asarray(codes)
        except (TypeError, ValueError) as error:
            raise InputTypeError(
                f"{name} cannot be read as an array ({error}); expected real numbers, batch first."
            )
    xp = array_api_compat.array_namespace(codes)
    if not xp.isdtype(codes.dtype, "real floating"):
        if not xp.isdtype(codes.dtype, ("bool", "integral")):
            raise InputTypeError(f"{name} has dtype {codes.dtype}; expected real numbers.")
        codes = xp.astype(codes, xp.float64)
    return xp, codes


def checked_step(step):
    """``step`` as a float, or an array of steps as it is; refused unless positive."""
    if isinstance(step, numbers.Real):
        step = float(step)  # a plain number does not promote float32 codes
    elif not array_api_compat.is_array_api_obj(step) or np.iscomplexobj(step):
        raise InputTypeError(f"step is {step!r}; expected a positive number, or an array of them.")
    if not np.all(np.asarray(step) > 0) or not np.size(step):
        raise InputError(
            f"step is {short(step)}; expected a positive number, such as 1 / lipschitz."
        )
    return step


def single_step(step):
    """The step of a derivative: one number."""
    step = checked_step(step)
    if not isinstance(step, float):
        raise InputError(
            f"step has shape {tuple(step.shape)}; expected one number for prox_vjp. Call it for "
            "the coefficients of each step."
        )
    return step


def checked_grad(xp, grad, v):
    """The gradient in a prox's output: a floating array of the library and shape of ``v``."""
    _, grad = float_codes(grad if array_api_compat.is_array_api_obj(grad) else np.asarray(grad),
                          "grad")  # fmt: skip
    if tuple(grad.shape) != tuple(v.shape) or array_api_compat.array_namespace(grad) is not xp:
        raise InputError(
            f"grad is {type(grad).__name__} of shape {tuple(grad.shape)}; expected v's library and "
            f"shape {tuple(v.shape)}, the derivative of one number in each entry of the prox."
        )
    return xp.astype(grad, v.dtype, copy=False)


def delivered(result, out):
    """``result``, written into ``out`` where one is given that can hold it."""
    if out is None:
        return result
    fits = array_api_compat.is_array_api_obj(out) and tuple(out.shape) == tuple(result.shape)
    if not (fits and array_api_compat.array_namespace(out).isdtype(out.dtype, "real floating")):
        raise InputError(
            f"out has shape {getattr(out, 'shape', None)} and dtype {getattr(out, 'dtype', None)}; "
            f"expected a floating array of v's shape {tuple(result.shape)}. Leave out away, or "
            "pass numpy.empty(v.shape)."
        )
    out[...] = result
    return out


def check_unit(s, name="s"):
    """A unit as a float; refused unless it is a positive number."""
    if isinstance(s, bool) or not isinstance(s, numbers.Real) or not (np.isfinite(s) and s > 0):
        raise InputError(f"{name} is {s!r}; expected a positive number, the unit of the codes.")
    return float(s)


def check_same_shape(prior, first, second):
    """Refuse two array parameters of a prior that are compared but differ in shape."""
    a, b = np.shape(getattr(prior, first)), np.shape(getattr(prior, second))
    if a and b and a != b:
        raise InputError(
            f"{type(prior).__name__}: {first} has shape {a} and {second} has shape {b}; expected "
            "equal shapes, or a number for one of them."
        )


def short(value):
    """A parameter in a message: the number, or an array's shape and range."""
    if isinstance(value, np.ndarray):
        if not value.size:
            return f"an empty array of shape {value.shape}"
        return f"array of shape {value.shape} in [{value.min():.4g}, {value.max():.4g}]"
    return f"{value:g}" if isinstance(value, float) else repr(value)
