"""Learners of one dictionary: dense atoms over whole samples, or filters."""

from __future__ import annotations

from sklearn.callback import with_callbacks

from ..priors import Exponential
from .coders import Coder, set_certificates
from .layerwise import LayerwiseLearner, LevelPlan, conv_plan, dense_plan


class _OneLevelLearner(LayerwiseLearner, Coder):
    """What both learners share: fitting, and going on with ``partial_fit``."""

    @property
    def dictionary_(self):
        return self.hierarchy_.levels[0].dictionary

    @with_callbacks
    def partial_fit(self, X, y=None):
        """Learn one more epoch, on ``X``, from the atoms so far (from new ones at first).

        What earlier samples taught is kept, as between the batches of ``fit``. A blank ``X``, all
        zero, is passed over.

        Sets ``hierarchy_`` and ``objective_``; the certificates of training codes, which belong to
        a whole ``fit``, go.

        Parameters
        ----------
        X : array-like, shape (n, features), (n, h, w) or (n, c, h, w)
        y : ignored

        Returns
        -------
        self
        """
        self._check_output()
        context = self._init_callback_context(max_subtasks=1)
        known = getattr(self, "hierarchy_", None)
        x = self._read(X, reset=known is None)
        plans = self._plans()
        if not x.any():
            return self
        if known is not None:
            learned = getattr(self, "_statistics", None)  # not in every model file
            start = known.levels[0].dictionary
            plans = [LevelPlan(lambda x, rng: start, plans[0].prior, statistics=learned)]
        context.call_on_fit_task_begin(estimator=self, X=X)
        self._keep(self._learn(x, context, plans=plans, n_epochs=1, code=False))
        for name in ("gap_", "dual_gap_", "converged_", "n_iter_"):
            self.__dict__.pop(name, None)
        context.call_on_fit_task_end(estimator=self, X=X, reconstruction_attributes={})
        return self

    def _fit(self, X):
        context = self._init_callback_context(max_subtasks=1)
        x = self._read(X, reset=True)
        context.call_on_fit_task_begin(estimator=self, X=X)
        learned = self._learn(x, context)
        self._keep(learned)
        set_certificates(self, self._dial(), learned.solutions)
        context.call_on_fit_task_end(estimator=self, X=X, reconstruction_attributes={})
        return learned.top

    def _keep(self, learned):
        self.hierarchy_ = learned.hierarchy
        self.objective_ = learned.records[0].objective
        self._statistics = learned.records[0].statistics
        self.n_epochs_ = learned.n_epochs[0]
        self.interrupted_ = learned.interrupted

    def _prior(self):
        return Exponential(self.lam) if self.prior is None else self.prior


class DictionaryLearner(_OneLevelLearner):
    """Learn dense unit-norm atoms under a sparse prior; transform codes with them.

    Parameters
    ----------
    n_atoms : int
    prior : Prior, optional
        In place of the exponential prior; then ``lam`` is not used.
    lam : float or array of shape (n_atoms,)
        Rate of the exponential prior.
    n_epochs, batch_size : int
    learn_tol : float
        Relative gap of the codes while learning.
    init : {"random", "data"} or Dictionary
        First atoms: random directions, or samples, or those of a dictionary (then ``n_atoms`` is
        not used).
    image_shape : None, "square", (height, width) or (channels, height, width)
        What a row of ``X`` is; the atoms span it whole, so it changes ``image_shape_`` only.
    steps : int or None
        For ``transform``. 1: the CNN layer ``prox(D^T x)``; k: as many FISTA iterations (ISTA for
        priors that are not convex); None: to ``tol``.
    tol : float
        Relative duality gap (fixed-point residual where there is no gap) of ``transform``.
    max_iter : int or None
        Limit of iterations for ``steps=None``; None is the default solver's own.
    output : {"rows", "maps"}
    sparse_output : bool
        Return rows as a CSR matrix.
    random_state : None, int or Generator

    Attributes
    ----------
    dictionary_ : Dictionary
    components_ : array, shape (n_atoms, n_features)
        Its atoms, by scikit-learn's name.
    hierarchy_ : Hierarchy
        The model, of one level.
    objective_ : array, shape (n_batches,)
        Mean energy of each batch when it was coded.
    n_epochs_ : int
        Epochs done.
    interrupted_ : bool
        Whether Ctrl-C ended the learning; the atoms are those of the last finished epoch.
    image_shape_ : tuple
    n_features_in_ : int
    gap_, dual_gap_ : array, shape (n_samples,)
        Relative and absolute duality gap of the training codes; nan if the prior is not convex.
    converged_ : array of bool, shape (n_samples,)
    n_iter_ : int
        Most iterations that a training sample took.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sparsecnn import DictionaryLearner
    >>> X = load_digits(return_X_y=True)[0][:200] / 16
    >>> DictionaryLearner(32, n_epochs=2, random_state=0).fit_transform(X).shape
    (200, 32)
    """

    def __init__(
        self,
        n_atoms=100,
        prior=None,
        *,
        lam=0.1,
        n_epochs=10,
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
        self.prior = prior
        self.lam = lam
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

    @property
    def components_(self):
        return self.dictionary_.atoms

    def _plans(self):
        return [dense_plan(self.n_atoms, self._prior(), self.init)]


class ConvDictionaryLearner(_OneLevelLearner):
    """Learn unit-norm filters under a sparse prior; transform gives their code maps.

    Parameters
    ----------
    n_atoms : int
        Number of filters.
    kernel_size : int or (int, int)
        Clipped to the image.
    stride : int or (int, int)
    padding : {"valid", "same", "circular"} or int
        As in ``ConvDictionary``.
    prior : Prior, optional
        In place of the exponential prior; then ``lam`` is not used.
    lam : float or array of shape (n_atoms,)
        Rate of the exponential prior.
    n_epochs, batch_size : int
    learn_tol : float
        Relative gap of the codes while learning.
    init : {"random", "data"} or ConvDictionary
        First filters: random directions, or patches, or those of a dictionary (then ``n_atoms``,
        ``kernel_size``, ``stride`` and ``padding`` are not used).
    image_shape : None, "square", (height, width) or (channels, height, width)
        What a row of ``X`` is. None: a signal, an image of height 1 (with a warning if its length
        is a square).
    steps : int or None
        For ``transform``. 1: the CNN layer ``prox(D^T x)``; k: as many FISTA iterations (ISTA for
        priors that are not convex); None: to ``tol``.
    tol : float
        Relative duality gap (fixed-point residual where there is no gap) of ``transform``.
    max_iter : int or None
        Limit of iterations for ``steps=None``; None is the default solver's own.
    output : {"rows", "maps"}
        One row per sample, or code maps ``(n, n_atoms, height, width)``.
    sparse_output : bool
        Return rows as a CSR matrix.
    random_state : None, int or Generator

    Attributes
    ----------
    dictionary_ : ConvDictionary
    hierarchy_ : Hierarchy
        The model, of one level.
    objective_ : array, shape (n_batches,)
        Mean energy of each batch when it was coded.
    n_epochs_ : int
        Epochs done.
    interrupted_ : bool
        Whether Ctrl-C ended the learning; the filters are those of the last finished epoch.
    image_shape_ : tuple
        (channels, height, width).
    n_features_in_ : int
    gap_, dual_gap_ : array, shape (n_samples,)
        Relative and absolute duality gap of the training codes; nan if the prior is not convex.
    converged_ : array of bool, shape (n_samples,)
    n_iter_ : int
        Most iterations that a training sample took.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sparsecnn import ConvDictionaryLearner
    >>> images = load_digits().images[:100] / 16
    >>> learner = ConvDictionaryLearner(4, 4, stride=4, n_epochs=2, random_state=0)
    >>> learner.set_params(output="maps").fit_transform(images).shape
    (100, 4, 2, 2)
    >>> learner.get_feature_names_out()[:3].tolist()
    ['atom0_r0_c0', 'atom0_r0_c1', 'atom0_r1_c0']
    """

    def __init__(
        self,
        n_atoms=16,
        kernel_size=5,
        *,
        stride=1,
        padding="valid",
        prior=None,
        lam=0.1,
        n_epochs=10,
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
        self.prior = prior
        self.lam = lam
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

    def _plans(self):
        return [
            conv_plan(
                self.n_atoms,
                self.kernel_size,
                self.stride,
                self.padding,
                self._prior(),
                self.init,
            )
        ]
