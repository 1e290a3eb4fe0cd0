"""Dictionaries: linear maps from codes to signals, exact adjoints, a measured Gram matrix."""

from .convolutional import ConvDictionary
from .dense import Dictionary, as_image_batch, random_patches, row_norms, unit_rows

__all__ = [
    "ConvDictionary",
    "Dictionary",
    "as_image_batch",
    "random_patches",
    "row_norms",
    "unit_rows",
]
