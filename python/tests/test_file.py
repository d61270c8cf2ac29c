"""The file protocol of both sides, over a store made of one bytearray: what libraries ask of files is told here."""

import csv
import gc
import gzip
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from OneNB import _file
from OneNB._file import ExportFile
from OneNB._imported import _RawReader

FRAME = pd.DataFrame({"a": range(100), "b": [f'row {n}, "x"\n' for n in range(100)]})
ARRAY = np.arange(1000, dtype="<f8").reshape(10, 100)


class Writer:
    """Stands for the native writer."""

    started = []

    def __init__(self):
        self.content = bytearray()
        self.state = "open"
        Writer.started.append(self)

    def write(self, data):
        assert self.state == "open"
        assert isinstance(data, bytes) and len(data) <= 1024 * 1024
        self.content += data

    def finish(self, inputs):
        assert self.state == "open" and inputs == []
        self.state = "finished"
        return "{}"

    def read_back(self):
        assert self.state == "open"
        self.state = "read back"
        return Reader(bytes(self.content))

    def discard(self):
        if self.state == "open":
            self.state = "discarded"


class Reader:
    """Stands for the native reader."""

    def __init__(self, content):
        self.file = io.BytesIO(content)
        self.read, self.tell, self.seek = self.file.read, self.file.tell, self.file.seek

    def size(self):
        return len(self.file.getbuffer())


@pytest.fixture(autouse=True)
def nothing_started():
    Writer.started.clear()


def write(work, suffix=".bin", mode=None, encoding="utf-8"):
    """Exports what `work` writes; returns the content and the table's size."""
    shapes = []
    with ExportFile(Writer, "Sales", suffix, mode, encoding, lambda outcome, shape: shapes.append(shape)) as file:
        work(file)
    assert Writer.started[-1].state == "finished"
    return bytes(Writer.started[-1].content), shapes[0]


def reader(content):
    return io.BufferedReader(_RawReader(Reader(content), "Sales"), 128 * 1024)


def test_pandas_csv():
    content, shape = write(lambda f: FRAME.to_csv(f, index=False), ".csv")
    assert pd.read_csv(reader(content)).equals(FRAME)
    assert shape == (100, 2)


def test_pandas_csv_gzip():
    content, _ = write(lambda f: FRAME.to_csv(f, index=False, compression="gzip"), ".csv.gz", "wb")
    assert pd.read_csv(reader(content), compression="gzip").equals(FRAME)


def test_pandas_parquet():
    content, shape = write(FRAME.to_parquet, ".parquet")
    assert pd.read_parquet(reader(content)).equals(FRAME)
    assert pd.read_parquet(reader(content), columns=["a"]).equals(FRAME[["a"]])
    assert shape == (100, 2)


def test_pandas_pickle():
    content, _ = write(FRAME.to_pickle, ".pkl")
    assert pd.read_pickle(reader(content)).equals(FRAME)


def test_pandas_json():
    content, _ = write(FRAME.to_json, ".json")
    assert pd.read_json(reader(content)).equals(FRAME)


def test_pandas_feather():
    content, _ = write(FRAME.to_feather, ".feather")
    assert pd.read_feather(reader(content)).equals(FRAME)


def test_pandas_excel():
    content, _ = write(lambda f: FRAME.to_excel(f, index=False), ".xlsx")
    assert pd.read_excel(reader(content)).shape == FRAME.shape


def test_numpy_save_and_load():
    content, shape = write(lambda f: np.save(f, ARRAY), ".npy")
    assert np.array_equal(np.load(reader(content)), ARRAY)
    assert shape == (10, 100)


def test_numpy_savez_and_load():
    content, _ = write(lambda f: np.savez(f, x=ARRAY, y=ARRAY * 2), ".npz")
    assert np.array_equal(np.load(reader(content))["y"], ARRAY * 2)


def test_numpy_savetxt():
    content, _ = write(lambda f: np.savetxt(f, ARRAY), ".txt")
    assert np.array_equal(np.loadtxt(reader(content)), ARRAY)


@pytest.mark.parametrize("kind", ["csv", "parquet", "ipc", "json", "ndjson"])
def test_polars(kind):
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    content, _ = write(getattr(frame, f"write_{kind}"))
    assert getattr(pl, f"read_{kind}")(reader(content)).equals(frame)


def test_pyarrow_parquet():
    table = pa.table({"a": [1, 2, 3]})
    content, shape = write(lambda f: pyarrow.parquet.write_table(table, f), ".parquet")
    assert pyarrow.parquet.read_table(reader(content)).equals(table)
    assert shape == (3, 1)


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_pyarrow_ipc(kind):
    table = pa.table({"a": [1, 2, 3]})

    def work(file):
        with getattr(pa.ipc, f"new_{kind}")(file, table.schema) as sink:
            sink.write_table(table)

    content, _ = write(work)
    assert getattr(pa.ipc, f"open_{kind}")(reader(content)).read_all().equals(table)


def test_pickle_json_and_csv_of_the_standard_library():
    content, _ = write(lambda f: pickle.dump(ARRAY, f, protocol=5), ".pkl")
    assert np.array_equal(pickle.load(reader(content)), ARRAY)
    content, _ = write(lambda f: json.dump({"ü": 1}, f, ensure_ascii=False), ".json")
    assert json.load(reader(content)) == {"ü": 1}
    content, shape = write(lambda f: csv.writer(f).writerows([["h", "i"], [1, 'a "b"\nc']]), ".csv")
    assert content == b'h,i\r\n1,"a ""b""\nc"\r\n'
    assert shape == (1, 2)


def test_openpyxl_reads_the_reader():
    openpyxl = pytest.importorskip("openpyxl")
    content, _ = write(lambda f: FRAME.to_excel(f, index=False), ".xlsx")
    assert openpyxl.load_workbook(reader(content), read_only=True).active.max_row == 101


def test_gzip_and_text_wrappers_go_around_the_file():
    def zipped(file):
        with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as out:
            out.write(b"abc")

    def wrapped(file):
        out = io.TextIOWrapper(file, "utf-16-le", newline="")
        out.write("abc")
        out.detach()

    assert gzip.decompress(write(zipped)[0]) == b"abc"
    assert write(wrapped)[0] == "abc".encode("utf-16-le")


def test_a_backwards_seek_spills_and_exports_the_whole():
    def work(file):
        file.write(b"?" * 10)
        assert (file.seek(0), file.tell()) == (0, 0)
        file.write(b"abc")
        assert file.seek(0, 2) == 10
        file.write("!")
        assert file.tell() == 11
        file.seek(8)
        file.truncate()
        assert file.seek(-1, 2) == 7

    assert write(work)[0] == b"abc?????"
    assert [writer.state for writer in Writer.started] == ["read back", "finished"]


def test_a_spill_longer_than_memory_is_whole(monkeypatch):
    monkeypatch.setattr(_file, "_IN_MEMORY", 1000)

    def work(file):
        for _ in range(50):
            file.write(b"x" * 100)
        file.seek(10)
        file.write(b"y")

    assert write(work)[0] == b"x" * 10 + b"y" + b"x" * 4989


def test_a_seek_to_where_the_file_stands_costs_nothing():
    write(lambda file: (file.write(b"abc"), file.seek(3), file.seek(0, 1), file.seek(0, 2)))
    assert len(Writer.started) == 1


def test_zip_members_survive():
    def work(file):
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a", "1" * 1000)
            archive.writestr("b", "2")

    content, _ = write(work, ".zip")
    with zipfile.ZipFile(reader(content)) as archive:
        assert archive.testzip() is None
        assert archive.read("a") == b"1" * 1000


@pytest.mark.parametrize(
    ("mode", "text", "binary"),
    [
        (None, True, True),
        ("wt", True, False),
        ("w", True, False),
        ("t", True, False),
        ("wb", False, True),
        ("b", False, True),
    ],
)
def test_modes_take_what_they_say(mode, text, binary):
    def work(file):
        for allowed, data in ((text, "a"), (binary, b"b")):
            if allowed:
                assert file.write(data) == 1
            else:
                with pytest.raises(TypeError):
                    file.write(data)

    assert write(work, mode=mode)[0] == b"a" * text + b"b" * binary


@pytest.mark.parametrize("mode", ["r", "a", "w+", "rb", "", "x"])
def test_other_modes_are_refused(mode):
    with pytest.raises(ValueError, match="mode"):
        ExportFile(Writer, "Sales", ".bin", mode, "utf-8", None)
    assert Writer.started == []


def test_encodings_write_one_byte_order_mark():
    assert write(lambda f: (f.write("a"), f.write("b")), encoding="utf-16")[0].decode("utf-16") == "ab"


@pytest.mark.parametrize(
    "data", [bytearray(b"abcd"), memoryview(b"abcd"), memoryview(b"axbxcxdx")[::2], np.frombuffer(b"abcd", "u2")]
)
def test_any_buffer_is_taken(data):
    assert write(lambda f: f.write(data))[0] == b"abcd"


def test_long_buffers_go_in_slices():
    data = os.urandom(3 * 1024 * 1024 + 1)
    assert write(lambda f: f.write(memoryview(data)))[0] == data


def test_an_exception_discards():
    with pytest.raises(KeyError), ExportFile(Writer, "Sales", ".bin", None, "utf-8", None) as file:
        file.write(b"abc")
        raise KeyError
    assert [writer.state for writer in Writer.started] == ["discarded"]
    assert file.closed


def test_a_forgotten_file_is_discarded_with_a_warning():
    file = ExportFile(Writer, "Sales", ".bin", None, "utf-8", None)
    file.write(b"abc")
    with pytest.warns(ResourceWarning, match="Sales.bin was never closed"):
        del file
        gc.collect()
    assert [writer.state for writer in Writer.started] == ["discarded"]


def test_closing_twice_exports_once_and_a_closed_file_takes_nothing():
    file = ExportFile(Writer, "Sales", ".bin", None, "utf-8", lambda *_: None)
    file.close()
    file.close()
    assert [writer.state for writer in Writer.started] == ["finished"]
    for call in (lambda: file.write(b"x"), file.tell, file.flush, lambda: file.seek(0), file.__enter__):
        with pytest.raises(ValueError):
            call()


def test_the_file_has_no_descriptor():
    with pytest.raises(io.UnsupportedOperation):
        write(lambda f: f.fileno())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_cannot_close_the_parents_export():
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "import OneNB\nfrom test_file import Writer\nfrom OneNB._file import ExportFile\n"
        "f = ExportFile(Writer, 'S', '.bin', None, 'utf-8', lambda *_: None)\n"
        "f.write(b'abc')\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    try:\n        f.close()\n"
        "    except OneNB.Error as error:\n        os._exit(0 if Writer.started[0].state != 'finished' else 3)\n"
        "    os._exit(2)\n"
        "code = os.waitpid(pid, 0)[1]\n"
        "f.close()\n"
        "assert Writer.started[0].state == 'finished'\n"
        "sys.exit(os.waitstatus_to_exitcode(code))\n"
    )
    here = os.path.dirname(__file__)
    done = subprocess.run([sys.executable, "-c", script, here], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_readers_seek_like_files():
    file = reader(bytes(range(100)))
    assert file.seek(-10, 2) == 90
    assert file.read() == bytes(range(90, 100))
    assert file.seek(5) == 5
    assert file.seek(5, 1) == 10
    assert file.read(2) == b"\x0a\x0b"
    with pytest.raises(ValueError):
        file.raw.seek(-1)
    file.close()
    with pytest.raises(ValueError):
        file.read()


def test_shapes_are_never_an_error():
    for suffix in (".npy", ".csv", ".parquet"):
        assert write(lambda f: f.write(b"\x93"), suffix)[0] == b"\x93"
        assert write(lambda f: None, suffix)[1] is None
        Writer.started.clear()
