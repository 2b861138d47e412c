"""A study is read one condition at a time: all that is sound, while others work on its folder."""

import pytest

from mixtures.study.catalogue import Catalogue
from mixtures.study.compaction import compact
from mixtures.study.measures import measure_pairs
from mixtures.study.runner import run
from mixtures.study.store import Store
from mixtures.study.tables import Tables
from study.designs import CLOSE, design, grid, truth

TWO = [{"name": "A", "engine": "halves"}, {"name": "B", "engine": "halves", "noise": 0.1}]


@pytest.fixture
def store(tmp_path):
    return run(
        design(method=TWO, grid=grid(truth(), CLOSE, n=[40, 60]), replicates=30), tmp_path, n_workers=1
    )


def rows(catalogue, kind):
    """Rows of every condition, as they are."""
    conditions = catalogue.store.study().conditions
    return [catalogue.read(kind, one.key, None, {}).to_dict("list") for one in conditions]


@pytest.mark.parametrize("kind", ["fits", "parameters", "pairs", "reliability"])
def test_the_conditions_together_are_the_table(store, kind):
    whole, catalogue = store.read(kind), Catalogue(store)
    assert len(whole) > 0
    for condition in store.study().conditions:
        own = whole[whole["condition"] == condition.key].drop(columns="condition")
        found = catalogue.read(kind, condition.key, None, {})
        assert repr(found[own.columns].to_dict("list")) == repr(own.to_dict("list"))


def test_what_was_joined_since_it_was_listed_is_found(store):
    catalogue = Catalogue(store)
    before = repr(rows(catalogue, "parameters"))
    assert compact(store).n_before > compact(store).n_after == 1
    assert repr(rows(catalogue, "parameters")) == before


def test_larger_parts_are_of_few_conditions(store):
    """Else a condition would be read from all of them."""
    size = sum(path.stat().st_size for path in (store.folder / "rows").rglob("*.parquet"))
    n_parts = compact(store, n_bytes=size // 5).n_after
    assert n_parts > 3
    per_part = [store.rows("fits", name)[0]["condition"].unique() for name in store.parts("fits")]
    assert sum(map(len, per_part)) <= n_parts + 3  # one border between every two of four conditions


def test_pairs_of_a_fit_that_was_set_aside_do_not_count(tmp_path):
    run(design(method=TWO[:1]), tmp_path, n_workers=1)
    first = list((tmp_path / "rows" / "fits").iterdir())
    study = design(method=TWO)
    (condition,) = study.conditions

    def n_pairs(store):
        tables = Tables.of(Catalogue(store), study, condition)
        (found,) = measure_pairs(study, condition, tables, set())
        return found.distances["soft_assignment_distance"].n

    assert n_pairs(run(study, tmp_path, n_workers=1)) == 4
    for path in first:
        path.write_bytes(b"damaged")
    assert n_pairs(Store.open(tmp_path)) == 0
    assert n_pairs(run(study, tmp_path, n_workers=1)) == 4


def test_rows_of_a_study_that_was_begun_at_the_same_time_are_not_read(tmp_path):
    mine, other = (run(design(seed=seed), tmp_path / str(seed), n_workers=1) for seed in (11, 12))
    for kind in ("parameters", "fits"):
        for name in other.parts(kind):
            mine.place.write(f"rows/{kind}/{name}", other.place.read(f"rows/{kind}/{name}"))
    (condition,) = mine.study().conditions
    assert len(mine.read("fits")) == 4
    assert Catalogue(mine).read("fits", condition.key, None, {})["seed"].tolist() == ["11"] * 4
