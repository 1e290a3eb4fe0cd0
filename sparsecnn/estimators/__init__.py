"""The scikit-learn face: coders, learners and a classifier, sparse-coding models underneath.

What an estimator computes is a ``Hierarchy`` of levels; here live only reading of ``X``, fitted
attributes, progress and scikit-learn's conventions. No mathematics of its own.
"""

from .coders import SparseCoder
from .hierarchies import HierarchicalSparseCoder, SparseCNNClassifier
from .learners import ConvDictionaryLearner, DictionaryLearner

__all__ = [
    "ConvDictionaryLearner",
    "DictionaryLearner",
    "HierarchicalSparseCoder",
    "SparseCNNClassifier",
    "SparseCoder",
]
