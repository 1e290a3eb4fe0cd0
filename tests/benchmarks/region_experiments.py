"""The two experiments on linear regions and kernels that take minutes, at their printed size.

Run it as ``python tests/benchmarks/region_experiments.py``. It is no test and asserts nothing: the
suite runs both at a smaller size and asserts there.

1. What a million Gaussian inputs find of the regions of one layer (1x3 inputs, filters 1x2), five
   seeds at six input scales: the largest number of patterns, and the best mean over seeds.
2. Learning curves of a ridgeless deep student (filters 2, 2, 2) on Gaussian teachers of three
   depths, 256 to 2048 examples: the slope, its spread over draws, and the predicted exponent.
"""

import numpy as np

import sparsecnn as sc

SCALES, SEEDS = (3, 5, 7, 9, 11, 13), range(1, 6)


def sampled_patterns(n_filters, n_samples, seeds=SEEDS, scales=SCALES):
    """Patterns met, one row a scale and one column a seed."""
    return np.array([
        [
            sc.regions.sample(
                sc.regions.paper_network(n_filters, random_state=seed),
                (1, 1, 3), n_samples, scale=scale, random_state=seed,
            ).sampled
            for seed in seeds
        ]
        for scale in scales
    ])  # fmt: skip


def learning_errors(seed, sizes=(256, 512, 1024, 2048), n_test=500, student=(2, 2, 2)):
    """Relative test errors ``(teachers, sizes)`` of one draw, teachers from shallow to deep.

    A teacher is a Gaussian field whose covariance is the tangent kernel of its own depth. The
    leading blocks of one Cholesky factor belong to the smaller samples.
    """
    rng, most = np.random.default_rng(seed), max(sizes)
    x = rng.standard_normal((most + n_test, 8))
    kernels = [
        sc.regions.hierarchical_kernels(x, x, student[: depth + 1])[1]
        for depth in range(len(student))
    ]
    tiny = 1e-12 * np.eye(len(x))  # no ridge: only what keeps the factor real
    factor = np.linalg.cholesky(kernels[-1] + tiny)
    errors = []
    for covariance in kernels:
        teacher = np.linalg.cholesky(covariance + tiny) @ rng.standard_normal(len(x))
        wanted = teacher[most:]
        row = []
        for n in sizes:
            solved = np.linalg.solve(factor[:n, :n].T, np.linalg.solve(factor[:n, :n], teacher[:n]))
            row.append(((kernels[-1][most:, :n] @ solved - wanted) ** 2).mean())
        errors.append(np.array(row) / (wanted**2).mean())
    return np.array(errors)


def slopes(errors, sizes):
    """Slope of log error against log size, by least squares; the last axis holds the sizes."""
    log = np.log(sizes) - np.log(sizes).mean()
    return np.log(errors) @ log / (log @ log)


def main():
    print("filters  exact  most found  best mean over seeds (10^6 inputs)")
    for d in range(1, 9):
        exact = sc.regions.architecture((1, 1, 3), d, (1, 2)).exact
        found = sampled_patterns(d, 10**6)
        print(f"{d:7}  {exact:5}  {found.max():10}  {found.mean(axis=1).max():.1f}", flush=True)
    sizes = (256, 512, 1024, 2048)
    draws = np.array([learning_errors(seed, sizes) for seed in range(8)])
    print(f"\nteacher    slope (predicted)   last segment   {len(draws)} draws")
    for level in (1, 2, 3):
        each = slopes(draws[:, level - 1], sizes)
        mean = draws[:, level - 1].mean(axis=0)
        beta = sc.regions.learning_curve_exponent((2, 2, 2), level)
        print(
            f"{(2,) * level!s:<10} {slopes(mean, sizes):.3f} +- "
            f"{each.std(ddof=1) / len(draws) ** 0.5:.3f} ({-beta:.3f})   "
            f"{np.log2(mean[-1] / mean[-2]):.3f}"
        )


if __name__ == "__main__":
    main()
