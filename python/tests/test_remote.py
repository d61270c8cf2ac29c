"""Reading on another machine: from a remote alone, and from a clone."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from conftest import Repository, new_repository

import OneNB

CONTENT = random.Random(1).randbytes(1 << 20)


def export(name, content, params=None):
    with OneNB.export(name, params).open(suffix=".bin") as file:
        file.write(content)


@pytest.fixture
def pushed(pushing):
    """A repository whose tag `v1.0` is on the remote."""
    export("Sales", CONTENT)
    export("Report", b"2023", {"year": 2023})
    pushing.commit(tag="v1.0")
    pushing.onenb("push", "v1.0")
    return pushing


@pytest.fixture
def clone(pushed, another_machine, tmp_path, monkeypatch):
    """A clone on a machine that has never seen the repository, which is gone."""
    another_machine()
    made = Repository(tmp_path / "clone")
    made.path.mkdir()
    made.run("git", "clone", "-q", str(pushed.path), ".")
    shutil.rmtree(pushed.path)
    monkeypatch.chdir(made.path)
    return made


def test_a_remote_alone_is_enough(pushed, remote, another_machine, tmp_path, monkeypatch):
    another_machine()
    shutil.rmtree(pushed.path)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    sales = OneNB.load(str(remote), "v1.0", "Sales")
    assert bytes(sales) == CONTENT
    assert sales.path().read_bytes() == CONTENT and sales.path().suffix == ".bin"
    with sales.reader() as file:
        file.seek(-3, 2)
        assert file.read() == CONTENT[-3:]
        file.seek(1000)
        assert file.read(300) == CONTENT[1000:1300]
    assert bytes(OneNB.load(str(remote), "v1.0", "Report", {"year": 2023})) == b"2023"
    with pytest.raises(OneNB.NotFound, match="v9"):
        OneNB.load(str(remote), "v9", "Sales")
    with pytest.raises(OneNB.NotFound, match=r"year=2023 \(int\)"):
        OneNB.load(str(remote), "v1.0", "Report", {"year": 2023.0})


def test_a_registered_remote_imports_by_name(pushed, remote, another_machine, tmp_path, monkeypatch):
    another_machine()
    shutil.rmtree(pushed.path)
    place = Repository(tmp_path / "empty")
    place.path.mkdir()
    monkeypatch.chdir(place.path)
    place.onenb("remote", "add", "sales-data", str(remote))
    from OneNB.i.sales_data.v1_0 import Sales

    assert bytes(Sales) == CONTENT
    assert "sales_data" in dir(OneNB.i)
    assert dir(OneNB.i.sales_data) == ["v1_0"]
    assert dir(OneNB.i.sales_data.v1_0) == ["Report", "Sales"]


@pytest.fixture
def s3(monkeypatch):
    """A bucket `data` on a server that runs until it is ended."""
    pytest.importorskip("moto")
    script = Path(__file__).parents[2] / "tests" / "s3_server.py"
    server = subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    address = server.stdout.readline().split()[-1]
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "ENDPOINT_URL": address}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    urlopen(Request(f"{address}/data", method="PUT")).close()
    yield server
    # Its standard input ends, and so does the server.
    server.communicate()


def test_what_was_read_of_a_bucket_reads_without_it_and_says_so(s3, tmp_path, monkeypatch):
    place = Repository(tmp_path / "made")
    new_repository(place.path, "cloud", "--bucket", "data", "s3")
    monkeypatch.chdir(place.path)
    export("Sales", CONTENT)
    export("Other", CONTENT[::-1])
    place.commit(tag="v1")
    place.onenb("push", "--create")
    place.onenb("remote", "add", "alone", "s3://data")
    from OneNB.i.alone.v1 import Sales

    assert bytes(Sales) == CONTENT
    s3.communicate()
    for name in [name for name in sys.modules if name.startswith("OneNB.i.")]:
        del sys.modules[name]
    with pytest.warns(OneNB.OfflineWarning, match="cannot be reached"):
        from OneNB.i.alone.v1 import Sales as again
    assert bytes(again) == CONTENT
    with pytest.warns(OneNB.OfflineWarning), pytest.raises(OneNB.Error):
        bytes(OneNB.load("alone", "v1", "Other"))
    with pytest.raises(OneNB.Error, match="reach"):
        OneNB.load("alone", "v2", "Sales")


def test_files_that_nobody_asked_for_in_a_month_go(pushed, remote):
    sales, report = OneNB.load(str(remote), "v1.0", "Sales"), OneNB.load(str(remote), "v1.0", "Report", {"year": 2023})
    old = sales.path()
    for age, stays in ((20, True), (40, False)):
        shutil.rmtree(report.path().parent)
        then = time.time() - age * 24 * 3600
        os.utime(old.parent / ".used", (then, then))
        report.path()
        assert old.exists() == stays
    assert sales.path().read_bytes() == CONTENT
    # Asking for it is use.
    os.utime(old.parent / ".used", (then, then))
    sales.path()
    shutil.rmtree(report.path().parent)
    report.path()
    assert old.exists()


def test_a_clone_reads_only_after_approval(clone, remote):
    sales = OneNB.load(None, "v1.0", "Sales")
    with pytest.raises(OneNB.AuthError) as caught:
        bytes(sales)
    assert "`onenb remote approve" in caught.value.hint
    clone.onenb("remote", "approve", str(remote))
    # The same object, in a process that has met the refusal.
    assert bytes(sales) == CONTENT
    from OneNB.i.my_repo.v1_0 import Sales

    assert bytes(Sales) == CONTENT and Sales.path().read_bytes() == CONTENT


def test_the_same_url_in_the_environment_approves(clone, remote, monkeypatch):
    monkeypatch.setenv("ONENB_REMOTE", str(remote))
    assert bytes(OneNB.load(None, "v1.0", "Sales")) == CONTENT


def test_a_clone_finds_a_tag_that_only_the_remote_knows(clone, remote):
    clone.run("git", "tag", "-d", "v1.0")
    with pytest.raises(ImportError) as caught:
        from OneNB.i.my_repo.v1_0 import Sales
    assert isinstance(caught.value.__cause__, OneNB.NotFound)
    clone.onenb("remote", "approve", str(remote))
    from OneNB.i.my_repo.v1_0 import Sales

    assert bytes(Sales) == CONTENT


def test_what_a_clone_exports_names_what_it_read(clone, remote):
    clone.onenb("remote", "approve", str(remote))
    with OneNB.export("Derived").open(suffix=".bin") as file:
        file.write(bytes(OneNB.load(None, "v1.0", "Sales")))
    derived = OneNB.working_export("Derived")
    assert bytes(derived) == CONTENT
    (row,) = [row for row in derived.info["inputs"] if row["rev"] == "v1.0" and row["name"] == "Sales"]
    assert row["digest"] == derived.info["digest"]


def test_a_moved_tag_warns_with_both_commits_and_reads_the_local_one(pushed):
    old = pushed.run("git", "rev-parse", "v1.0").strip()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        OneNB.load(None, "v1.0", "Sales")
    export("Sales", b"new")
    new = pushed.commit()
    pushed.run("git", "tag", "-f", "v1.0")
    with pytest.warns(OneNB.TagMovedWarning) as caught:
        sales = OneNB.load(None, "v1.0", "Sales")
    (warning,) = caught
    assert new[:12] in str(warning.message) and old[:12] in str(warning.message)
    # The line that asked, not one of ours.
    assert warning.filename == __file__
    assert bytes(sales) == b"new"
    with pytest.warns(OneNB.TagMovedWarning) as caught:
        from OneNB.i.my_repo.v1_0 import Sales
    assert caught[0].filename == __file__
    assert bytes(Sales) == b"new"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bytes(OneNB.load(None, "v1.0", "Sales", commit=old)) == CONTENT


def test_damage_on_the_remote_is_named(clone, remote):
    clone.onenb("remote", "approve", str(remote))
    packs = [path for path in remote.rglob("*") if path.is_file() and path.stat().st_size > 1000]
    damaged = max(packs, key=lambda path: path.stat().st_size)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 3] ^= 1
    damaged.chmod(0o644)
    damaged.write_bytes(content)
    with pytest.raises(OneNB.Damaged, match="could not read `Sales` at `v1.0`"):
        bytes(OneNB.load(None, "v1.0", "Sales"))


def test_info_is_the_record(pushed):
    shown = json.loads(pushed.onenb("show", "v1.0:Report", "-p", "year=2023", "--json"))["exports"][0]
    info = OneNB.load(None, "v1.0", "Report", {"year": 2023}).info
    for key in ("name", "params", "digest", "size", "suffix", "media_type", "commit"):
        assert info[key] == shown[key], key
