"""Figures contain the numbers of the results they are drawn from."""

import dataclasses

import matplotlib
import numpy as np
import pytest
import tolerances
from matplotlib.figure import Figure

import sparsecnn as sc
from sparsecnn import comparison, plots
from sparsecnn.derivation import pictures

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def result():
    """Two levels with a pool between them, and labels."""
    first = sc.ConvDictionary.random(6, 3, (8, 8), random_state=0)
    second = sc.ConvDictionary.random(5, 2, (3, 3), n_channels=6, random_state=1)
    prior = sc.Exponential(0.2)
    levels = [sc.Level(first, prior, sc.MaxPool(2)), sc.Level(second, prior)]
    x, y = np.abs(RNG.standard_normal((24, 1, 8, 8))), np.arange(24) % 2
    return sc.compare(sc.Hierarchy(levels), x=x, y=y, noise=(0.0, 0.3))


@pytest.fixture(scope="module")
def nonconvex():
    x = RNG.standard_normal((6, 9))
    problem = sc.SparseCodingProblem(x, sc.Dictionary.random(12, 9, 0), sc.LogSum(0.3, 0.5))
    return sc.compare(problem)


@pytest.fixture(scope="module")
def sweep():
    dictionary = sc.ConvDictionary.random(5, 3, (6, 6), random_state=0)
    return comparison.coherence_sweep(RNG.random((6, 1, 6, 6)), dictionary, sc.Exponential(0.1))


def _pictures(figure):
    return [ax.images[0].get_array() for ax in figure.axes if ax.images]


def test_atoms_are_drawn_in_order_each_on_its_own_scale():
    dictionary = sc.ConvDictionary.random(4, 5, (8, 8), random_state=0)
    sheet = np.asarray(plots.plot_atoms(dictionary).images[0].get_array())
    fine = 2  # a 5 x 5 atom is enlarged twice, and one pixel lies between two atoms
    for k, atom in enumerate(dictionary.filters[:, 0]):
        top, left = (k // 2) * (5 * fine + 1), (k % 2) * (5 * fine + 1)
        drawn = sheet[top : top + 5 * fine : fine, left : left + 5 * fine : fine]
        np.testing.assert_allclose(
            drawn, 0.5 + 0.5 * atom / np.abs(atom).max(), atol=tolerances.ROUNDING
        )


def test_only_the_first_atoms_are_drawn_and_the_title_says_so():
    ax = plots.plot_atoms(sc.Dictionary.random(30, 16, 0), n_atoms=9)
    assert ax.get_title() == "30 atoms (first 9)"
    finer = 3  # 4 x 4 pixels, enlarged, three rows and columns with a pixel between
    assert ax.images[0].get_array().shape == (3 * 4 * finer + 2, 3 * 4 * finer + 2)


def test_three_channels_are_colours():
    dictionary = sc.ConvDictionary.random(4, 3, (8, 8), n_channels=3, random_state=0)
    assert plots.plot_atoms(dictionary).images[0].get_array().shape[-1] == 3


def test_an_atom_of_level_2_is_drawn_as_the_image_it_stands_for():
    first = sc.ConvDictionary.random(3, 3, (8, 8), random_state=0)
    second = sc.ConvDictionary.random(4, 2, (6, 6), n_channels=3, random_state=1)
    sheet = np.asarray(plots.plot_atoms(second, below=(first,)).images[0].get_array())
    code = np.zeros((1, 4, 5, 5))
    code[0, 0, 2, 2] = 1.0
    image = first.synthesize(second.synthesize(code))[0, 0]
    piece = image[2:6, 2:6]  # 2 x 2 of 3 x 3 filters cover 4 x 4 pixels
    assert np.count_nonzero(image) == np.count_nonzero(piece) == 16
    wanted = 0.5 + 0.5 * piece / np.abs(piece).max()
    np.testing.assert_allclose(sheet[:12:3, :12:3], wanted, atol=tolerances.ROUNDING)


def test_codes_show_the_image_every_code_draws_and_the_code(result):
    figure = plots.plot_codes(result, 1, n_samples=2)
    pictures = _pictures(figure)
    assert len(pictures) == 2 * (1 + 5 + 5)
    drawn = result.dictionaries[0].synthesize(result.examples[1, "exact"])[0, 0]
    scaled = (drawn - drawn.min()) / (drawn.max() - drawn.min())
    np.testing.assert_allclose(pictures[5], scaled, atol=tolerances.ROUNDING)
    codes = result.examples[1, "exact"][0]
    sheet = np.ma.masked_invalid(pictures[10])
    assert sheet.max() == pytest.approx(np.sqrt(codes.max()))
    assert f"{(codes != 0).mean():.0%} nonzero" in {ax.get_xlabel() for ax in figure.axes}


def test_codes_above_a_pool_still_draw_images(result):
    pictures = _pictures(plots.plot_codes(result, 2, n_samples=1))
    assert pictures[1].shape == (8, 8)


def test_gap_histograms_count_every_sample(result):
    ax = plots.plot_gaps(result, 1)
    names = [row.solver for row in result.rows if row.level == 1]
    assert [label.get_text() for label in ax.get_yticklabels()] == names[::-1]
    for k, (name, patch) in enumerate(zip(names, ax.patches, strict=True)):
        values, edges, base = patch.get_data()
        assert base == len(names) - 1 - k  # beside its name: the labels go up
        counts = np.histogram(np.log10(np.maximum(result.gaps[1, name], 1e-17)), edges)[0]
        assert counts.sum() == len(result.gaps[1, name])
        np.testing.assert_allclose(values - base, 0.85 * counts / counts.max(), atol=1e-12)


def test_exact_zeros_have_a_bin_named_0(result):
    zeros = {key: np.zeros_like(gap) if key[1] == "exact" else gap
             for key, gap in result.gaps.items()}  # fmt: skip
    ax = plots.plot_gaps(dataclasses.replace(result, gaps=zeros), 1)
    first = ax.patches[-1].get_data()
    assert first.values[0] > first.baseline
    assert "0" in [label.get_text() for label in ax.get_xticklabels()]


def test_without_a_gap_the_residual_is_drawn_and_named(nonconvex):
    ax = plots.plot_gaps(nonconvex, 1)
    assert "residual" in ax.get_xlabel()
    assert "no duality gap" in ax.get_xlabel()
    edges = ax.patches[0].get_data().edges
    logs = np.log10(np.maximum(np.concatenate(list(nonconvex.residuals.values())), 1e-17))
    assert edges[0] <= logs.min() and logs.max() <= edges[-1]


def test_accuracy_has_one_line_a_noise_level(result):
    lines = {line.get_label(): line.get_ydata() for line in plots.plot_accuracy(result).get_lines()}
    assert set(lines) == {"clean", "noise 0.3"}
    wanted = [100 * row.accuracy[0.3] for row in result.readouts]
    np.testing.assert_allclose(lines["noise 0.3"], wanted)


def test_accuracy_without_labels_is_refused(nonconvex):
    with pytest.raises(sc.InputError, match="readouts"):
        plots.plot_accuracy(nonconvex)


def test_code_errors_are_the_rows(result):
    line = plots.plot_code_errors(result).get_lines()[1]
    wanted = [row.code_error for row in result.rows if row.level == 2]
    np.testing.assert_allclose(line.get_ydata()[:-1], wanted[:-1])


def test_errors_against_coherence_are_the_points_of_the_sweep(sweep):
    ax = plots.plot_error_against_coherence(sweep)
    lines = {line.get_label(): line for line in ax.get_lines()}
    points = [p for p in sweep.points if p.family == "random"]
    np.testing.assert_allclose(
        lines["random"].get_xdata(), [p.mutual_coherence for p in points], rtol=1e-12
    )
    np.testing.assert_allclose(
        lines["random"].get_ydata(), [p.code_error for p in points], rtol=1e-12
    )
    assert "≤ 0.001" in [label.get_text() for label in ax.get_yticklabels()]


def test_one_figure_shows_it_all(result, nonconvex):
    assert isinstance(plots.plot_comparison(result), Figure)
    titles = {ax.get_title(loc="left") for ax in plots.plot_comparison(nonconvex).axes}
    assert any("code error" in title for title in titles)


def test_given_axes_are_used_and_no_global_state_is_left(result, sweep):
    before = dict(matplotlib.rcParams)
    figure = Figure()
    axes = figure.subplots(1, 5)
    drawn = [
        plots.plot_atoms(result.dictionaries[0], axes[0]),
        plots.plot_gaps(result, 1, axes[1]),
        plots.plot_code_errors(result, axes[2]),
        plots.plot_accuracy(result, axes[3]),
        plots.plot_error_against_coherence(sweep, axes[4]),
    ]
    assert all(a is b for a, b in zip(drawn, axes, strict=True))
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("level", [0, 3])
def test_a_level_that_is_not_there_is_refused(result, level):
    with pytest.raises(sc.InputError, match="level is"):
        plots.plot_gaps(result, level)
    with pytest.raises(sc.InputError, match="level is"):
        plots.plot_codes(result, level)


def test_axes_of_another_kind_are_refused(result):
    with pytest.raises(sc.InputTypeError, match="ax is"):
        plots.plot_gaps(result, 1, ax=3)


def test_signed_codes_use_a_scale_that_is_symmetric_about_zero():
    x = RNG.standard_normal((4, 1, 6, 6))
    dictionary = sc.ConvDictionary.random(4, 3, (6, 6), random_state=0)
    figure = plots.plot_codes(sc.compare(sc.SparseCodingProblem(x, dictionary, sc.Laplace(0.2))))
    low, high = figure.axes[-1].images[0].get_clim()
    assert low == -high < 0


def test_single_channel_zero_images_and_zero_atoms_draw_without_warnings():
    dictionary = sc.Dictionary(np.vstack([np.eye(4), np.zeros((1, 4))]))
    problem = sc.SparseCodingProblem(np.zeros((3, 4)), dictionary, sc.Exponential(0.1))
    result = sc.compare(problem)
    figure = plots.plot_comparison(result)
    figure.draw_without_rendering()
    assert all(np.isfinite(p).all() for p in _pictures(figure)[:1])
    assert np.ma.masked_invalid(plots.plot_atoms(dictionary).images[0].get_array()).max() == 1.0


def test_a_last_row_that_is_not_full_is_left_blank():
    sheet = plots.plot_atoms(sc.ConvDictionary.random(5, 3, (8, 8), random_state=0)).images[0]
    blank = np.ma.getmaskarray(sheet.get_array())
    assert blank[12].all()  # the line between the rows
    assert blank[13:, 25:].all() and not blank[13:, 13:25].any()


def test_accuracies_carry_one_standard_error(result):
    ax = plots.plot_accuracy(result)
    heights = ax.collections[0].get_paths()[0].vertices[:, 1]
    accuracy = np.array([row.accuracy[0.0] for row in result.readouts])
    spread = np.sqrt(accuracy * (1 - accuracy) / len(result.gaps[1, "exact"]))
    assert heights.max() == pytest.approx(100 * (accuracy + spread).max())
    assert heights.min() == pytest.approx(100 * (accuracy - spread).min())


# -- priors -----------------------------------------------------------------------------------
@pytest.mark.share(2)
@pytest.mark.parametrize(
    ("key", "dead", "jumps"),
    [
        ("laplace", (-0.7, 0.7), ()),
        ("exponential", (-np.inf, 0.7), ()),
        ("uniform", None, ()),
        ("student_t", None, ()),
        ("l0", (-np.sqrt(0.8), np.sqrt(0.8)), (-np.sqrt(0.8), np.sqrt(0.8))),
        ("l_half", (-1.5 * 0.6 ** (2 / 3), 1.5 * 0.6 ** (2 / 3)), None),
        ("binary", (-np.inf, 0.0), (0.0,)),
        ("sign", None, (0.0,)),
        ("folded_laplace", None, (0.0,)),
        ("capped_l1", (-0.6, 0.6), (-1.2, 1.2)),
    ],
)
def test_curves_know_the_dead_zone_and_the_jumps_that_the_theory_names(key, dead, jumps):
    found = pictures.curves(sc.derive(key))
    if dead is None:
        assert found.dead is None
    else:
        np.testing.assert_allclose(found.dead, dead, atol=tolerances.BISECTED)
    gaps = found.x[np.isnan(found.prox)]
    wanted = dead if jumps is None else jumps
    np.testing.assert_allclose(gaps, wanted, atol=tolerances.BISECTED)


def test_a_jump_beyond_the_usual_range_is_drawn_too():
    found = pictures.curves(sc.StudentT(2.0, 0.4))
    assert found.reach == 6.0 and np.isnan(found.prox).sum() == 2


def test_curves_are_the_priors_own_numbers():
    prior = sc.MCP(0.7, 2.5)
    found = pictures.curves(prior)
    smooth = np.isfinite(found.slope)
    np.testing.assert_allclose(found.prox[smooth], prior.prox(found.x[smooth]), rtol=1e-15)
    np.testing.assert_allclose(found.penalty, prior.value(found.z[:, None]), rtol=1e-15)
    np.testing.assert_allclose(found.density, np.exp(-found.penalty), rtol=1e-12)
    assert not found.is_proper and not found.atom
    assert pictures.curves(sc.SpikeSlab(0.4, 0.3)).atom
    mean = pictures.curves(sc.derive("laplace", estimator="mean"))
    assert mean.is_mean and mean.dead is None and mean.slope.min() > 0


def test_the_svg_of_a_jump_has_gaps_and_says_what_it_shows():
    figure = pictures.figure_html(pictures.curves(sc.SpikeSlab(0.4)), "L0 & <more>")
    assert figure.count("<svg") == 4 and "L0 &amp; &lt;more&gt;" in figure
    assert figure.count('<path class="prox"') == 3  # left of the jumps, between, right
    assert figure.count('<path class="slope"') == 3
    assert figure.count("<circle") == 2 and "dead zone |x| ≤ 0.894" in figure
    assert "improper" in figure and "<script" not in figure
    assert "unnormalised" in pictures.figure_html(pictures.curves(sc.Laplace(1.0)), "Laplace")


def test_a_derivation_is_drawn_from_the_curves_of_its_page():
    derivation = sc.derive("log_sum_jump")
    found = pictures.curves(derivation)
    drawn = plots.plot_derivation(derivation, title="log-sum")
    assert len(drawn) == 4
    for ax, values in zip(
        drawn, (found.density, found.penalty, found.prox, found.slope), strict=True
    ):
        np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), values)
    assert "1.99" in drawn[3].get_xlabel()


def test_a_derivation_fits_one_given_axes_or_four():
    figure = Figure()
    one, *four = figure.subplots(1, 5)
    assert plots.plot_derivation(sc.Laplace(0.5), one, title="Laplace") == [one]
    assert plots.plot_derivation(sc.Laplace(0.5), four) == four
    for wrong in (3 * [one], [one, one, one, 3]):
        with pytest.raises(sc.InputTypeError, match="axes is"):
            plots.plot_derivation(sc.Laplace(0.5), wrong)
    with pytest.raises(sc.InputTypeError, match="single coefficients"):
        plots.plot_derivation(sc.TopK(2))


def test_atoms_of_an_estimator_are_those_of_its_last_level():
    images = np.random.default_rng(0).standard_normal((20, 8, 8))
    coder = sc.HierarchicalSparseCoder((4, 5), n_epochs=1, steps=1, random_state=0).fit(images)
    first, second = (level.dictionary for level in coder.hierarchy_.levels)
    shown = plots.plot_atoms(coder).images[0].get_array()
    np.testing.assert_array_equal(
        shown, plots.plot_atoms(second, below=(first,)).images[0].get_array()
    )
    with pytest.raises(sc.InputTypeError, match="Call fit"):
        plots.plot_atoms(sc.HierarchicalSparseCoder())


def test_dense_atoms_of_three_channels_are_drawn_in_colour():
    dictionary = sc.Dictionary.random(5, 48, 0)
    assert plots.plot_atoms(dictionary).images[0].get_array().shape[-1] == 3
