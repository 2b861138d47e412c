"""Fits of one data set: the order of their components."""

import numpy as np

from mixtures.comparison.single import KnownGroups, common_order, score_groups
from mixtures.em.fitter import EM
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import MixtureSpec


def test_a_group_with_a_single_label_still_orders_the_components():
    """Group a lies above group b, of which one observation is labelled: means alone give the wrong order."""
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(9, 1, 60), rng.normal(2, 1, 60)])
    labels = np.array([0] * 60 + [1] + [-1] * 59)
    known = KnownGroups.of(labels, ("a", "b"), 2)
    start = NormalMixture.univariate([0.5, 0.5], [2, 9], [1, 1])
    for one in (start, start.permuted([1, 0])):
        fit = EM(start=one).fit(MixtureSpec(2), x, 1)
        scores = score_groups(fit.permuted(common_order([fit], x[:, None], known)[0]), known).scores
        assert scores.error_rate == 0
        assert scores.brier < 0.05
