import re
from html.parser import HTMLParser

import numpy as np
import pytest

from mixtures.comparison.performance import Measure
from mixtures.comparison.reliability import ReliabilityBin
from mixtures.model.mixture import NormalMixture
from mixtures.report import figures
from mixtures.report.canvas import span_of, to_svg

BIN = ReliabilityBin(6, 4, 0.55, Measure(0.5, np.nan, 1), 0.15, 0.85)
MIXTURE = NormalMixture.univariate([0.5, 0.5], [0.0, 3.0], [1.0, 1.0])


def drawn(rng, n=50):
    x = rng.normal(size=n)
    soft = rng.dirichlet([1, 1], n)
    strip = figures.Strip("mean 1", 0, x, Measure(0.0, 0.1, n))
    return {
        "densities": figures.densities(x, {"EM": MIXTURE}, MIXTURE, "x"),
        "components": figures.components(x, {"EM": MIXTURE}, "x"),
        "errors": figures.errors([strip], ["EM"], "error"),
        "against_truth": figures.against_truth(x, {0: np.column_stack([x, x])}, ["EM"], "mean"),
        "against_each_other": figures.against_each_other(
            soft[:, 0], soft[:, 1], x > 0, ("EM", "NUTS"), intervals=(soft, None)
        ),
        "calibration": figures.calibration({"EM": [BIN], "oracle": []}),
        "rank_ecdfs": figures.rank_ecdfs(
            {f"mean {j}": x[:9] / 10 for j in range(5)}, np.full(9, -0.1), np.full(9, 0.1)
        ),
        "timing": figures.timing({("a", 0): np.exp(x)}, ["EM"]),
        "doubt_along_x": figures.doubt_along_x(x, {"EM": (soft[:, 0], soft[:, 1])}, "x"),
        "along_x": figures.along_x(x, {"oracle": soft, "EM": soft}, "x", labels=(x > 0).astype(int)),
        "convergence": figures.convergence(-np.exp(-np.arange(20.0))),
    }


@pytest.mark.parametrize("name", list(drawn(np.random.default_rng(1))))
def test_figures_are_elements_of_a_page(name):
    svg = [to_svg(drawn(np.random.default_rng(1))[name], name, 'says "what" & why') for _ in range(2)]
    assert svg[0] == svg[1]
    assert svg[0].startswith('<svg role="img" aria-label="says &quot;what&quot; &amp; why" viewBox="0 0')
    assert "http" not in svg[0]
    HTMLParser().feed(svg[0])


def test_many_points_are_drawn_as_pixels(rng):
    few, many = (to_svg(drawn(rng, n)["against_truth"], "a", "b") for n in (100, 5000))
    assert "<image" not in few
    assert "<image" in many
    assert len(many) < 100_000


def test_labels_keep_their_digits(rng):
    svg = to_svg(figures.densities(rng.normal(0, 1000, 50), {}, None, "x"), "a", "b")
    assert "0.0001" in svg
    assert re.search(r'd="[^"]*\.\d{3}', svg) is None


def test_names_are_text_and_not_mathematics(rng):
    svg = to_svg(figures.densities(rng.normal(size=9), {"$x_1$ <b>": MIXTURE}, None, "a $ b"), "a", "b")
    assert "$x_1$ &lt;b&gt;" in svg


@pytest.mark.parametrize(
    "gaps", [[9.0, 3.0, 1.5, 0.6, 0], np.append(10.0 ** -np.arange(12), 0), [2.0, 0], [0.0]]
)
def test_logarithmic_axes_are_labelled_in_plain_numbers(gaps):
    """However few powers of ten they span: matplotlib labels what lies between them by formulas."""
    svg = to_svg(figures.convergence(-np.asarray(gaps)), "trace", "A trace.")
    assert "mathdefault" not in svg
    if len(gaps) > 2:
        assert len(re.findall(r"<text[^>]*>[0-9.e−-]+</text>", svg)) > 5


@pytest.mark.parametrize("n_steps", [2, 3, 20])
def test_steps_are_counted_in_whole_numbers(n_steps):
    axes = figures.convergence(-np.exp(-np.arange(n_steps + 1.0))).axes[0]
    steps = [tick for tick in axes.get_xticks() if 0 <= tick < n_steps]
    assert len(steps) > 1
    assert all(tick == int(tick) for tick in steps)


def test_an_axis_holds_all_but_a_few_far_values():
    low, high = span_of(np.append(np.linspace(2, 3, 999), 1e6))
    assert 1.9 < low < 2
    assert 3 < high < 3.1


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("bias", "is_within_reach"), [(0.0, True), (0.6, True), (1.4, True), (1.8, False)])
def test_the_truth_is_on_the_axis_of_errors_where_it_is_within_reach(bias, sign, is_within_reach):
    """However biased a method is, but not where all errors would be squeezed to one side."""
    values = sign * (bias + np.linspace(-0.5, 0.5, 101))
    strip = figures.Strip("mean 1", 0, values, Measure(sign * bias, 0.1, 101))
    (axes,) = figures.errors([strip], ["EM"], "error").axes
    low, high = axes.get_xlim()
    assert (low < 0 < high) == is_within_reach
    assert low < values.min() < values.max() < high


def test_no_more_points_are_drawn_than_can_be_told_apart():
    values = np.random.default_rng(1).standard_normal(5000)
    strip = figures.Strip("mean 1", 0, values, Measure(0.0, 0.1, 5000))
    drawn = [
        figures.errors([strip], ["EM"], "error"),
        figures.timing({("a condition", 0): np.exp(values)}, ["EM"]),
        figures.against_truth(values, {0: np.column_stack([values, values])}, ["EM"], "mean"),
    ]
    for figure in drawn:
        sizes = [len(line.get_xdata()) for line in figure.axes[0].lines]
        assert max(sizes) == figures.MOST_POINTS == 1000
