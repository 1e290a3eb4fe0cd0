"""Stacks of learned levels: a coder that returns the top codes, a classifier that reads them."""

from __future__ import annotations

import hashlib
import numbers

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.callback import with_callbacks
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from ..priors import Exponential
from ..validation import InputError, InputTypeError
from .coders import Coder, Dial, set_certificates
from .images import ImageEstimator
from .layerwise import LayerwiseLearner, check_contrast, conv_plan


class _LevelsLearner(LayerwiseLearner):
    """What both hierarchies share: their parameters, read level by level."""

    def _plans(self):
        if not isinstance(self.n_atoms, numbers.Integral) and not hasattr(self.n_atoms, "__len__"):
            raise InputTypeError(
                f"n_atoms is {self.n_atoms!r}; expected a number of filters for each level, such "
                "as (8, 16)."
            )
        n = 1 if isinstance(self.n_atoms, numbers.Integral) else len(self.n_atoms)
        if n == 0:
            raise InputError("n_atoms is empty; expected a number of filters for each level.")
        lams = per_level(self.lam, "lam", n)
        priors = per_level(self.prior, "prior", n)
        return [
            conv_plan(*shape, Exponential(lam) if prior is None else prior, init, pool=pool)
            for *shape, lam, prior, init, pool in zip(
                per_level(self.n_atoms, "n_atoms", n),
                per_level(self.kernel_size, "kernel_size", n),
                per_level(self.stride, "stride", n),
                per_level(self.padding, "padding", n),
                lams,
                priors,
                per_level(self.init, "init", n),
                per_level(self.pool, "pool", n),
                strict=True,
            )
        ]

    def _dial(self):
        return Dial(self.steps, self.tol, self.max_iter)

    def _keep(self, learned):
        self.hierarchy_ = learned.hierarchy
        self.objective_ = tuple(record.objective for record in learned.records)
        self.n_epochs_ = learned.n_epochs
        self.interrupted_ = learned.interrupted


def per_level(value, name, n_levels):
    """``value`` for each of ``n_levels``: a tuple or list is one per level, all else is for all.

    Raises
    ------
    InputError
        If the numbers of levels differ.
    """
    if not isinstance(value, tuple | list):
        return [value] * n_levels
    if len(value) != n_levels:
        raise InputError(
            f"{name} is {value!r}, {len(value)} values; expected one for each of the {n_levels} "
            "levels that n_atoms names. Pass a single value to use it on every level, a pair as "
            "((height, width),)."
        )
    return list(value)


class HierarchicalSparseCoder(_LevelsLearner, Coder):
    """A stack of convolutional sparse-coding models, learned level by level; codes are the top's.

    Each level learns on what the level below passes up, coded as ``transform`` codes (``steps``).

    Parameters
    ----------
    n_atoms : int or tuple of int
        Number of filters of each level; its length is the number of levels.
    kernel_size : int or tuple
        Of every level, or one (an int or a pair) per level; clipped to the maps.
    stride, padding : scalar or tuple
        As in ``ConvDictionary``; for every level, or one per level.
    lam : float or tuple
        Rate of the exponential prior; for every level, or one (a number, or an array of one per
        filter) per level.
    prior : Prior or tuple of Prior, optional
        In place of the exponential prior; then ``lam`` is not used.
    pool : int, layer or tuple, optional
        Max pooling of that size (clipped to the maps), or any pool, after every level, or one (or
        None) per level.
    n_epochs, batch_size : int
    learn_tol : float
        Relative gap of the codes while learning.
    init : {"random", "data"}, ConvDictionary or tuple
        First filters: random directions, or patches, or those of a dictionary; for every level, or
        one per level.
    image_shape : None, "square", (height, width) or (channels, height, width)
        What a row of ``X`` is. None: a signal, an image of height 1 (with a warning if its length
        is a square).
    steps : int or None
        1: the forward pass of the equal CNN; k: as many FISTA iterations per level (ISTA for priors
        that are not convex); None: every level to ``tol``.
    tol : float
        Relative duality gap (fixed-point residual where there is no gap).
    max_iter : int or None
        Limit of iterations for ``steps=None``; None is the default solver's own.
    output : {"rows", "maps"}
        One row per sample, or maps of what the top level passes up.
    sparse_output : bool
        Return rows as a CSR matrix.
    random_state : None, int or Generator

    Attributes
    ----------
    hierarchy_ : Hierarchy
        Of fewer levels if a callback or Ctrl-C ended the learning.
    objective_ : tuple of array
        For each level, the mean energy of each batch when it was coded.
    n_epochs_ : tuple of int
    interrupted_ : bool
    image_shape_ : tuple
        (channels, height, width).
    n_features_in_ : int
    gap_, dual_gap_, converged_ : array, shape (n_samples,) or (n_levels, n_samples)
        Certificates of the training codes; the gaps are nan if the prior is not convex.
    n_iter_ : int
        Most iterations that a training sample took on a level.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sparsecnn import HierarchicalSparseCoder
    >>> images = load_digits().images[:100] / 16
    >>> coder = HierarchicalSparseCoder((4, 8), pool=(2, None), steps=1, n_epochs=1, random_state=0)
    >>> coder.fit_transform(images).shape
    (100, 8)
    >>> network = coder.hierarchy_.to_network()
    """

    def __init__(
        self,
        n_atoms=(8, 16),
        kernel_size=3,
        *,
        stride=1,
        padding="valid",
        lam=0.1,
        prior=None,
        pool=None,
        n_epochs=5,
        batch_size=256,
        learn_tol=1e-2,
        init="random",
        image_shape=None,
        steps=None,
        tol=1e-6,
        max_iter=None,
        output="rows",
        sparse_output=False,
        random_state=None,
    ):
        self.n_atoms = n_atoms
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.lam = lam
        self.prior = prior
        self.pool = pool
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learn_tol = learn_tol
        self.init = init
        self.image_shape = image_shape
        self.steps = steps
        self.tol = tol
        self.max_iter = max_iter
        self.output = output
        self.sparse_output = sparse_output
        self.random_state = random_state

    def _fit(self, X):
        plans = self._plans()
        context = self._init_callback_context(max_subtasks=len(plans))
        x = self._read(X, reset=True)
        context.call_on_fit_task_begin(estimator=self, X=X)
        learned = self._learn(x, context, plans=plans)
        self._keep(learned)
        set_certificates(self, self._dial(), learned.solutions)
        context.call_on_fit_task_end(estimator=self, X=X, reconstruction_attributes={})
        return learned.top


class SparseCNNClassifier(ClassifierMixin, _LevelsLearner, ImageEstimator):
    """A CNN whose filters are learned without labels, level by level, and a logistic readout.

    With ``steps=1`` it *is* a CNN, ``to_network()``, whose logits are ``decision_function``; more
    steps code better with the same filters.

    Parameters
    ----------
    n_atoms : int or tuple of int
        Number of filters of each level; its length is the number of levels.
    kernel_size : int or tuple
        Of every level, or one (an int or a pair) per level; clipped to the maps.
    stride, padding : scalar or tuple
        As in ``ConvDictionary``; for every level, or one per level.
    lam : float or tuple
        Rate of the exponential prior; for every level, or one (a number, or an array of one per
        filter) per level.
    prior : Prior or tuple of Prior, optional
        In place of the exponential prior; then ``lam`` is not used.
    pool : int, layer or tuple, optional
        Max pooling of that size (clipped to the maps), or any pool, after every level, or one (or
        None) per level.
    C : float
        Inverse regularisation of the readout, on standardised features.
    readout_max_iter : int
        Iteration limit of the readout.
    n_epochs, batch_size : int
    learn_tol : float
        Relative gap of the codes while learning.
    init : {"random", "data"}, ConvDictionary or tuple
        First filters: random directions, or patches, or those of a dictionary; for every level, or
        one per level.
    image_shape : None, "square", (height, width) or (channels, height, width)
        What a row of ``X`` is. None: a signal, an image of height 1 (with a warning if its length
        is a square).
    steps : int or None
        1: the forward pass of the CNN; k: as many FISTA iterations per level (ISTA for priors that
        are not convex); None: every level to ``tol``.
    tol : float
        Relative duality gap (fixed-point residual where there is no gap).
    max_iter : int or None
        Limit of iterations for ``steps=None``; None is the default solver's own.
    random_state : None, int or Generator

    Attributes
    ----------
    classes_ : array
    hierarchy_ : Hierarchy
        Of fewer levels if a callback or Ctrl-C ended the learning.
    readout_ : sklearn.linear_model.LogisticRegression
        Its ``coef_`` and ``intercept_`` apply to the codes as they are: the standardisation is
        folded in.
    objective_ : tuple of array
        For each level, the mean energy of each batch when it was coded.
    n_epochs_ : tuple of int
    interrupted_ : bool
    image_shape_ : tuple
        (channels, height, width).
    n_features_in_ : int
    gap_, dual_gap_, converged_ : array, shape (n_samples,) or (n_levels, n_samples)
        Certificates of the training codes; the gaps are nan if the prior is not convex.
    n_iter_ : int
        Most iterations that a training sample took on a level.

    Notes
    -----
    ``sample_weight`` weighs the readout. The filters know no labels: they are learned from the
    different samples of positive weight, each once and in an order of their own, so that neither
    the order nor the repetition of samples matters to them.

    References
    ----------
    Bowren 2021: a hierarchy of sparse-coding models with a logistic regression is a CNN.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sparsecnn import SparseCNNClassifier
    >>> digits = load_digits()
    >>> images, y = digits.images[:300] / 16, digits.target[:300]
    >>> classifier = SparseCNNClassifier((8,), pool=2, n_epochs=1, random_state=0).fit(images, y)
    >>> logits = classifier.to_network().forward(images[:, None])[0]
    >>> bool(np.abs(logits - classifier.decision_function(images)).max() < 1e-12)
    True
    """

    def __init__(
        self,
        n_atoms=(8, 16),
        kernel_size=3,
        *,
        stride=1,
        padding="valid",
        lam=0.1,
        prior=None,
        pool=None,
        C=1.0,
        readout_max_iter=1000,
        n_epochs=5,
        batch_size=256,
        learn_tol=1e-2,
        init="random",
        image_shape=None,
        steps=1,
        tol=1e-6,
        max_iter=None,
        random_state=None,
    ):
        self.n_atoms = n_atoms
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.lam = lam
        self.prior = prior
        self.pool = pool
        self.C = C
        self.readout_max_iter = readout_max_iter
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learn_tol = learn_tol
        self.init = init
        self.image_shape = image_shape
        self.steps = steps
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state

    @with_callbacks
    def fit(self, X, y, sample_weight=None):
        """Learn the filters from ``X``, then the readout from the codes and ``y``.

        Parameters
        ----------
        X : array-like, shape (n, features), (n, h, w) or (n, c, h, w)
        y : array-like, shape (n,)
            Class labels.
        sample_weight : array-like, shape (n,), optional
            Weights of the readout; samples of weight 0 are left out altogether.

        Returns
        -------
        self
        """
        plans = self._plans()
        context = self._init_callback_context(max_subtasks=len(plans) + 1)
        x, y = self._read(X, y, reset=True)
        x, y, sample_weight = _weighed(x, y, sample_weight)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        learned = self._learn(x, context, rows=_distinct(x), plans=plans)
        self._keep(learned)
        set_certificates(self, self._dial(), learned.solutions)
        check_contrast(learned.top, learned.hierarchy.levels, "the readout")
        self._fit_readout(learned.top.reshape(len(x), -1), y, sample_weight, context)
        self.classes_ = self.readout_.classes_
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes={})
        return self

    def _fit_readout(self, features, y, sample_weight, context):
        """Logistic regression on standardised features; shift and scale are folded into it."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        readout = LogisticRegression(C=self.C, max_iter=self.readout_max_iter)
        task = context.subcontext(task_name="readout")
        unit = 2.0 ** np.frexp(np.abs(features).max())[1]  # squares stay in the float range
        scaled = features / unit
        scaler = StandardScaler(copy=False).fit(scaled, sample_weight=sample_weight)
        scaled = scaler.transform(scaled)
        with task.propagate_callback_context(readout):
            task.call_on_fit_task_begin(estimator=self, X=scaled, y=y)
            readout.fit(scaled, y, sample_weight=sample_weight)
            slope = readout.coef_ / scaler.scale_
            readout.intercept_ = (readout.intercept_ - slope @ scaler.mean_).astype(features.dtype)
            readout.coef_ = (slope / unit).astype(features.dtype)
            self.readout_ = readout
            task.call_on_fit_task_end(estimator=self, X=scaled, y=y)

    def _so_far(self, levels):
        return None  # without a readout nothing can be predicted

    def _features(self, X):
        check_is_fitted(self)
        x = self._read(X, reset=False)
        return self._dial().codes(self.hierarchy_, x, type(self).__name__).reshape(len(x), -1)

    def decision_function(self, X):
        """Logits of ``X``.

        Parameters
        ----------
        X : array-like, shape (n, features), (n, h, w) or (n, c, h, w)

        Returns
        -------
        array, shape (n, n_classes), or (n,) for two classes
        """
        features = self._features(X)
        return self.readout_.decision_function(features)

    def predict(self, X):
        """Most probable class of each sample.

        Parameters
        ----------
        X : array-like, shape (n, features), (n, h, w) or (n, c, h, w)

        Returns
        -------
        array, shape (n,)
        """
        features = self._features(X)
        return self.readout_.predict(features)

    def predict_proba(self, X):
        """Probability of each class, in the order of ``classes_``.

        Parameters
        ----------
        X : array-like, shape (n, features), (n, h, w) or (n, c, h, w)

        Returns
        -------
        array, shape (n, n_classes)
        """
        features = self._features(X)
        return self.readout_.predict_proba(features)

    def to_network(self):
        """The CNN of the same filters: its outputs are ``decision_function`` with ``steps=1``.

        Takes images ``(n, channels, height, width)`` and predicts the same classes; two classes
        give one output column, the logit of the second.

        Returns
        -------
        Network
        """
        check_is_fitted(self)
        return self.hierarchy_.to_network(self.readout_)


def _weighed(x, y, sample_weight):
    """Samples of positive weight, after the checks that need no learning."""
    check_classification_targets(y)
    if sample_weight is not None:
        sample_weight = _check_sample_weight(
            sample_weight, x, dtype=x.dtype, ensure_non_negative=True
        )
        kept = sample_weight > 0
        x, y, sample_weight = x[kept], y[kept], sample_weight[kept]
    if len(np.unique(y)) < 2:
        raise InputError(
            f"y holds one class, {y[0]!r}; expected at least two classes among the samples of "
            "positive weight. Add samples of another class."
        )
    return x, y, sample_weight


def _distinct(x):
    """Indices of the different samples, in an order that depends on nothing but their values."""
    first = {}
    for i, row in enumerate(np.ascontiguousarray(x).reshape(len(x), -1)):
        first.setdefault(hashlib.blake2b(row, digest_size=16).digest(), i)
    return np.array([first[key] for key in sorted(first)])
