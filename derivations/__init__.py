"""The chapters: formulas bound to the package's own code; an edit that breaks them fails.

Each module exposes ``place`` (its position), ``chapter(sign=1)`` and ``derivation = chapter()``;
with ``sign=-1`` one sign is wrong, and the chapter must be refuted. Adding a chapter is adding a
file.
"""
