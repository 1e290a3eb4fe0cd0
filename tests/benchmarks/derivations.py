"""How long derivations take: every row of the atlas from a cold cache, on one core.

Run: ``python tests/benchmarks/derivations.py``. Prints the median and the slowest derivation, the
whole atlas, and a million inputs through a formula's prox.
"""

from __future__ import annotations

import time

import numpy as np

import sparsecnn as sc

PROXES = [
    ("soft threshold", "lam*abs(z)", dict(lam=0.7)),
    ("SCAD", sc.SCAD.formula, dict(lam=0.7, a=3.7)),
    ("log-sum", "lam*log(1 + abs(z)/eps)", dict(lam=0.6, eps=1.0)),
    ("power 4/3", "lam*abs(z)**(4/3)", dict(lam=0.6)),
    ("log-cosh", "lam*log(cosh(z))", dict(lam=0.8)),
    ("Student-t", "c*log(1 + z**2/gamma**2)", dict(c=0.8, gamma=0.9)),
]


def rows(n=120):
    """``{key: seconds}`` to derive, verify and brute-force each row (``n`` inputs, 2 settings)."""
    seconds = {}
    for row in sc.atlas():
        started = time.process_time()
        assert all(e.passed for e in row.verify(n)), row.key
        if row.section == "forward":
            assert row.derivation().verify().passed, row.key
        seconds[row.section, row.key] = time.process_time() - started
    return seconds


def main():
    seconds = rows()
    forward = {key: s for (section, key), s in seconds.items() if section == "forward"}
    slowest = max(forward, key=forward.get)
    print(f"derivations: {len(forward)}, median {np.median(list(forward.values())):.2f} s,")
    print(f"  slowest {slowest} {forward[slowest]:.2f} s")
    print(f"the whole atlas: {len(seconds)} rows, {sum(seconds.values()):.1f} s")
    x = 2.5 * np.random.default_rng(0).standard_normal(10**6)
    for name, formula, parameters in PROXES:
        prior = sc.SymbolicPrior(formula, **parameters)
        started = time.process_time()
        prior.prox(x)
        spent = time.process_time() - started
        print(f"prox of 10^6 inputs, {name:15s} {spent:.3f} s ({prior.prox_methods[-1]})")


if __name__ == "__main__":
    main()
