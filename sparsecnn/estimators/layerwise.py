"""Learning level after level: each dictionary on the codes of the level below.

Shared by the learners of one level and the hierarchies; here live progress, stopping and Ctrl-C.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable

import numpy as np

from ..dictionaries import ConvDictionary, Dictionary, random_patches, unit_rows
from ..hierarchy import Hierarchy, Level
from ..layers import MaxPool
from ..learning import LearningRecord, learn_dictionary
from ..problem import check_role
from ..validation import InputError, InputTypeError, as_generator, as_integer, as_pair

_FACED = 256  # signals that random atoms are turned towards


@dataclasses.dataclass(frozen=True)
class LevelPlan:
    """What a level is to become: ``start(signals, rng)`` makes its first dictionary.

    ``statistics`` are those of that dictionary, where learning goes on.
    """

    start: Callable
    prior: object
    pool: object = None
    statistics: object = None

    def __post_init__(self):
        check_role("prior", self.prior)


def dense_plan(n_atoms, prior, init):
    """Plan of dense atoms over whole samples."""
    if isinstance(init, Dictionary | ConvDictionary):
        return LevelPlan(_given_start(init, Dictionary), prior)
    n_atoms, init = as_integer(n_atoms, "n_atoms"), _checked_init(init)

    def start(signals, rng):
        rows = signals.reshape(len(signals), -1)
        atoms = Dictionary.random(n_atoms, rows.shape[1], rng).atoms.copy()
        if init == "data":  # as many different samples as there are; the rest stays random
            chosen = rows[rng.permutation(len(rows))[:n_atoms]]
            chosen = chosen[np.abs(chosen).max(axis=1) > 0]
            atoms[: len(chosen)] = chosen / np.abs(chosen).max(axis=1, keepdims=True)
        return _facing(Dictionary(unit_rows(atoms)), rows, prior)

    return LevelPlan(start, prior)


def conv_plan(n_atoms, kernel_size, stride, padding, prior, init, pool=None):
    """Plan of filters, clipped to the maps they will see; an integer pool is clipped likewise."""
    if isinstance(init, Dictionary | ConvDictionary):
        return LevelPlan(_given_start(init, ConvDictionary), prior, pool)
    n_atoms, kernel = as_integer(n_atoms, "n_atoms"), as_pair(kernel_size, "kernel_size")
    init = _checked_init(init)

    def start(signals, rng):
        if signals.ndim != 4:
            raise InputError(
                f"filters were given signals of shape {signals.shape[1:]}; expected (channels, "
                "height, width). Give the level before them a pool that keeps these, such as "
                "pool=2."
            )
        _, channels, *shape = signals.shape
        size = tuple(min(k, n) for k, n in zip(kernel, shape, strict=True))
        if init == "data":
            patches = random_patches(signals, n_atoms, size, rng)  # of code maps, not only images
            return ConvDictionary(patches, shape, stride, padding)
        dictionary = ConvDictionary.random(
            n_atoms,
            size,
            shape,
            n_channels=channels,
            stride=stride,
            padding=padding,
            random_state=rng,
        )
        return _facing(dictionary, signals, prior)

    return LevelPlan(start, prior, pool)


def _given_start(init, kind):
    """A first dictionary that was given: of unit norms, if it fits the signals."""
    if not isinstance(init, kind):
        raise InputTypeError(f"init is {init!r}; expected a {kind.__name__}, 'random' or 'data'.")

    def start(signals, rng):
        shape = signals.shape[1:]
        if kind is Dictionary:
            shape = (math.prod(shape),)
        if init.signal_shape != shape:
            raise InputError(
                f"init has signals of shape {init.signal_shape}, but X gives {shape}; expected "
                "equal shapes. Rebuild init for them, or correct image_shape."
            )
        return init.with_atoms(unit_rows(init.atoms))

    return start


def _facing(dictionary, signals, prior):
    """Turn random atoms towards the signals, where codes of the other sign are not allowed.

    An atom that points away from everything would never be used, and all of them would leave the
    next level nothing to learn.
    """
    if not prior.is_nonnegative:
        return dictionary
    some = signals[:_FACED].astype(dictionary.atoms.dtype, copy=False)
    response = dictionary.analyze(some)
    response = response.sum(axis=(0, *range(2, response.ndim)))
    signs = np.where(response < 0, -1.0, 1.0).reshape((-1,) + (1,) * (dictionary.atoms.ndim - 1))
    return dictionary.with_atoms(dictionary.atoms * signs)


def _checked_init(init):
    if not isinstance(init, str) or init not in ("random", "data"):
        what = repr(init) if np.ndim(init) == 0 else f"an array of shape {np.shape(init)}"
        raise InputError(
            f"init is {what}; expected 'random', 'data' or a dictionary. Wrap an array of atoms as "
            "Dictionary(atoms), filters as ConvDictionary(filters, image_shape)."
        )
    return init


def _pool_of(pool, dictionary):
    """The pooling layer meant by an integer (or pair), no larger than the code maps."""
    if pool is None or hasattr(pool, "forward"):
        return pool
    size = as_pair(pool, "pool")
    return MaxPool(tuple(min(k, n) for k, n in zip(size, dictionary.code_shape[1:], strict=True)))


@dataclasses.dataclass(frozen=True)
class Learned:
    """A learned hierarchy, the top codes of the training signals, and how it went.

    The ``solutions`` keep their certificates but not their codes, which would fill the memory.
    """

    hierarchy: Hierarchy
    solutions: tuple
    top: np.ndarray
    records: tuple
    n_epochs: tuple
    interrupted: bool


class LayerwiseLearner:
    """Mixin of estimators that learn ``LevelPlan`` after ``LevelPlan``.

    Needs the parameters ``n_epochs``, ``batch_size``, ``learn_tol`` and ``random_state``, and the
    methods ``_plans()`` and ``_dial()``.
    """

    def _learn(self, x, context, *, rows=slice(None), plans=None, n_epochs=None, code=True):
        """Learn all levels from the signals ``x[rows]``; code all of ``x`` (if ``code``).

        A callback that returns True at the end of an epoch ends that level's learning, at the end
        of a level the hierarchy. Ctrl-C while learning keeps what is learned and ends the hierarchy
        too.
        """
        dial, rng = self._dial(), as_generator(self.random_state)
        n_epochs = as_integer(self.n_epochs if n_epochs is None else n_epochs, "n_epochs")
        images, levels, solutions, lessons = x, [], [], []
        for plan in self._plans() if plans is None else plans:
            task = context.subcontext(task_name="level", max_subtasks=n_epochs)
            task.call_on_fit_task_begin(estimator=self, X=images)
            check_contrast(x[rows], levels, f"level {len(levels) + 1}")
            lesson = Lesson(self, task, images, plan, x[rows], levels, rng).run(n_epochs)
            lessons.append(lesson)
            levels.append(lesson.level())
            if code:
                (solution,) = Hierarchy(levels[-1:]).solutions(x, dial)
                x = levels[-1].pass_up(solution.codes)
                solutions.append(dataclasses.replace(solution, codes=solution.codes[:0].copy()))
            stop = task.call_on_fit_task_end(
                estimator=self, X=images, reconstruction_attributes=lambda: self._so_far(levels)
            )
            if stop or lesson.interrupted:
                break
        return Learned(
            Hierarchy(levels),
            tuple(solutions),
            x,
            tuple(lesson.record for lesson in lessons),
            tuple(lesson.n_epochs_done for lesson in lessons),
            lessons[-1].interrupted,
        )

    def _so_far(self, levels):
        """Fitted attributes of an estimator whose fit stopped at these levels, for callbacks."""
        return {"hierarchy_": Hierarchy(levels)}


class Lesson:
    """The learning of one level: an epoch is a task of the callbacks.

    Callbacks see the training ``images``, which is what an estimator fitted so far understands; the
    level itself learns on ``x``, what the levels ``below`` pass up.
    """

    def __init__(self, estimator, context, images, plan, x, below, rng):
        self.estimator, self.context, self.images, self.plan = estimator, context, images, plan
        self.x, self.below, self.rng = x, list(below), rng
        self.record = LearningRecord(plan.start(x, rng), np.array([]), 0, plan.statistics)
        self.n_epochs_done, self.interrupted = 0, False

    def run(self, n_epochs):
        """Learn, and return self."""
        start, estimator = self.record.dictionary, self.estimator
        x = self.x.reshape(len(self.x), *start.signal_shape)
        self._n_epochs = n_epochs
        self._begin()
        try:
            self.record = learn_dictionary(
                x,
                start,
                self.plan.prior,
                n_epochs=n_epochs,
                batch_size=estimator.batch_size,
                tol=estimator.learn_tol,
                random_state=self.rng,
                on_epoch=self._end,
                statistics=self.plan.statistics,
            )
        except KeyboardInterrupt:
            self.interrupted = True
            warnings.warn(
                f"{type(estimator).__name__}: learning was interrupted after {self.n_epochs_done} "
                f"of {n_epochs} epochs of level {len(self.below) + 1}; the atoms so far are kept.",
                stacklevel=2,
            )
        return self

    def level(self):
        """The level as it stands."""
        dictionary = self.record.dictionary
        return Level(dictionary, self.plan.prior, _pool_of(self.plan.pool, dictionary))

    def _begin(self):
        self._epoch = self.context.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(estimator=self.estimator, X=self.images)

    def _end(self, record):
        self.record, self.n_epochs_done = record, self.n_epochs_done + 1
        stop = self._epoch.call_on_fit_task_end(
            estimator=self.estimator,
            X=self.images,
            reconstruction_attributes=lambda: self.estimator._so_far([*self.below, self.level()]),
        )
        if not stop and self.n_epochs_done < self._n_epochs:
            self._begin()
        return stop


def check_contrast(codes, levels, reader):
    """Refuse to go on above ``levels`` that pass up nothing but zeros.

    Raises
    ------
    InputError
    """
    if levels and not codes.any():
        raise InputError(
            f"level {len(levels)} passes up only zeros, so {reader} has nothing to learn; "
            f"expected codes of some size. Lower the rate of its prior, {levels[-1].prior!r}, or "
            "scale X up."
        )
