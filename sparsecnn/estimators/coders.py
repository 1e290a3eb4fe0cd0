"""Coding as a transformer: the dial from one step to the exact code; the coder without learning."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import scipy.sparse
from scipy.linalg import block_diag
from sklearn.base import TransformerMixin
from sklearn.callback import with_callbacks
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from ..dictionaries import ConvDictionary, Dictionary
from ..hierarchy import Hierarchy, Level
from ..priors import Exponential
from ..solvers import Unrolled, default_solver
from ..validation import (
    ConvergenceWarning,
    InputError,
    InputTypeError,
    as_float_array,
    as_integer,
    as_number,
)
from .images import ImageEstimator

#: images per forward pass, so that the maps of a large ``X`` do not all lie in memory at once
_BLOCK_ROWS = 1024


@dataclasses.dataclass(frozen=True)
class Dial:
    """``steps``, ``tol`` and ``max_iter`` of an estimator: which solver its codes are by.

    Parameters
    ----------
    steps : int or None
        Of ``Unrolled``; None runs each problem's default solver to ``tol``.
    tol : float
        Relative duality gap at which a code counts as converged.
    max_iter : int or None
        Limit for ``steps=None``; None is the default solver's own.
    """

    steps: int | None
    tol: float
    max_iter: int | None

    def __post_init__(self):
        as_number(self.tol, "tol", minimum=0.0)
        if self.steps is not None:
            as_integer(self.steps, "steps")
        if self.max_iter is not None:
            as_integer(self.max_iter, "max_iter")

    def __call__(self, problem):
        """The solver for a problem; it leaves warnings to ``warn``."""
        if self.steps is not None:
            return Unrolled(self.steps, self.tol)
        return default_solver(problem, tol=self.tol, max_iter=self.max_iter).solver.quietly

    def codes(self, hierarchy, x, who):
        """What the hierarchy's top passes up for images ``x``; warns in the name of ``who``.

        One step needs no solver: it is the forward pass of the equal network.
        """
        if self.steps != 1:
            solutions = hierarchy.solutions(x, self)
            self.warn(solutions, who)
            return hierarchy.levels[-1].pass_up(solutions[-1].codes)
        network = hierarchy.to_network()
        x = x.reshape(len(x), *hierarchy.levels[0].dictionary.signal_shape)
        blocks = (x[i : i + _BLOCK_ROWS] for i in range(0, len(x), _BLOCK_ROWS))
        return np.concatenate([network.forward(block)[0] for block in blocks])

    def warn(self, solutions, who):
        """Warn once, with the worst certificate, if codes that should have converged did not."""
        late = [~solution.converged for solution in solutions]
        if self.steps is not None or not any(part.any() for part in late):
            return
        worst = max(
            np.nan_to_num(solution.measure[part], nan=np.inf).max()
            for solution, part in zip(solutions, late, strict=True)
            if part.any()
        )
        n_iter = max(int(solution.n_iter.max()) for solution in solutions)
        warnings.warn(
            f"{who}: {sum(int(part.sum()) for part in late)} of {sum(map(len, late))} codes did "
            f"not reach tol = {self.tol:g} in {n_iter} iterations; worst "
            f"{solutions[-1].certificate} {worst:.3g}. Raise max_iter, loosen tol, or set steps "
            "to the number of steps that is meant.",
            ConvergenceWarning,
            stacklevel=4,
        )


class Coder(TransformerMixin, ImageEstimator):
    """A transformer whose output is the codes of ``hierarchy_``.

    Subclasses have the parameters ``steps``, ``tol``, ``max_iter``, ``output``, ``sparse_output``,
    and a method ``_fit(X)`` that sets ``hierarchy_`` and returns the codes of ``X``.
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @with_callbacks
    def fit(self, X, y=None):
        """Fit to ``X``.

        Parameters
        ----------
        X : array-like, shape (n, features), (n, h, w) or (n, c, h, w)
        y : ignored

        Returns
        -------
        self
        """
        self._check_output()
        self._fit(X)
        return self

    @with_callbacks
    def fit_transform(self, X, y=None):
        """Fit to ``X`` and return its codes, which fitting computed anyway.

        Parameters
        ----------
        X : array-like, shape (n, features), (n, h, w) or (n, c, h, w)
        y : ignored

        Returns
        -------
        codes : as ``transform``
        """
        self._check_output()
        return self._as_output(self._fit(X))

    def transform(self, X):
        """Codes of ``X``.

        Parameters
        ----------
        X : array-like, shape (n, features), (n, h, w) or (n, c, h, w)

        Returns
        -------
        codes : array or CSR matrix, shape (n, n_codes), or (n, *code_shape) with ``output="maps"``

        Warns
        -----
        ConvergenceWarning
            Once, with the worst certificate, if ``steps`` is None and some code misses ``tol``.
        """
        check_is_fitted(self)
        self._check_output()
        x = self._read(X, reset=False)
        return self._as_output(self._dial().codes(self.hierarchy_, x, type(self).__name__))

    def solutions(self, X):
        """Codes of ``X`` with their certificates (gap, objective, iterations), level by level.

        Parameters
        ----------
        X : array-like, shape (n, features), (n, h, w) or (n, c, h, w)

        Returns
        -------
        tuple of Solution
            One per level, before its pool.
        """
        check_is_fitted(self)
        return self.hierarchy_.solutions(self._read(X, reset=False), self._dial())

    def score(self, X, y=None):
        """Minus the mean energy per sample, ``-mean(1/2 ||x - D z||^2 + phi(z))``: more is better.

        The codes ``z`` are those of ``transform``; a hierarchy adds the energies of its levels.
        This judges dictionaries (``n_atoms``, ``kernel_size``, ``n_epochs``) and ``steps`` under
        one prior. Another prior has another energy, which is smaller the smaller its rates: choose
        ``lam`` or ``prior__lam`` by what the codes are for, such as the accuracy of a classifier
        after this in a pipeline, or by a ``scoring`` of your own.

        Parameters
        ----------
        X : array-like, shape (n, features), (n, h, w) or (n, c, h, w)
        y : ignored

        Returns
        -------
        float

        Warns
        -----
        ConvergenceWarning
            As ``transform``.
        """
        solutions = self.solutions(X)
        self._dial().warn(solutions, type(self).__name__)
        return -float(sum(solution.objective.mean() for solution in solutions))

    def inverse_transform(self, X):
        """Signals that the codes stand for, ``D z``, in the layout that ``fit`` saw.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (n, n_codes) or (n, *code_shape)
            Codes.

        Returns
        -------
        array, shape (n, features), (n, h, w) or (n, c, h, w)

        Raises
        ------
        InputError
            If a level pools, which cannot be undone.
        """
        check_is_fitted(self)
        levels = self.hierarchy_.levels
        if any(level.pool is not None for level in levels):
            raise InputError(
                "inverse_transform: a level pools its codes, which cannot be undone; expected "
                "pool=None. Use a stride instead of the pool."
            )
        X = X.toarray() if scipy.sparse.issparse(X) else X
        shape = levels[-1].output_shape
        codes = as_float_array(X, "X", expected=f"codes (n, {int(np.prod(shape))})")
        if codes.shape[1:] not in (shape, (int(np.prod(shape)),)):
            raise InputError(
                f"X has shape {codes.shape}; expected codes (n, {int(np.prod(shape))}) or (n, "
                f"{', '.join(map(str, shape))}), as transform returns them."
            )
        for level in reversed(levels):
            dictionary = level.dictionary.astype(codes.dtype)
            codes = dictionary.synthesize(codes.reshape(len(codes), *dictionary.code_shape))
        return codes.reshape(len(codes), *self._layout)

    def get_feature_names_out(self, input_features=None):
        """Names of the codes: ``atom3``, or ``atom3_r2_c5`` for its copy at row 2, column 5.

        Parameters
        ----------
        input_features : ignored
            Only its length is checked.

        Returns
        -------
        array of str, shape (n_codes,)
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        shape = self.hierarchy_.levels[-1].output_shape
        axes = ("atom", "r", "c")[: len(shape)]
        return np.array(
            [
                "_".join(f"{axis}{i}" for axis, i in zip(axes, index, strict=True))
                for index in np.ndindex(*shape)
            ],
            dtype=object,
        )

    def _dial(self):
        return Dial(self.steps, self.tol, self.max_iter)

    def _check_output(self):
        if self.output not in ("rows", "maps"):
            raise InputError(f"output is {self.output!r}; expected 'rows' or 'maps'.")
        if self.sparse_output and self.output == "maps":
            raise InputError(
                "sparse_output is True with output='maps'; expected output='rows', because sparse "
                "matrices have two dimensions."
            )

    def _as_output(self, codes):
        if self.output == "maps":
            return codes
        rows = codes.reshape(len(codes), -1)
        return scipy.sparse.csr_matrix(rows) if self.sparse_output else rows


def set_certificates(estimator, dial, solutions):
    """Set ``gap_``, ``dual_gap_``, ``converged_`` and ``n_iter_`` from the training codes.

    One row per level if there are several.
    """
    dial.warn(solutions, type(estimator).__name__)

    def rows(arrays):
        arrays = list(arrays)
        return arrays[0] if len(arrays) == 1 else np.stack(arrays)

    estimator.gap_ = rows(s.gap for s in solutions)
    estimator.dual_gap_ = rows(s.dual_gap for s in solutions)
    estimator.converged_ = rows(s.converged for s in solutions)
    estimator.n_iter_ = max(int(s.n_iter.max()) for s in solutions)


class SparseCoder(Coder):
    """Sparse codes of every sample under a given dictionary: argmin ``1/2 ||x - D z||^2 + phi(z)``.

    Parameters
    ----------
    dictionary : Dictionary or ConvDictionary, optional
        Default: the orthonormal DCT of the image (of each channel; of the row if ``X`` is rows
        without ``image_shape``), whose one-step codes are exact.
    prior : Prior, optional
        In place of the exponential prior; then ``lam`` is not used.
    lam : float or array of shape (n_atoms,)
        Rate of the exponential prior.
    image_shape : None, "square", (height, width) or (channels, height, width)
        What a row of ``X`` is. None: the dictionary's signal shape if it is convolutional, else a
        signal, an image of height 1.
    steps : int or None
        1: the CNN layer ``prox(D^T x)``; k: as many FISTA iterations (ISTA for priors that are not
        convex); None: to ``tol``.
    tol : float
        Relative duality gap (fixed-point residual where there is no gap).
    max_iter : int or None
        Limit of iterations for ``steps=None``; None is the default solver's own.
    output : {"rows", "maps"}
        One row per sample, or code maps ``(n, *code_shape)``.
    sparse_output : bool
        Return rows as a CSR matrix.

    Attributes
    ----------
    dictionary_ : Dictionary or ConvDictionary
    hierarchy_ : Hierarchy
        The model, of one level.
    image_shape_ : tuple
        (channels, height, width).
    n_features_in_ : int
    gap_, dual_gap_ : array, shape (n_samples,)
        Relative and absolute duality gap of the training codes; nan if the prior is not convex.
    converged_ : array of bool, shape (n_samples,)
        Whether the certificate is at most ``tol``.
    n_iter_ : int
        Most iterations that a training sample took.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecnn import SparseCoder
    >>> coder = SparseCoder(lam=0.5)
    >>> coder.fit_transform(np.array([[1.0, 1.0]])).round(3)
    array([[0.914, 0.   ]])
    >>> bool(coder.gap_[0] < 1e-12)
    True
    """

    def __init__(
        self,
        dictionary=None,
        prior=None,
        *,
        lam=0.1,
        image_shape=None,
        steps=None,
        tol=1e-6,
        max_iter=None,
        output="rows",
        sparse_output=False,
    ):
        self.dictionary = dictionary
        self.prior = prior
        self.lam = lam
        self.image_shape = image_shape
        self.steps = steps
        self.tol = tol
        self.max_iter = max_iter
        self.output = output
        self.sparse_output = sparse_output

    @property
    def dictionary_(self):
        return self.hierarchy_.levels[0].dictionary

    def _stated_shape(self):
        if self.image_shape is None and isinstance(self.dictionary, ConvDictionary):
            return self.dictionary.signal_shape, "the dictionary's signal shape"
        return super()._stated_shape()

    def _fit(self, X):
        context = self._init_callback_context()
        x = self._read(X, reset=True)
        context.call_on_fit_task_begin(estimator=self, X=X)
        dictionary = _dct(self.image_shape_) if self.dictionary is None else self.dictionary
        prior = Exponential(self.lam) if self.prior is None else self.prior
        if not hasattr(dictionary, "signal_shape"):
            raise InputTypeError(
                f"dictionary is {dictionary!r}; expected a Dictionary or ConvDictionary. Wrap an "
                "array of atoms as Dictionary(atoms)."
            )
        self.hierarchy_ = Hierarchy([Level(dictionary, prior)])
        solutions = self.hierarchy_.solutions(x, self._dial())
        set_certificates(self, self._dial(), solutions)
        context.call_on_fit_task_end(estimator=self, X=X, reconstruction_attributes={})
        return solutions[0].codes


def _dct(image_shape):
    channels, height, width = image_shape
    atoms = Dictionary.dct(width if height == 1 else (height, width)).atoms
    return Dictionary(block_diag(*[atoms] * channels))
