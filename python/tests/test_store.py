"""Exports and imports over a real repository."""

import hashlib
import io
import json
import os
import random
import signal
import subprocess
import threading
import time
import warnings
import zipfile

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from conftest import program

import OneNB


def export(name, content, suffix=".txt", params=None):
    with OneNB.export(name, params).open(suffix=suffix) as file:
        file.write(content)


def test_what_is_exported_reads_back_from_working(repository):
    export("Sales", b"abc")
    from OneNB.working import Sales

    assert bytes(Sales) == b"abc"
    assert Sales.reader().read() == b"abc"
    assert Sales.path().read_bytes() == b"abc"
    assert Sales.path().suffix == ".txt"
    assert Sales.info["size"] == 3
    assert Sales.info["suffix"] == ".txt"
    assert "Sales" in repr(Sales) and "Sales" in Sales._repr_html_()


def test_each_parameter_set_has_its_own_version(repository):
    for year in (2023, 2024):
        p1 = dict(year=year, foo="bar")
        from OneNB.exports._p1 import Report

        Report.write_csv([["year"], [year]])
    p1 = dict(year=2023, foo="bar")  # noqa: F841
    from OneNB.working._p1 import Report as read

    assert bytes(read) == b"year\r\n2023\r\n"
    assert read.params == {"year": 2023, "foo": "bar"}


def test_tags_and_repositories_import_under_mangled_names(repository):
    export("Sales", b"one")
    commit = repository.commit(tag="v1.0")
    export("Sales", b"two")
    from OneNB.i.my_repo.v1_0 import Sales

    assert bytes(Sales) == b"one"
    assert bytes(OneNB.load("my-repo", "v1.0", "Sales")) == b"one"
    assert bytes(OneNB.load(None, "v1.0", "Sales", commit=commit)) == b"one"
    assert bytes(getattr(getattr(OneNB.i.my_repo, "_" + commit[:7]), "Sales")) == b"one"
    assert bytes(OneNB.i.my_repo.main.Sales) == b"one"
    assert bytes(OneNB.working_export("Sales")) == b"two"


def test_parameters_reach_tags(repository):
    export("Report", b"x", params={"year": 2023})
    repository.commit(tag="v1")
    p1 = dict(year=2023)
    from OneNB.i.my_repo.v1._p1 import Report

    assert bytes(Report) == b"x"
    p1 = dict(year=1.5)  # noqa: F841
    with pytest.raises(ImportError):
        from OneNB.i.my_repo.v1._p1 import Report  # noqa: F811


def test_ambiguous_names_list_the_candidates(repository):
    export("Sales", b"x")
    repository.commit(tag="v1.0")
    repository.run("git", "tag", "v1-0")
    with pytest.raises(ImportError) as caught:
        from OneNB.i.my_repo.v1_0 import Sales  # noqa: F401
    assert "v1.0" in str(caught.value) and "v1-0" in str(caught.value)


def test_misses_are_import_errors_with_the_next_step(repository):
    export("Sales", b"x", params={"year": 1})
    repository.commit(tag="v1")
    for statement in (
        "from OneNB.i.my_repo.v1 import Nothing",
        "from OneNB.i.my_repo.v9 import Sales",
        "from OneNB.i.nowhere.v1 import Sales",
        "from OneNB.working import Nothing",
        "from OneNB.i.my_repo.v1 import Sales",
    ):
        with pytest.raises(ImportError) as caught:
            exec(statement, {})
        assert isinstance(caught.value.__cause__, OneNB.Error), statement
    with pytest.raises(OneNB.NotFound):
        OneNB.load("my-repo", "v1", "Nothing")


def test_completion_offers_what_there_is(repository):
    export("Sales", b"x")
    export("q3-2024", b"x")
    repository.commit(tag="v1.0")
    assert "my_repo" in dir(OneNB.i)
    assert {"v1_0", "main"} <= set(dir(OneNB.i.my_repo))
    assert dir(OneNB.i.my_repo.v1_0) == ["Sales", "q3_2024"]
    assert dir(OneNB.working) == ["Sales", "q3_2024"]
    from OneNB.i.my_repo.v1_0 import q3_2024

    assert bytes(q3_2024) == b"x"


def test_outside_a_repository_imports_work_and_open_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from OneNB.exports import Sales

    with pytest.raises(OneNB.NotInitialised) as caught:
        Sales.open(suffix=".csv")
    assert isinstance(caught.value, OneNB.Error)
    assert dir(OneNB.working) == []


def test_an_exception_keeps_the_previous_version(repository):
    export("Sales", b"old")
    with pytest.raises(ZeroDivisionError), OneNB.export("Sales").open(suffix=".txt") as file:
        file.write(b"x" * 1_000_000)
        1 / 0
    assert bytes(OneNB.working_export("Sales")) == b"old"


def test_nothing_is_visible_before_close(repository):
    file = OneNB.export("Sales").open(suffix=".txt")
    file.write(b"x")
    with pytest.raises(OneNB.NotFound):
        OneNB.working_export("Sales")
    file.close()
    assert bytes(OneNB.working_export("Sales")) == b"x"


def test_empty_exports_are_valid(repository):
    export("Nothing", b"")
    read = OneNB.working_export("Nothing")
    assert bytes(read) == b"" and read.path().read_bytes() == b""


@pytest.mark.parametrize("name", ["a/b", "..", "a\0b", "_p", "x" * 300, "CON", ""])
def test_bad_names_are_refused(repository, name):
    with pytest.raises(OneNB.Error, match="not allowed"):
        OneNB.export(name).open(suffix=".txt")


def test_bad_suffixes_are_refused(repository):
    for suffix in ("csv", "", ".", "./x"):
        with pytest.raises(OneNB.Error):
            OneNB.export("Sales").open(suffix=suffix)


def test_what_is_read_while_an_export_is_open_is_its_input(repository):
    OneNB.export("Base").write_as_json([1])
    with OneNB.export("Derived").open(suffix=".txt") as file:
        file.write(OneNB.working_export("Base").reader().read())
    assert "Base" in [known["name"] for known in OneNB.working_export("Derived").info["inputs"]]


def test_an_archive_that_seeks_back_comes_back_whole(repository):
    with OneNB.export("Archive").open(suffix=".zip") as file, zipfile.ZipFile(file, "w") as archive:
        for number in range(5):
            archive.writestr(f"{number}.txt", str(number) * 10_000)
    with zipfile.ZipFile(OneNB.working_export("Archive").reader()) as archive:
        assert archive.testzip() is None
        assert archive.read("3.txt") == b"3" * 10_000


def test_changed_parameters_warn_and_the_imported_ones_are_used(repository):
    p1 = dict(year=1)
    from OneNB.exports._p1 import Report

    p1["year"] = 2
    with pytest.warns(UserWarning, match="p1 changed") as caught:
        Report.write_csv([])
        with Report.path_writer(".csv") as path:
            path.write_bytes(b"")
        Report.open(suffix=".csv").close()
        Report.save_value(1)
    # Each at the line of this file that did it.
    lines = {warning.lineno for warning in caught}
    assert {warning.filename for warning in caught} == {__file__} and len(lines) == 4
    assert OneNB.working_export("Report", {"year": 1}).params == {"year": 1}


def test_settings_that_cannot_be_used_are_told_once_in_a_process(repository):
    settings = repository.path / ".git/onenb/encoding.toml"
    OneNB.export("First").write_csv([["a"]])
    for text, advice in [("version = 2\n", "pip install --upgrade onenb"), ("level = 3", "onenb tune --undo")]:
        settings.write_text(text)
        with pytest.warns(UserWarning, match="new data is written with the default settings") as caught:
            for number in range(3):
                OneNB.export("Sales").write_csv([[number]])
            OneNB.export("Best").save_value(1)
            with OneNB.batch():
                OneNB.export("Batched").write_csv([["a"]])
            with OneNB.export("Folder").directory() as path:
                (path / "a.csv").write_text("a")
            assert bytes(OneNB.working_export("Sales")) == b"2\r\n"
        (warning,) = caught
        assert advice in str(warning.message) and warning.filename == __file__
        # The program says the same.
        command = [program(), "export", "Sales", __file__]
        said = subprocess.run(command, cwd=repository.path, capture_output=True, text=True).stderr
        assert f"warning: {warning.message}\n" in said
    settings.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        OneNB.export("Sales").write_csv([["b"]])


def test_values_are_kept_inline(repository):
    OneNB.export("Best").save_value({"b": 1.0, "a": (1, None)})
    read = OneNB.working_export("Best")
    assert read.value == read.get_value() == {"a": [1, None], "b": 1.0}
    assert type(read.value["b"]) is float
    OneNB.export("None_").save_value(None)
    assert OneNB.working_export("None_").value is None


def test_values_that_are_too_long_or_of_other_types_are_refused(repository):
    OneNB.export("Best").save_value("x" * 98)
    with pytest.raises(ValueError, match="101 bytes"):
        OneNB.export("Best").save_value("x" * 99)
    with pytest.raises(TypeError):
        OneNB.export("Best").save_value(b"x")
    assert OneNB.working_export("Best").value == "x" * 98


def test_files_have_no_value_and_json_has(repository):
    export("Sales", b"x")
    with pytest.raises(OneNB.Error, match="reader"):
        OneNB.working_export("Sales").value
    OneNB.export("Data").write_as_json({"a": [1]})
    assert OneNB.working_export("Data").value == {"a": [1]}


def test_the_other_writers(repository, tmp_path):
    sales = OneNB.export("Sales")
    with sales.text_writer("txt") as file:
        file.write("a\n")
    assert bytes(OneNB.working_export("Sales")) == b"a\n"
    with sales.writer(".bin") as file:
        file.write(b"b")
    assert OneNB.working_export("Sales").info["suffix"] == ".bin"
    sales.write_stream(io.StringIO("ü"), "txt", "latin-1")
    assert bytes(OneNB.working_export("Sales")) == b"\xfc"
    with sales.path_writer(".h5") as path:
        path.write_bytes(b"hdf")
    assert not path.exists()
    assert bytes(OneNB.working_export("Sales")) == b"hdf"
    with pytest.raises(OneNB.Error, match="nothing was written"), sales.path_writer(".h5"):
        pass
    assert bytes(OneNB.working_export("Sales")) == b"hdf"


def test_hdf5_goes_through_a_path(repository):
    h5py = pytest.importorskip("h5py")
    with OneNB.export("Cube").path_writer(".h5") as path, h5py.File(path, "w") as file:
        file["a"] = [1, 2, 3]
    with h5py.File(OneNB.working_export("Cube").path()) as file:
        assert list(file["a"]) == [1, 2, 3]


def test_duckdb_reads_paths(repository):
    duckdb = pytest.importorskip("duckdb")
    frame = pd.DataFrame({"a": [1, 2]})
    with OneNB.export("Sales").open(suffix=".parquet") as file:
        frame.to_parquet(file)
    path = str(OneNB.working_export("Sales").path())
    assert duckdb.sql(f"select sum(a) from read_parquet('{path}')").fetchall() == [(3,)]


def test_data_that_is_not_uploaded_is_named(repository, tmp_path):
    place = tmp_path / "data.csv"
    place.write_text("a\n1\n")
    with OneNB.export("Far").open_no_upload(source_type="file", params=(str(place),)) as file:
        assert file.read() == "a\n1\n"
    assert OneNB.working_export("Far").value == {"source_type": "file", "params": [str(place)]}
    with OneNB.export("Far").open_no_upload(
        source_type="bytes", params={"text": "abc"}, fn_write_bytes_to=lambda file, text: file.write(text.encode())
    ) as file:
        assert file.read() == b"abc"
    assert OneNB.working_export("Far").value == {"source_type": "bytes", "params": {"text": "abc"}}
    with pytest.raises(FileNotFoundError):
        OneNB.export("Far").open_no_upload(source_type="file", params=("/nowhere",))


def test_what_was_read_becomes_an_input(repository):
    export("Sales", b"x")
    export("Unread", b"x")
    sales = OneNB.working_export("Sales")
    OneNB.working_export("Unread")
    bytes(sales)
    bytes(sales)
    export("Report", b"y")
    inputs = OneNB.working_export("Report").info["inputs"]
    assert [row["name"] for row in inputs] == ["Sales"]


def test_threads_export_side_by_side(repository):
    def work(number):
        export("Sales", str(number) * 100_000, params={"number": number})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        assert bytes(OneNB.working_export("Sales", {"number": number})) == str(number).encode() * 100_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_children_export_too(repository):
    export("Before", b"x")
    children = []
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            try:
                export("Sales", b"%d" % number, params={"number": number})
                os._exit(0)
            finally:
                os._exit(1)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 4
    export("After", b"x")
    for number in range(4):
        assert bytes(OneNB.working_export("Sales", {"number": number})) == b"%d" % number


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_children_read_on_where_the_parent_was(repository):
    data = os.urandom(24 * 1024 * 1024)
    export("Big", data)
    with OneNB.working_export("Big").reader() as file:
        # By then threads read ahead.
        assert file.read(8_000_000) == data[:8_000_000]
        children = []
        for _ in range(6):
            pid = os.fork()
            if pid == 0:
                try:
                    os._exit(0 if file.read() == data[8_000_000:] else 1)
                finally:
                    os._exit(2)
            children.append(pid)
        assert file.read() == data[8_000_000:]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 6


def test_other_threads_run_while_bytes_are_handled(repository):
    counts, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counts[0] += 1
            time.sleep(0)

    data = os.urandom(32 * 1024 * 1024)
    thread = threading.Thread(target=count)
    thread.start()
    with OneNB.export("Big").open(suffix=".bin") as file:
        file.write(data)
    before = counts[0]
    assert hashlib.sha256(bytes(OneNB.working_export("Big"))).digest() == hashlib.sha256(data).digest()
    stop.set()
    thread.join()
    # Held for the whole of a read, the GIL would let the counter move once or twice.
    assert before > 100 and counts[0] - before > 10


def test_changing_the_directory_changes_the_repository(repository, tmp_path, monkeypatch):
    export("Sales", b"x")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(OneNB.Error):
        OneNB.working_export("Sales")


def test_the_record_names_the_notebook(repository, monkeypatch):
    notebook = repository.path / "report.ipynb"
    notebook.write_text("{}")
    monkeypatch.setenv("ONENB_NOTEBOOK", "report.ipynb")
    export("Sales", b"x")
    (record,) = (repository.path / ".1nb/exports/Sales").iterdir()
    assert json.loads(record.read_text())["producer"]["path"] == "report.ipynb"


def test_damage_names_the_export_and_what_to_do(repository):
    export("Sales", os.urandom(1 << 20))
    packs = [path for path in (repository.path / ".git/onenb").rglob("*") if path.is_file()]
    pack = max(packs, key=lambda path: path.stat().st_size)
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 1
    pack.chmod(0o644)
    pack.write_bytes(content)
    sales = OneNB.working_export("Sales")
    with pytest.raises(OneNB.Damaged, match="could not read `Sales` at `working`") as caught:
        bytes(sales)
    assert "`onenb verify`" in caught.value.hint
    with sales.reader() as file:
        for _ in range(2):
            with pytest.raises(OneNB.Damaged):
                file.read()
    with pytest.raises(OneNB.Damaged):
        sales.path()


def stored_bytes(repository):
    return sum(file.stat().st_size for file in (repository.path / ".git/onenb/packs").rglob("*") if file.is_file())


def test_versions_of_a_parquet_table_share_what_did_not_change(repository):
    rows = 200_000
    noise = random.Random(1)
    frame = pd.DataFrame({"id": range(rows), "noise": [noise.randrange(10**12) for _ in range(rows)]})
    frame.index = frame.index + 7
    OneNB.export("Table").to_parquet(frame)
    first = stored_bytes(repository)
    inserted = pd.DataFrame({"id": range(5), "noise": range(5)}, index=range(5))
    changed = pd.concat([frame[:70_000], inserted, frame[70_000:]])
    OneNB.export("Table").to_parquet(changed)
    assert stored_bytes(repository) - first < first / 10

    from OneNB.working import Table

    pd.testing.assert_frame_equal(pd.read_parquet(Table.reader()), changed)
    arrow = pyarrow.table({"a": [1, 2, 3]})
    OneNB.export("Small").to_parquet(arrow, compression="zstd")
    from OneNB.working import Small

    assert pyarrow.parquet.read_table(Small.reader()) == arrow
    assert Small.info["suffix"] == ".parquet"


def test_a_pyarrow_that_cannot_cut_by_content_is_named(repository, monkeypatch):
    def write_table(table, file, compression, use_dictionary):
        raise AssertionError("never called with a word that it does not know")

    monkeypatch.setattr(pyarrow.parquet, "write_table", write_table)
    with pytest.raises(OneNB.Error, match="cannot cut pages by content"):
        OneNB.export("Table").to_parquet(pyarrow.table({"a": [1]}))
    assert "Table" not in repository.onenb("ls", "working")


def test_a_read_that_a_signal_ended_leaves_the_position(repository):
    class Alarm(Exception):
        pass

    def ring(number, frame):
        raise Alarm

    with OneNB.export("Long").open(suffix=".bin") as file:
        for number in range(400):
            file.write(number.to_bytes(4, "big") * (1 << 18))
    before = signal.signal(signal.SIGALRM, ring)
    try:
        with OneNB.working_export("Long").reader() as file:
            start = file.read(100)
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            with pytest.raises(Alarm):
                file.raw.readinto(bytearray(400 << 20))
            file.seek(0)
            assert file.read(100) == start
            for number in (0, 7, 399):
                file.seek(number << 20)
                assert file.read(4) == number.to_bytes(4, "big")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
