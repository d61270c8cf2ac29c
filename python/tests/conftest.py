"""A repository for the tests that export and read for real."""

import os
import pathlib
import shutil
import subprocess

import pytest

import OneNB
from OneNB import _context

TOP = pathlib.Path(__file__).parents[2]


def program():
    """Returns the `onenb` under test: the named one, the newest built one, or the installed one."""
    named = os.environ.get("ONENB_PROGRAM")
    built = [path for path in (TOP / "target/debug/onenb", TOP / "target/release/onenb") if path.is_file()]
    newest = max(built, key=lambda path: path.stat().st_mtime, default=None)
    return named or newest or shutil.which("onenb")


class Repository:
    """A Git repository with onenb, of one user with an own home."""

    def __init__(self, path):
        self.path = path

    def run(self, *command, check=True):
        """Runs a program there and returns its stdout."""
        done = subprocess.run(command, cwd=self.path, capture_output=True, text=True)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def onenb(self, *arguments):
        """Runs onenb."""
        return self.run(program(), *arguments)

    def commit(self, tag=None):
        """Commits everything and tags it."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "data", "--allow-empty")
        if tag:
            self.run("git", "tag", tag)
        return self.run("git", "rev-parse", "HEAD").strip()


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """No test sees the configuration of the person who runs it."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\nname = T\nemail = t@example.org\n[init]\ndefaultBranch = main\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    # Kernels and scripts use the package that the tests use, installed or not.
    package = str(pathlib.Path(OneNB.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH")))))
    for variable in ("ONENB_NOTEBOOK", "ONENB_REMOTE", "JPY_SESSION_NAME", "GIT_DIR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(autouse=True)
def own_run(monkeypatch):
    """No test has another's inputs."""
    monkeypatch.setattr(_context, "_process", _context._Process())


def new_repository(path, *storage):
    """Makes an initialised repository named `my-repo`."""
    if program() is None:
        pytest.skip("build the program first: cargo build")
    made = Repository(path)
    made.path.mkdir()
    made.run("git", "init", "-q")
    made.onenb("init", "--name", "my-repo", *storage)
    made.commit()
    return made


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """An initialised repository named `my-repo`, which is the working directory."""
    made = new_repository(tmp_path / "my-repo", "local")
    monkeypatch.chdir(made.path)
    return made


@pytest.fixture
def remote(tmp_path):
    """The directory that `pushing` pushes to."""
    return tmp_path / "remote"


@pytest.fixture
def pushing(tmp_path, remote, monkeypatch):
    """The same with a directory as its remote."""
    made = new_repository(tmp_path / "my-repo", "dir", str(remote))
    monkeypatch.chdir(made.path)
    return made


@pytest.fixture
def another_machine(tmp_path, monkeypatch):
    """Called, it gives everything after it another home and cache."""

    def move():
        home = tmp_path / "another"
        home.mkdir()
        shutil.copy(tmp_path / "home/.gitconfig", home)
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))

    return move
