"""A repository for the tests that export and read for real."""

import os
import pathlib
import shutil
import subprocess

import pytest

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
    for variable in ("ONENB_NOTEBOOK", "ONENB_REMOTE", "JPY_SESSION_NAME", "GIT_DIR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """An initialised repository named `my-repo`, which is the working directory."""
    if program() is None:
        pytest.skip("build the program first: cargo build")
    made = Repository(tmp_path / "my-repo")
    made.path.mkdir()
    made.run("git", "init", "-q")
    made.onenb("init", "--name", "my-repo", "local")
    made.commit()
    monkeypatch.chdir(made.path)
    return made
