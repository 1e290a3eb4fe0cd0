"""Every activation of torch gets a verdict, and it is about what torch computes."""

import functools
import inspect

import numpy as np
import pytest
import tolerances

import sparsecnn as sc
from sparsecnn.derivation.known import KNOWN, VARIANTS
from sparsecnn.derivation.reverse import _expression

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

#: class -> arguments; every class of torch.nn.modules.activation is here or below
SETTINGS = {
    "Threshold": [(0.5, 0.0), (0.5, -1.0), (0.5, 0.5), (0.5, 2.0), (-1.0, -0.5)],
    "ReLU": [()], "ReLU6": [()], "Sigmoid": [()], "Tanh": [()], "SiLU": [()], "Mish": [()],
    "Hardsigmoid": [()], "Hardswish": [()], "SELU": [()], "LogSigmoid": [()], "Softsign": [()],
    "Tanhshrink": [()],
    "RReLU": [(), (0.1, 0.5), (0.3, 0.3)],
    "Hardtanh": [(), (-2.0, 0.5), (0.25, 3.0), (0.0, float("inf")), (-float("inf"), 1.0)],
    "ELU": [(), (0.4,), (2.5,), (0.0,)],
    "CELU": [(), (0.4,), (2.5,), (-1.0,), (0.123456789,)],
    "GELU": [(), ("tanh",)],
    "Hardshrink": [(), (1.3,), (0.0,)],
    "LeakyReLU": [(), (0.3,), (2.0,), (0.0,), (-0.2,)],
    "Softplus": [(), (2.0,), (0.3,), (1.2345678,), (1.0, 1.0), (2.0, 5.0)],
    "Softshrink": [(), (1.2,), (0.0,)],
    "PReLU": [(), (1, 0.75), (1, 3.0), (1, -0.3)],
}  # fmt: skip
VECTOR = {"Softmax": True, "Softmin": False, "LogSoftmax": False, "Softmax2d": True}
REFUSED = {"GLU": (), "MultiheadAttention": (4, 2)}
#: (class, arguments) of scalar modules that are no prox of anything
NO_PROX = {
    ("SiLU", ()), ("Mish", ()), ("Hardswish", ()), ("GELU", ()), ("GELU", ("tanh",)),
    ("Threshold", (0.5, 2.0)), ("Threshold", (-1.0, -0.5)), ("LeakyReLU", (-0.2,)),
    ("PReLU", (1, -0.3)), ("Softplus", (1.0, 1.0)), ("Softplus", (2.0, 5.0)),
}  # fmt: skip
CASES = [(kind, arguments) for kind, settings in SETTINGS.items() for arguments in settings]


def _classes():
    """Every public module class of the file, whether or not its __all__ lists it."""
    file = torch.nn.modules.activation
    found = {
        n for n, c in vars(file).items() if inspect.isclass(c) and c.__module__ == file.__name__
    }
    return {n for n in found | set(file.__all__) if not n.startswith("_")}


def _values(module, x):
    """What the module computes in double precision, in evaluation mode."""
    module = module.double().eval()
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()


def test_every_activation_class_of_torch_is_accounted_for():
    assert _classes() == {*SETTINGS, *VECTOR, *REFUSED}


@pytest.mark.share(4)
@pytest.mark.parametrize("kind, arguments", CASES, ids=str)
def test_the_verdict_is_about_the_function_the_module_computes(kind, arguments):
    module = getattr(nn, kind)(*arguments)
    found = sc.explain(module)
    assert found.is_prox == ((kind, arguments) not in NO_PROX)
    x = np.concatenate([np.linspace(-60, 60, 9001), np.random.default_rng(0).uniform(-8, 8, 999)])
    told = _expression(found.formula, found.parameters)[1](x)
    # torch's Softplus switches to x beyond its threshold; the reason names how much that costs
    limit = tolerances.SWITCH if kind == "Softplus" else tolerances.ROUNDING
    np.testing.assert_allclose(told, _values(module, x), rtol=tolerances.ROUNDING, atol=limit)
    assert found.evidence in ("proved", "confirmed")
    assert all(c.passed for c in found.checks) and found.checks


@pytest.mark.share(4)
@pytest.mark.parametrize("kind, arguments", [c for c in CASES if c not in NO_PROX], ids=str)
def test_the_layer_derived_from_the_explanation_is_the_module(kind, arguments, scale):
    module = getattr(nn, kind)(*arguments)
    layer = sc.derive(sc.explain(module)).layer()
    x = np.random.default_rng(1).uniform(-8, 8, scale(300, 10_000))
    limit = tolerances.SWITCH if kind == "Softplus" else tolerances.ROUND_TRIP
    np.testing.assert_allclose(layer(x), _values(module, x), atol=limit)


@pytest.mark.parametrize("kind, arguments", sorted(NO_PROX, key=str), ids=str)
def test_the_witness_holds_in_torch_itself(kind, arguments):
    module = getattr(nn, kind)(*arguments)
    witness = sc.explain(module).witness
    low, high = _values(module, np.array([witness["x"], witness["y"]]))
    assert witness["x"] < witness["y"] and low - high > 1e-3


def test_the_switch_of_softplus_is_named_and_judged_by_its_size():
    found = sc.explain(nn.Softplus())
    assert found.is_prox and "switch" in found.reason and "2.1e-09" in found.reason
    jump = _values(nn.Softplus(), np.array([20.0, np.nextafter(20.0, 21.0)]))
    assert 0 < jump[0] - jump[1] < tolerances.SWITCH  # what the module computes does fall there
    assert not sc.explain(nn.Softplus(threshold=1.0)).is_prox


def test_training_and_evaluation_of_rrelu_are_told_apart():
    training, evaluating = nn.RReLU(0.1, 0.5), nn.RReLU(0.1, 0.5).eval()
    assert "drawn anew" in sc.explain(training).reason
    assert "drawn anew" not in sc.explain(evaluating).reason
    assert training.training  # the user's object is left as it was
    assert sc.explain(training).parameters["a"] == pytest.approx(0.3)


def test_prelu_with_a_slope_per_channel_gets_a_prior_per_channel():
    module = nn.PReLU(3)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([0.25, 0.5, 1.5]))
    found = sc.explain(module)
    assert found.is_prox and not found.convex and "channel 2" in found.reason
    x = np.random.default_rng(0).standard_normal((5, 3, 4, 4)) * 3
    np.testing.assert_allclose(found.prior.prox(x), _values(module, x), atol=tolerances.ROUND_TRIP)
    assert module.weight.dtype == torch.float64  # _values made it so; explain does not
    with torch.no_grad():
        module.weight.copy_(torch.tensor([0.25, -0.5, 0.0]))
    found = sc.explain(module)
    assert not found.is_prox and "channel 1" in found.reason
    with torch.no_grad():
        module.weight.copy_(torch.tensor([0.25, 0.5, 0.0]))
    found = sc.explain(module)
    assert found.is_prox and found.sparse and found.prior is None


def test_a_module_is_left_as_it_was():
    module = nn.PReLU(2).train()
    before = module.weight.detach().clone()
    sc.explain(module)
    assert module.training and module.weight.dtype == torch.float32
    assert torch.equal(module.weight, before)


@pytest.mark.parametrize("kind", VECTOR)
def test_vector_modules_get_a_verdict_that_their_forward_shares(kind):
    module = getattr(nn, kind)() if kind == "Softmax2d" else getattr(nn, kind)(dim=-1)
    named = sc.explain(module)
    assert named.is_prox == VECTOR[kind]

    def function(x):
        tensor = torch.from_numpy(np.ascontiguousarray(x))
        if kind == "Softmax2d":  # over channels
            flat = tensor.reshape(-1, tensor.shape[-1], 1, 1)
            return module(flat).reshape(tensor.shape).numpy()
        return module(tensor).numpy()

    assert sc.explain(function, dim=4).is_prox == named.is_prox


@pytest.mark.parametrize("kind, arguments", REFUSED.items())
def test_modules_that_map_no_space_to_itself_are_refused_with_the_reason(kind, arguments):
    with pytest.raises(sc.InputError, match="is no map of"):
        sc.explain(getattr(nn, kind)(*arguments))


def test_other_modules_are_refused_with_a_way_out():
    for module in (nn.Linear(3, 3), nn.Conv2d(1, 1, 3), nn.Sequential(nn.ReLU(), nn.Linear(2, 2))):
        with pytest.raises(sc.InputError, match="dim"):
            sc.explain(module)
    symmetric = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        symmetric.weight.copy_(torch.eye(3) / 2)
    assert sc.explain(symmetric, dim=3).convex
    with torch.no_grad():
        symmetric.weight.copy_(-torch.eye(3))
    assert not sc.explain(symmetric, dim=3).is_prox


FUNCTIONS = [
    (torch.tanh, True), (torch.sigmoid, True), (torch.relu, True), (torch.erf, True),
    (torch.atan, True), (torch.asinh, True), (torch.sign, True), (torch.round, True),
    (torch.sin, False), (torch.abs, False), (torch.cos, False),
    (F.relu, True), (F.relu6, True), (F.hardtanh, True), (F.leaky_relu, True), (F.elu, True),
    (F.celu, True), (F.selu, True), (F.rrelu, True), (F.hardsigmoid, True), (F.logsigmoid, True),
    (F.softsign, True), (F.tanhshrink, True), (F.softshrink, True), (F.hardshrink, True),
    (F.gelu, False), (F.silu, False), (F.mish, False), (F.hardswish, False),
    (functools.partial(F.gelu, approximate="tanh"), False),
    (functools.partial(F.elu, alpha=2.0), True),
    (functools.partial(F.threshold, threshold=0.5, value=2.0), False),
    (lambda x: torch.clamp(x, -1, 1), True), (lambda x: x * torch.sigmoid(3 * x), False),
]  # fmt: skip


@pytest.mark.share(4)
@pytest.mark.parametrize("function, is_prox", FUNCTIONS)
def test_functions_of_tensors_are_explained_as_black_boxes(function, is_prox, scale):
    found = sc.explain(function)
    assert found.is_prox == is_prox
    x = np.random.default_rng(0).uniform(-8, 8, scale(200, 5000))
    values = function(torch.from_numpy(x)).numpy()
    if is_prox:
        assert found.evidence == "sampled"
        layer = sc.derive(found).layer()
        np.testing.assert_allclose(layer(x), values, atol=tolerances.ROUND_TRIP)


@pytest.mark.share(2)
@pytest.mark.parametrize(
    "parts, is_prox, evidence",
    [
        ([nn.ReLU()], True, "proved"),
        ([nn.ReLU(), nn.Tanh()], True, "proved"),
        ([nn.Softshrink(), nn.Hardtanh(), nn.Sigmoid()], True, "proved"),
        ([nn.Tanh(), nn.LeakyReLU(3.0)], True, "proved"),  # its slope of 3 is enclosed
        ([nn.GELU(), nn.ReLU()], True, "confirmed"),
        ([nn.SiLU(), nn.Tanh()], False, "proved"),
        ([nn.LeakyReLU(-1.0), nn.LeakyReLU(-1.0)], False, "proved"),
        ([], True, "proved"),
    ],
)
def test_a_sequence_of_elementwise_modules_is_one_function(parts, is_prox, evidence, scale):
    module = nn.Sequential(*parts)
    found = sc.explain(module)
    assert (found.is_prox, found.evidence) == (is_prox, evidence), found.reason
    x = np.random.default_rng(0).uniform(-8, 8, scale(300, 5000))
    if is_prox:
        layer = sc.derive(found).layer()
        np.testing.assert_allclose(layer(x), _values(module, x), atol=tolerances.ROUND_TRIP)


def test_normalisation_with_a_gain_that_varies_is_no_prox():
    for kind in (nn.LayerNorm, nn.RMSNorm):
        plain, gained = kind(5, elementwise_affine=False), kind(5)
        assert sc.explain(plain).is_prox and sc.explain(gained).is_prox  # a gain of ones
        with torch.no_grad():
            gained.weight.copy_(torch.linspace(0.5, 2, 5))
        assert not sc.explain(gained).is_prox
        with torch.no_grad():
            gained.weight.fill_(3.0)
        found = sc.explain(gained)
        assert found.is_prox and found.convex is False
    with pytest.raises(sc.InputError, match="2 to 512"):
        sc.explain(nn.LayerNorm(4096))


class Doubled(nn.Module):
    """A user's own module with a parameter in single precision."""

    def __init__(self, gain):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, x):
        return self.gain * torch.tanh(x)


def test_a_module_of_the_users_own_is_explained_by_what_it_computes():
    found = sc.explain(Doubled(2.0))
    assert found.is_prox and not found.convex and found.evidence == "sampled"
    assert not sc.explain(Doubled(-1.0)).is_prox


def test_a_hook_that_changes_a_known_module_is_noticed():
    module = nn.ReLU()
    module.register_forward_hook(lambda module, inputs, output: -output)
    found = sc.explain(module)
    assert not found.is_prox and found.witness["f(x)"] > found.witness["f(y)"]


def test_every_row_that_modules_use_has_a_formula():
    for name in (*KNOWN, *VARIANTS):
        assert (KNOWN.get(name) or VARIANTS[name]).formula
