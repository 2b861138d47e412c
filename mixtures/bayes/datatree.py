"""Relabelling of anybody's ArviZ DataTree: a mixture sampled by PyMC alone, Stan or else."""

from __future__ import annotations

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
    x : (n,) or (n, d) array_like, optional
        Observations, for the methods that need them.
    start : Relabel or str
        As of `mixtures.relabel`.

    Returns
    -------
    xarray.DataTree
        The tree with every variable of the posterior that has the components' dimension reordered,
        and a group `relabelling`: `permutation`, `cost` and `gap` of each draw, the report in its
        attributes.

    Raises
    ------
    ValueError
        If a group, variable or dimension is missing, or as of `mixtures.relabel`.
    """
    draws = draws_of(tree, weights=weights, means=means, sds=sds, component_dim=component_dim)
    relabelling = relabel(draws, method, x=x, start=start)
    return reorder_datatree(tree, relabelling, component_dim=component_dim)


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

    posterior, dims = _posterior(tree), _as_dims(component_dim)
    w, mu, sd = (_on_one_dim(posterior, name, dims) for name in (weights, means, sds))
    for name, values in {weights: w, means: mu}.items():
        if "component" not in values.dims:
            raise ValueError(
                f"{name} must have the components' dimension, {' or '.join(dims)}; got {posterior[name].dims}"
            )
    mu, sd = xr.broadcast(mu.transpose(*_DRAWS, "component", ...), sd)
    shape = (*mu.shape[:3], -1)
    return Draws(
        w.transpose(*_DRAWS, "component").to_numpy(),
        mu.to_numpy().reshape(shape),
        sd.transpose(*mu.dims).to_numpy().reshape(shape) ** 2,
    )


def reorder_datatree(
    tree: xr.DataTree, relabelling: Relabelling, *, component_dim: str | Sequence[str] = "component"
) -> xr.DataTree:
    """Return a tree whose posterior is in the order of a relabelling; arguments and result as above."""
    import xarray as xr

    posterior, dims = _posterior(tree), _as_dims(component_dim)
    named = {
        str(name): _reordered(values, relabelling, dim)
        for name, values in posterior.data_vars.items()
        for dim in [_component_dim(values, dims)]
        if dim is not None and {*_DRAWS} <= {*values.dims}
    }
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
    result["posterior"].dataset = posterior.assign(named)
    result["relabelling"] = xr.DataTree(dataset=report)
    return result


def _posterior(tree: xr.DataTree) -> xr.Dataset:
    if "posterior" not in tree.children:
        raise ValueError(f"tree must have a group posterior; got {', '.join(tree.children) or 'none'}")
    return tree["posterior"].to_dataset()


def _as_dims(component_dim: str | Sequence[str]) -> tuple[str, ...]:
    return (component_dim,) if isinstance(component_dim, str) else tuple(component_dim)


def _component_dim(values: xr.DataArray, dims: tuple[str, ...]) -> str | None:
    """Return the dimension of a variable that is the components', or None."""
    found = [dim for dim in dims if dim in values.dims]
    if len(found) > 1:
        raise ValueError(f"{values.name} must have one dimension of components; got {', '.join(found)}")
    return found[0] if found else None


def _on_one_dim(posterior: xr.Dataset, name: str, dims: tuple[str, ...]) -> xr.DataArray:
    """Return a variable with its components' dimension, if it has one, named component."""
    if name not in posterior.data_vars:
        raise ValueError(f"posterior must have {name!r}; got {', '.join(map(str, posterior.data_vars))}")
    values, dim = posterior[name], _component_dim(posterior[name], dims)
    if not {*_DRAWS} <= {*values.dims}:
        raise ValueError(f"{name} must have the dimensions chain and draw; got {values.dims}")
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
