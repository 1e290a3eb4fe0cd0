"""A convolutional dictionary: every filter at every position is an atom; no Gram matrix is formed.

Bowren 2021 (convolutional modification): synthesis adds shifted filters, analysis is the layer's
cross-correlation.
"""

from __future__ import annotations

import functools

import numpy as np

from ..engine import ConvGeometry, engine_for
from ..mosaic import atoms_html
from ..tables import fragment
from ..validation import (
    InputError,
    as_float_array,
    as_generator,
    as_integer,
    as_pair,
    refuse_channels_last,
)
from . import filter_bank, transforms
from .dense import (
    as_image_batch,
    check_atom_scale,
    check_batch,
    orthonormal_tolerance,
    random_patches,
    unit_rows,
)


class ConvDictionary:
    """Shifted filters as atoms: ``x = sum_k phi_k * z_k``; the adjoint is the cross-correlation.

    Parameters
    ----------
    filters : array-like, shape (n_atoms, n_channels, height, width) or (n_atoms, height, width)
        Convolutional dictionary elements.
    image_shape : (int, int)
        (height, width) of the signals.
    stride : int or (int, int)
        Distance between copies of a filter.
    padding : {"valid", "same", "circular"} or int
        What lies outside the image: nothing ("valid": filters stay inside), zeros ("same": ``ceil(n
        / stride)`` positions, the odd pixel at the end; an integer: that many on every side), or
        the image again ("circular": position ``i`` covers pixels ``stride * i + u`` modulo the
        size).

    Attributes
    ----------
    filters : array, shape (n_atoms, n_channels, height, width), read-only
    atoms : array
        The same array: what learning updates.
    n_atoms : int
        Number of filters (feature maps).
    signal_shape, code_shape : tuple
        Shapes of one sample: (n_channels, height, width) and (n_atoms, out_height, out_width).
    lipschitz : float
        Upper bound of the largest Gram eigenvalue from the DFT of the filter bank; exact for
        circular padding when the stride divides the image.
    mutual_coherence : float
        Largest absolute cosine between two different copies, from filter cross-correlations at all
        shifts that occur (filters cut by zero padding count as the atoms they are).
    is_orthonormal : bool
        Measured on those same Gram entries. Orthonormal *filters* do not make an orthonormal
        dictionary when copies overlap.
    gram_deviation : float
        Spectral norm of ``D^T D - I``; exact when codes or pixels number at most 2,000 or on a
        periodic grid that the stride divides, otherwise to a relative 1e-6 (Lanczos).
    atom_norms : array, shape (1, *code_shape)
        Euclidean norm of the atom of every coefficient (a filter cut by the border is shorter),
        float64.

    Examples
    --------
    >>> ConvDictionary.haar((8, 8)).is_orthonormal
    True
    >>> filters = ConvDictionary.haar((8, 8)).filters
    >>> ConvDictionary(filters, (8, 8), stride=1).is_orthonormal
    False
    """

    def __init__(self, filters, image_shape, stride=1, padding="valid"):
        expected = "filters (n_atoms, n_channels, height, width) or (n_atoms, height, width)"
        filters = as_float_array(filters, "filters", ndim=(3, 4), expected=expected, copy=True)
        if filters.ndim == 3:
            filters = filters[:, None]
        check_atom_scale(filters, "filters")
        filters.setflags(write=False)
        self.filters = self.atoms = filters
        self.n_atoms = len(filters)
        self.image_shape = as_pair(image_shape, "image_shape")
        self.stride = as_pair(stride, "stride")
        self.padding = padding
        self.geometry = ConvGeometry.of(self.image_shape, filters.shape, self.stride, padding)
        self.signal_shape = self.geometry.in_shape
        self.code_shape = self.geometry.out_shape

    # -- constructors ------------------------------------------------------------------------
    @classmethod
    def orthonormal(
        cls,
        n_atoms,
        kernel_size,
        image_shape,
        *,
        n_channels=1,
        stride=None,
        padding="valid",
        random_state=None,
    ):
        """Random orthonormal filters; with valid padding the default stride (the kernel size)
        makes the dictionary orthonormal too.
        """
        kernel = as_pair(kernel_size, "kernel_size")
        n_atoms, n_channels = as_integer(n_atoms, "n_atoms"), as_integer(n_channels, "n_channels")
        dimensions = n_channels * kernel[0] * kernel[1]
        if n_atoms > dimensions:
            raise InputError(
                f"n_atoms is {n_atoms}, but only {dimensions} filters of this size can be "
                f"orthonormal; expected n_atoms <= {dimensions}. Use ConvDictionary.random."
            )
        rows = transforms.random_rotation(dimensions, as_generator(random_state))
        filters = rows[:n_atoms].reshape(-1, n_channels, *kernel)
        return cls(filters, image_shape, kernel if stride is None else stride, padding)

    @classmethod
    def dct(cls, kernel_size, image_shape, *, n_channels=1, stride=None, padding="valid"):
        """All DCT patches of ``kernel_size``; at the default stride, that size, the dictionary is
        orthonormal with valid padding.
        """
        k = as_integer(kernel_size, "kernel_size")
        return cls(
            transforms.dct_filters(k, n_channels),
            image_shape,
            k if stride is None else stride,
            padding,
        )

    @classmethod
    def haar(cls, image_shape, *, n_channels=1):
        """The four 2 x 2 Haar filters per channel at stride 2, periodic: orthonormal for even
        heights and widths.
        """
        return cls(
            transforms.wavelet_filters(transforms.HAAR, n_channels), image_shape, 2, "circular"
        )

    @classmethod
    def daubechies4(cls, image_shape, *, n_channels=1):
        """The four 4 x 4 Daubechies-4 filters per channel at stride 2, periodic: orthonormal for
        even heights and widths, although they overlap.
        """
        return cls(
            transforms.wavelet_filters(transforms.DAUBECHIES4, n_channels),
            image_shape,
            2,
            "circular",
        )

    @classmethod
    def random(
        cls,
        n_atoms,
        kernel_size,
        image_shape,
        *,
        n_channels=1,
        stride=1,
        padding="valid",
        random_state=None,
    ):
        """Independent Gaussian filters scaled to unit norm."""
        counts = as_integer(n_atoms, "n_atoms"), as_integer(n_channels, "n_channels")
        shape = (*counts, *as_pair(kernel_size, "kernel_size"))
        return cls(
            unit_rows(as_generator(random_state).standard_normal(shape)),
            image_shape,
            stride,
            padding,
        )

    @classmethod
    def from_patches(
        cls, images, n_atoms, kernel_size, *, stride=1, padding="valid", random_state=None
    ):
        """Random patches of ``images`` (see ``Dictionary.from_patches``) as unit-norm filters."""
        images = as_image_batch(images)
        refuse_channels_last(images.shape, "images")
        size = as_pair(kernel_size, "kernel_size")
        filters = random_patches(
            images, as_integer(n_atoms, "n_atoms"), size, as_generator(random_state)
        )
        return cls(filters, images.shape[2:], stride, padding)

    # -- the contract ------------------------------------------------------------------------
    def synthesize(self, codes, out=None):
        """Signals ``D z``: ``(n, n_atoms, out_h, out_w) -> (n, n_channels, height, width)``."""
        engine = engine_for(codes)
        codes = check_batch(codes, "codes", self.code_shape)
        return engine.synthesize(self.geometry, codes, self.filters, out=out)

    def analyze(self, x, out=None):
        """Cross-correlations ``D^T x``: ``(n, n_channels, height, width) -> (n, n_atoms, out_h,
        out_w)``.
        """
        engine = engine_for(x)
        x = check_batch(x, "x", self.signal_shape)
        return engine.analyze(self.geometry, x, self.filters, out=out)

    def atom_gradient(self, signals, codes):
        """Gradient of ``<signals, synthesize(codes)>`` in the filters, shape of ``filters``."""
        engine = engine_for(codes)
        signals = check_batch(signals, "signals", self.signal_shape)
        codes = check_batch(codes, "codes", self.code_shape)
        return engine.filter_gradient(self.geometry, signals, codes)

    def with_atoms(self, filters):
        """The same geometry with other filters."""
        return ConvDictionary(filters, self.image_shape, self.stride, self.padding)

    def astype(self, dtype):
        """This dictionary with filters of another floating dtype (itself if nothing changes)."""
        if self.atoms.dtype == dtype:
            return self
        twins = self.__dict__.setdefault("_twins", {})
        if dtype not in twins:
            twins[dtype] = self.with_atoms(self.atoms.astype(dtype))
        return twins[dtype]

    @functools.cached_property
    def lipschitz(self):
        return filter_bank.largest_eigenvalue_bound(self.filters, self.geometry)

    @functools.cached_property
    def normalised(self):
        """The same kind of dictionary with its atoms divided by their norms, in float64."""
        return self.with_atoms(unit_rows(self.atoms.astype(np.float64)))

    @functools.cached_property
    def atom_norms(self):
        return filter_bank.atom_norms(self)

    @functools.cached_property
    def _gram_entries(self):
        return filter_bank.gram_extremes(self.filters, self.geometry)

    @property
    def mutual_coherence(self):
        return self._gram_entries.coherence

    @property
    def is_orthonormal(self):
        return bool(self._gram_entries.deviation <= orthonormal_tolerance(self.filters))

    @functools.cached_property
    def gram(self):
        """array, shape (n_codes, n_codes): ``D^T D`` in float64, of all copies of all filters.

        For small images: it takes as many numbers as the square of a sample's codes.
        """
        n_codes, twin = int(np.prod(self.code_shape)), self.astype(np.float64)
        codes = np.eye(n_codes).reshape(n_codes, *self.code_shape)
        rows = twin.synthesize(codes).reshape(n_codes, -1)
        return rows @ rows.T

    @functools.cached_property
    def gram_deviation(self):
        return filter_bank.gram_deviation(self)

    def _repr_html_(self):
        return fragment(f"<p>{self!r}</p>", atoms_html(self.filters))

    def __repr__(self):
        k, s = self.geometry.kernel, self.stride
        return (
            f"ConvDictionary({self.n_atoms} filters {k[0]}x{k[1]}, image "
            f"{self.image_shape[0]}x{self.image_shape[1]}"
            f"x{self.signal_shape[0]}, stride {s[0] if s[0] == s[1] else s}, padding "
            f"{self.padding})"
        )
