"""Larger parts hold what the smaller ones held, whenever the work is interrupted."""

import pytest

from mixtures.study.compaction import Compaction, compact
from mixtures.study.parts import Part
from mixtures.study.places import Place
from mixtures.study.store import Store
from study.designs import text
from study.test_store import files, rows_of

TABLES = ("fits", "parameters")


@pytest.fixture
def store(tmp_path):
    """Seven parts of ten replicates, some twice."""
    store = Store.prepare(tmp_path / "results", text())
    for replicates in ((0, 1), (2,), (3, 4, 5), (6,), (1, 2), (7, 8), (9,)):
        store.write(Part.of(rows_of(*replicates)))
    return store


def content(store):
    return [store.read(kind).to_dict("list") for kind in TABLES]


def test_one_part_holds_what_seven_held(store):
    before = content(store)
    assert compact(store) == Compaction(7, 1)
    assert [len(store.parts(kind)) for kind in TABLES] == [1, 1]
    opened = Store.open(store.folder)
    assert not opened.set_aside
    assert repr(content(opened)) == repr(before)
    assert sorted(replicate for _, replicate, _ in opened.done()) == list(range(10))
    assert compact(opened) == Compaction(1, 1)


def test_parts_grow_to_the_size_that_is_asked_for(store):
    before, names = repr(content(store)), files(store.folder)
    assert compact(store, n_bytes=1) == Compaction(7, 7)
    assert files(store.folder) == names
    size = sum(path.stat().st_size for path in (store.folder / "rows").rglob("*.parquet"))
    done = compact(store, n_bytes=size // 3)
    assert 2 <= done.n_after <= 4
    assert len(store.parts("fits")) == done.n_after
    assert repr(content(store)) == before


@pytest.mark.parametrize(
    ("what", "call"), [*(("write", i) for i in (1, 2)), *(("delete", i) for i in (1, 2, 3, 9, 14))]
)
def test_nothing_is_lost_or_counted_twice_wherever_it_stops(store, monkeypatch, what, call):
    before, do, n_calls = repr(content(store)), getattr(Place, what), 0

    def stop(place, *arguments):
        nonlocal n_calls
        n_calls += 1
        if n_calls == call:
            raise KeyboardInterrupt
        do(place, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Place, what, stop)
        with pytest.raises(KeyboardInterrupt):
            compact(store)
    opened = Store.open(store.folder)
    assert not opened.set_aside
    assert repr(content(opened)) == before


def test_a_task_that_was_done_twice_stays_together(tmp_path):
    """Its parts differ in the times of their fits alone, and have the files of other tables in common."""
    store = Store.prepare(tmp_path / "results", text())
    for replicates in ((0, 1), (2, 3), (4, 5)):
        rows = rows_of(*replicates)
        store.write(Part.of(rows))
        rows.fits[:] = [row._replace(seconds=9.0) for row in rows.fits]
        store.write(Part.of(rows))
    assert (len(store.parts("fits")), len(store.parts("parameters"))) == (6, 3)
    assert compact(store, n_bytes=1) == Compaction(6, 3)
    opened = Store.open(store.folder)
    assert not opened.set_aside
    for kind in TABLES:
        assert opened.read(kind)["replicate"].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("what", [lambda store: store.read("fits"), lambda store: store.done()])
def test_results_are_read_while_parts_are_joined(store, monkeypatch, what):
    names, joined = Place.names, []

    def names_and_join(place, folder=""):
        found = names(place, folder)
        if folder == "rows/fits" and not joined:
            joined.append(True)
            compact(Store(place))
        return found

    monkeypatch.setattr(Place, "names", names_and_join)
    assert len(what(store)) == 10
