"""Stored rows as the tests compare them: in an order of their own, without what differs from run to run."""

import pandas as pd

from mixtures.study.rows import TABLES


def read(store, kind):
    """Return the rows of a table in an order of their own, without the times."""
    frame = store.read(kind)
    names = {method.key: method.name for method in store.study().method} | {"oracle": "oracle"}
    for column in {"method", "versus"} & set(frame.columns):
        frame[column] = frame[column].map(names)
    keys = [name for name in frame.columns if name in {
        "condition", "replicate", "method", "versus", "parameter", "component", "axis", "bin", "observation"
    }]  # fmt: skip
    return (
        frame.drop(columns=["seconds", "host", "worker"], errors="ignore")
        .sort_values(keys)
        .reset_index(drop=True)
    )


def all_rows(store):
    return {kind: read(store, kind) for kind in TABLES}


def assert_same_rows(one, other):
    """Assert that two sets of tables hold the same bits."""
    for kind in TABLES:
        pd.testing.assert_frame_equal(one[kind], other[kind], check_exact=True)
