"""A user's files: what is read, what is left out and counted, what is refused by name."""

import numpy as np
import pandas as pd
import pytest
from oracles import random_mixture

from mixtures.model.data import Dataset, simulate
from mixtures.model.files import read_data, read_mixture, write_data


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes text to a file and gives its path."""

    def write(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    write.path = tmp_path
    return write


TABLE = pd.DataFrame(
    {
        "mass": [3.5, None, 5.0, 4.1, None],
        "length": [190.0, 200.0, None, 210.5, None],
        "count": [1, 2, 3, 4, 5],
        "species": ["b", "a", "b", None, "a"],
    }
)


@pytest.fixture(params=[".csv", ".csv.gz", ".parquet", ".pq"])
def table(request, tmp_path):
    """Return the path of the same table in each format."""
    path = tmp_path / f"table{request.param}"
    if "csv" in request.param:
        TABLE.to_csv(path, index=False)
    else:
        TABLE.to_parquet(path)
    return path


def test_missing_rows_are_left_out_and_counted(table):
    file = read_data(table, ["length", "mass"])
    assert file.dataset.x.tolist() == [[190.0, 3.5], [210.5, 4.1]]
    assert file.rows.tolist() == [0, 3]
    assert (file.n_rows, file.n_missing) == (5, 3)
    assert file.columns == ("length", "mass")
    assert (file.dataset.labels, file.groups) == (None, ())


def test_a_missing_label_keeps_its_row(table):
    file = read_data(str(table), ["mass"], label_column="species")
    assert file.dataset.x[:, 0].tolist() == [3.5, 5.0, 4.1]
    assert file.groups == ("b",)  # of the rows that are kept
    assert file.dataset.labels.tolist() == [0, 0, -1]
    assert file.n_missing == 2


def test_labels_never_change_what_is_fitted(table):
    assert np.array_equal(
        read_data(table, ["mass"]).dataset.x, read_data(table, ["mass"], label_column="species").dataset.x
    )


def test_whole_numbers_and_numeric_groups_are_read(table):
    file = read_data(table, ["count"], label_column="count")
    assert file.dataset.x[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert file.groups == ("1", "2", "3", "4", "5")
    assert file.dataset.labels.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (
            "x\n1\ntwo\n3\nfour\n",
            ["x"],
            r"column 'x' must hold finite numbers; got 'two' in data row 2 and 1 more",
        ),
        ("x\n1\ninf\n", ["x"], r"column 'x' must hold finite numbers; got 'inf' in data row 2"),
        ("x\n1\n-Infinity\n", ["x"], r"column 'x' must hold finite numbers; got '-inf' in data row 2"),
        ("x\nTrue\nFalse\n", ["x"], r"column 'x' must hold numbers; got true and false"),
        ("x,y\nTrue,1\n,2\nFalse,3\n", ["x"], r"column 'x' must hold numbers; got true and false"),
        ("x\n2020-01-01\n", ["x"], r"column 'x' must hold finite numbers; got '2020-01-01' in data row 1"),
        ("x,y\n1,2\n", ["z"], r"column 'z' must be in the file; got x, y"),
        ("x,y\n1,2\n", ["x", "x"], r"columns must be named once each"),
        ("x,y\n1,2\n", [], r"columns must be named once each, at least one; got \[\]"),
        ("x,y\n,2\n1,\n", ["x", "y"], r"x, y must have a complete row; got 2 without"),
        ("x,y\n", ["x"], r"the file must have rows of data; got a header only"),
        ("x,y,x\n1,2,3\n", ["x"], r"column 'x' must be in the file once; got it 2 times"),
        ("x, x\n1,2\n", ["x"], r"column 'x' must be in the file once; got it 2 times"),
        ("x,y,x\n1,2,3\n", ["x.1"], r"column 'x.1' must be in the file; got x, y, x"),
        (
            "x;y\n1;2\n",
            ["x"],
            r"must be a table; its columns must be separated by commas; got the header 'x;y'",
        ),
        ("x;y\n1,5;2,5\n", ["x"], r"its columns must be separated by commas"),
        ("x\ty\n1\t2\n", ["x"], r"its columns must be separated by commas"),
        ("", ["x"], r"the file must be a table"),
        ("x,y\n1,2\n1,2,3,4\n", ["x"], r"the file must be a table"),
        (
            "x,y\n1,2,\n3,4,\n",
            ["x"],
            r"must be a table; its rows have more entries than its header has names",
        ),
    ],
)
def test_bad_files_are_refused_by_name(folder, text, columns, message):
    path = folder("data.csv", text)
    with pytest.raises(ValueError, match=message) as caught:
        read_data(path, columns)
    if "named once" not in message:
        assert str(path) in str(caught.value)


def test_blanks_around_names_and_columns_that_are_not_read_do_not_count(folder):
    path = folder("data.csv", '\ufeffy, x ,"a, b",z,z,\n1,2,3,4,5,\n6,7,8,9,10,\n')
    assert read_data(path, ["x", "a, b", "y"]).dataset.x.tolist() == [[2, 3, 1], [7, 8, 6]]


def test_a_column_to_select_by_must_be_there(table):
    with pytest.raises(ValueError, match="to select rows by: column 'kind' must be in the file; got mass"):
        read_data(table, ["mass"], where=("kind", ["a"]))


@pytest.mark.parametrize("name", ["x.parquet", "x.csv.gz", "x"])
def test_data_are_written_as_csv_alone(tmp_path, name):
    with pytest.raises(ValueError, match=r"a file to write must end in \.csv; got "):
        write_data(tmp_path / name, Dataset([1.0, 2.0]))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_label_column_is_named(folder):
    with pytest.raises(ValueError, match="column 'species' must be in the file; got x"):
        read_data(folder("data.csv", "x\n1\n"), ["x"], label_column="species")


def test_files_that_cannot_be_read_are_named(folder):
    with pytest.raises(ValueError, match=r"nowhere\.csv: the file must exist"):
        read_data(folder.path / "nowhere.csv", ["x"])
    with pytest.raises(ValueError, match=r"data\.xlsx: a data file must end in \.csv"):
        read_data(folder("data.xlsx", "x\n1\n"), ["x"])
    with pytest.raises(ValueError, match=r"data\.parquet: the file must be a table"):
        read_data(folder("data.parquet", "this is no Parquet"), ["x"])
    latin = folder.path / "latin.csv"
    latin.write_bytes("x,größe\n1,2\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.csv: the file must be a table"):
        read_data(latin, ["x"])
    with pytest.raises(ValueError, match=r"the file must exist"):
        read_data(folder.path.rename(folder.path.with_name("folder.csv")), ["x"])


def test_dates_in_parquet_are_no_numbers(tmp_path):
    times = pd.to_datetime(["2020-01-01", None, "2021-01-01"])
    pd.DataFrame({"day": times, "span": times - times[0]}).to_parquet(tmp_path / "times.parquet")
    with pytest.raises(ValueError, match="column 'day' must hold numbers; got dates"):
        read_data(tmp_path / "times.parquet", ["day"])
    with pytest.raises(ValueError, match="column 'span' must hold numbers; got durations"):
        read_data(tmp_path / "times.parquet", ["span"])


@pytest.mark.parametrize("d", [1, 3])
def test_written_data_are_read_back_bit_for_bit(d, tmp_path):
    dataset = simulate(random_mixture(np.random.default_rng(d), 2, d), 3000, 4)
    path = tmp_path / "data.csv"
    write_data(path, dataset)
    columns = ["x"] if d == 1 else ["x1", "x2", "x3"]
    file = read_data(path, columns, label_column="component")
    assert np.array_equal(file.dataset.x, dataset.x)
    assert np.array_equal(file.dataset.labels, dataset.labels)
    assert file.groups == ("1", "2")


def test_data_without_labels_are_written_without(tmp_path):
    write_data(tmp_path / "data.csv", Dataset([1.5, 2.5]))
    assert (tmp_path / "data.csv").read_text() == "x\n1.5\n2.5\n"


def test_a_folder_that_is_not_there_cannot_be_written_to(tmp_path):
    with pytest.raises(ValueError, match=r"data\.csv: the folder .*nowhere must exist; got none"):
        write_data(tmp_path / "nowhere" / "data.csv", Dataset([1.0, 2.0]))


def test_mixtures_are_read_by_ending(folder):
    mixture = random_mixture(np.random.default_rng(5), 2, 2)
    for name, text in (("mixture.toml", mixture.to_toml()), ("mixture.json", mixture.to_json())):
        assert np.array_equal(read_mixture(folder(name, text)).covariances, mixture.covariances)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mixture.yaml", "", r"mixture\.yaml: a mixture file must end in \.toml or \.json; got \.yaml"),
        ("mixture", "", r"must end in \.toml or \.json; got no ending"),
        ("mixture.toml", "weights = ", r"mixture\.toml: a mixture must be valid TOML"),
        ("mixture.json", "{", r"mixture\.json: a mixture must be valid JSON"),
        (
            "mixture.json",
            '{"weights": ["a"], "means": [0], "variances": [1]}',
            r"mixture\.json: weights must hold",
        ),
        (
            "mixture.toml",
            "weights = [0.5]\nmeans = [0]\nvariances = [1]",
            r"mixture\.toml: weights must sum to 1",
        ),
    ],
)
def test_bad_mixture_files_are_refused_by_name(folder, name, text, message):
    with pytest.raises(ValueError, match=message):
        read_mixture(folder(name, text))


def test_a_missing_mixture_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.toml: the file must be readable; No such file"):
        read_mixture(tmp_path / "nowhere.toml")


def test_rows_are_counted_from_the_first_whatever_a_parquet_file_calls_them(tmp_path):
    path = tmp_path / "named.parquet"
    pd.DataFrame({"x": [1.0, None, 3.0]}, index=["a", "b", "c"]).to_parquet(path)
    assert read_data(path, ["x"]).rows.tolist() == [0, 2]
    pd.DataFrame({"x": [1.0, None, 3.0]}, index=[7, 8, 9]).to_parquet(path)
    assert read_data(path, ["x"]).rows.tolist() == [0, 2]


def test_rows_may_be_selected_by_a_column(table):
    file = read_data(table, ["mass"], where=("species", ["b", "a"]), label_column="species")
    assert file.dataset.x[:, 0].tolist() == [3.5, 5.0]
    assert file.rows.tolist() == [0, 2]
    assert (file.n_rows, file.n_excluded, file.n_missing) == (5, 1, 2)
    assert read_data(table, ["count"], where=("species", ["a"])).dataset.x[:, 0].tolist() == [2, 5]


@pytest.mark.parametrize("values", [["c"], ["a", "c"], []])
def test_values_to_select_by_must_occur(table, values):
    with pytest.raises(ValueError, match="column 'species' must hold the values asked for"):
        read_data(table, ["mass"], where=("species", values))


def test_the_row_of_a_wrong_value_is_that_of_the_file(folder):
    path = folder("data.csv", "x,s\n1,a\n2,b\n3,a\ntwo,b\n")
    with pytest.raises(ValueError, match="got 'two' in data row 4"):
        read_data(path, ["x"], where=("s", ["b"]))
