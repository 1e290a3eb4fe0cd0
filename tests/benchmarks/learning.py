# ruff: noqa: E402
"""What learning costs and reaches: held-out objectives over CPU seconds, and the two long jobs.

Run it as ``python tests/benchmarks/learning.py [patches|images|network]``; ``patches`` and
``network`` read the folder that SPARSECNN_DATA names. It is no test and asserts nothing. One
thread, CPU seconds: run an older checkout with PYTHONPATH in turns with this one for a ratio.
"""

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import pathlib
import sys
import tempfile
import time

import numpy as np

import sparsecnn as sc

LAM, N_TRAIN, N_ATOMS = 0.15, 20_000, 128


def natural_patches(n=21_000):
    """Centred 8 x 8 patches of unit norm from 24 photographs, flat ones drawn again."""
    stored = np.load(pathlib.Path(os.environ["SPARSECNN_DATA"]) / "natural-images/kodak_gray.npz")
    pictures, rng = (
        [stored[name] / 255.0 for name in sorted(stored.files)],
        np.random.default_rng(3),
    )
    rows = []
    while len(rows) < n:
        picture = pictures[rng.integers(len(pictures))]
        i, j = (rng.integers(size - 7) for size in picture.shape)
        patch = picture[i : i + 8, j : j + 8].ravel()
        if patch.std() > 0.02:
            rows.append((patch - patch.mean()) / np.linalg.norm(patch - patch.mean()))
    return np.array(rows)


def patches(seconds=(1, 2, 4, 8, 16)):
    """This package and scikit-learn from the same atoms; one held-out objective for both."""
    x = natural_patches()
    x, unseen = x[:N_TRAIN], x[N_TRAIN:]
    start = x[np.random.default_rng(0).choice(N_TRAIN, N_ATOMS, replace=False)]

    def energy(atoms):
        dictionary = sc.Dictionary(atoms / np.linalg.norm(atoms, axis=1, keepdims=True))
        problem = sc.SparseCodingProblem(unseen, dictionary, sc.Laplace(LAM))
        return sc.FISTA(1e-4, 2000).solve(problem).objective.mean()

    print(f"at the start: {energy(start):.5f}")
    for name, learn in (("sparsecnn", _learned_here), ("scikit-learn", _learned_by_scikit_learn)):
        begun, left = time.process_time(), list(seconds)
        for atoms in learn(x, start):
            spent = time.process_time() - begun
            if spent >= left[0]:
                print(f"{name:<12} {spent:5.1f} s  held-out objective {energy(atoms):.5f}")
                begun += time.process_time() - begun - spent  # the evaluation costs no time
                left = [wanted for wanted in left if wanted > spent]
            if not left:
                break


def _learned_here(x, start):
    """The atoms after every epoch."""
    learner = sc.DictionaryLearner(N_ATOMS, prior=sc.Laplace(LAM), random_state=0, n_epochs=1)
    learner.set_params(init=sc.Dictionary(start))
    while True:
        yield learner.partial_fit(x).components_


def _learned_by_scikit_learn(x, start):
    """The atoms after every mini-batch of the same size."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    options = {"alpha": LAM, "batch_size": 256, "fit_algorithm": "cd", "random_state": 0}
    learner = MiniBatchDictionaryLearning(N_ATOMS, dict_init=start, **options)
    rng = np.random.default_rng(0)
    while True:
        for rows in np.array_split(rng.permutation(len(x)), len(x) // 256):
            yield learner.partial_fit(x[rows]).components_


def images():
    from sparsecnn.cli import main

    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        main(["compare", "--data", "images", "--out", f"{folder}/page.html"])
    print(f"compare --data images: {time.process_time() - begun:.1f} CPU s")


def network(n=3000):
    data = sc.datasets.load(pathlib.Path(os.environ["SPARSECNN_DATA"]) / "fashion-mnist")
    begun = time.process_time()
    classifier = sc.SparseCNNClassifier((16, 32), steps=1, random_state=0)
    classifier.fit(data.train[:n], data.train_labels[:n])
    spent = time.process_time() - begun
    accuracy = (classifier.predict(data.test[:1000]) == data.test_labels[:1000]).mean()
    print(f"SparseCNNClassifier((16, 32)) on {n}: {spent:.1f} CPU s, accuracy {accuracy:.3f}")


if __name__ == "__main__":
    jobs = {"patches": patches, "images": images, "network": network}
    for name in sys.argv[1:] or jobs:
        jobs[name]()
