"""fsspec's own tests of file systems, as far as one that cannot be written to can run them.

They read from a folder that is made beforehand: it is exported as a directory and tagged. Left out are the suites that
write to the file system under test, all of them: `AbstractCopyTests`, `AbstractPutTests`, `AbstractPipeTests`,
`AbstractOpenTests`.
"""

import pathlib

import pytest

import OneNB

pytest.importorskip("fsspec")
from fsspec.implementations.local import LocalFileSystem  # noqa: E402
from fsspec.tests.abstract import AbstractFixtures, AbstractGetTests  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def join(*parts):
    return "/".join(part.rstrip("/") if part != parts[-1] else part for part in parts)


class TestGet(AbstractGetTests, AbstractFixtures):
    """Files, folders, patterns and lists, copied from a tag to the local disk."""

    @pytest.fixture
    def fs(self):
        from OneNB._fsspec import OneNBFileSystem

        OneNBFileSystem.clear_instance_cache()
        return OneNBFileSystem()

    @pytest.fixture
    def fs_join(self):
        return join

    def _pushed(self, pushing, tmp_path, make):
        """Lets fsspec make a scenario on the disk, and exports what it made."""
        source = make(LocalFileSystem(auto_mkdir=True), join, str(tmp_path / "scenario"))
        OneNB.export("source").write_directory(pathlib.Path(source))
        pushing.commit(tag="v1")
        return "my-repo@v1/source"

    @pytest.fixture
    def fs_bulk_operations_scenario_0(self, pushing, tmp_path):
        return self._pushed(pushing, tmp_path, self._bulk_operations_scenario_0)

    @pytest.fixture
    def fs_glob_edge_cases_files(self, pushing, tmp_path):
        return self._pushed(pushing, tmp_path, self._glob_edge_cases_files)

    @pytest.fixture
    def fs_dir_and_file_with_same_name_prefix(self, pushing, tmp_path):
        return self._pushed(pushing, tmp_path, self._dir_and_file_with_same_name_prefix)

    @pytest.fixture
    def fs_10_files_with_hashed_names(self, pushing, tmp_path):
        return self._pushed(pushing, tmp_path, self._10_files_with_hashed_names)

    def test_get_directory_recursive(self):
        pytest.skip("it makes and changes folders on the file system under test")
