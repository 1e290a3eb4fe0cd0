"""What objects show of themselves: HTML in a notebook, one short line as a repr."""

import base64
import html.parser
import io
import re

import numpy as np
import pytest
from PIL import Image

import sparsecnn as sc
from sparsecnn import datasets
from sparsecnn.comparison import coherence_sweep
from sparsecnn.mosaic import picture
from sparsecnn.regions import by_layer
from sparsecnn.tables import Table, fragment

FILTERS = np.random.default_rng(0).standard_normal((3, 1, 2, 2))


def problem():
    x = np.random.default_rng(0).standard_normal((8, 16))
    return sc.SparseCodingProblem(
        x, sc.Dictionary.orthonormal(16, random_state=0), sc.Exponential(0.5)
    )


def network(**known):
    return sc.Network([sc.Conv2D(FILTERS), sc.Activation("relu")], **known)


def sweep():
    x = np.random.default_rng(0).standard_normal((4, 1, 6, 6))
    return coherence_sweep(x, sc.ConvDictionary.dct(2, (6, 6)), sc.Exponential(0.1))


#: what it is, and words that must be in what it shows
OBJECTS = {
    "derivation": (lambda: sc.derive(sc.Exponential(0.3)), ["<math", "Because", "Exponential"]),
    "verification": (lambda: sc.derive(sc.Exponential(0.3)).verify(), ["PROVED", "<math"]),
    "explanation": (lambda: sc.explain("gelu"), ["gelu: no prox (proved)", "Witness"]),
    "prox": (lambda: sc.explain("softplus"), ["a prox", "<math", "convex"]),
    "atlas": (sc.atlas, ["group_laplace", "soft threshold"]),
    "comparison": (lambda: sc.compare(problem()), ["calibrated", "10 steps", "ms/1000"]),
    "sweep": (sweep, ["these atoms, stride 2", "calibrated"]),
    "count": (lambda: sc.regions.architecture((1, 3, 3), 2, 2), ["exact", "255"]),
    "layers": (lambda: by_layer(network(), (1, 4, 4), n_samples=50), ["these weights", "network"]),
    "solution": (lambda: sc.solve(problem()), ["converged", "relative duality gap, worst"]),
    "network": (lambda: network(input_shape=(1, 4, 4)), ["(3, 3, 3)", "15"]),
    "network of any input": (network, ["Conv2D(3 filters", "15"]),
    "atoms": (lambda: sc.Dictionary.dct((4, 4)), ["16 atoms", "<img"]),
    "filters": (lambda: sc.ConvDictionary.haar((8, 8)), ["4 filters 2x2", "<img"]),
    "images": (lambda: datasets.load("digits"), ["digits", "divided by 16", "<img"]),
}  # fmt: skip


class Balanced(html.parser.HTMLParser):
    """Every element that is opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attributes):
        if tag not in ("br", "img", "hr", "meta"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag


@pytest.mark.parametrize("name", OBJECTS)
def test_a_notebook_shows_it_and_a_shell_one_short_line(name):
    make, words = OBJECTS[name]
    shown = (made := make())._repr_html_()
    for word in words:
        assert word in shown
    parser = Balanced()
    parser.feed(shown)
    assert not parser.open
    line = repr(made)
    assert "\n" not in line and " at 0x" not in line
    assert len(line) < 320 and type(made).__name__ in line


@pytest.mark.parametrize("name", OBJECTS)
def test_its_style_is_about_nothing_else_on_the_page(name):
    shown = OBJECTS[name][0]()._repr_html_()
    rules = re.findall(r"<style>(.*?)</style>", shown, flags=re.S)
    assert rules
    for sheet in rules:
        for selectors in re.findall(r"([^{}]+)\{[^{}]*\}", sheet):
            assert all(one.strip().startswith(".sparsecnn") for one in selectors.split(","))
    assert "<script" not in shown and "http-equiv" not in shown and "@import" not in shown


def test_the_picture_of_a_dictionary_is_its_atoms():
    """Two atoms: white beside black, and the reverse; what lies between them is light."""
    shown = sc.Dictionary([[1.0, -1, 1, -1], [-1.0, 1, -1, 1]])._repr_html_()
    data = re.search(r"base64,([^\"]+)", shown).group(1)
    levels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    width = levels.shape[1]
    assert (levels[:, : width // 5] == 255).all() and (levels[:, -width // 5 :] == 255).all()
    middle = levels[:, [width // 2 - width // 8, width // 2 + width // 8]]
    assert (middle == 0).all() and 200 < levels[0, width // 2] < 230


@pytest.mark.parametrize(
    "size, shape", [(16, (4, 4)), (48, (4, 4, 3)), (7, (1, 7)), (12, (2, 2, 3))]
)
def test_features_are_drawn_as_the_square_they_fill(size, shape):
    assert picture(np.arange(float(size))).shape == shape


def test_text_and_html_of_a_table_hold_the_same_cells():
    table = Table(
        ("solver", "gap"), [("one <b>", "0.25"), ("exact", "0")], "title", ("note & more",)
    )
    assert table.text() == "title\nsolver    gap\none <b>  0.25\nexact       0\nnote & more"
    shown = fragment(table)
    assert '<td class="word">one &lt;b&gt;</td><td>0.25</td>' in shown
    assert "<caption>title</caption>" in shown and "<p>note &amp; more</p>" in shown
