"""Exports by URL."""

import pytest

import OneNB

fsspec = pytest.importorskip("fsspec")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def _registered():
    """Registers the file system as the wheel's entry points do, and returns it."""
    from OneNB._fsspec import OneNBFileSystem

    for protocol in OneNBFileSystem.protocol:
        fsspec.register_implementation(protocol, OneNBFileSystem, clobber=True)
    OneNBFileSystem.clear_instance_cache()
    return fsspec.filesystem("onenb")


@pytest.fixture
def pushed(pushing):
    """A repository with a tag on its remote."""
    _registered()
    with OneNB.export("Sales").open(suffix=".csv") as file:
        file.write("a,b\n1,2\n")
    for year in (2023, 2024):
        with OneNB.export("Report", {"year": year, "foo": "a b"}).open(suffix=".csv") as file:
            file.write(f"year\n{year}\n")
    pushing.commit(tag="v1")
    pushing.run("git", "tag", "pkg@1.0/rc")
    pushing.onenb("push")
    return pushing


def test_a_tag_is_a_directory_of_exports(pushed, remote):
    for protocol, repo in (("onenb", "my-repo"), ("onenb+file", f"file://{remote}")):
        system = fsspec.filesystem(protocol)
        assert f"{repo}@v1" in system.ls(repo, detail=False)
        assert f"{repo}@pkg%401.0%2Frc" in system.ls(repo, detail=False)
        names = [name.removeprefix(f"{repo}@v1/") for name in system.ls(f"{repo}@v1", detail=False)]
        assert sorted(names) == ["Report?foo=a%20b&year=2023", "Report?foo=a%20b&year=2024", "Sales"]
        info = system.info(f"{repo}@v1/Sales")
        assert (info["type"], info["size"], info["suffix"]) == ("file", 8, ".csv")
        assert system.isdir(f"{repo}@v1") and not system.isdir(f"{repo}@v1/Sales")
        assert system.exists(f"{repo}@pkg%401.0%2Frc/Sales") and not system.exists(f"{repo}@v2/Sales")
        assert sorted(system.find(f"{repo}@v1")) == sorted(system.ls(f"{repo}@v1", detail=False))


def test_urls_open_whole_and_in_part(pushed, remote):
    with fsspec.open("onenb://my-repo@v1/Sales") as file:
        assert file.read() == b"a,b\n1,2\n"
    with fsspec.open(f"onenb+file://{remote}@v1/Report?year=2024&foo=a%20b", "rt") as file:
        assert file.read() == "year\n2024\n"
    system = fsspec.filesystem("onenb")
    assert system.cat_file("my-repo@v1/Sales", 4, 7) == b"1,2"
    assert system.cat_file("my-repo@v1/Sales", -4) == b"1,2\n"
    assert system.glob("my-repo@v1/Sal*") == ["my-repo@v1/Sales"]


def test_nothing_is_written_and_what_is_missing_is_not_found(pushed):
    with pytest.raises(OSError), fsspec.open("onenb://my-repo@v1/New", "wb") as file:
        file.write(b"x")
    system = fsspec.filesystem("onenb")
    for act in (system.rm, system.mkdir, system.touch):
        with pytest.raises(OSError):
            act("my-repo@v1/Sales")
    with pytest.raises(FileNotFoundError):
        system.open("my-repo@v1/Nothing")
    with pytest.raises(FileNotFoundError):
        system.ls("my-repo@v9")


def test_pandas_reads_a_url(pushed):
    pandas = pytest.importorskip("pandas")
    assert pandas.read_csv("onenb://my-repo@v1/Report?year=2023&foo=a%20b")["year"].tolist() == [2023]


def test_whatever_is_listed_opens(pushing, tmp_path):
    system = _registered()
    odd = {"mail": "a@b.com", "path": "a/b", "list": [1, "a@b/c"], "star": "*?[x]", "per": "50%", "plain": "x"}
    for key, value in odd.items():
        with OneNB.export("S", {key: value}).open(suffix=".txt") as file:
            file.write(key)
    members = ["logo@2x.png", "img@2x/a b?x=1.txt", "x[1].txt", "50%25.txt", "star*.txt", "a::b.txt", "plain/é.txt"]
    with OneNB.export("D").directory() as folder:
        for member in members:
            path = folder / member
            path.parent.mkdir(exist_ok=True)
            path.write_text(member)
    pushing.commit(tag="v1@x/y")
    pushing.onenb("push")
    (tag,) = [name for name in system.ls("my-repo", detail=False) if "v1" in name]
    found = system.find(tag)
    assert sorted(system.cat(found).values()) == sorted(text.encode() for text in [*odd, *members])
    for path in found:
        assert system.cat_file(path) and system.info(path)["name"] == path and system.isfile(path)
        assert system.glob(path) == [path]
        with fsspec.open(f"onenb://{path}") as file:
            assert file.read()
    system.get(f"{tag}/D", str(tmp_path / "copy"), recursive=True)
    copied = [path.read_text() for path in (tmp_path / "copy").rglob("*") if path.is_file()]
    assert sorted(copied) == sorted(members)


def test_other_libraries_read_by_url_or_file_system(pushed):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import csv, parquet

    duckdb, polars = pytest.importorskip("duckdb"), pytest.importorskip("polars")
    table = pyarrow.table({"a": list(range(1000)), "b": ["x"] * 1000})
    with OneNB.export("Table").open(suffix=".parquet") as file:
        parquet.write_table(table, file, row_group_size=100)
    pushed.commit(tag="v2")
    pushed.onenb("push")
    url, system = "onenb://my-repo@v2/Table", fsspec.filesystem("onenb")
    connection = duckdb.connect()
    connection.register_filesystem(system)
    assert connection.execute(f"select sum(a), count(b) from read_parquet('{url}')").fetchall() == [(499500, 1000)]
    assert connection.execute("select * from read_csv('onenb://my-repo@v2/Sales')").fetchall() == [(1, 2)]
    read = parquet.read_table("my-repo@v2/Table", filesystem=system, columns=["a"])
    assert read["a"].to_pylist() == list(range(1000))
    assert csv.read_csv(system.open("my-repo@v2/Sales")).num_rows == 1
    # Polars opens URLs by its own means; what fsspec opened it reads.
    with fsspec.open(url) as file:
        assert polars.read_parquet(file)["a"].sum() == 499500


def test_dask_reads_a_table_by_url(pushed):
    frames = pytest.importorskip("dask.dataframe")
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    with OneNB.export("Table").open(suffix=".parquet") as file:
        parquet.write_table(pyarrow.table({"a": list(range(1000))}), file, row_group_size=100)
    pushed.commit(tag="v2")
    pushed.onenb("push")
    url = "onenb://my-repo@v2/Table"
    assert frames.read_parquet(url)["a"].sum().compute(scheduler="threads") == 499500
    assert frames.read_csv("onenb://my-repo@v2/Sales", blocksize=None)["b"].sum().compute(scheduler="threads") == 2


def test_xarray_reads_a_file_and_a_directory_by_url(pushed, tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf"), pytest.importorskip("zarr")
    grid = xarray.Dataset({"height": (("y", "x"), [[1.5, 2.5], [3.5, 4.5]])}, coords={"x": [10, 20]})
    grid.to_netcdf(tmp_path / "grid.nc", engine="h5netcdf")
    with OneNB.export("Grid").open(suffix=".nc") as file:
        file.write((tmp_path / "grid.nc").read_bytes())
    with OneNB.export("Store").directory() as path:
        grid.to_zarr(path / "grid.zarr", consolidated=False)
    pushed.commit(tag="v2")
    pushed.onenb("push")
    with fsspec.open("onenb://my-repo@v2/Grid") as file:
        assert xarray.open_dataset(file, engine="h5netcdf").load().identical(grid)
    assert xarray.open_zarr("onenb://my-repo@v2/Store/grid.zarr", consolidated=False).load().identical(grid)


def test_a_time_stands_for_the_content(pushed):
    system = fsspec.filesystem("onenb")
    with OneNB.export("Sales").open(suffix=".csv") as file:
        file.write("a,b\n3,4\n")
    pushed.commit(tag="v2")
    pushed.onenb("push")
    times = [system.modified(f"my-repo@{path}") for path in ("v1/Sales", "v1/Sales", "v2/Sales")]
    assert times[0] == times[1] != times[2]
    with pytest.raises(NotImplementedError):
        system.created("my-repo@v1/Sales")


def test_threads_may_share_a_file_as_those_of_duckdb_do(pushed):
    # DuckDB 2.0 seeks and reads one file in several threads; it keeps the GIL between the two and no lock.
    pyarrow, duckdb = pytest.importorskip("pyarrow"), pytest.importorskip("duckdb")
    from pyarrow import parquet

    table = pyarrow.table({"a": list(range(1000)), "b": ["x"] * 1000})
    with OneNB.export("Table").open(suffix=".parquet") as file:
        parquet.write_table(table, file, row_group_size=100)
    pushed.commit(tag="v2")
    system = fsspec.filesystem("onenb")
    query = "select sum(a), count(b) from read_parquet('onenb://my-repo@v2/Table')"
    for _ in range(200):
        with duckdb.connect() as connection:
            connection.register_filesystem(system)
            assert connection.execute(query).fetchall() == [(499500, 1000)]


def test_a_file_by_url_is_a_file(pushed):
    lines = [b"%d,%s\n" % (number, b"x" * (number % 50)) for number in range(2000)]
    with OneNB.export("Lines").open(suffix=".csv") as file:
        file.write(b"".join(lines))
    pushed.commit(tag="v2")
    whole, url = b"".join(lines), "onenb://my-repo@v2/Lines"
    with fsspec.open(url) as file:
        assert file.readable() and file.seekable() and not file.writable() and file.name == "Lines.csv"
        assert list(file) == lines and file.tell() == len(whole) and file.read() == b""
        assert file.seek(-9, 2) == len(whole) - 9 and file.read(4) == whole[-9:-5] and file.read(None) == whole[-5:]
        assert file.seek(3) == 3 and file.seek(2, 1) == 5 and file.readline() == whole[5:].splitlines(True)[0]
        file.seek(0)
        buffer = bytearray(100)
        assert file.readinto(buffer) == 100 and buffer == whole[:100] and file.peek(1)[:1] == whole[100:101]
        assert file.read1(10) == whole[100:110] and file.tell() == 110
        assert file.seek(len(whole) + 5) == len(whole) + 5 and file.read() == b""
        for wrong in ((-1,), (-len(whole) - 1, 2), (0, 3)):
            with pytest.raises(ValueError):
                file.seek(*wrong)
        assert file.tell() == len(whole) + 5
    assert file.closed
    for late in (file.read, file.tell, file.readline, lambda: file.seek(0)):
        with pytest.raises(ValueError):
            late()
    with fsspec.open(url, "rt") as file:
        assert file.read() == whole.decode()
