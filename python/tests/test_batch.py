"""Batches and directories."""

import os
import threading

import pytest

import OneNB


def read(name, params=None):
    return bytes(OneNB.working_export(name, params))


def write(name, data, params=None):
    with OneNB.export(name, params).open(suffix=".bin") as file:
        file.write(data)


def test_a_batch_appears_at_its_end(repository):
    with OneNB.batch():
        for year in range(50):
            write("Report", f"year {year}".encode() * year, {"year": year})
        OneNB.export("Answer").save_value(42)
        with pytest.raises(OneNB.NotFound):
            read("Report", {"year": 7})
    assert read("Report", {"year": 7}) == b"year 7" * 7
    assert OneNB.working_export("Answer").value == 42
    repository.onenb("verify")


def test_a_failed_batch_leaves_nothing_and_the_next_one_works(repository):
    write("Sales", b"before")
    with pytest.raises(ZeroDivisionError), OneNB.batch():
        write("Sales", b"after")
        write("Other", b"other")
        raise ZeroDivisionError
    assert read("Sales") == b"before"
    with pytest.raises(OneNB.NotFound):
        read("Other")
    with OneNB.batch():
        write("Sales", b"after")
    assert read("Sales") == b"after"


def test_exports_of_a_batch_may_be_open_at_once_and_seek(repository):
    with OneNB.batch():
        one = OneNB.export("One").open(suffix=".bin")
        two = OneNB.export("Two").open(suffix=".bin")
        one.write(b"a" * 100_000)
        two.write(b"b" * 100_000)
        two.seek(0)
        two.write(b"c")
        two.close()
        one.close()
    assert read("One") == b"a" * 100_000
    assert read("Two") == b"c" + b"b" * 99_999


def test_batches_do_not_nest_and_other_threads_are_outside(repository):
    with OneNB.batch():
        with pytest.raises(OneNB.Error), OneNB.batch():
            pass
        thread = threading.Thread(target=write, args=("Thread", b"now"))
        thread.start()
        thread.join()
        assert read("Thread") == b"now"


def test_an_empty_batch_is_nothing(repository):
    with OneNB.batch():
        pass


def fill(path):
    (path / "weights").mkdir()
    (path / "weights/0.bin").write_bytes(b"0" * 100_000)
    (path / "config.json").write_text("{}")
    os.symlink("weights/0.bin", path / "latest")


def test_a_directory_is_written_and_read_back(repository):
    with OneNB.export("Model").directory() as path:
        fill(path)
    model = OneNB.working_export("Model")
    assert model.is_directory
    assert model.members() == ["config.json", "latest", "weights/0.bin"]
    with model.member("latest") as file:
        file.seek(99_998)
        assert file.read() == b"00"
    folder = model.path()
    assert folder.name == "Model"
    assert (folder / "config.json").read_text() == "{}"
    assert os.readlink(folder / "latest") == "weights/0.bin"
    with pytest.raises(OneNB.Error, match="is a directory"):
        model.reader()
    with pytest.raises(OneNB.NotFound):
        model.member("nothing")


def test_a_copy_in_the_cache_that_somebody_changed_is_made_anew(repository):
    with OneNB.export("Model").directory() as path:
        fill(path)
    folder = OneNB.working_export("Model").path()
    (folder / "config.json").write_text("[]")
    (folder / "more").write_text("more")
    assert (OneNB.working_export("Model").path() / "config.json").read_text() == "{}"
    assert not (folder / "more").exists()


def test_a_failed_directory_is_not_exported(repository, tmp_path):
    with pytest.raises(ZeroDivisionError), OneNB.export("Model").directory() as path:
        fill(path)
        raise ZeroDivisionError
    with pytest.raises(OneNB.NotFound):
        OneNB.working_export("Model")
    with pytest.raises(NotADirectoryError):
        OneNB.export("Model").write_directory(tmp_path / "missing")


def test_partitioned_parquet_is_one_export(repository, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"year": [2023, 2023, 2024], "value": [1, 2, 3]})
    frame.to_parquet(tmp_path / "sales.parts", partition_cols=["year"])
    OneNB.export("Sales").write_directory(tmp_path / "sales.parts")
    folder = OneNB.working_export("Sales").path()
    assert folder.name == "Sales.parts"
    assert sorted(pandas.read_parquet(folder)["value"]) == [1, 2, 3]
