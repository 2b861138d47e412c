"""The Bayesian mixture of univariate normals as an ordinary PyMC model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from mixtures.model.arrays import Array
from mixtures.model.data import check_fittable
from mixtures.model.prior import HalfNormal, InverseGamma, LogNormal, Prior
from mixtures.model.scale import Scale
from mixtures.model.spec import Covariance, MixtureSpec

if TYPE_CHECKING:
    import pymc as pm

#: A variable of PyMC's, which ships no types.
type Variable = Any

#: How the likelihood is computed: in one compiled pass over the data, or by PyMC's own graph.
Likelihood = Literal["fused", "pymc"]


def build_model(
    spec: MixtureSpec, prior: Prior | None, x: ArrayLike, *, likelihood: Likelihood = "fused"
) -> pm.Model:
    """Build the PyMC model of a univariate mixture of normals.

    Users see `weights`, `means` and `sds`, each with dimension `component` and in the units of the
    data. The free variables behind means and sds are those of the standardised data (x - location) /
    unit, so that one scale of starts and step sizes suits all data; the prior is transformed with
    them, exactly. Observations, location, unit and every hyperparameter are `pm.Data`: one compiled
    sampler serves all data sets with the same number of components and family of prior.

    Parameters
    ----------
    spec : MixtureSpec
        Any structure of covariances but tied.
    prior : Prior or None
        None means `Prior.weakly_informative`.
    x : (n,) or (n, 1) array_like
        Observations.
    likelihood : "fused" or "pymc"
        "fused" computes the log-likelihood and its gradient in one compiled pass over the data; "pymc"
        is PyMC's own `NormalMixture`. They are the same density. The first has no form in JAX: for
        ``nuts_sampler="numpyro"`` or "blackjax" take the second.

    Returns
    -------
    pymc.Model
        With observed variable `obs`. An ordered prior needs a start with increasing
        `standard_means` when it is sampled, as ``pm.sample(initvals=...)`` takes one.

    Raises
    ------
    TypeError
        If `spec` is not a MixtureSpec, `prior` not a Prior, or `x` does not hold numbers.
    ValueError
        If `spec`, `x` or `likelihood` is not supported, or the prior has another number of components.
    """
    import pymc as pm

    from mixtures.bayes.likelihood import log_density

    if likelihood not in get_args(Likelihood):
        raise ValueError(f"likelihood must be fused or pymc; got {likelihood!r}")
    values = as_univariate(spec, prior, x)
    k, prior = spec.n_components, resolve_prior(spec, prior, values)
    with pm.Model(coords={"component": np.arange(k)}) as model:
        data = {name: _register(name, value) for name, value in model_data(k, prior, values).items()}
        weights = _weights(k, data)
        location, unit = data["location"], data["unit"]
        means = pm.Deterministic("means", location + unit * _standard_means(k, prior, data), dims="component")
        sds = pm.Deterministic("sds", unit * _standard_sds(prior, data), dims="component")
        observed = {"observed": data["x"], "dims": "observation"}
        if likelihood == "fused":
            own = {"dist": _normal_mixture, "logp": log_density, "class_name": "NormalMixture"}
            pm.CustomDist("obs", weights, means, sds, **own, **observed)
        else:
            pm.NormalMixture("obs", weights, means, sds, **observed)
    return model


def check_supported(spec: MixtureSpec, prior: Prior | None, n_dims: int) -> None:
    """Raise a ValueError if there is no model for a spec, a prior and data of `n_dims` columns."""
    if n_dims != 1:
        raise ValueError(f"x must be univariate, (n,) or (n, 1), for the posterior; got {n_dims} columns")
    if spec.covariance == Covariance.TIED:
        raise ValueError("covariance must be full, diagonal or spherical for the posterior; got tied")
    if prior is not None and prior.n_components not in (None, spec.n_components):
        raise ValueError(f"prior must be that of {spec.n_components} components; got {prior.n_components}")


def as_univariate(spec: MixtureSpec, prior: Prior | None, x: ArrayLike) -> Array:
    """Return observations as (n,) if `build_model` supports them, the spec and the prior; errors as there."""
    array = check_fittable(spec, x)
    if prior is not None and not isinstance(prior, Prior):
        raise TypeError(f"prior must be a Prior or None; got {type(prior).__name__}")
    check_supported(spec, prior, array.shape[1])
    return array[:, 0]


def resolve_prior(spec: MixtureSpec, prior: Prior | None, x: Array) -> Prior:
    """Return the prior to use: the default one for None."""
    return Prior.weakly_informative(x, spec.n_components) if prior is None else prior


def model_data(n_components: int, prior: Prior, x: Array) -> dict[str, Array]:
    """Return everything that differs between data sets, by name in the model; hyperparameters are (k,)."""
    scale = Scale.of(x[:, None])
    parts: dict[str, Any] = {} if n_components == 1 else {"weights": prior.weights}
    spread = "variances" if isinstance(prior.sds, InverseGamma) else "sds"
    parts |= {"means": prior.means, spread: prior.sds}
    hyperparameters = {
        f"{name}_{field}": np.broadcast_to(getattr(part, field), n_components)
        for name, part in parts.items()
        for field in part.__slots__
    }
    return {"x": x, "location": scale.location[0], "unit": scale.unit[0]} | hyperparameters


def _register(name: str, value: Array) -> Variable:
    import pymc as pm

    if name == "x":
        return pm.Data(name, value, dims="observation")
    return pm.Data(name, value, dims="component" if value.ndim else None)


def _weights(k: int, data: dict[str, Variable]) -> Variable:
    import pymc as pm

    if k == 1:  # nothing is free
        return pm.Deterministic("weights", pm.math.constant(np.ones(1)), dims="component")
    from mixtures.bayes.simplex import Simplex

    concentration = data["weights_concentration"]
    return pm.Dirichlet("weights", concentration, default_transform=Simplex(), dims="component")


def _standard_means(k: int, prior: Prior, data: dict[str, Variable]) -> Variable:
    import pymc as pm

    return pm.Normal(
        "standard_means",
        (data["means_location"] - data["location"]) / data["unit"],
        data["means_scale"] / data["unit"],
        default_transform=pm.distributions.transforms.ordered if prior.ordered and k > 1 else None,
        dims="component",
    )


def _standard_sds(prior: Prior, data: dict[str, Variable]) -> Variable:
    import pymc as pm

    unit = data["unit"]
    match prior.sds:
        case LogNormal():
            location = data["sds_location"] - pm.math.log(unit)
            return pm.LogNormal("standard_sds", location, data["sds_scale"], dims="component")
        case HalfNormal():
            return pm.HalfNormal("standard_sds", data["sds_scale"] / unit, dims="component")
        case InverseGamma():
            shape, scale = data["variances_shape"], data["variances_scale"] / unit**2
            return pm.math.sqrt(pm.InverseGamma("standard_variances", shape, scale, dims="component"))


def _normal_mixture(weights: Variable, means: Variable, sds: Variable, size: Variable) -> Variable:
    import pymc as pm

    return pm.NormalMixture.dist(weights, means, sds, size=size)
