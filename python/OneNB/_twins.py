"""The imports as plain functions, for code that wants no import magic."""

from . import _context, _native
from ._exported import Exported
from ._imported import Imported


def export(name, params=None):
    """Returns the export `name` for writing; the twin of `from OneNB.exports._params import name`."""
    return Exported(name, params)


def load(repo, tag, name, params=None, commit=None):
    """Returns the export `name` of a repository at a tag for reading.

    `repo` is a registered name or a remote's URL, or None for the repository we stand in. `commit` pins: that commit
    is read, wherever the tag points by now.
    """
    return find(repo, tag if commit is None else commit, name, params)


def working_export(name, params=None):
    """Returns the newest local export `name`, committed or not, for reading."""
    return find(None, "working", name, params)


def find(repo, rev, name, params, variable="params"):
    """Resolves one export by its real names."""
    checked = _native.NativeParams(params, variable)
    return Imported(_context.workspace().resolve(repo, rev, name, checked))
