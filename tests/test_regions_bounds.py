"""Lower bounds are claimed only where their construction exists; odd requests are refused."""

import numpy as np
import pytest

import sparsecnn as sc

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.standard_normal(shape)


def conv(n_filters, kernel_size, **more):
    return dict(n_filters=n_filters, kernel_size=kernel_size, **more)


@pytest.mark.parametrize(
    ("shape", "layers"),
    [
        # one pixel of the last layer's cut-off windows would need a bias of its own
        ((1, 1, 2), [conv(1, 1), conv(5, (1, 2), padding=1)]),
        ((1, 1, 2), [conv(1, 1, padding=1), conv(5, (1, 2))]),
        # without biases nothing folds: these two have 2 regions
        ((1, 1, 1), [conv(3, 1, bias=False), conv(3, 1, bias=False)]),
        ((1, 1, 1), [conv(3, 1, breakpoints=2), conv(3, 1)]),
    ],
)
def test_no_lower_bound_is_claimed_where_nothing_folds(shape, layers):
    bounds = sc.regions.conv_bounds(shape, layers)
    assert bounds["lower"] is None and bounds["upper"] > 1


def test_a_padded_layer_alone_has_its_own_count_below():
    layer = conv(2, 2, padding=1)
    exact = sc.regions.architecture((1, 2, 2), **layer).exact
    assert sc.regions.conv_bounds((1, 2, 2), [layer])["lower"] == exact == 2764


def test_no_dense_lower_bound_exceeds_an_upper_one():
    for n_inputs in range(1, 5):
        for widths in np.ndindex(5, 5, 5):
            widths = [w + 1 for w in widths]
            bounds = sc.regions.dense_bounds(n_inputs, widths)
            lower = [v for k, v in bounds.items() if "lower" in k and v is not None]
            upper = [v for k, v in bounds.items() if "upper" in k]
            assert max(lower) <= min(upper), (n_inputs, widths)


@pytest.mark.parametrize(
    ("affine", "shape"),
    [
        ([sc.Conv2D(draw(3, 1, 1, 1)), sc.Conv2D(draw(3, 3, 1, 1))], (1, 1, 1)),
        ([sc.Linear(draw(3, 1)), sc.Linear(draw(3, 3))], (1,)),
    ],
)
def test_a_saved_network_without_biases_has_no_folds_below(affine, shape):
    relu = sc.Activation("relu")
    network = [affine[0], relu, affine[1], relu]
    row = sc.regions.by_layer(network, shape, n_samples=100, random_state=0).rows[-1]
    assert row.architecture.lower is None and row.given.exact == 2


def test_a_narrow_linear_layer_is_seen_by_the_bounds_of_a_dense_network():
    relu = sc.Activation("relu")
    narrow = [sc.Linear(draw(1, 2)), sc.Linear(draw(8, 1), draw(8)), relu]
    network = [*narrow, sc.Linear(draw(8, 8), draw(8)), relu]
    row = sc.regions.by_layer(network, (2,), n_samples=100, random_state=0).rows[-1]
    assert row.architecture.lower is None and row.given.exact <= 81


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sc.regions.count((draw(1, 1, 3, 3), [0.1]), (1, 36, 36)), "2\\^1156"),
        (lambda: sc.regions.architecture((1, 3, 3), 2, 2, padding=10**6), "less padding"),
        (lambda: sc.regions.count((draw(3, 2), draw(3)), (2,), (-np.inf, np.inf)), "domain"),
        (lambda: sc.regions.count((draw(3, 2), draw(3)), (2,), ([0] * 3, [1] * 3)), "3 and 3"),
        (lambda: sc.regions.count((draw(3, 2), draw(3)), (2,), "ab"), "domain"),
        (lambda: sc.regions.count((draw(3, 2), draw(3)), "ab"), "input_shape"),
        (lambda: sc.regions.count((draw(3, 2), draw(3)), None), "input_shape"),
        (lambda: sc.regions.layer((1, 1, 3), 1, (1, 2), bias=False).growth(), "bias"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(call, words):
    with pytest.raises((sc.InputError, sc.InputTypeError), match=words):
        call()


def test_growth_counts_every_breakpoint():
    model = sc.regions.layer((1, 1, 3), 64, (1, 2), breakpoints=2)
    growth = model.growth()
    leading = growth["coefficient"] * 64 ** growth["degree"]
    assert growth["coefficient"] == 8
    assert 1 < model.exact() / leading < 1.05
