"""The same as `density` in one compiled pass over the data: log-likelihood and weighted moments.

For z_ij = L_j^-1 (x_i - mu_j) with Sigma_j = L_j L_j', one pass gives the log-likelihood and

    N_j = sum_i r_ij,   A_j = sum_i r_ij z_ij,   B_j = sum_i r_ij z_ij z_ij',

which are all that the M-step needs and, by Fisher's identity, the gradient too. In the units of the
data the moments about the mean are L_j A_j and L_j B_j L_j'.

Observations are taken a block at a time, so that each inner loop is a plain one over a row that stays
in the cache, which the compiler vectorises. Exponents are those of 2, measured from the largest of each
observation, so that nothing overflows; the sums of exponentials of a block, each between 1 and k, are
multiplied, and one logarithm is taken of the product. Blocks make up chunks of fixed size whose sums
are added in order: threads change nothing, not even the last bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

import numba
import numpy as np

from mixtures.model.arrays import Array
from mixtures.model.compiled import compiled, compiled_sums, compiled_threads
from mixtures.model.exponential import LARGEST_POWER, log_of_sum, power_of_two
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance

_CHUNK = 16_384  # observations that a thread takes at a time: 0.1 ms of work
# At most; a product of as many numbers up to k must not overflow, and rows of 2^9 share places in the cache.
_BLOCK = 528
_CACHE = 4224  # numbers that a block may keep in the fastest cache
_LANES = 16  # a block is a multiple of what the processor takes at once

_LOG_TWO_PI = math.log(2 * math.pi)
_LOG2_E = 1 / math.log(2)
_ROOT_HALF_LOG2_E = math.sqrt(_LOG2_E / 2)
_LOG_2 = math.log(2)
#: In place of observation weights: every observation counts once.
UNWEIGHTED = np.empty(0)
#: Held while numba's threads run: their simplest layer cannot be entered twice at once.
THREADS = Lock()


class Data(NamedTuple):
    """Observations (n, d), contiguous and read-only, and their weights (n,), or `UNWEIGHTED`."""

    x: Array
    weights: Array


class Theta(NamedTuple):
    """Log weights (k,), means (k, d), and lower Cholesky factors (k, d, d) of the covariances.

    Where `is_full` is false the factors are diagonal, and no moment off the diagonal is made.
    """

    log_weights: Array
    means: Array
    factors: Array
    is_full: bool


class Block(NamedTuple):
    """Room for a block of m observations: rows of numbers that stay in the cache."""

    columns: Array  # (d, m) the observations, a row for each dimension
    z: Array  # (k, d, m)
    joint: Array  # (k, m) exponents of 2, then joint densities over the largest, then responsibilities
    top: Array  # (m,) largest exponent, of 2
    total: Array  # (m,) sum of the exponentials, then what makes them responsibilities


@compiled
def _fetch(x: Array) -> float:
    """Read one number of each cache line, so that many lines are on their way from memory at once.

    The passes compute too long between two lines for a processor to look ahead by itself. Returns 0, but
    has to be added to something, or the compiler leaves it out.
    """
    largest = 0.0
    for i in range(0, len(x), 8):
        largest = max(largest, x[i])
    return 0.0 * largest


@compiled
def _root_two_scale(theta: Theta, j: int) -> float:
    """What turns x - mu into y with 2^-y^2 = exp(-z^2 / 2), for d = 1.

    In a function that keeps the order of operations: the loops below would divide, observation by
    observation, if they were free to.
    """
    return _ROOT_HALF_LOG2_E / theta.factors[j, 0, 0]


@compiled_sums
def _two_components(x: Array, theta: Theta, sums: Array) -> float:
    """Add the sums of observations (n,) for k = 2, with one exponential each, in base 2."""
    m0, m1 = theta.means[0, 0], theta.means[1, 0]
    s0, s1 = _root_two_scale(theta, 0), _root_two_scale(theta, 1)
    c0, c1 = _constant(theta, 0) * _LOG2_E, _constant(theta, 1) * _LOG2_E
    log_likelihood = 0.0
    for start in range(0, len(x), _BLOCK):
        block = x[start : start + _BLOCK]
        top, product = _fetch(block), 1.0
        n0, n1, a0, a1, b0, b1 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(len(block)):
            y0 = (block[i] - m0) * s0
            y1 = (block[i] - m1) * s1
            q0 = c0 - y0 * y0
            q1 = c1 - y1 * y1
            ratio = power_of_two(min(q1 - q0, LARGEST_POWER))
            r0 = 1.0 / (1.0 + ratio)
            r1 = ratio * r0
            top += max(q0, q1)
            product *= max(r0, r1)  # the larger joint density over the sum of both
            w0 = r0 * y0
            w1 = r1 * y1
            n0 += r0
            n1 += r1
            a0 += w0
            a1 += w1
            b0 += w0 * y0
            b1 += w1 * y1
        log_likelihood += top * _LOG_2 - math.log(product)
        _add_two(sums, (n0, n1), (a0, a1), (b0, b1))
    return log_likelihood


@compiled_sums
def _two_weighted(x: Array, weights: Array, theta: Theta, sums: Array) -> float:
    """`_two_components` of weighted observations, each with a logarithm of its own."""
    m0, m1 = theta.means[0, 0], theta.means[1, 0]
    s0, s1 = _root_two_scale(theta, 0), _root_two_scale(theta, 1)
    c0, c1 = _constant(theta, 0) * _LOG2_E, _constant(theta, 1) * _LOG2_E
    log_likelihood = 0.0
    n0, n1, a0, a1, b0, b1 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(len(x)):
        y0 = (x[i] - m0) * s0
        y1 = (x[i] - m1) * s1
        q0 = c0 - y0 * y0
        q1 = c1 - y1 * y1
        over_larger = 1.0 + power_of_two(-abs(q1 - q0))
        log_likelihood += weights[i] * (max(q0, q1) * _LOG_2 + log_of_sum(over_larger))
        ratio = power_of_two(min(q1 - q0, LARGEST_POWER))
        r0 = weights[i] / (1.0 + ratio)
        r1 = ratio * r0
        n0 += r0
        n1 += r1
        a0 += r0 * y0
        a1 += r1 * y1
        b0 += r0 * y0 * y0
        b1 += r1 * y1 * y1
    _add_two(sums, (n0, n1), (a0, a1), (b0, b1))
    return log_likelihood


@compiled
def _add_two(
    sums: Array, counts: tuple[float, float], firsts: tuple[float, float], seconds: tuple[float, float]
) -> None:
    """Add the sums of two components, those of y turned into those of z."""
    for j in range(2):
        sums[0, j] += counts[j]
        sums[1, j] += firsts[j] / _ROOT_HALF_LOG2_E
        sums[2, j] += seconds[j] / _ROOT_HALF_LOG2_E**2


@compiled
def _components(data: Data, first: int, last: int, theta: Theta, sums: Array) -> float:
    """Add the sums of observations first to last, for any k and d; `sums` as `moments` has them."""
    k, d = theta.means.shape
    block = empty_block(k, d)
    size = len(block.top)
    log_likelihood = 0.0
    for start in range(first, last, size):
        m = min(size, last - start)
        log_likelihood += assign_block(data, start, m, theta, block)
        for j in range(k):
            _add(block, j, m, theta.is_full, sums)
    return log_likelihood


@compiled
def empty_block(k: int, d: int) -> Block:
    """Room for as many observations as suit the cache, and a product of their sums of exponentials."""
    size = min(int(LARGEST_POWER / math.log2(k + 1)), max(_CACHE // (k * d), _LANES), _BLOCK)
    size -= size % _LANES
    return Block(
        np.empty((d, size)), np.empty((k, d, size)), np.empty((k, size)), np.empty(size), np.empty(size)
    )


@compiled
def assign_block(data: Data, start: int, m: int, theta: Theta, block: Block) -> float:
    """Fill z and the responsibilities of m observations; return their log-likelihood."""
    k = len(theta.means)
    _load(data.x[start : start + m], block.columns)
    for j in range(k):
        _measure(block, theta, j, m)
    _exponentiate(block, k, m)
    log_likelihood = _close(block, data.weights[start : start + m], m)
    for j in range(k):
        joint = block.joint[j]
        for i in range(m):
            joint[i] *= block.total[i]
    return log_likelihood


@compiled
def _load(x: Array, columns: Array) -> None:
    """Turn observations into rows."""
    for a in range(len(columns)):
        column = columns[a]
        for i in range(len(x)):
            column[i] = x[i, a]


@compiled
def _measure(block: Block, theta: Theta, j: int, m: int) -> None:
    """z_ij by forward substitution in L_j z = x - mu_j, and the exponent of the joint density, of 2."""
    z, exponents, top = block.z[j], block.joint[j], block.top
    constant = _constant(theta, j) * _LOG2_E
    for i in range(m):
        exponents[i] = constant
    for a in range(len(z)):
        column, row, mean = block.columns[a], z[a], theta.means[j, a]
        inverse = 1.0 / theta.factors[j, a, a]
        for i in range(m):
            row[i] = column[i] - mean
        if theta.is_full:
            for b in range(a):
                before, entry = z[b], theta.factors[j, a, b]
                for i in range(m):
                    row[i] -= entry * before[i]
        for i in range(m):
            row[i] *= inverse
            exponents[i] -= 0.5 * _LOG2_E * row[i] * row[i]
    for i in range(m):
        top[i] = exponents[i] if j == 0 else max(top[i], exponents[i])


@compiled
def _exponentiate(block: Block, k: int, m: int) -> None:
    """Joint densities over the largest of each observation, and their sum, between 1 and k."""
    top, total = block.top, block.total
    for i in range(m):
        total[i] = 0.0
    for j in range(k):
        joint = block.joint[j]
        for i in range(m):
            joint[i] = power_of_two(joint[i] - top[i])
            total[i] += joint[i]


@compiled_sums
def _close(block: Block, weights: Array, m: int) -> float:
    """Log-likelihood of a block; `total` becomes what makes joint densities responsibilities."""
    top, total = block.top, block.total
    log_likelihood = 0.0
    if weights.size:
        for i in range(m):
            log_likelihood += weights[i] * (top[i] * _LOG_2 + log_of_sum(total[i]))
            total[i] = weights[i] / total[i]
        return log_likelihood
    product = 1.0
    for i in range(m):
        log_likelihood += top[i]
        product *= total[i]
        total[i] = 1.0 / total[i]
    return log_likelihood * _LOG_2 + math.log(product)


@compiled_sums
def _add(block: Block, j: int, m: int, is_full: bool, sums: Array) -> None:
    """Add one component's sums over a block."""
    r, d = block.joint[j], len(block.columns)
    count = 0.0
    for i in range(m):
        count += r[i]
    sums[0, j] += count
    for a in range(d):
        row = block.z[j, a]
        first = 0.0
        for i in range(m):
            first += r[i] * row[i]
        sums[1 + a, j] += first
        for b in range(0 if is_full else a, a + 1):
            other = block.z[j, b]
            second = 0.0
            for i in range(m):
                second += r[i] * row[i] * other[i]
            sums[1 + d + a * d + b, j] += second


@compiled
def _constant(theta: Theta, j: int) -> float:
    """Log of w_j N(mu_j; mu_j, Sigma_j)."""
    d = theta.means.shape[1]
    log_det = 0.0
    for a in range(d):
        log_det += math.log(theta.factors[j, a, a])
    return theta.log_weights[j] - log_det - 0.5 * d * _LOG_TWO_PI


@compiled
def _chunk(data: Data, first: int, last: int, theta: Theta, sums: Array) -> float:
    """Add the sums of one chunk, by the way that suits its shape."""
    if len(theta.means) == 2 and data.x.shape[1] == 1:
        x = data.x.reshape(data.x.size)[first:last]
        if data.weights.size:
            return _two_weighted(x, data.weights[first:last], theta, sums)
        return _two_components(x, theta, sums)
    return _components(data, first, last, theta, sums)


@compiled
def moments(data: Data, theta: Theta, sums: Array) -> float:
    """Total log-likelihood, and the sums N, A and B of every component.

    Parameters
    ----------
    data : Data
    theta : Theta
    sums : (1 + d + d d, k) array
        Filled with N, the rows of A and those of B, of which only the lower triangle.

    Returns
    -------
    float
    """
    n = len(data.x)
    sums[:] = 0.0
    if n <= _CHUNK:
        return _chunk(data, 0, n, theta, sums)
    log_likelihood = 0.0
    own = np.empty_like(sums)
    for first in range(0, n, _CHUNK):
        own[:] = 0.0
        log_likelihood += _chunk(data, first, min(first + _CHUNK, n), theta, own)
        sums += own
    return log_likelihood


@compiled
def _add_chunks(log_likelihoods: Array, own: Array, sums: Array) -> float:
    """Add up what the chunks gave, in their order.

    Compiled by itself: among threads, numba would make a parallel loop of each addition of arrays, and
    wake the threads at every one.
    """
    log_likelihood = 0.0
    sums[:] = 0.0
    for chunk in range(len(own)):
        log_likelihood += log_likelihoods[chunk]
        sums += own[chunk]
    return log_likelihood


@compiled_threads
def _moments_in_threads(data: Data, theta: Theta, log_likelihoods: Array, own: Array) -> None:
    n = len(data.x)
    for chunk in numba.prange(len(own)):
        first = chunk * _CHUNK
        log_likelihoods[chunk] = _chunk(data, first, min(first + _CHUNK, n), theta, own[chunk])


def moments_in_threads(data: Data, theta: Theta, sums: Array) -> float:
    """`moments`, made by numba's threads; the same bits, whatever their number."""
    n_chunks = (len(data.x) + _CHUNK - 1) // _CHUNK
    log_likelihoods, own = np.empty(n_chunks), np.zeros((n_chunks, *sums.shape))
    with THREADS:
        _moments_in_threads(data, theta, log_likelihoods, own)
    return _add_chunks(log_likelihoods, own, sums)


@compiled
def univariate_moments(x: Array, log_weights: Array, means: Array, sds: Array, sums: Array) -> float:
    """`moments` of a univariate mixture: `x` (n,), parameters (k,), `sums` (3, k) filled with N, A, B."""
    k = len(means)
    data = Data(x.reshape((len(x), 1)), np.empty(0))
    return moments(data, Theta(log_weights, means.reshape((k, 1)), sds.reshape((k, 1, 1)), False), sums)


@compiled
def scatter_about(data: Data, theta: Theta, shifts: Array, scatters: Array) -> None:
    """Scatter of z_ij about shifts_j, sum_i r_ij (z_ij - shift_j)(z_ij - shift_j)': a second pass.

    `moments` gives it as B_j - N_j shift_j shift_j', which cancels where a mean has moved by many
    standard deviations. That is rare, so this is a plain loop.

    Parameters
    ----------
    data : Data
    theta : Theta
    shifts : (k, d) array
    scatters : (k, d, d) array
        Filled; only the lower triangle.
    """
    k, d = theta.means.shape
    z = np.empty((k, d))
    exponents = np.empty(k)
    scatters[:] = 0.0
    for i in range(len(data.x)):
        for j in range(k):
            exponents[j] = _constant(theta, j) + _exponent(data.x[i], theta, j, z[j])
        joint = np.exp(exponents - exponents.max())
        joint *= (data.weights[i] if data.weights.size else 1.0) / joint.sum()
        for j in range(k):
            for a in range(d):
                for b in range(a + 1):
                    product = (z[j, a] - shifts[j, a]) * (z[j, b] - shifts[j, b])
                    scatters[j, a, b] += joint[j] * product


@compiled
def _exponent(observation: Array, theta: Theta, j: int, z: Array) -> float:
    """-z'z / 2 of one observation, by forward substitution."""
    exponent = 0.0
    for a in range(len(z)):
        value = observation[a] - theta.means[j, a]
        if theta.is_full:
            for b in range(a):
                value -= theta.factors[j, a, b] * z[b]
        z[a] = value / theta.factors[j, a, a]
        exponent -= 0.5 * z[a] * z[a]
    return exponent


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Log-likelihood and responsibility-weighted moments, in the units of the data.

    Attributes
    ----------
    log_likelihood : float
        Total log-likelihood.
    counts : (k,) array
        N_j, the sum of the responsibilities.
    firsts : (k, d) array
        sum_i r_ij (x_i - mu_j).
    seconds : (k, d, d) array
        sum_i r_ij (x_i - mu_j)(x_i - mu_j)'; for diagonal and spherical covariances only the diagonals.
    """

    log_likelihood: float
    counts: Array
    firsts: Array
    seconds: Array


def weighted_moments(
    mixture: NormalMixture,
    x: Array,
    covariance: Covariance = Covariance.FULL,
    *,
    weights: Array = UNWEIGHTED,
    in_threads: bool = False,
) -> Moments:
    """Log-likelihood and responsibility-weighted moments in one pass over the data.

    Parameters
    ----------
    mixture : NormalMixture
    x : (n, d) array
        Observations.
    covariance : Covariance
        Structure of the mixture's covariances.
    weights : (n,) array, optional
        How often each observation counts; by default once.
    in_threads : bool
        Whether to use numba's threads; the result has the same bits.
    """
    (k, d), is_full = mixture.means.shape, covariance in (Covariance.FULL, Covariance.TIED)
    factors = np.linalg.cholesky(mixture.covariances)
    with np.errstate(divide="ignore"):
        theta = Theta(np.log(mixture.weights), mixture.means.copy(), factors, is_full)
    data, sums = as_data(x, weights), np.empty((1 + d + d * d, k))
    log_likelihood = (moments_in_threads if in_threads else moments)(data, theta, sums)
    lower = sums[1 + d :].T.reshape(k, d, d)
    seconds = lower + np.tril(lower, -1).mT
    firsts = np.einsum("jab,jb->ja", factors, sums[1 : 1 + d].T)
    return Moments(float(log_likelihood), sums[0], firsts, factors @ seconds @ factors.mT)


def as_data(x: Array, weights: Array = UNWEIGHTED) -> Data:
    """Return observations (n, d) as kernels are compiled for them: contiguous and read-only, x alone."""
    view = np.ascontiguousarray(x).view()
    view.flags.writeable = False
    return Data(view, np.array(weights))
