"""Hierarchical sparse coding: codes of one level are the signals of the next, and the equal CNN.

Bowren 2021: a hierarchy of non-negative sparse-coding models with an exponential prior parameter
for each coefficient is a CNN; the forward pass is *greedy* inference, level by level (joint
inference would have top-down terms).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from .layers import Activation, Conv2D, Flatten, Layer, Linear
from .network import Network
from .priors import Exponential, NonNegative
from .problem import SparseCodingProblem, check_roles
from .solvers import Solver, default_solver
from .validation import InputError, InputTypeError, as_float_array


@dataclasses.dataclass(frozen=True)
class Level:
    """One level of a hierarchy.

    Parameters
    ----------
    dictionary : Dictionary or ConvDictionary
    prior : Prior
    pool : MaxPool, AveragePool or L2Pool, optional
        Applied to the codes before they go up.
    """

    dictionary: object
    prior: object
    pool: Layer | None = None

    def __post_init__(self):
        check_roles(self.dictionary, self.prior)
        if self.pool is not None and not isinstance(self.pool, Layer):
            raise InputTypeError(
                f"pool is {self.pool!r}; expected a pooling layer such as MaxPool(2), or None."
            )

    def problem(self, x):
        """The sparse-coding problem of these signals (a dense dictionary takes them flattened)."""
        if len(self.dictionary.signal_shape) == 1:
            x = x.reshape(len(x), -1)
        return SparseCodingProblem(x, self.dictionary, self.prior)

    def pass_up(self, codes):
        """What the next level sees of these codes: themselves, or their pool."""
        return codes if self.pool is None else self.pool.forward(codes)[0]

    @property
    def output_shape(self):
        """tuple: shape of one sample of what this level passes up."""
        return self.pass_up(np.zeros((1, *self.dictionary.code_shape))).shape[1:]


class Hierarchy:
    """A stack of sparse-coding models.

    Parameters
    ----------
    levels : sequence of Level
        Each level's signal shape must be the previous level's output shape (a dense dictionary
        takes it flattened).

    Examples
    --------
    >>> import sparsecnn as sc
    >>> levels = [sc.Level(sc.ConvDictionary.haar((8, 8)), sc.Exponential(0.1))]
    >>> hierarchy = sc.Hierarchy(levels)
    >>> x = np.random.default_rng(0).standard_normal((2, 1, 8, 8))
    >>> forward = hierarchy.encode(x, sc.ForwardTransform())
    >>> np.array_equal(forward, hierarchy.to_network().forward(x)[0])
    True
    """

    def __init__(self, levels):
        if isinstance(levels, Level):
            levels = (levels,)
        levels = tuple(levels)
        if not levels:
            raise InputError("levels is empty; expected at least one Level(dictionary, prior).")
        for i, level in enumerate(levels):
            if not isinstance(level, Level):
                raise InputTypeError(
                    f"levels[{i}] is {level!r}; expected Level(dictionary, prior, pool=None)."
                )
            if i:
                below, wanted = levels[i - 1].output_shape, level.dictionary.signal_shape
                if below != wanted and (int(np.prod(below)),) != wanted:
                    raise InputError(
                        f"levels[{i}] expects signals of shape {wanted}, but levels[{i - 1}] "
                        f"passes up {below}; expected "
                        "equal shapes. Rebuild the dictionary for that shape."
                    )
        self.levels = levels

    def solutions(self, x, solver=None):
        """Greedy inference: solve level after level, each on the codes below.

        Parameters
        ----------
        x : array-like, shape (n_samples, *signal_shape of the first level)
        solver : Solver or callable, optional
            For every level, or what gives one for a level's problem; default: ``default_solver``.

        Returns
        -------
        tuple of Solution
            One per level, before its pool.
        """
        return self._infer(x, solver)[0]

    def encode(self, x, solver=None):
        """Codes of the top level (after its pool, if it has one), by greedy inference.

        Parameters
        ----------
        x : array-like, shape (n_samples, *signal_shape of the first level)
        solver : Solver or callable, optional
            As in ``solutions``; with ``ForwardTransform()`` this is the forward pass of
            ``to_network()``.

        Returns
        -------
        array
        """
        return self._infer(x, solver)[1]

    def _infer(self, x, solver):
        solver = solver or (lambda problem: default_solver(problem).solver)
        if not callable(solver) and not isinstance(solver, Solver):
            raise InputTypeError(
                f"solver is {solver!r}; expected a solver such as FISTA(), or None for the default."
            )
        solutions = []
        x = as_float_array(
            x, "x", expected=f"signals (n_samples, *{self.levels[0].dictionary.signal_shape})"
        )
        for level in self.levels:
            problem = level.problem(x)
            chosen = solver if isinstance(solver, Solver) else solver(problem)
            solutions.append(chosen.solve(problem))
            x = level.pass_up(solutions[-1].codes)
        return tuple(solutions), x

    def to_network(self, readout=None):
        """The CNN whose forward pass is this hierarchy's greedy one-step inference.

        It knows its ``input_shape``, and with a readout its ``classes``.

        The activation of a level is the prox of its prior, ``Activation(prior)``. Of a scalar or
        per-atom ``Exponential`` the rate goes into the bias, ``-lam``, and ``Activation(
        NonNegative())``, the ReLU, is left.

        Parameters
        ----------
        readout : fitted linear classifier with ``coef_`` and ``intercept_``, optional
            Appended as ``Flatten`` and ``Linear``, whose outputs are its decision values (logits);
            its ``classes_``, if it has them, become the network's.

        Returns
        -------
        Network

        References
        ----------
        Bowren 2021: the hierarchy with a logistic regression is a CNN without pooling and
        normalisation.
        """
        layers, flat = [], False
        for level in self.levels:
            dictionary, prior = level.dictionary, level.prior
            if len(dictionary.signal_shape) == 1 and not flat:
                layers.append(Flatten())  # a dense level takes images flattened
            flat = len(level.output_shape) == 1
            bias, activation = _bias_and_activation(prior, dictionary.n_atoms)
            if len(dictionary.signal_shape) == 1:
                layers.append(Linear(dictionary.atoms, bias))
            else:
                layers.append(
                    Conv2D(dictionary.filters, bias, dictionary.stride, dictionary.padding)
                )
            layers.append(activation)
            if level.pool is not None:
                layers.append(level.pool)
        classes = getattr(readout, "classes_", None)
        if readout is not None:
            weights = np.atleast_2d(readout.coef_)
            bias = np.broadcast_to(readout.intercept_, len(weights))
            layers += [Flatten(), Linear(weights, bias)]
        return Network(layers, self.levels[0].dictionary.signal_shape, classes)

    def __repr__(self):
        return f"Hierarchy({', '.join(f'{v.dictionary!r} with {v.prior!r}' for v in self.levels)})"


def _bias_and_activation(prior, n_atoms):
    """Bowren 2021: the rate of each coefficient is minus the bias of its unit.

    What is left of the prior is ``z >= 0``, whose prox is the ReLU.
    """
    if isinstance(prior, Exponential) and np.shape(prior.lam) in ((), (n_atoms,)):
        return np.broadcast_to(-np.asarray(prior.lam), (n_atoms,)).copy(), Activation(NonNegative())
    return None, Activation(prior)
