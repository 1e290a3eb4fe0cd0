"""One scalar penalty as mathematics: parsed safely, cut into pieces, inverted, checked.

An island: SymPy and NumPy only. It knows nothing of priors, layers or dictionaries, and user text
reaches SymPy only through the whitelisted tree of ``parser``.
"""
