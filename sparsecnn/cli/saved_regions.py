"""``sparsecnn regions MODEL``: linear regions of a saved network, layer by layer."""

from __future__ import annotations

import json
import sys

from .arguments import EXIT_INTERRUPTED, EXIT_OK, check_picture


def run_saved(arguments):
    """Count, bound and sample the saved network; optionally draw a plane through inputs."""
    import numpy as np

    from .. import persistence, regions

    _refuse_architecture(arguments)
    if arguments.out:
        check_picture(arguments.out)
    sys.set_int_max_str_digits(0)  # bounds of large networks have thousands of digits
    network, shape = _network_of(persistence.load(arguments.model), arguments)
    rng = np.random.default_rng(arguments.seed)
    corners = _corners(arguments, shape, rng) if arguments.out or arguments.points else None
    found = regions.by_layer(network, shape, n_samples=arguments.samples, random_state=rng)
    report, lines = {"model": arguments.model, **found.to_dict()}, [found.summary()]
    stopped = any(row.given.interrupted for row in found.rows)
    if corners is not None and not stopped:
        cut = regions.plane_slice(network, corners)
        report["slice"] = {"n_regions": cut.n_regions, "area": float(cut.areas.sum())}
        lines.append(f"triangle of three inputs: {cut.summary()}")
        if arguments.out:
            from .. import plots

            plots.plot_regions(cut).figure.savefig(arguments.out)
            lines.append(f"the triangle: {arguments.out}")
    print(json.dumps(report, indent=2) if arguments.json else "\n".join(lines))
    return EXIT_INTERRUPTED if stopped else EXIT_OK


def _refuse_architecture(arguments):
    """Flags that describe an architecture say nothing about a saved one."""
    from ..validation import InputError

    flags = ("filters", "kernel", "stride", "padding", "dilation")
    flags = [flag for flag in flags if hasattr(arguments, flag)]
    said = [f"--{f}" for f in flags if getattr(arguments, f) != arguments.default_of(f)]
    if said:
        raise InputError(
            f"{', '.join(said)} cannot change {arguments.model}; expected either a saved model or "
            "an architecture. Leave one of them away."
        )


def _network_of(model, arguments):
    """The network of a saved model, and the shape of its input, stated or known."""
    from ..dictionaries import ConvDictionary, Dictionary
    from ..hierarchy import Hierarchy, Level
    from ..layers import Layer
    from ..network import Network
    from ..priors import NonNegative
    from ..validation import InputError

    if isinstance(model, Dictionary | ConvDictionary):  # the layer without a bias
        model = Level(model, NonNegative())
    if isinstance(model, Level):
        model = Hierarchy([model])
    if isinstance(model, Hierarchy):
        model = model.to_network()
    if not isinstance(model, Layer):
        raise InputError(
            f"{arguments.model} holds {model!r}, which has no linear regions; expected a network, "
            "a layer, a dictionary or a hierarchy."
        )
    network = model if isinstance(model, Network) else Network([model])
    said, known = arguments.input, network.input_shape
    if said is not None and known not in (None, said):
        raise InputError(
            f"--input is {said}, but {arguments.model} is made for inputs of shape {known}; "
            "expected that shape. Leave --input away."
        )
    if said is None and known is None:
        raise InputError(
            f"{arguments.model} does not say what its input is; expected --input "
            "channels,height,width (or --input n for a dense network)."
        )
    return network, said or known


def _corners(arguments, shape, rng):
    """Three inputs that span the plane: of a file, or digits where they fit, or random ones."""
    import numpy as np

    if arguments.points:
        return _points(arguments.points, shape)
    if shape == (1, 8, 8):
        from .. import datasets

        digits = datasets.load("digits", random_state=arguments.seed)
        _, first = np.unique(digits.test_labels, return_index=True)
        return digits.test[rng.choice(first, 3, replace=False)]
    return rng.standard_normal((3, *shape))


def _points(path, shape):
    import numpy as np

    from ..validation import InputError, as_float_array

    expected = f"a .npy or .npz file of three inputs of shape {shape}"
    try:
        loaded = np.load(path, allow_pickle=False)
        points = loaded if isinstance(loaded, np.ndarray) else loaded[loaded.files[0]]
        points = as_float_array(points, "points")
    except Exception as error:  # a damaged zip makes zipfile raise nearly anything
        raise InputError(f"--points {path} cannot be read ({error}); expected {expected}.")
    if points.shape[0] < 3 or points[:3].size != 3 * int(np.prod(shape)):
        raise InputError(
            f"--points {path} has an array of shape {points.shape}; expected {expected}."
        )
    return points[:3].reshape(3, *shape)
