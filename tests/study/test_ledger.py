"""Which replicates are stored: a set of tuples in less room."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixtures.study.ledger import Ledger

ENTRIES = st.lists(st.tuples(st.sampled_from("cd"), st.integers(0, 70), st.sampled_from("mn")), max_size=40)


def ledger_of(entries):
    ledger = Ledger()
    for condition, replicate, method in entries:
        ledger.add((condition, method), np.array([replicate]))
    return ledger


@given(ENTRIES)
def test_it_is_the_set_of_its_entries(entries):
    ledger, expected = ledger_of(entries), set(entries)
    assert set(ledger) == expected
    assert len(ledger) == len(expected)
    replicates = np.arange(80)
    for condition in "cde":
        for method in "mn":
            there = [(condition, index, method) in expected for index in range(80)]
            assert ledger.has((condition, method), replicates).tolist() == there
            assert [(condition, index, method) in ledger for index in range(80)] == there


def test_many_replicates_are_added_at_once():
    ledger = Ledger()
    ledger.add(("c", "m", "n"), np.array([5, 1, 5]))
    ledger.add(("c", "m", "n"), np.array([], dtype=np.int64))
    assert set(ledger) == {("c", 1, "m", "n"), ("c", 5, "m", "n")}
    assert ("c", 1, "m") not in ledger
