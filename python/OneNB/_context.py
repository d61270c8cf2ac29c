"""Where the code runs: its notebook, its directory, its run, and what it has read so far.

Everything is looked up on each use, because notebooks change directory, and everything that belongs to a process is
renewed in a forked child. Nothing here raises because a place is unknown.
"""

import os
import sys
import threading
import warnings
from pathlib import Path

from . import _native

# What the native side reads of the environment; another value needs another workspace.
_VARIABLES = ("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "ONENB_REMOTE", "GIT_DIR")
_CLOUDS = ("AWS_", "AZURE_", "GOOGLE_")


class _Process:
    """What belongs to one process."""

    def __init__(self):
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.run = _native.new_run_id()
        self.inputs = []
        self.workspaces = {}
        self.notes = set()


_process = _Process()


def _renew():
    # A child is another run, but what was read before the fork is an input of what it exports.
    global _process
    inputs = _process.inputs
    _process = _Process()
    _process.inputs = list(inputs)


if hasattr(os, "register_at_fork"):
    # A child never meets a lock that some thread of its parent held.
    os.register_at_fork(after_in_child=_renew)


def warn(message, category):
    """Warns about the line of the user's code that led here, through whatever of ours."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _is_ours(frame):
        frame = frame.f_back
        # `warnings` does not count the import system's frames.
        level += not _is_importing(frame)
    warnings.warn(message, category, stacklevel=level)


def _is_ours(frame):
    module = frame.f_globals.get("__name__") or ""
    # A context manager's frame stands between the user and its generator.
    return module == "contextlib" or module.split(".")[0] == "OneNB" or _is_importing(frame)


def _is_importing(frame):
    file = frame.f_code.co_filename
    return "importlib" in file and "_bootstrap" in file


def kernel_shell():
    """Returns IPython's shell if a kernel runs this code, else None."""
    ipython = sys.modules.get("IPython")
    try:
        shell = ipython.get_ipython() if ipython is not None else None
    except Exception:
        return None
    return shell if getattr(shell, "kernel", None) is not None else None


def notebook_path():
    """Returns the absolute path of the notebook or script that runs, or None."""
    try:
        return _notebook_path()
    except Exception:
        return None


def _notebook_path():
    shell = kernel_shell()
    candidates = [os.environ.get("ONENB_NOTEBOOK")]
    if shell is not None:
        candidates += [shell.user_ns.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")]
    else:
        # In a kernel this would be the kernel's launcher.
        candidates.append(getattr(sys.modules.get("__main__"), "__file__", None))
    for candidate in candidates:
        if isinstance(candidate, str) and candidate:
            path = Path(candidate).absolute()
            if path.is_file():
                return path
    return None


def workspace():
    """Returns the workspace of the notebook's directory if that is initialised, else of the working directory."""
    notebook = notebook_path()
    if notebook is not None and notebook.suffix == ".ipynb":
        beside = _workspace_of(notebook.parent)
        if beside.is_initialised():
            return beside
    return _workspace_of(Path.cwd())


def workspace_to_write():
    """Returns the workspace; warns once in a process if its settings for new data cannot be used."""
    found, process = workspace(), _process
    note = found.settings_note()
    with process.lock:
        is_new = note is not None and note not in process.notes
        if is_new:
            process.notes.add(note)
    if is_new:
        warn(note, UserWarning)
    return found


def _workspace_of(directory):
    clouds = tuple(sorted(item for item in os.environ.items() if item[0].startswith(_CLOUDS)))
    key = (str(directory), *map(os.environ.get, _VARIABLES), clouds)
    process = _process
    with process.lock:
        found = process.workspaces.get(key)
    if found is not None:
        return found
    made = _native.NativeWorkspace(directory)
    # Somebody may run `onenb init` next, so only a found repository is worth keeping.
    if made.is_initialised():
        with process.lock:
            made = process.workspaces.setdefault(key, made)
    return made


def run_id():
    """Returns the id of this run if a kernel runs it; scripts leave no receipts."""
    return _process.run if kernel_shell() is not None else None


def cell_source():
    """Returns the source of the cell that runs, or None."""
    try:
        request = kernel_shell().kernel.get_parent("shell")
        code = request["content"]["code"]
    except Exception:
        return None
    return code if isinstance(code, str) else None


def record_input(export):
    """Remembers that an export was read; later exports of this run name it as an input."""
    process = _process
    with process.lock:
        if not any(export.is_same_input(known) for known in process.inputs):
            process.inputs.append(export)


def inputs():
    """Returns what was read so far in this run."""
    process = _process
    with process.lock:
        return list(process.inputs)
