"""Relabelling of a DataTree that the package did not make."""

import numpy as np
import pytest
import xarray as xr
from arviz_base import from_dict
from arviz_stats import summary

import mixtures as mx
from mixtures.bayes.datatree import draws_of, relabel_datatree, reorder_datatree

CENTRES = np.array([0.0, 5.0, 11.0])


def posterior(order=None):
    """Two chains of 30 draws near three components, with other variables around them."""
    rng = np.random.default_rng(6)
    variables = {
        "w": rng.dirichlet([40, 30, 20], size=(2, 30)),
        "mu": CENTRES + rng.normal(0, 0.3, (2, 30, 3)),
        "sigma": rng.gamma(50, 0.02, (2, 30, 3)),
        "loadings": rng.normal(size=(2, 30, 4, 3)),
        "intercept": rng.normal(size=(2, 30)),
    }
    if order is None:
        return variables
    moved = {name: np.take_along_axis(variables[name], order, axis=-1) for name in ("w", "mu", "sigma")} | {
        "loadings": np.take_along_axis(variables["loadings"], order[:, :, None], axis=-1)
    }
    return variables | moved


ORDER = np.random.default_rng(7).permuted(np.broadcast_to(np.arange(3), (2, 30, 3)), axis=-1)
X = np.repeat(CENTRES, 10) + np.random.default_rng(8).normal(size=30)
DIMS = {"w": ["group"], "mu": ["group"], "sigma": ["group"], "loadings": ["item", "group"]}
NAMES = {"weights": "w", "means": "mu", "sds": "sigma", "component_dim": "group"}


def tree_of(variables, dims=DIMS, **coords):
    return from_dict({"posterior": variables, "observed_data": {"y": X}}, dims=dims, coords=coords)


@pytest.mark.parametrize("method", ["stephens", "ecr", "ordering", "pra", "data_based"])
def test_every_variable_of_the_components_is_reordered(method):
    tree = tree_of(posterior(ORDER), group=["a", "b", "c"])
    start = "reference" if method in {"stephens", "data_based"} else "none"
    found = relabel_datatree(tree, method, x=X, start=start, **NAMES)
    for name, values in posterior().items():
        np.testing.assert_array_equal(found["posterior"][name], values, err_msg=name)
        assert found["posterior"][name].dims == tree["posterior"][name].dims
    assert found["posterior"]["group"].values.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(found["observed_data"]["y"], X)
    np.testing.assert_array_equal(found["relabelling"]["permutation"], ORDER.argsort(axis=-1))


def test_the_tree_itself_is_left_alone():
    tree = tree_of(posterior(ORDER))
    relabel_datatree(tree, "ordering", **NAMES)
    np.testing.assert_array_equal(tree["posterior"]["mu"], posterior(ORDER)["mu"])
    assert "relabelling" not in tree.children


def test_the_report_stands_beside_and_outlives_a_file(tmp_path):
    found = relabel_datatree(tree_of(posterior(ORDER)), "ecr", x=X, **NAMES)
    found.to_netcdf(tmp_path / "posterior.nc", engine="h5netcdf")
    read = xr.open_datatree(tmp_path / "posterior.nc", engine="h5netcdf")
    report = read["relabelling"]
    assert (report.attrs["method"], report.attrs["draws"]) == ("ecr", 60)
    assert report["gap"].shape == report["cost"].shape == (2, 30)
    assert report.attrs["gap_least"] == report["gap"].min()
    read.close()


def test_arviz_reads_the_result():
    """The chains agree once they are relabelled, and not before."""
    tree = tree_of(posterior(ORDER))
    found = relabel_datatree(tree, "stephens", x=X, start="reference", **NAMES)
    before, after = (summary(one, var_names=["mu"], round_to="none")["sd"] for one in (tree, found))
    assert before.min() > 2
    assert after.max() < 0.5


def test_dimensions_without_a_common_name():
    """As of a model that names none; one of the two dimensions of a variable may be the components'."""
    dims = {"w": ["w_dim_0"], "mu": ["mu_dim_0"], "sigma": ["sigma_dim_0"], "loadings": ["item", "l_dim_1"]}
    names = NAMES | {"component_dim": ["w_dim_0", "mu_dim_0", "sigma_dim_0", "l_dim_1"]}
    found = relabel_datatree(tree_of(posterior(ORDER), dims), "ordering", **names)
    for name, values in posterior().items():
        np.testing.assert_array_equal(found["posterior"][name], values, err_msg=name)


def test_one_sd_for_all_components():
    variables = posterior(ORDER) | {"sigma": np.ones((2, 30))}
    dims = {name: dim for name, dim in DIMS.items() if name != "sigma"}
    draws = draws_of(tree_of(variables, dims), **NAMES)
    np.testing.assert_array_equal(draws.variances, np.ones((2, 30, 3, 1)))
    found = relabel_datatree(tree_of(variables, dims), "ordering", **NAMES)
    np.testing.assert_array_equal(found["posterior"]["mu"], posterior()["mu"])


def test_means_of_several_dimensions_in_two_steps():
    """Axes of the components before or behind the dimensions'; responsibilities of one's own."""
    variables = posterior(ORDER)
    variables["mu"] = np.stack([variables["mu"], -variables["mu"]], axis=2)
    tree = tree_of(variables, DIMS | {"mu": ["axis", "group"]})
    draws = draws_of(tree, **NAMES)
    assert draws.means.shape == draws.variances.shape == (2, 30, 3, 2)
    np.testing.assert_array_equal(draws.means[..., 1], -draws.means[..., 0])
    distances = (X[:, None] - draws.means[:, :, None, :, 0]) ** 2
    allocations = distances.argmin(axis=-1)
    relabelling = mx.relabel(draws, "ecr", allocations=allocations, log_densities=np.zeros((2, 30)))
    found = reorder_datatree(tree, relabelling, component_dim="group")
    np.testing.assert_array_equal(found["posterior"]["mu"][:, :, 0], posterior()["mu"])


def test_the_posterior_of_this_package(fit, posterior, x):
    tree = posterior.to_datatree(with_log_likelihood=False)
    found = mx.relabel_datatree(tree, "stephens", x=x)
    relabelling = mx.relabel(fit.draws, "stephens", x=x)
    np.testing.assert_array_equal(found["relabelling"]["permutation"], relabelling.permutations)


WRONG = {
    "no posterior": (xr.DataTree(), {}, "tree must have a group posterior; got none"),
    "no such variable": (tree_of(posterior()), {"means": "m"}, "posterior must have 'm'; got w, mu, "),
    "no such dimension": (
        tree_of(posterior()),
        {"component_dim": "component"},
        "w must have the components' dimension, component; got",
    ),
    "two dimensions": (
        tree_of(posterior()),
        {"component_dim": ["group", "item"]},
        "loadings must have one dimension of components; got group, item",
    ),
    "weights of each item": (
        tree_of(posterior() | {"w": np.full((2, 30, 4, 3), 1 / 3)}, DIMS | {"w": ["item", "group"]}),
        {},
        "w must have no dimension but chain, draw and the components'; got .*'item'",
    ),
    "sds along a dimension not listed": (
        tree_of(posterior(), DIMS | {"sigma": ["other"]}),
        {},
        "sigma must have no dimension that mu has not; got .*'other'.* and .*'group'",
    ),
    "sds on a log scale": (
        tree_of(posterior() | {"sigma": np.full((2, 30, 3), -0.5)}),
        {},
        "sigma must be positive; got -0.5",
    ),
}


@pytest.mark.parametrize(("tree", "names", "message"), WRONG.values(), ids=WRONG)
def test_what_is_missing_is_said(tree, names, message):
    with pytest.raises(ValueError, match=message):
        relabel_datatree(tree, "ordering", **NAMES | names)


def test_what_is_no_tree_is_refused():
    with pytest.raises(TypeError, match="tree must be a DataTree with a group posterior; got Dataset"):
        relabel_datatree(tree_of(posterior())["posterior"].to_dataset(), "ordering", **NAMES)


Z = np.random.default_rng(9).integers(0, 3, (2, 30, 12))  # allocations, in the order of `posterior()`
Z_SWITCHED = np.take_along_axis(ORDER.argsort(axis=-1), Z, axis=-1)


def with_labels(**variables):
    dims = DIMS | {name: ["obs"] for name in variables}
    return tree_of(posterior(ORDER) | variables, dims)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("axes", [("chain", "draw", "obs"), ("obs", "chain", "draw")])
def test_labels_follow_their_components(axes):
    tree = with_labels(z=Z_SWITCHED.astype(np.int32))
    tree["posterior"] = tree["posterior"].to_dataset().transpose(*axes, ...)
    found = relabel_datatree(tree, "ordering", labels="z", **NAMES)["posterior"]
    assert (found["z"].dims, found["z"].dtype) == (axes, np.int32)
    np.testing.assert_array_equal(found["z"].transpose("chain", "draw", "obs"), Z)
    np.testing.assert_array_equal(tree["posterior"]["z"].transpose("chain", "draw", "obs"), Z_SWITCHED)


def test_labels_serve_as_allocations_too():
    """Group j of observations belongs to component j, so that allocations are its labels."""
    groups = np.broadcast_to(np.repeat(np.arange(3), 10), (2, 30, 30))
    tree = with_labels(z=np.take_along_axis(ORDER.argsort(axis=-1), groups, axis=-1))
    relabelling = mx.relabel(draws_of(tree, **NAMES), "ecr_iterative_1", allocations=tree["posterior"]["z"])
    found = reorder_datatree(tree, relabelling, component_dim="group", labels=["z"])["posterior"]
    np.testing.assert_array_equal(found["mu"], posterior()["mu"])
    np.testing.assert_array_equal(found["z"], groups)


def test_labels_that_nobody_named_are_pointed_out():
    """Also the labels of Stan, JAGS and R, from 1, and whole numbers held as floats."""
    labels = {"z": Z_SWITCHED, "u": Z_SWITCHED, "stan": Z_SWITCHED + 1, "float": Z_SWITCHED + 1.0}
    others = {"counts": 2 * Z, "many": Z + 2, "shares": Z / 3, "both": Z * 1.5, "ones": np.ones_like(Z)}
    tree = with_labels(**labels, **others, absent=np.where(Z == 0, np.nan, Z))
    message = (
        "^u, stan, float may hold labels of components, which were left as they are: "
        "if so, name them in labels, as integers from 0$"
    )
    with pytest.warns(UserWarning, match=message) as seen:
        found = relabel_datatree(tree, "ordering", labels=["z"], **NAMES)
    assert [warning.filename for warning in seen] == [__file__]
    np.testing.assert_array_equal(found["posterior"]["u"], Z_SWITCHED)


@pytest.mark.filterwarnings("error")
def test_labels_are_right_where_nothing_moved():
    found = relabel_datatree(tree_of(posterior() | {"z": Z}), "ordering", **NAMES)
    np.testing.assert_array_equal(found["posterior"]["z"], Z)


WRONG_LABELS = {
    "no such variable": ("v", ValueError, "posterior must have 'v'; got w, mu, "),
    "no labels": ("sigma", TypeError, "sigma must hold integers, as labels do; got float64"),
    "from 1": ("z", ValueError, "z must hold labels from 0 to 2; got 1 to 3"),
    "of no draw": ("fixed", ValueError, "fixed must have the dimensions chain and draw; got"),
}


@pytest.mark.parametrize(("name", "kind", "message"), WRONG_LABELS.values(), ids=WRONG_LABELS)
def test_what_are_no_labels_is_said(name, kind, message):
    tree = with_labels(z=Z_SWITCHED + 1)
    tree["posterior"]["fixed"] = ("obs", np.arange(12))
    with pytest.raises(kind, match=message):
        relabel_datatree(tree, "ordering", labels=name, **NAMES)


def test_another_posteriors_relabelling_is_refused():
    short = mx.Draws(np.full((2, 5, 3), 1 / 3), np.zeros((2, 5, 3, 1)), np.ones((2, 5, 3, 1)))
    relabelling = mx.relabel(short, "ordering")
    with pytest.raises(ValueError, match=r"as relabelled, \(2, 5, 3\); got \(2, 30, 3\)"):
        reorder_datatree(tree_of(posterior()), relabelling, component_dim="group")


def relabelling_of(tree):
    return mx.relabel(draws_of(tree, **NAMES), "ordering")


@pytest.mark.parametrize("dims", ["component", ("group", "sigma_dim_0"), (), "draw", "fixed"])
def test_labels_are_not_renamed_without_their_components(dims):
    """A dimension that is forgotten or misspelt; one of a variable without draws."""
    tree = with_labels(z=Z_SWITCHED)
    tree["posterior"]["centres"] = ("fixed", CENTRES)
    with pytest.raises(ValueError, match=r"^component_dim must hold dimensions .*, group, item, obs; got "):
        reorder_datatree(tree, relabelling_of(tree), component_dim=dims, labels="z")


def test_a_dimension_that_may_be_of_components_is_pointed_out():
    dims = {"w": ["w_dim_0"], "mu": ["mu_dim_0"], "sigma": ["sigma_dim_0"], "loadings": ["item", "w_dim_0"]}
    tree = tree_of(posterior(ORDER), dims)
    relabelling = relabelling_of(tree_of(posterior(ORDER)))
    listed = ("w_dim_0", "mu_dim_0")
    message = "^sigma_dim_0 may be a dimension of components, whose variables were left as they are"
    with pytest.warns(UserWarning, match=message) as seen:
        reorder_datatree(tree, relabelling, component_dim=listed)
    assert [warning.filename for warning in seen] == [__file__]


@pytest.mark.filterwarnings("error")
def test_other_dimensions_are_left_without_a_word():
    """One of another length, one beside the components', and any where nothing moved."""
    square = np.zeros((2, 30, 3, 3))
    tree = tree_of(posterior(ORDER) | {"square": square}, DIMS | {"square": ["axis", "group"]})
    relabel_datatree(tree, "ordering", **NAMES)
    tree = tree_of(posterior() | {"offset": np.zeros((2, 30, 3))}, DIMS | {"offset": ["axis"]})
    relabel_datatree(tree, "ordering", **NAMES)
