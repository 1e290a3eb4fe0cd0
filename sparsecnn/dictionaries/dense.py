"""A dense dictionary: atoms as rows, codes to signals and back, measurements of its Gram matrix."""

from __future__ import annotations

import functools

import numpy as np

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
from . import transforms


class Dictionary:
    """A linear map from codes to signals, ``x = z @ atoms``, with its exact adjoint.

    Parameters
    ----------
    atoms : array-like, shape (n_atoms, n_features)
        Dictionary elements as rows. Any norms; float32 is kept, everything else becomes float64.

    Attributes
    ----------
    atoms : array, shape (n_atoms, n_features), read-only
    n_atoms : int
    signal_shape, code_shape : tuple
        Shapes of one sample: (n_features,) and (n_atoms,).
    lipschitz : float
        Never below the largest eigenvalue of the Gram matrix ``D^T D`` (safe step 1 / lipschitz).
    mutual_coherence : float
        Largest absolute cosine between two different atoms.
    is_orthonormal : bool
        Measured: every entry of ``D^T D - I`` is rounding error.
    gram_deviation : float
        Spectral norm of ``D^T D - I``.
    atom_norms : array, shape (1, *code_shape)
        Euclidean norm of the atom of every coefficient, float64.

    Raises
    ------
    InputError
        If atoms are empty, not finite, or so large or small that their squared norms leave the
        float range.

    Examples
    --------
    >>> d = Dictionary([[1.0, 0.0], [0.6, 0.8]])
    >>> round(d.mutual_coherence, 3), d.is_orthonormal
    (0.6, False)
    """

    def __init__(self, atoms):
        atoms = as_float_array(
            atoms, "atoms", ndim=2, expected="atoms as rows, (n_atoms, n_features)", copy=True
        )
        check_atom_scale(atoms, "atoms")
        atoms.setflags(write=False)
        self.atoms = atoms
        self.n_atoms = len(atoms)
        self.signal_shape = atoms.shape[1:]
        self.code_shape = (len(atoms),)

    # -- constructors ------------------------------------------------------------------------
    @classmethod
    def orthonormal(cls, n, random_state=None):
        """A random orthonormal basis of ``n`` atoms in ``n`` dimensions (rotation-invariant
        distribution).
        """
        return cls(transforms.random_rotation(as_integer(n, "n"), as_generator(random_state)))

    @classmethod
    def dct(cls, n):
        """The orthonormal DCT-II basis of length ``n``, or of images: ``n = (height, width)``."""
        return cls(transforms.separable(transforms.dct_matrix, n))

    @classmethod
    def haar(cls, n):
        """The periodic orthonormal Haar basis of even length ``n``, or of images: ``n = (height,
        width)``.
        """
        return cls(transforms.separable(lambda m: transforms.wavelet_matrix(m, transforms.HAAR), n))

    @classmethod
    def daubechies4(cls, n):
        """The periodic orthonormal Daubechies-4 basis of even length ``n``, or of images: ``n =
        (height, width)``.
        """
        return cls(
            transforms.separable(lambda m: transforms.wavelet_matrix(m, transforms.DAUBECHIES4), n)
        )

    @classmethod
    def identity_dct(cls, n):
        """The union of the identity and the DCT basis: ``2n`` atoms with coherence near ``sqrt(2 /
        n)``.
        """
        n = as_integer(n, "n")
        return cls(np.vstack([np.eye(n), transforms.dct_matrix(n)]))

    @classmethod
    def random(cls, n_atoms, n_features, random_state=None):
        """``n_atoms`` independent atoms, uniform on the unit sphere of ``n_features``-space."""
        shape = as_integer(n_atoms, "n_atoms"), as_integer(n_features, "n_features")
        return cls(unit_rows(as_generator(random_state).standard_normal(shape)))

    @classmethod
    def from_patches(cls, images, n_atoms, patch_size=8, random_state=None):
        """Random patches of ``images``, mean removed, scaled to unit norm.

        Parameters
        ----------
        images : array-like, shape (n_images, height, width) or (n_images, n_channels, height,
        width)
        n_atoms : int
        patch_size : int or (int, int)
        random_state : None, int or Generator
        """
        size = as_pair(patch_size, "patch_size")
        images = as_image_batch(images)
        refuse_channels_last(images.shape, "images")
        patches = random_patches(
            images, as_integer(n_atoms, "n_atoms"), size, as_generator(random_state)
        )
        return cls(patches.reshape(len(patches), -1))

    # -- the contract ------------------------------------------------------------------------
    def synthesize(self, codes, out=None):
        """Signals ``D z``: ``(n_samples, n_atoms) -> (n_samples, n_features)``."""
        return np.matmul(check_batch(codes, "codes", self.code_shape), self.atoms, out=out)

    def analyze(self, x, out=None):
        """Projections ``D^T x``: ``(n_samples, n_features) -> (n_samples, n_atoms)``, the adjoint
        of ``synthesize``.
        """
        return np.matmul(check_batch(x, "x", self.signal_shape), self.atoms.T, out=out)

    def atom_gradient(self, signals, codes):
        """Gradient of ``<signals, synthesize(codes)>`` in the atoms, shape of ``atoms``."""
        signals = check_batch(signals, "signals", self.signal_shape)
        return check_batch(codes, "codes", self.code_shape).T @ signals

    def with_atoms(self, atoms):
        """The same kind of dictionary with other atoms."""
        return Dictionary(atoms)

    def astype(self, dtype):
        """This dictionary with atoms of another floating dtype (itself if nothing changes)."""
        if self.atoms.dtype == dtype:
            return self
        twins = self.__dict__.setdefault("_twins", {})
        if dtype not in twins:
            twins[dtype] = self.with_atoms(self.atoms.astype(dtype))
        return twins[dtype]

    @functools.cached_property
    def _squared_singular_values(self):
        return np.linalg.svd(self.atoms.astype(np.float64), compute_uv=False) ** 2

    @functools.cached_property
    def lipschitz(self):
        rounding = 1 + 4 * np.finfo(np.float64).eps * max(self.atoms.shape)
        return float(self._squared_singular_values.max() * rounding)

    @functools.cached_property
    def gram_deviation(self):
        kernel = 1.0 if self.n_atoms > self.atoms.shape[1] else 0.0
        return float(max(np.abs(self._squared_singular_values - 1).max(), kernel))

    @functools.cached_property
    def normalised(self):
        """The same kind of dictionary with its atoms divided by their norms, in float64."""
        return self.with_atoms(unit_rows(self.atoms.astype(np.float64)))

    @functools.cached_property
    def atom_norms(self):
        return row_norms(self.atoms.astype(np.float64))[None]

    @functools.cached_property
    def gram(self):
        """array, shape (n_atoms, n_atoms): ``D^T D`` in float64."""
        atoms = self.atoms.astype(np.float64)
        return atoms @ atoms.T

    @functools.cached_property
    def mutual_coherence(self):
        directions = unit_rows(self.atoms.astype(np.float64))
        cosine = np.abs(directions @ directions.T)
        np.fill_diagonal(cosine, 0.0)
        return float(min(cosine.max(), 1.0))

    @functools.cached_property
    def is_orthonormal(self):
        return bool(
            np.abs(self.gram - np.eye(self.n_atoms)).max() <= orthonormal_tolerance(self.atoms)
        )

    def _repr_html_(self):
        return fragment(f"<p>{self!r}</p>", atoms_html(self.atoms))

    def __repr__(self):
        return f"Dictionary({self.n_atoms} atoms, {self.atoms.shape[1]} features)"


def orthonormal_tolerance(atoms):
    """Largest Gram entry that counts as rounding: 1e-10 for float64 atoms, 1e-5 for float32."""
    return 1e-10 if atoms.dtype == np.float64 else 1e-5


def check_batch(array, name, shape):
    """``array`` in float32 or float64, refused unless it is a batch of samples of ``shape``."""
    if type(array) is not np.ndarray or array.dtype not in (np.float64, np.float32):
        array = as_float_array(array, name, expected=_batch_of(shape), finite=False)
    if array.shape[1:] != shape:
        raise InputError(
            f"{name} has shape {array.shape}; expected {_batch_of(shape)}. Reshape it (a single "
            f"sample is {name}[None]), or build the dictionary for this size."
        )
    return array


def _batch_of(shape):
    return f"(n_samples, {', '.join(map(str, shape))})"


def check_atom_scale(atoms, name):
    """Refuse atoms whose squared norms would overflow or vanish."""
    largest = float(np.abs(atoms).max())
    exponent = 0.4 * np.log10(np.finfo(atoms.dtype).max)
    if largest and not 10**-exponent < largest < 10**exponent:
        raise InputError(
            f"{name} has entries of size {largest:.3g}, whose squares leave the range of "
            f"{atoms.dtype}; expected sizes "
            f"between 1e-{exponent:.0f} and 1e{exponent:.0f}. Divide the atoms by {largest:.3g} "
            "and scale the codes instead."
        )


def unit_rows(atoms):
    """Atoms divided by their Euclidean norms (zero atoms stay zero)."""
    scaled = in_own_units(atoms)[0]
    norms = np.linalg.norm(scaled.reshape(len(atoms), -1), axis=1)
    return scaled / np.where(norms > 0, norms, 1.0).reshape((-1,) + (1,) * (atoms.ndim - 1))


def row_norms(atoms):
    """Euclidean norm of each atom, although its squares may leave the float range."""
    scaled, exponents = in_own_units(atoms)
    return np.ldexp(np.linalg.norm(scaled.reshape(len(atoms), -1), axis=1), exponents)


def in_own_units(atoms):
    """``(atoms / 2**exponents, exponents)``: peaks of order one, so that no square is lost."""
    exponents = np.frexp(np.abs(atoms).reshape(len(atoms), -1).max(axis=1))[1]
    return np.ldexp(atoms, -exponents.reshape((-1,) + (1,) * (atoms.ndim - 1))), exponents


def as_image_batch(images, name="images"):
    """Images as ``(n, n_channels, height, width)``; three dimensions are read as one channel."""
    images = as_float_array(
        images,
        name,
        ndim=(3, 4),
        expected="images (n, height, width) or (n, n_channels, height, width)",
    )
    if images.ndim == 4:
        return images
    refuse_channels_last(images.shape, name, f"{name}[:, None]")
    return images[:, None]


def random_patches(images, n_patches, size, rng):
    """``n_patches`` random patches, mean removed, unit norm, shape (n_patches, n_channels, *size).

    Constant patches are drawn again.

    Raises
    ------
    InputError
        If the images are smaller than a patch, or (nearly) all patches are constant.
    """
    images = as_image_batch(images)
    if size[0] > images.shape[2] or size[1] > images.shape[3]:
        raise InputError(
            f"the patches are {size[0]} x {size[1]} but the images {images.shape[2]} x "
            f"{images.shape[3]}; expected "
            "patches that fit. Use a smaller patch or kernel size."
        )
    images = images / (np.abs(images).max() or 1)  # no norm of a patch leaves the float range
    found = []
    for _ in range(100 * n_patches):
        i = rng.integers(len(images))
        top, left = (
            rng.integers(images.shape[2] - size[0] + 1),
            rng.integers(images.shape[3] - size[1] + 1),
        )
        patch = images[i, :, top : top + size[0], left : left + size[1]]
        patch = patch - (patch.mean() if patch.size > 1 else 0.0)
        norm = np.linalg.norm(patch)
        if norm > 1e-6 * np.sqrt(patch.size):
            found.append(patch / norm)
            if len(found) == n_patches:
                return np.stack(found)
    raise InputError(
        f"only {len(found)} of {n_patches} patches with any contrast were found in images; "
        "expected images that are not "
        "constant. Use Dictionary.random, or other images."
    )
