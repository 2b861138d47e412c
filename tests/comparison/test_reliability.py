"""Reliability curves: bins over data sets, and intervals that know which events hang together."""

import numpy as np
import pytest

from mixtures.comparison.assignments import score_assignments
from mixtures.comparison.performance import Measure, Proportion, wilson_interval
from mixtures.comparison.reliability import clustered_interval, reliability_curve

Z = 1.959963984540054


def test_a_single_data_set_has_wilsons_intervals(rng):
    r = rng.dirichlet([1, 1], 300)
    labels = (rng.random(300) < r[:, 1]).astype(int)
    for one in reliability_curve([score_assignments(np.log(r), labels).reliability]):
        inside = (r.ravel() >= (one.bin - 1) / 10) & (r.ravel() < one.bin / 10)
        hits = np.eye(2)[labels].ravel()[inside]
        assert one.count == inside.sum()
        assert one.assigned == pytest.approx(r.ravel()[inside].mean())
        assert one.belonging.value == pytest.approx(hits.mean())
        assert np.isnan(one.belonging.mcse)
        share = Proportion(hits.mean(), np.nan, one.count)
        assert (one.lower, one.upper) == pytest.approx(wilson_interval(share, Z))


def test_empty_bins_are_left_out():
    sure = score_assignments(np.log([[1e-9, 1 - 1e-9]] * 5), np.ones(5, dtype=int)).reliability
    curve = reliability_curve([sure, sure])
    assert [one.bin for one in curve] == [1, 10]
    assert [one.count for one in curve] == [10, 10]
    assert curve[0].lower == 0
    assert 0.15 < curve[0].upper < 0.35  # Wilson's, of 0 in 10


def test_independent_events_have_nearly_wilsons_interval_and_never_a_narrower():
    few = clustered_interval(Measure(0.3, 1e-9, 200), 1000, 0.95)
    assert few == pytest.approx(wilson_interval(Proportion(0.3, np.nan, 1000), Z))
    right = clustered_interval(Measure(0.3, np.sqrt(0.21 / 1000), 200), 1000, 0.95)
    assert np.ptp(right) == pytest.approx(np.ptp(few), rel=0.02)
    assert np.ptp(clustered_interval(Measure(0.3, 0.1, 5), 1000, 0.95)) > 2 * Z * 0.1


def test_intervals_cover_where_data_sets_hang_together():
    """Events of a data set share a probability that varies between data sets, mean .8: 1,000 studies of 40.

    A coverage of 95% has a standard error of .7% here; Wilson's interval of the plain count, the
    control, is far too narrow.
    """
    rng, hits, plain = np.random.default_rng(3), [], []
    for _ in range(1000):
        counts = rng.integers(5, 60, 40)
        events = rng.binomial(counts, rng.beta(8, 2, 40))
        (one,) = reliability_curve(Bins.of(counts, events))
        hits.append(one.lower <= 0.8 <= one.upper)
        low, high = wilson_interval(Proportion(one.belonging.value, np.nan, one.count), Z)
        plain.append(low <= 0.8 <= high)
    assert 0.925 < np.mean(hits) < 0.975
    assert np.mean(plain) < 0.85


class Bins:
    """The one bin of each data set that holds anything, in the form of a `Reliability`."""

    def __init__(self, count, events):
        self.counts, self.assigned, self.belonging = (
            np.eye(10)[8] * v for v in (count, 0.85 * count, events)
        )

    @classmethod
    def of(cls, counts, events):
        return [cls(*pair) for pair in zip(counts, events, strict=True)]
