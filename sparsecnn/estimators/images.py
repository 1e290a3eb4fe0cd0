"""How an ``X`` of any layout becomes a batch of images: what every estimator here shares.

Rows, ``(n, h, w)`` and ``(n, c, h, w)`` are one thing: a batch ``(n, c, h, w)``. Solves nothing.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.utils.validation import check_array, validate_data

from ..problem import warn_of_offset
from ..validation import (
    InputError,
    InputTypeError,
    as_float_array,
    as_integer,
    refuse_channels_last,
)

_FLOATS = (np.float64, np.float32)
_LAYOUTS = "rows (n, features) or images (n, h, w) or (n, c, h, w)"


class ImageEstimator(CallbackSupportMixin, BaseEstimator):
    """An estimator whose samples are images, flat or not.

    It has the parameters ``image_shape`` and ``prior``.
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def set_params(self, **params):
        """Set parameters; ``prior__lam`` gives this estimator a prior of its own with that ``lam``.

        The prior that was passed in, which others may hold, stays as it is.

        Parameters
        ----------
        **params : object

        Returns
        -------
        self

        Raises
        ------
        InputError
            If ``prior`` is None (the exponential prior of the parameter ``lam``) or a sequence.
        """
        own, inside = {}, {}
        for name, value in params.items():
            if name.startswith("prior__"):
                inside[name.removeprefix("prior__")] = value
            else:
                own[name] = value
        if inside:
            prior = own.get("prior", self.prior)
            if not hasattr(prior, "set_params"):
                way_out = "Set lam" if prior is None else "Set prior to other priors"
                raise InputError(
                    f"prior is {prior!r}, which has no parameter {', '.join(inside)}; expected a "
                    f"prior, such as Laplace(0.1), for prior__{next(iter(inside))}. {way_out} "
                    "instead."
                )
            own["prior"] = prior.set_params(**inside)
        return super().set_params(**own)

    def _stated_shape(self):
        """The image shape that was asked for, and the words for where."""
        return self.image_shape, "image_shape"

    def _read(self, X, y="no_validation", *, reset):
        """Validate ``X`` (and ``y``); return the batch ``(n, *image_shape_)`` (and ``y``)."""
        X, layout = _as_rows(X, self)
        if not reset and len(layout) > 1 and _with_channels(layout) != self.image_shape_:
            raise InputError(_misfit(X, layout, self.image_shape_, "fit saw images of shape"))
        checked = validate_data(self, X, y, dtype=_FLOATS, reset=reset)
        X, y = checked if isinstance(checked, tuple) else (checked, None)
        if reset:
            layout = layout or X.shape[1:]
            self.image_shape_ = image_shape_of(X, layout, *self._stated_shape())
            self._layout = layout
            if self._stated_shape()[0] is None:
                _warn_of_signals(X, layout, self)
            _warn_of_size(X, self)
        images = X.reshape(len(X), *self.image_shape_)
        if reset:
            warn_of_offset(images, type(self).__name__, stacklevel=6)
        return images if y is None else (images, y)


def _as_rows(X, estimator):
    """``X`` as rows if it has more than two dimensions, and the shape of a sample then."""
    if isinstance(X, list | tuple):
        X = np.asarray(X)
    if isinstance(X, np.ma.MaskedArray) or _is_text(X):
        as_float_array(X, "X", expected=_LAYOUTS)  # refuses, and says how to go on
    if len(getattr(X, "shape", ())) <= 2:
        return X, ()
    X = check_array(X, dtype=_FLOATS, allow_nd=True, estimator=estimator, input_name="X")
    if X.ndim > 4:
        raise InputError(f"X has {X.ndim} dimensions, shape {X.shape}; expected {_LAYOUTS}.")
    return X.reshape(len(X), -1), X.shape[1:]


def _is_text(X):
    return isinstance(X, np.ndarray) and X.dtype.kind in "SU"


def _with_channels(layout):
    """``(c, h, w)`` of one sample; a flat one is a signal, an image of height 1."""
    return (1,) * (3 - len(layout)) + tuple(layout)


def image_shape_of(X, layout, stated, source):
    """The shape ``(channels, height, width)`` of one sample.

    Parameters
    ----------
    X : array, shape (n_samples, n_features)
    layout : tuple
        Shape of a sample as it came.
    stated : None, "square", (height, width) or (channels, height, width)
    source : str
        Where ``stated`` was stated, for the message.

    Raises
    ------
    InputError
        If the two contradict each other.
    """
    if stated is None:
        if len(layout) > 1:
            refuse_channels_last((len(X), *layout), "X", f"image_shape={layout}")
        return _with_channels(layout)
    if isinstance(stated, str):
        return _square(X.shape[1], layout, stated)
    try:
        stated = tuple(as_integer(side, source) for side in stated)
    except TypeError:
        raise InputTypeError(
            f"{source} is {stated!r}; expected None, 'square', (height, width) or "
            "(channels, height, width)."
        )
    if len(stated) not in (2, 3):
        raise InputError(f"{source} is {stated}; expected (height, width) or (channels, h, w).")
    wanted = _with_channels(stated)
    if len(layout) > 1 and _with_channels(layout) != wanted:
        raise InputError(_misfit(X, layout, wanted, f"{source} says"))
    if math.prod(wanted) != X.shape[1]:
        raise InputError(
            f"{source} is {stated}, {math.prod(wanted)} numbers, but X has {X.shape[1]} features; "
            f"expected equal numbers. Correct {source}, or pass X as images."
        )
    return wanted


def _first_rate(estimator):
    """The largest rate ``lam`` of the level that sees ``X``; inf if that is not known."""
    prior, lam = getattr(estimator, "prior", None), getattr(estimator, "lam", 0.1)
    prior = prior[0] if isinstance(prior, list | tuple) and prior else prior
    lam = lam[0] if isinstance(lam, list | tuple) and lam else lam
    if prior is not None:
        known = getattr(prior, "parameters", None)
        lam = known.get("lam", np.inf) if isinstance(known, dict) else np.inf
    try:
        return float(np.max(np.asarray(lam, dtype=float)))
    except (TypeError, ValueError):  # refused by whom it concerns
        return np.inf


def _warn_of_size(X, estimator):
    """Bytes under a rate that is meant for pixels in [0, 1] have codes that are hardly sparse."""
    largest, lam = float(X.max()), _first_rate(estimator)
    if largest < 64 or not 100 * lam < largest or X.min() < 0 or (np.rint(X) != X).any():
        return
    warnings.warn(
        f"{type(estimator).__name__}: X holds whole numbers up to {largest:g}, while lam = {lam:g} "
        "is a rate for pixels near 1, under which such codes are hardly sparse. Divide X by "
        f"{255 if largest <= 255 else largest:g}, or raise lam.",
        stacklevel=6,
    )


def _warn_of_signals(X, layout, estimator):
    """Flattened images that nobody called images are read as signals, without their height."""
    side = math.isqrt(X.shape[1])
    if (
        len(layout) > 1
        or side < 5
        or side**2 != X.shape[1]
        or not hasattr(estimator, "kernel_size")
    ):
        return
    warnings.warn(
        f"{type(estimator).__name__}: rows of X, of {side**2} features, are read as 1-D signals. "
        f"If they are {side} x {side} images, pass image_shape='square'; if they are signals, "
        f"image_shape=(1, {side**2}).",
        stacklevel=6,
    )


def _square(n_features, layout, word):
    if word != "square":
        raise InputError(f"image_shape is {word!r}; expected 'square', a tuple or None.")
    shape = _with_channels(layout)
    if len(layout) == 1:
        shape = (1, math.isqrt(n_features), math.isqrt(n_features))
    if shape[1] != shape[2] or math.prod(shape) != n_features:
        raise InputError(
            f"image_shape is 'square', but X has {n_features} features, samples of shape {layout}; "
            "expected a square number of pixels. Pass image_shape=(height, width)."
        )
    return shape


def _misfit(X, layout, wanted, says):
    shape = (len(X), *layout)
    if shape == tuple(wanted):
        return (
            f"X has shape {shape}, but {says} {tuple(wanted)}: it is either {shape[0]} images of "
            f"{shape[1]} x {shape[2]} with one channel, or one image of {shape[0]} channels "
            "without batch axis. For one image pass X[None]; for several correct image_shape."
        )
    return (
        f"X has shape {shape}, samples read as (channels, height, width) = "
        f"{_with_channels(layout)}, but {says} {tuple(wanted)}; expected equal shapes. Resize the "
        "images, or fit again on such images."
    )
