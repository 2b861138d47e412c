"""Relabelling of anybody's ArviZ DataTree: a mixture sampled by PyMC alone, Stan or else."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from mixtures.bayes.permutations import reorder
from mixtures.bayes.relabel import Relabel, Relabelling, relabel
from mixtures.model.fit import Draws

if TYPE_CHECKING:
    import xarray as xr

_DRAWS = ("chain", "draw")


def relabel_datatree(
    tree: xr.DataTree,
    method: Relabel | str = Relabel.STEPHENS,
    *,
    weights: str = "weights",
    means: str = "means",
    sds: str = "sds",
    component_dim: str | Sequence[str] = "component",
    labels: str | Sequence[str] = (),
    x: ArrayLike | None = None,
    start: Relabel | str = Relabel.NONE,
) -> xr.DataTree:
    """Put the components of a posterior in one common order.

    Methods that need more than the parameters and `x` take two steps, through `draws_of` and
    `reorder_datatree`, with `mixtures.relabel` between them.

    Parameters
    ----------
    tree : xarray.DataTree
        With a group `posterior`, whose variables have the dimensions `chain` and `draw`.
    method : Relabel or str
        As of `mixtures.relabel`.
    weights, means, sds : str
        Variables of the group. Weights have the components' dimension, means at most one more; sds
        without it are those of all components.
    component_dim : str or sequence of str
        Dimension of the components, or all dimensions that are, such as ``("w_dim_0", "mu_dim_0")``
        of a model without named ones.
    labels : str or sequence of str
        Variables whose values are components, from 0 to k - 1, such as sampled allocations: each value
        follows its component to its new place.
    x : (n,) or (n, d) array_like, optional
        Observations, for the methods that need them.
    start : Relabel or str
        As of `mixtures.relabel`.

    Returns
    -------
    xarray.DataTree
        The tree with every variable of the posterior that has the components' dimension reordered, and
        labels renamed; other groups are left as they were. A group `relabelling` has `permutation`,
        `cost` and `gap` of each draw, the report in its attributes.

    Warns
    -----
    UserWarning
        If draws were reordered, and a variable that is neither reordered nor among the labels may have to
        be: one with a dimension of length k, or with whole numbers from 0 to k - 1 or from 1 to k.

    Raises
    ------
    TypeError
        If it is no DataTree, or labels are not integers.
    ValueError
        If a group, variable or dimension is missing, or one too many, labels name no components, or as of
        `mixtures.relabel`.
    """
    draws = draws_of(tree, weights=weights, means=means, sds=sds, component_dim=component_dim)
    relabelling = relabel(draws, method, x=x, start=start)
    return _reordered_tree(tree, relabelling, _as_names(component_dim), _as_names(labels))


def draws_of(
    tree: xr.DataTree,
    *,
    weights: str = "weights",
    means: str = "means",
    sds: str = "sds",
    component_dim: str | Sequence[str] = "component",
) -> Draws:
    """Return the mixture's parameters in a posterior as plain arrays; arguments as above."""
    import xarray as xr

    posterior, dims = _posterior(tree), _as_names(component_dim)
    w, mu, sd = (_on_one_dim(posterior, name, dims) for name in (weights, means, sds))
    for name, values in {weights: w, means: mu}.items():
        if "component" not in values.dims:
            raise ValueError(
                f"{name} must have the components' dimension, {' or '.join(dims)}; got {posterior[name].dims}"
            )
    if len(w.dims) > 3:
        raise ValueError(
            f"{weights} must have no dimension but chain, draw and the components'; "
            f"got {posterior[weights].dims}"
        )
    if not {*sd.dims} <= {*mu.dims}:
        raise ValueError(
            f"{sds} must have no dimension that {means} has not; "
            f"got {posterior[sds].dims} and {posterior[means].dims}"
        )
    if (sd <= 0).any():
        raise ValueError(f"{sds} must be positive; got {sd.min().item()}")
    mu, sd = xr.broadcast(mu.transpose(*_DRAWS, "component", ...), sd)
    shape = (*mu.shape[:3], -1)
    return Draws(
        w.transpose(*_DRAWS, "component").to_numpy(),
        mu.to_numpy().reshape(shape),
        sd.transpose(*mu.dims).to_numpy().reshape(shape) ** 2,
    )


def reorder_datatree(
    tree: xr.DataTree,
    relabelling: Relabelling,
    *,
    component_dim: str | Sequence[str] = "component",
    labels: str | Sequence[str] = (),
) -> xr.DataTree:
    """Return a tree whose posterior is in the order of a relabelling; as `relabel_datatree` says."""
    return _reordered_tree(tree, relabelling, _as_names(component_dim), _as_names(labels))


def _reordered_tree(
    tree: xr.DataTree, relabelling: Relabelling, dims: tuple[str, ...], labels: tuple[str, ...]
) -> xr.DataTree:
    import xarray as xr

    posterior = _posterior(tree)
    _check_dims(posterior, dims)
    by_component = {
        str(name): _reordered(values, relabelling, dim)
        for name, values in posterior.data_vars.items()
        for dim in [_component_dim(values, dims)]
        if dim is not None and {*_DRAWS} <= {*values.dims}
    }
    posterior = posterior.assign(by_component)
    posterior = posterior.assign({name: _renamed(_variable(posterior, name), relabelling) for name in labels})
    _warn_of_the_rest(posterior.drop_vars({*by_component, *labels}), relabelling)
    report = xr.Dataset(
        {
            "permutation": ((*_DRAWS, "component"), relabelling.permutations),
            "cost": (_DRAWS, relabelling.costs),
            "gap": (_DRAWS, relabelling.gaps),
        },
        coords={name: posterior.coords[name] for name in _DRAWS if name in posterior.coords},
        attrs={"method": str(relabelling.method)} | {d.name: d.value for d in relabelling.summary()},
    )
    result = tree.copy()
    result["posterior"].dataset = posterior
    result["relabelling"] = xr.DataTree(dataset=report)
    return result


def _posterior(tree: xr.DataTree) -> xr.Dataset:
    import xarray as xr

    if not isinstance(tree, xr.DataTree):
        raise TypeError(f"tree must be a DataTree with a group posterior; got {type(tree).__name__}")
    if "posterior" not in tree.children:
        raise ValueError(f"tree must have a group posterior; got {', '.join(tree.children) or 'none'}")
    return tree["posterior"].to_dataset()


def _as_names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _variable(posterior: xr.Dataset, name: str) -> xr.DataArray:
    if name not in posterior.data_vars:
        raise ValueError(f"posterior must have {name!r}; got {', '.join(map(str, posterior.data_vars))}")
    values = posterior[name]
    if not {*_DRAWS} <= {*values.dims}:
        raise ValueError(f"{name} must have the dimensions chain and draw; got {values.dims}")
    return values


def _check_dims(posterior: xr.Dataset, dims: tuple[str, ...]) -> None:
    """Check that each dimension of components is one of a variable that has draws."""
    of_draws = [values.dims for values in posterior.data_vars.values() if {*_DRAWS} <= {*values.dims}]
    known = dict.fromkeys(str(dim) for found in of_draws for dim in found if dim not in _DRAWS)
    if not dims or not {*dims} <= {*known}:
        raise ValueError(
            f"component_dim must hold dimensions of the posterior's variables, {', '.join(known) or 'none'}; "
            f"got {', '.join(dims) or 'none'}"
        )


def _component_dim(values: xr.DataArray, dims: tuple[str, ...]) -> str | None:
    """Return the dimension of a variable that is the components', or None."""
    found = [dim for dim in dims if dim in values.dims]
    if len(found) > 1:
        raise ValueError(f"{values.name} must have one dimension of components; got {', '.join(found)}")
    return found[0] if found else None


def _on_one_dim(posterior: xr.Dataset, name: str, dims: tuple[str, ...]) -> xr.DataArray:
    """Return a variable with its components' dimension, if it has one, named component."""
    values = _variable(posterior, name)
    dim = _component_dim(values, dims)
    values = values.drop_vars([coord for coord in values.coords if coord not in _DRAWS])
    return values if dim in {None, "component"} else values.rename({dim: "component"})


def _reordered(values: xr.DataArray, relabelling: Relabelling, dim: str) -> xr.DataArray:
    first = values.transpose(*_DRAWS, dim, ...)
    expected = relabelling.permutations.shape
    if first.shape[:3] != expected:
        raise ValueError(
            f"{values.name} must have chains, draws and components as relabelled, {expected}; "
            f"got {first.shape[:3]}"
        )
    return first.copy(data=reorder(first.to_numpy(), np.asarray(relabelling.permutations))).transpose(
        *values.dims
    )


def _renamed(values: xr.DataArray, relabelling: Relabelling) -> xr.DataArray:
    """Return labels with each component's number replaced by that of its new place."""
    first = values.transpose(*_DRAWS, ...)
    old = first.to_numpy()
    places = relabelling.permutations.argsort(axis=-1)
    k = places.shape[-1]
    if old.dtype.kind not in "iu":
        raise TypeError(f"{values.name} must hold integers, as labels do; got {old.dtype}")
    if old.size and not 0 <= old.min() <= old.max() < k:
        raise ValueError(f"{values.name} must hold labels from 0 to {k - 1}; got {old.min()} to {old.max()}")
    new = np.take_along_axis(places, old.reshape(*old.shape[:2], -1), axis=-1)
    return first.copy(data=new.reshape(old.shape).astype(old.dtype)).transpose(*values.dims)


def _warn_of_the_rest(others: xr.Dataset, relabelling: Relabelling) -> None:
    """Warn of variables that were left as they were, and may be in the old order."""
    k = relabelling.permutations.shape[-1]
    if (relabelling.permutations == np.arange(k)).all():
        return
    others = others[[name for name, values in others.data_vars.items() if {*_DRAWS} <= {*values.dims}]]
    of_length_k = [str(dim) for dim, length in others.sizes.items() if dim not in _DRAWS and length == k]
    if of_length_k:
        warnings.warn(
            f"{', '.join(of_length_k)} may be a dimension of components, whose variables were left as they "
            "are: if so, name it in component_dim",
            stacklevel=4,
        )
    found = [str(name) for name, values in others.data_vars.items() if _may_name_components(values, k)]
    if found:
        warnings.warn(
            f"{', '.join(found)} may hold labels of components, which were left as they are: "
            "if so, name them in labels, as integers from 0",
            stacklevel=4,
        )


def _may_name_components(variable: xr.DataArray, k: int) -> bool:
    """Return whether a variable varies and has whole numbers from 0 to k - 1, or from 1 to k."""
    values = variable.to_numpy()
    if values.dtype.kind not in "iuf" or not values.size:
        return False
    least, most = values.min(), values.max()
    return bool(0 <= least < most < k + (least >= 1) and (values == np.rint(values)).all())
