"""Verdicts: where the interval lies, and how often the verdict is wrong."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, t

from mixtures.comparison.performance import Measure, Proportion, mean, monte_carlo_interval, proportion
from mixtures.study.claim import Claim
from mixtures.study.verdict import Verdict, judge, overall
from study.designs import claim

T99 = t.ppf(0.995, 99)  # a hundred replicates


def claims(**bounds):
    return Claim.model_validate(claim(**{"between": None} | bounds))


@pytest.mark.parametrize(
    ("bounds", "value", "verdict"),
    [
        ({"below": 1.0}, 0.0, "supported"),
        ({"below": 1.0}, 0.9, "inconclusive"),
        ({"below": 1.0}, 1.1, "inconclusive"),
        ({"below": 1.0}, 2.0, "refuted"),
        ({"above": 1.0}, 2.0, "supported"),
        ({"above": 1.0}, 1.1, "inconclusive"),
        ({"above": 1.0}, 0.0, "refuted"),
        ({"between": [-1.0, 1.0]}, 0.0, "supported"),
        ({"between": [-1.0, 1.0]}, -0.9, "inconclusive"),
        ({"between": [-1.0, 1.0]}, -2.0, "refuted"),
        ({"between": [-1.0, 1.0]}, 2.0, "refuted"),
        ({"between": [-0.1, 0.1]}, 0.0, "inconclusive"),
    ],
)
def test_the_verdict_is_where_the_interval_lies(bounds, value, verdict):
    judgement = judge(claims(**bounds), Measure(value, 0.1, 100))
    assert judgement.verdict == verdict
    assert (judgement.lower, judgement.upper) == pytest.approx((value - T99 * 0.1, value + T99 * 0.1))
    assert (judgement.n_needed is not None) == (verdict == "inconclusive")


@pytest.mark.parametrize("m", [1, 2, 7, 40])
def test_the_level_is_shared_by_all_judgements(m):
    judgement = judge(claims(below=1.0), Measure(0.0, 1.0, 50), m)
    error = 2 * t.sf(judgement.upper, 49)
    assert error * m == pytest.approx(0.01)


@pytest.mark.parametrize(("happened", "n"), [(0, 20), (19, 20), (20, 20), (190, 200)])
def test_proportions_have_wilsons_interval(happened, n):
    judgement = judge(claims(above=0.5), proportion(np.arange(n) < happened))
    reference = binomtest(happened, n).proportion_ci(0.99, method="wilson")
    assert (judgement.lower, judgement.upper) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_a_proportion_of_one_is_not_certain():
    assert judge(claims(above=0.95), proportion(np.ones(10))).verdict == "inconclusive"
    assert judge(claims(above=0.95), proportion(np.ones(1000))).verdict == "supported"


@pytest.mark.parametrize(
    "measure", [Measure(math.nan, math.nan, 0), Measure(0.0, math.nan, 1), Proportion(math.nan, math.nan, 0)]
)
@pytest.mark.parametrize("bounds", [{"below": 0.5}, {"above": 0.5}, {"between": [0.2, 0.7]}])
def test_what_is_not_known_is_inconclusive(measure, bounds):
    judgement = judge(claims(**bounds), measure)
    assert (judgement.verdict, judgement.n_needed) == ("inconclusive", None)


@pytest.mark.parametrize(
    ("bounds", "measure"),
    [
        ({"below": 1.0}, Measure(0.9, 0.1, 100)),
        ({"below": 1.0}, Measure(1.04, 0.1, 100)),
        ({"between": [0.0, 1.0]}, Measure(0.9, 0.5, 40)),
        ({"between": [0.0, 1.0]}, Measure(-0.01, 0.01, 40)),
        ({"above": 0.9}, Proportion(0.92, 0.0271, 100)),
        ({"above": 0.9}, Proportion(1.0, 0.0, 10)),
        ({"below": 0.9}, Proportion(0.85, 0.0357, 100)),
    ],
)
def test_the_replicates_needed_are_the_fewest_that_settle_it(bounds, measure):
    needed = judge(claims(**bounds), measure).n_needed

    def verdict_with(n):
        scaled = type(measure)(measure.value, measure.mcse * math.sqrt(measure.n / n), n)
        return judge(claims(**bounds), scaled).verdict

    assert needed > measure.n
    assert verdict_with(needed) != "inconclusive"
    assert verdict_with(needed - 1) == "inconclusive"


def test_no_number_settles_a_measure_on_the_bound():
    assert judge(claims(below=1.0), Measure(1.0, 0.1, 100)).n_needed is None


S, R, N = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("verdicts", "result"),
    [((S,), S), ((S, S), S), ((S, N), N), ((S, R), R), ((N, R), R), ((N,), N), ((R, R), R), ((), N)],
)
def test_a_claim_stands_if_every_part_does_and_falls_with_one(verdicts, result):
    value = {S: 0.0, N: 1.0, R: 2.0}
    judgements = [judge(claims(below=1.0), Measure(value[one], 0.1, 100)) for one in verdicts]
    assert [judgement.verdict for judgement in judgements] == list(verdicts)
    assert overall(judgements) == result


# How often it is wrong --------------------------------------------------------------------------

N_STUDIES = 4000


def verdicts_on(make, bounds, rng):
    return [judge(claims(**bounds), make(rng)).verdict for _ in range(N_STUDIES)]


def normal_mean(centre):
    return lambda rng: mean(centre + rng.standard_normal(200))


def share_of(happened):
    return lambda rng: proportion(rng.random(300) < happened)


#: A claim whose measure lies on the bound: true, but barely. One-sided, so the error is half of 1%.
ON_THE_BOUND = {
    "mean": (normal_mean(0.0), {"below": 0.0}),
    "proportion": (share_of(0.9), {"above": 0.9}),
}


@pytest.mark.parametrize(("make", "bounds"), ON_THE_BOUND.values(), ids=ON_THE_BOUND)
def test_a_true_claim_is_refuted_in_less_than_one_study_of_a_hundred(rng, make, bounds):
    refuted = verdicts_on(make, bounds, rng).count("refuted")
    assert binomtest(refuted, N_STUDIES, 0.01, alternative="greater").pvalue > 1e-4
    assert refuted < N_STUDIES * 0.01


@pytest.mark.parametrize(("make", "bounds"), ON_THE_BOUND.values(), ids=ON_THE_BOUND)
def test_a_false_claim_is_supported_in_less_than_one_study_of_a_hundred(rng, make, bounds):
    ((kind, bound),) = bounds.items()
    opposite = {"below" if kind == "above" else "above": bound}
    assert verdicts_on(make, opposite, rng).count("supported") < N_STUDIES * 0.01


def test_a_claim_that_is_clearly_false_is_refuted(rng):
    """Negative control: half a standard deviation, or 10 points, beyond the bound is found nearly always."""
    assert verdicts_on(normal_mean(0.5), {"below": 0.0}, rng).count("refuted") > 0.99 * N_STUDIES
    assert verdicts_on(share_of(0.8), {"above": 0.9}, rng).count("refuted") > 0.95 * N_STUDIES


def test_the_interval_covers_at_its_level(rng):
    covered = [
        low <= 0.3 <= high
        for low, high in (
            monte_carlo_interval(mean(0.3 + rng.standard_normal(200)), 0.99) for _ in range(N_STUDIES)
        )
    ]
    assert np.mean(covered) == pytest.approx(0.99, abs=4 * math.sqrt(0.99 * 0.01 / N_STUDIES))
