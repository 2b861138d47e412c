"""Streams of randomness: the same for ever, and each its own."""

import numpy as np

from mixtures.study.seeds import stream

PLACES = [
    (seed, condition, replicate, name)
    for seed in (7, 8)
    for condition in ("abc", "abd")
    for replicate in range(3)
    for name in ("truth", "data", "0123456789abcdef")
]


def test_streams_are_written_down():
    """A drift would make stored rows and new ones disagree in silence."""
    assert stream(7, "abc", 0, "data").random() == 0.01900288351920132
    assert stream(7, "abc", 0, "data").integers(2**63) == 175270664470610588
    assert stream(0, "4f58846c79f6952f", 12, "truth").random() == 0.7775358299658017


def test_a_stream_does_not_depend_on_what_was_drawn_before():
    first = {place: stream(*place).random(3).tolist() for place in PLACES}
    for place in reversed(PLACES):
        stream(*place).random(100)
        assert stream(*place).random(3).tolist() == first[place]


def test_every_stream_is_its_own():
    assert len({stream(*place).integers(2**63) for place in PLACES}) == len(PLACES)


def test_names_do_not_run_into_each_other():
    assert stream(1, "a", 11, "data").random() != stream(1, "a/1", 1, "data").random()


def test_streams_are_not_correlated():
    """At 4 standard errors: 300 pairs, so about 2% false alarms, were the seed not written."""
    draws = np.array([stream(*place).standard_normal(2000) for place in PLACES[:25]])
    correlations = np.corrcoef(draws)[np.triu_indices(25, 1)]
    assert np.abs(correlations).max() < 4 / np.sqrt(2000)


def test_a_seed_may_be_of_any_size():
    assert stream(2**200, "a", 0, "data").random() != stream(0, "a", 0, "data").random()
