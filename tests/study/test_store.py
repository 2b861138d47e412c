"""Rows to and from disk, and what a results folder accepts."""

import errno
import hashlib
import io
import json
import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mixtures.study.changes import list_changes
from mixtures.study.parts import Part
from mixtures.study.places import Place
from mixtures.study.rows import FitRow, PairRow, ParameterRow, Rows
from mixtures.study.store import Store
from mixtures.study.summary import summarise
from study.designs import CLOSE, PRIOR, claim, design, grid, text, truth

_replace = os.replace


def fit_row(replicate=0, **changes):
    known = {
        "condition": "c",
        "replicate": replicate,
        "method": "m",
        "status": "converged",
        "has_estimate": True,
        "message": "",
        "warnings": "",
        "error_type": "",
        "seconds": 0.1,
        "data_hash": "0",
        "seed": "11",
        "host": "here",
        "worker": 1,
        "kl": 0.1 + replicate,
    }
    return FitRow(**known | changes)


def parameter_row(replicate=0):
    return ParameterRow(
        condition="c",
        replicate=replicate,
        method="m",
        parameter="means",
        component=1,
        axis=1,
        truth=1 / 3,
        estimate=0.1 + 0.2,
        standard_error=None,
        lower=None,
        upper=None,
    )


def rows_of(*replicates, pairs=False):
    rows = Rows.empty()
    if pairs:
        rows.pairs.extend(PairRow("c", i, "m", "n", False, 0.1, 0.1, 0.1, 0.1) for i in replicates)
    rows.fits.extend(fit_row(index) for index in replicates)
    rows.parameters.extend(parameter_row(index) for index in replicates)
    return rows


def files(folder):
    """Name every file of a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def store(tmp_path):
    return Store.prepare(tmp_path / "results", text())


def test_a_new_folder_holds_the_study_and_where_it_ran(store):
    run_file, *others = sorted(files(store.folder), key=lambda name: not name.startswith("runs/"))
    assert run_file.startswith("runs/")
    assert others == ["manifest.json", "study.toml"]
    assert store.study() == design()
    manifest = store.manifest()
    assert manifest["schema_version"] == 2
    (run,) = manifest["runs"]
    assert {"python", "platform", "processors", "created"} <= run.keys()
    assert run["packages"]["numpy"] == np.__version__
    assert Store.open(store.folder).study() == design()


@pytest.mark.parametrize("kind", ["fits", "parameters", "pairs", "reliability", "examples"])
def test_a_table_without_rows_is_empty_but_has_its_columns(store, kind):
    frame = store.read(kind)
    assert len(frame) == 0
    assert {"condition", "replicate", "method"} <= set(frame.columns)


def test_rows_come_back_bit_for_bit(store):
    store.write(Part.of(rows_of(0, 1)))
    fits, parameters = store.read("fits"), store.read("parameters")
    assert fits["kl"].tolist() == [0.1, 1.1]
    assert fits["hellinger"].isna().all()
    assert parameters["truth"].tolist() == [1 / 3, 1 / 3]
    assert parameters["estimate"].tolist() == [0.1 + 0.2] * 2
    assert parameters["lower"].isna().all()
    assert set(store.done()) == {("c", 0, "m"), ("c", 1, "m")}


def test_nothing_that_is_not_finite_is_lost(store):
    rows = Rows.empty()
    rows.fits.append(fit_row(kl=float("inf"), seconds=float("nan")))
    store.write(Part.of(rows))
    frame = store.read("fits")
    assert frame["kl"].tolist() == [float("inf")]
    assert frame["seconds"].isna().all()


def test_a_row_counts_once_however_often_it_was_computed(store):
    store.write(Part.of(rows_of(0, 1)))
    store.write(Part.of(rows_of(0)))
    store.write(Part.of(rows_of(1, 2)))
    assert len(list((store.folder / "rows" / "fits").iterdir())) == 3
    assert sorted(store.read("fits")["replicate"]) == [0, 1, 2]
    assert sorted(store.read("parameters")["replicate"]) == [0, 1, 2]


def test_the_same_rows_are_the_same_part(store):
    store.write(Part.of(rows_of(0, 1)))
    before = files(store.folder)
    store.write(Part.of(rows_of(0, 1)))
    assert files(store.folder) == before


def test_pairs_are_known_by_both_methods(store):
    rows = rows_of(0)
    rows.pairs.append(
        PairRow(
            condition="c",
            replicate=0,
            method="m",
            versus="l",
            is_ambiguous=False,
            soft_assignment_distance=0.0,
            kl=0.0,
            largest_difference=0.0,
            hard_assignment_disagreement=0.0,
        )
    )
    store.write(Part.of(rows))
    assert set(store.has_pair()) == {("c", 0, "m", "l")}


# When the disk fails ----------------------------------------------------------------------------


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("what", ["replace", "fsync"])
def test_a_write_that_fails_leaves_nothing(store, monkeypatch, what):
    store.write(Part.of(rows_of(0)))
    before = files(store.folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, what, full_disk)
        with pytest.raises(OSError, match="No space left"):
            store.write(Part.of(rows_of(1)))
    assert files(store.folder) == before
    assert set(store.done()) == {("c", 0, "m")}


def test_an_interrupted_write_leaves_nothing(store, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    before = files(store.folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.write(Part.of(rows_of(1)))
    assert files(store.folder) == before


def test_a_fit_counts_only_when_everything_of_it_is_stored(store, monkeypatch):
    def fail_at_fits(source, target):
        if "/fits/" in target:
            full_disk()
        _replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail_at_fits)
        with pytest.raises(OSError, match="No space left"):
            store.write(Part.of(rows_of(0)))
    assert len(store.parts("parameters")) == 1
    assert set(store.done()) == set()
    assert store.read("parameters").empty
    store.write(Part.of(rows_of(0)))
    assert len(store.read("parameters")) == len(store.read("fits")) == 1


@pytest.mark.parametrize("call", [1, 2, 3])
def test_heads_that_cannot_be_written_do_not_bar_the_folder(tmp_path, monkeypatch, call):
    """A disk that was full when the study began may be emptied, and the same command given again."""
    n_calls = 0

    def fail_once(source, target):
        nonlocal n_calls
        n_calls += 1
        if n_calls == call:
            full_disk()
        _replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail_once)
        with pytest.raises(ValueError, match="the folder must be writable; No space left"):
            Store.prepare(tmp_path / "results", text())
    assert not any(name.startswith(".") for name in files(tmp_path / "results"))
    assert Store.prepare(tmp_path / "results", text()).study() == design()


# Parts that are not whole -----------------------------------------------------------------------


def part_of(store, kind="fits"):
    (part,) = (store.folder / "rows" / kind).iterdir()
    return part


def quarantined(store):
    """Names and notes of what lies in quarantine, by table."""
    found = {}
    for note in (store.folder / "quarantine").rglob("*.txt"):
        assert note.with_suffix("").is_file()  # never deleted
        found[note.parent.name] = note.read_text(encoding="utf-8")
    return found


def damage_of(keep):
    """How to damage a file: bytes kept of it, a share of them, or one bit turned."""

    def damage(content):
        if keep == "bit":
            middle = len(content) // 2
            return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        return content[: int(keep * len(content)) if isinstance(keep, float) else keep]

    return damage


@pytest.mark.parametrize("kind", ["fits", "parameters"])
@pytest.mark.parametrize("keep", [0, 3, 0.5, -1, "bit"])
def test_a_damaged_part_is_set_aside_and_its_fits_are_missing(store, kind, keep):
    store.write(Part.of(rows_of(0)))
    part = part_of(store, kind)
    store.write(Part.of(rows_of(1)))
    content = damage_of(keep)(part.read_bytes())
    part.write_bytes(content)
    opened = Store.open(store.folder)
    assert set(opened.done()) == {("c", 1, "m")}
    notes = quarantined(store)
    assert "checksum" in notes[kind]
    if kind == "parameters":
        assert "its parameters are damaged or gone" in notes["fits"]
    assert (store.folder / "quarantine" / kind / part.name).read_bytes() == content
    assert len(opened.set_aside) == len(notes) == (1 if kind == "fits" else 2)
    assert not Store.open(store.folder).set_aside
    store.write(Part.of(rows_of(0)))  # computed again
    opened = Store.open(store.folder)
    assert not opened.set_aside
    assert (
        opened.read("fits")["replicate"].tolist() == opened.read("parameters")["replicate"].tolist() == [0, 1]
    )


class Trap:
    """What runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_is_run_that_lies_in_a_results_folder(store, tmp_path):
    store.write(Part.of(rows_of(0)))
    content = pickle.dumps(Trap(tmp_path / "sprung"))
    digest = hashlib.sha256(content).hexdigest()[:16]
    for name in (f"{'0' * 16}-{digest}.parquet", "rows.pkl"):
        store.place.write(f"rows/fits/{name}", content)
    opened = Store.open(store.folder)
    assert len(opened.set_aside) == 1
    assert len(opened.read("fits")) == 1
    assert summarise(opened).accounts
    store.place.write("runs/run.json", content)
    with pytest.raises(ValueError, match="runs: each file must tell of a run"):
        Store.open(store.folder)
    assert not (tmp_path / "sprung").exists()
    pickle.loads(content)
    assert (tmp_path / "sprung").is_dir()  # as it would have been


def test_the_same_damage_twice_deletes_nothing(store):
    for _ in range(2):
        store.write(Part.of(rows_of(0)))
        part_of(store).write_bytes(b"")
        assert len(Store.open(store.folder).set_aside) == 1
    assert len(list((store.folder / "quarantine" / "fits").iterdir())) == 4


def test_damage_that_comes_while_results_are_read_is_named(store):
    store.write(Part.of(rows_of(0)))
    part = part_of(store)
    part.write_bytes(b"")
    with pytest.raises(ValueError, match="the part of the results must be whole; its bytes") as caught:
        store.read("fits")
    assert str(part) in str(caught.value)


def test_damage_that_cannot_be_moved_is_named(store, monkeypatch):
    store.write(Part.of(rows_of(0)))
    part_of(store).write_bytes(b"")
    monkeypatch.setattr(Place, "move", full_disk)
    with pytest.raises(ValueError, match="cannot be moved to quarantine: No space left"):
        Store.open(store.folder)


def rename_after(content):
    """Name a file as if it were meant to hold these bytes."""
    return f"{'0' * 16}-{hashlib.sha256(content).hexdigest()[:16]}.parquet"


def rewritten(store, kind, change):
    """Replace the part of a table by another, whole in itself."""
    part = part_of(store, kind)
    sink = io.BytesIO()
    pq.write_table(change(pq.read_table(part)), sink)
    part.unlink()
    part.with_name(rename_after(sink.getvalue())).write_bytes(sink.getvalue())


def test_a_part_of_another_table_is_set_aside(store):
    store.write(Part.of(rows_of(0)))
    parameters = pq.read_table(part_of(store, "parameters"))
    rewritten(store, "fits", lambda _: parameters)
    assert not set(Store.open(store.folder).done())
    assert "its columns are not those of fits" in quarantined(store)["fits"]


def test_columns_younger_than_a_part_are_missing_in_it(store):
    store.write(Part.of(rows_of(0)))
    rewritten(store, "fits", lambda rows: rows.drop_columns(["soft_coverage", "soft_interval_width"]))
    rows = rows_of(1)
    rows.fits[0] = fit_row(1, soft_coverage=0.9)
    store.write(Part.of(rows))
    store = Store.open(store.folder)
    frame = store.read("fits").set_index("replicate")
    assert np.isnan(frame.loc[0, "soft_coverage"])
    assert frame.loc[1, "soft_coverage"] == 0.9
    assert frame.loc[0, "kl"] == 0.1
    assert set(store.done()) == {("c", 0, "m"), ("c", 1, "m")}


def test_a_column_that_must_be_there_is_missed(store):
    store.write(Part.of(rows_of(0)))
    rewritten(store, "fits", lambda rows: rows.drop_columns(["seconds"]))
    assert len(Store.open(store.folder).set_aside) == 1


def test_a_fit_whose_parameters_are_lost_is_missing(store):
    without = Rows.empty()
    without.fits.append(fit_row(2, has_estimate=False))
    for rows in (rows_of(0, 1), without):
        store.write(Part.of(rows))
    shutil.rmtree(store.folder / "rows" / "parameters")
    assert set(Store.open(store.folder).done()) == {("c", 2, "m")}  # which never had any
    store.write(Part.of(rows_of(1)))
    assert set(Store.open(store.folder).done()) == {("c", 1, "m"), ("c", 2, "m")}


def test_what_a_writer_left_that_was_killed_before_fits_is_no_damage(store):
    """Nor is it counted: the rows are there again with their fits, once."""
    part = Part.of(rows_of(0))
    for (kind, name), content in part.files.items():
        if kind != "fits":
            store.place.write(f"rows/{kind}/{name}", content)
    opened = Store.open(store.folder)
    assert (opened.set_aside, set(opened.done())) == ((), set())
    store.write(Part.of(rows_of(0, 1)))
    assert Store.open(store.folder).read("parameters")["replicate"].tolist() == [0, 1]


def test_a_part_that_another_process_writes_meanwhile_is_no_damage(store, monkeypatch):
    """Its parameters came after theirs were listed, so its fits must not have been listed before."""
    part, names = Part.of(rows_of(0)), Place.names

    def names_while_written(place, folder=""):
        found = names(place, folder)
        if folder == "rows/parameters" and not found:
            store.write(part)
        return found

    monkeypatch.setattr(Place, "names", names_while_written)
    assert not Store.open(store.folder).set_aside
    assert set(store.done()) == {("c", 0, "m")}


def test_a_fit_that_one_run_lost_and_another_finished_is_finished(store):
    """Its parameters are there, so its row must be the one with an estimate, however files are called."""
    for replicate in range(8):
        lost = Rows.empty()
        lost.fits.append(fit_row(replicate, status="worker_lost", has_estimate=False))
        for rows in (lost, rows_of(replicate)):
            store.write(Part.of(rows))
    assert store.read("fits")["status"].tolist() == ["converged"] * 8


def test_a_part_that_another_process_sets_aside_first_is_no_error(store, monkeypatch):
    store.write(Part.of(rows_of(0)))
    part_of(store).write_bytes(b"")
    move = Place.move

    def move_twice(place, name, to):
        move(place, name, f"{to}-by-another")
        move(place, name, to)

    monkeypatch.setattr(Place, "move", move_twice)
    assert len(Store.open(store.folder).set_aside) == 1
    assert not Store.open(store.folder).set_aside


def test_another_shard_may_begin_at_the_same_time(tmp_path, monkeypatch):
    """Here it writes its heads just as this one looks whether the folder is free."""
    names, begun = Place.names, []

    def names_once_begun(place, folder=""):
        if not begun:
            begun.append(True)
            Store.prepare(tmp_path / "results", text())
        return names(place, folder)

    monkeypatch.setattr(Place, "names", names_once_begun)
    assert Store.prepare(tmp_path / "results", text()).study() == design()


def test_writers_of_one_file_do_not_disturb_each_other(tmp_path):
    """Threads share the number of their process, as may processes of machines that share a folder."""
    place, contents = Place.of(tmp_path), [bytes([i]) * 200_000 for i in range(4)]

    def write(content):
        for _ in range(25):
            place.write("rows/file", content)
            assert place.read("rows/file") in contents

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, contents))
    assert place.names("rows") == ["file"]


def test_temporary_files_of_a_killed_writer_are_no_parts(store):
    store.write(Part.of(rows_of(0)))
    part = part_of(store)
    (part.parent / f".{part.name}.123").write_bytes(b"half")
    assert set(store.done()) == {("c", 0, "m")}


# Folders of others ------------------------------------------------------------------------------


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must hold results of a study; got none"):
        Store.open(tmp_path)
    with pytest.raises(ValueError, match="must hold results of a study; got none"):
        Store.open(tmp_path / "missing")


def test_a_newer_schema_is_refused(store):
    manifest = store.manifest() | {"schema_version": 3}
    (store.folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    for go_on in (lambda: Store.open(store.folder), lambda: Store.prepare(store.folder, text())):
        with pytest.raises(ValueError, match="must be of schema version 2; got 3"):
            go_on()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "must be valid JSON"),
        ("[]", "must hold an object"),
        ("{}", "got None"),
        ('{"schema_version": 1}', "must be of schema version 2; got 1"),
        ('{"schema_version": 2}', "the file must hold claims; got None"),
    ],
)
def test_a_damaged_manifest_is_named(store, content, message):
    (store.folder / "manifest.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        Store.open(store.folder)
    assert str(store.folder / "manifest.json") in str(caught.value)


@pytest.mark.parametrize("name", ["thesis.tex", "manifest.json", ".profile"])
def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path, name):
    (tmp_path / name).write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="must be empty or hold results of the study; got other files"):
        Store.prepare(tmp_path, text())
    assert files(tmp_path) == [name]


def test_an_empty_folder_is_taken(tmp_path):
    assert Store.prepare(tmp_path, text()).study() == design()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="the folder must be writable; ") as caught:
        Store.prepare(tmp_path / "file" / "results", text())
    assert str(tmp_path / "file" / "results") in str(caught.value)
    with pytest.raises(ValueError, match="the folder must be writable; "):
        Store.prepare(tmp_path / "file", text())


# What may change, and what may not --------------------------------------------------------------

BEFORE = {
    "grid": grid(truth(), n=[40, 80]),
    "method": [
        {"name": "A", "engine": "halves", "noise": 0.5},
        {"name": "B", "engine": "em", "replicates": 9},
    ],
    "claim": [claim()],
}
CHANGES = {
    "name": ({"name": "other"}, "name was 'trial' and is 'other'"),
    "seed": ({"seed": 12}, "seed was 11 and is 12"),
    "covariance": ({"covariance": "tied"}, "covariance was 'full' and is 'tied'"),
    "fewer replicates": ({"replicates": 3}, "replicates were 4 and are 3"),
    "fewer replicates of a method": (
        {"method": [BEFORE["method"][0], {"name": "B", "engine": "em", "replicates": 8}]},
        "method 'B': replicates were 9 and are 8",
    ),
    "fewer replicates of a method by default": (
        {"method": [BEFORE["method"][0] | {"replicates": 2}, BEFORE["method"][1]]},
        "method 'A': replicates were 4 and are 2",
    ),
    "lost n": ({"grid": grid(truth(), n=[80])}, "grid.n has lost 40"),
    "truth": (
        {"grid": grid(truth(means=[0.0, 6.0]), n=[40, 80])},
        "grid.truth 'apart': means was [0.0, 5.0] and is [0.0, 6.0]",
    ),
    "truth gone": ({"grid": grid(CLOSE, n=[40, 80]), "claim": [claim()]}, "grid.truth 'apart' is gone"),
    "setting": (
        {"method": [BEFORE["method"][0] | {"noise": 0.4}, BEFORE["method"][1]]},
        "method 'A': noise was 0.5 and is 0.4",
    ),
    "setting gone": (
        {"method": [{"name": "A", "engine": "halves"}, BEFORE["method"][1]]},
        "method 'A': noise was 0.5 and is None",
    ),
    "engine": (
        {"method": [BEFORE["method"][0] | {"engine": "raising"}, BEFORE["method"][1]]},
        "method 'A': engine was 'halves' and is 'raising'",
    ),
    "method gone": ({"method": BEFORE["method"][:1]}, "method 'B' is gone"),
    "bound": (
        {"claim": [claim(between=[-0.6, 0.5])]},
        "claim 'means': between was [-0.5, 0.5] and is [-0.6, 0.5]",
    ),
    "claim's place": ({"claim": [claim(n=[40])]}, "claim 'means': n was None and is [40]"),
    "claim gone": ({"claim": None}, "claim 'means' is gone"),
}


def test_another_label_rule_is_refused(tmp_path):
    drawn = {"grid": grid(PRIOR)}
    Store.prepare(tmp_path, text(**drawn))
    with pytest.raises(ValueError, match="label_rule was 'ordering' and is 'reference'"):
        Store.prepare(tmp_path, text(**drawn, label_rule="reference"))


@pytest.mark.parametrize(("changes", "message"), CHANGES.values(), ids=CHANGES)
def test_a_changed_value_is_refused_with_what_changed(tmp_path, changes, message):
    store = Store.prepare(tmp_path, text(**BEFORE))
    with pytest.raises(ValueError, match="must be of the same study, which may only grow") as caught:
        Store.prepare(tmp_path, text(**BEFORE | changes))
    assert message in str(caught.value)
    assert str(caught.value).count(";") == 1
    assert "give another folder" in str(caught.value)
    assert store.study() == design(**BEFORE)


def test_changed_components_are_refused():
    drawn = {
        "grid": grid(
            {
                "name": "p",
                "prior": {
                    "weights": {"dirichlet": 1},
                    "means": {"normal": [0, 1]},
                    "sds": {"half_normal": 1},
                },
            }
        )
    }
    assert list_changes(design(**drawn), design(**drawn, components=3)) == ["components was 2 and is 3"]


def test_every_change_is_named(tmp_path):
    Store.prepare(tmp_path, text(**BEFORE))
    with pytest.raises(ValueError) as caught:  # noqa: PT011  its words are what is tested
        Store.prepare(tmp_path, text(**BEFORE | {"seed": 12, "replicates": 2, "claim": None}))
    for change in ("seed was", "replicates were", "claim 'means' is gone"):
        assert change in str(caught.value)


GROWTH = {
    "nothing": {},
    "words": {"title": "Another", "aims": "To try again."},
    "replicates": {"replicates": 40},
    "replicates of a method": {
        "method": [BEFORE["method"][0] | {"replicates": 5}, BEFORE["method"][1] | {"replicates": 10}]
    },
    "n": {"grid": grid(truth(), n=[20, 40, 80])},
    "truth": {"grid": grid(CLOSE, truth(), n=[80, 40])},
    "method": {"method": [{"name": "C", "engine": "raising"}, *BEFORE["method"][::-1]]},
    "claim": {"claim": [claim(id="new", between=[0.0, 1.0]), claim()]},
    "whole numbers": {"grid": grid(truth(means=[0, 5]), n=[40, 80])},
}


@pytest.mark.parametrize("changes", GROWTH.values(), ids=GROWTH)
def test_a_study_may_grow(tmp_path, changes):
    Store.prepare(tmp_path, text(**BEFORE))
    grown = Store.prepare(tmp_path, text(**BEFORE | changes))
    assert grown.study() == design(**BEFORE | changes)


def test_the_time_of_a_claim_is_kept(tmp_path):
    store = Store.prepare(tmp_path, text(claim=[claim()]))
    first = store.manifest()["claims"]
    assert first["means"]["fits_before"] == 0
    store.write(Part.of(rows_of(0, 1, 2)))
    Store.prepare(tmp_path, text(claim=[claim(), claim(id="late")]))
    claims = store.manifest()["claims"]
    assert claims["means"] == first["means"]
    assert claims["late"]["fits_before"] == 3
    assert pd.Timestamp(claims["late"]["made"]).tz is not None


# A stored study that was edited by hand ---------------------------------------------------------

TAMPERING = {
    "seed": ({"seed": 12}, "name, seed, components, covariance or label_rule is not what was run"),
    "name": ({"name": "other"}, "name, seed, components, covariance or label_rule is not what was run"),
    "covariance": (
        {"covariance": "tied"},
        "name, seed, components, covariance or label_rule is not what was run",
    ),
    "bound": ({"claim": [claim(between=[-0.6, 0.5])]}, "claim 'means' is not what was claimed"),
    "claim's place": ({"claim": [claim(n=[40])]}, "claim 'means' is not what was claimed"),
    "claim gone": ({"claim": None}, "claim 'means' is gone"),
}


@pytest.mark.parametrize(("changes", "message"), TAMPERING.values(), ids=TAMPERING)
def test_a_stored_study_that_was_edited_is_refused(tmp_path, changes, message):
    store = Store.prepare(tmp_path, text(**BEFORE))
    edited = text(**BEFORE | changes)
    (tmp_path / "study.toml").write_text(edited, encoding="utf-8")
    with pytest.raises(ValueError, match="the file must be as the study was run; ") as caught:
        Store.open(tmp_path)
    assert message in str(caught.value)
    assert str(tmp_path / "study.toml") in str(caught.value)
    with pytest.raises(ValueError, match="must be of the same study, which may only grow; ") as caught:
        Store.prepare(tmp_path, edited)
    assert message in str(caught.value)
    (tmp_path / "study.toml").write_text(text(**BEFORE), encoding="utf-8")
    assert Store.open(tmp_path) == store


def test_a_claim_added_by_hand_is_refused_until_it_is_run_as_post_hoc(tmp_path):
    store = Store.prepare(tmp_path, text(claim=[claim()]))
    store.write(Part.of(rows_of(0)))
    edited = text(claim=[claim(), claim(id="late")])
    (tmp_path / "study.toml").write_text(edited, encoding="utf-8")
    with pytest.raises(ValueError, match="claim 'late' was added by hand"):
        Store.open(tmp_path)
    Store.prepare(tmp_path, edited)
    assert Store.open(tmp_path).manifest()["claims"]["late"]["fits_before"] == 1


def test_words_and_additions_may_be_edited(tmp_path):
    Store.prepare(tmp_path, text(**BEFORE))
    edited = text(**BEFORE | {"title": "Another", "replicates": 9, "claim": [claim(text="In other words.")]})
    (tmp_path / "study.toml").write_text(edited, encoding="utf-8")
    assert Store.open(tmp_path).study().title == "Another"


def test_rows_of_a_study_with_another_seed_are_set_aside(store):
    """Two studies that are begun at once on one folder may both find it empty."""
    store.write(Part.of(rows_of(0)))
    rows = rows_of(1)
    rows.fits[:] = [row._replace(seed="12") for row in rows.fits]
    store.write(Part.of(rows))
    opened = Store.open(store.folder)
    assert len(opened.set_aside) == 1
    assert opened.set_aside[0].endswith("its rows are those of another study, whose seed is not 11")
    assert opened.read("fits")["replicate"].tolist() == [0]
    assert opened.read("parameters")["replicate"].tolist() == [0]


def test_another_study_that_is_begun_at_the_same_time_is_noticed(tmp_path, monkeypatch):
    write = Place.write

    def write_and_be_overwritten(place, name, content):
        write(place, name, content)
        if name == "study.toml":
            write(place, name, text(seed=12).encode())

    monkeypatch.setattr(Place, "write", write_and_be_overwritten)
    with pytest.raises(ValueError, match="seed was 12 and is 11"):
        Store.prepare(tmp_path, text())


def test_rows_without_their_fit_are_not_read_nor_their_pairs_known(store):
    """A run that is killed between two files of a part leaves the first behind."""
    part = Part.of(rows_of(0, pairs=True))
    assert [kind for kind, _ in part.files] == ["parameters", "pairs", "fits"]
    for (kind, name), content in [*part.files.items()][:2]:
        store.place.write(f"rows/{kind}/{name}", content)
    assert store.parts("pairs")
    assert (len(store.done()), len(store.has_pair())) == (0, 0)
    assert store.read("parameters").empty
    store.write(part)
    assert (len(store.done()), len(store.has_pair())) == (1, 1)
    assert len(store.read("parameters")) == len(store.read("pairs")) == 1


def test_a_disk_that_fails_between_the_heads_of_a_grown_study_does_not_bar_the_folder(tmp_path, monkeypatch):
    Store.prepare(tmp_path, text(claim=[claim()]))
    grown = text(claim=[claim(), claim(id="late")])

    def fail_at_study(source, target):
        if target.endswith("study.toml"):
            full_disk()
        _replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail_at_study)
        with pytest.raises(ValueError, match="must be writable"):
            Store.prepare(tmp_path, grown)
    Store.prepare(tmp_path, grown)
    assert set(Store.open(tmp_path).manifest()["claims"]) == {"means", "late"}


def test_the_rows_of_one_replicate_are_read_alone(tmp_path):
    store = Store.prepare(tmp_path, text())
    for replicates in ((0, 1), (2, 3)):
        store.write(Part.of(rows_of(*replicates)))
    assert store.read("fits", condition="c", replicate=2)["replicate"].tolist() == [2]
    assert store.read("parameters", condition="c", replicate=1)["replicate"].tolist() == [1]
    assert store.read("fits", condition="d", replicate=2).empty
    own = store.read("fits", condition="c", replicate=2)
    assert own.columns.tolist() == store.read("fits").columns.tolist()
