"""Results in an object store: the same rows by the same code, against a real server on this machine."""

import os
import signal
import time

import duckdb
import pyarrow.dataset as ds
import pytest
from moto.server import ThreadedMotoServer

from mixtures.report.page import write_study_report
from mixtures.study.compaction import compact
from mixtures.study.places import Place, beside
from mixtures.study.runner import run
from mixtures.study.store import Store
from study.designs import claim, design, text
from study.tables import all_rows, assert_same_rows

TWO = [{"name": "A", "engine": "halves"}, {"name": "B", "engine": "halves", "noise": 0.1}]


@pytest.fixture(scope="module")
def server():
    """A server that speaks S3, on a port of its own."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def folder(server, monkeypatch, request):
    """URI of a folder that is not there yet."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    options = f"scheme=http&endpoint_override={server}&region=us-east-1&allow_bucket_creation=true"
    Place.of(f"s3://studies?{options}").files.create_dir("studies")
    return f"s3://studies/{request.node.name}?{options}"


def test_a_study_in_an_object_store_is_the_study_on_disk(folder, tmp_path):
    study = design(method=TWO, claim=[claim(method="A")])
    here, there = (run(study, one, n_workers=1) for one in (tmp_path / "here", folder))
    assert_same_rows(all_rows(here), all_rows(there))
    assert there.study() == study
    assert "report.html" in write_study_report(there)
    assert there.place.read("report.html").startswith(b"<!doctype html>")
    seen = []
    run(study, folder, n_workers=1, on_progress=seen.append)
    assert seen[0].n_total == 0


def test_damage_in_an_object_store_is_set_aside_and_computed_again(folder):
    study = design(method=TWO)
    before = all_rows(run(study, folder, n_workers=1))
    store = Store.open(folder)
    name = store.parts("parameters")[0]
    store.place.write(f"rows/parameters/{name}", store.place.read(f"rows/parameters/{name}")[:-1])
    store = run(study, folder, n_workers=1)
    assert len(store.set_aside) == 2  # and its fits, which cannot be without
    assert store.place.names("quarantine/parameters") == [name, f"{name}.txt"]
    assert_same_rows(all_rows(Store.open(folder)), before)


def test_ctrl_c_cuts_no_object_short(folder, monkeypatch):
    """An object store keeps what it has of an object whose writer leaves: nothing, at the worst.

    The write goes on by itself; where Ctrl-C comes as it begins, nobody waits for it.
    """
    place, put = Place.of(folder), Place._put
    place.write("manifest.json", b"before")

    def interrupt_and_put(place, name, content):
        os.kill(os.getpid(), signal.SIGINT)
        put(place, name, content)

    monkeypatch.setattr(Place, "_put", interrupt_and_put)
    with pytest.raises(KeyboardInterrupt):
        place.write("manifest.json", b"behind")
    deadline = time.monotonic() + 10
    while (seen := place.read("manifest.json")) != b"behind":
        assert seen == b"before"
        assert time.monotonic() < deadline


def test_an_object_is_there_with_one_request(folder, caplog):
    """So that nothing of it is left behind where the process is killed."""
    place = Place.of(folder)
    place.write("a", b"before")
    caplog.clear()
    with caplog.at_level("INFO", "werkzeug"):
        place.write("a", b"behind")
    assert [record.getMessage().split('"')[1].split()[0] for record in caplog.records] == ["PUT"]


def test_what_is_gone_is_no_error_of_the_store(folder):
    place = Place.of(folder)
    place.write("here", b"1")
    with pytest.raises(FileNotFoundError):
        place.move("gone", "there")
    place.delete("gone")
    place.move("here", "there")
    assert place.names() == ["there"]


def test_options_stay_behind_the_path():
    place = Place.of("s3://studies/a?region=us-east-1&scheme=http")
    assert place.child("report.html") == "s3://studies/a/report.html?region=us-east-1&scheme=http"
    assert beside("s3://studies/a/?region=us-east-1", "-2") == "s3://studies/a-2?region=us-east-1"
    assert beside("results/what?", "-2") == "results/what?-2"


def test_parts_in_an_object_store_are_joined(folder):
    store = run(design(method=TWO), folder, n_workers=1)
    before = all_rows(store)
    assert compact(store).n_after == 1
    assert len(store.parts("fits")) == 1
    assert_same_rows(all_rows(Store.open(folder)), before)


def test_another_study_is_refused_there_too(folder):
    Store.prepare(folder, text())
    with pytest.raises(ValueError, match="seed was 11 and is 12"):
        Store.prepare(folder, text(seed=12))


def test_a_store_that_does_not_answer_is_named(folder):
    """Nobody listens on port 9 of this machine."""
    gone = folder.split("?")[0] + "?scheme=http&endpoint_override=127.0.0.1:9&connect_timeout=1"
    with pytest.raises(ValueError, match="s3://studies") as caught:
        Store.prepare(gone, text())
    assert "must be" in str(caught.value)


def test_a_uri_that_is_none_is_named():
    with pytest.raises(ValueError, match="s3://: the URI must be one of a folder"):
        Store.open("s3://")
    with pytest.raises(ValueError, match="nowhere://x: the URI must be one of a folder"):
        Store.open("nowhere://x")


def test_rows_are_read_by_duckdb_and_arrow_as_they_lie_there(tmp_path):
    store = run(design(method=TWO), tmp_path, n_workers=1)
    fits, pattern = store.read("fits"), str(tmp_path / "rows" / "fits" / "*.parquet")
    query = (
        "select method, count(distinct (condition, replicate)), avg(kl) from read_parquet(?) group by method"
    )
    found = {method: (n, kl) for method, n, kl in duckdb.execute(query, [pattern]).fetchall()}
    for method, its in fits.groupby("method"):
        assert found[method] == (len(its), pytest.approx(its["kl"].mean()))
    assert ds.dataset(tmp_path / "rows" / "fits").to_table().num_rows == len(fits)
