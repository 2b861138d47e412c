"""The layout of the tables."""

import pyarrow as pa
import pytest

from mixtures.study.rows import TABLES, FitRow, PairRow, Rows, schema, table


def test_columns_follow_the_annotations():
    fields = {field.name: field for field in schema(FitRow)}
    assert fields["condition"].type == pa.string()
    assert fields["replicate"].type == pa.int64()
    assert fields["has_estimate"].type == pa.bool_()
    assert fields["seconds"].type == pa.float64()
    assert not fields["seconds"].nullable
    assert fields["kl"].type == pa.float64()
    assert fields["kl"].nullable
    assert fields["n_infinite"].type == pa.int64()
    assert fields["is_ambiguous"].type == pa.bool_()


@pytest.mark.parametrize("kind", TABLES)
def test_every_table_begins_with_its_key(kind):
    assert schema(TABLES[kind]).names[:3] == ["condition", "replicate", "method"]
    assert table(TABLES[kind], []).num_rows == 0
    assert getattr(Rows.empty(), kind) == []


def test_fits_are_the_last_table():
    """A fit counts as done when its row is on disk: by then everything else of it must be."""
    assert list(TABLES)[-1] == "fits"


def test_rows_become_a_table():
    row = PairRow(
        condition="c",
        replicate=3,
        method="b",
        versus="a",
        is_ambiguous=False,
        soft_assignment_distance=0.25,
        kl=0.5,
        largest_difference=1.0,
        hard_assignment_disagreement=0.0,
    )
    rows = table(PairRow, [row, row]).to_pylist()
    assert rows[0] == rows[1]
    assert (rows[0]["versus"], rows[0]["replicate"], rows[0]["kl"]) == ("a", 3, 0.5)
