"""Exports by URL."""

import pytest

import OneNB

fsspec = pytest.importorskip("fsspec")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def pushed(pushing):
    """A repository with a tag on its remote; the file system is registered as the wheel's entry points do."""
    from OneNB._fsspec import OneNBFileSystem

    for protocol in OneNBFileSystem.protocol:
        fsspec.register_implementation(protocol, OneNBFileSystem, clobber=True)
    OneNBFileSystem.clear_instance_cache()
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
