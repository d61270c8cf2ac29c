"""Exports as files for everything that opens URLs through fsspec: pandas, dask, xarray, duckdb.

    onenb://repo@tag/Name?k=v                    a registered repository
    onenb+s3://bucket/prefix@tag/Name?k=v        a remote; also onenb+gs, onenb+az, onenb+file

Directories are repositories, then their tags, then exports; a parameter set is `Name?k=v`. An export that is a folder
is a directory with its members. The last `@` separates. Everything else that would mean something in a path is written
as in a URL, and listed like that: `/` and `@` in a tag, these and `[ * ?` in a parameter, `% @ : [ * ?` in a member.
Nothing can be written: exports are made by `OneNB.exports`.
"""

import errno
import json
import re
from datetime import datetime, timedelta, timezone
from urllib.parse import quote, unquote

from fsspec.spec import AbstractFileSystem

from . import _context, _native
from ._errors import NotFound
from ._imported import Imported

_SCHEMES = ("s3", "gs", "az", "file")
_OWN = "onenb"
# What makes a path a pattern. A question mark with a parameter behind it is none.
_WILDCARD = re.compile(r"[*\[]|\?(?![^/?&=]+=)")


class OneNBFileSystem(AbstractFileSystem):
    """A read-only file system over repositories and remotes."""

    protocol = (_OWN, *(f"{_OWN}+{scheme}" for scheme in _SCHEMES))
    root_marker = ""

    @classmethod
    def _strip_protocol(cls, path):
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        path = str(path)
        if path.startswith(f"{_OWN}://"):
            path = path[len(_OWN) + 3 :]
        elif path.startswith(f"{_OWN}+"):
            path = path[len(_OWN) + 1 :]
        return path.rstrip("/") if not path.endswith("://") else path

    def unstrip_protocol(self, name):
        """Returns the full URL of a path."""
        path = self._strip_protocol(name)
        return f"{_OWN}+{path}" if _is_remote(path) else f"{_OWN}://{path}"

    @classmethod
    def _parent(cls, path):
        path = cls._strip_protocol(path)
        repo, tag, name, inner = _split(path)
        if inner is not None:
            return path.rpartition("/")[0]
        if name is not None:
            return f"{repo}@{quote(tag, safe='')}"
        return repo if tag is not None else cls.root_marker

    def ls(self, path, detail=True, **kwargs):
        """Lists repositories, the tags of one, the exports of a tag, or the members of one; of a file that file."""
        path = self._strip_protocol(path)
        repo, tag, name, inner = _split(path)
        if not repo:
            found = [_directory(known) for known in _context.workspace().repos()]
        elif tag is None:
            found = [_directory(f"{repo}@{quote(known, safe='')}") for known in _asked(_context.workspace().tags, repo)]
        elif name is None:
            found = _exports(repo, tag)
        else:
            found = self._within(path)
        return found if detail else [entry["name"] for entry in found]

    def _within(self, path):
        """Lists an export: itself, or the members at a place of it."""
        own = self.info(path)
        if own["type"] != "directory":
            return [own]
        found, export = _found(*_split(path)[:3])
        members = _members(found, export["name"])
        return [entry for entry in members if entry["name"].rpartition("/")[0] == own["name"]]

    def info(self, path, **kwargs):
        """Returns name, size and type, and for an export its digest, suffix and media type."""
        path = self._strip_protocol(path)
        repo, tag, name, inner = _split(path)
        if name is not None:
            found, own = _found(repo, tag, name)
            if inner is None:
                return own
            wanted = f"{own['name']}/{_quoted(inner)}"
            for entry in _members(found, own["name"]) if found.is_directory else []:
                if entry["name"] == wanted:
                    return entry
            raise FileNotFoundError(errno.ENOENT, "no such member", path)
        if tag is not None:
            _exports(repo, tag)
        elif repo:
            _asked(_context.workspace().tags, repo)
        return _directory(path)

    def glob(self, path, **kwargs):
        """As fsspec, except that `?k=v` belongs to a name and is no wildcard."""
        if not _WILDCARD.search(path):
            return [self._strip_protocol(path)] if self.exists(path) else []
        return super().glob(path, **kwargs)

    def _open(self, path, mode="rb", **kwargs):
        if mode != "rb":
            raise _read_only(path)
        repo, tag, name, inner = _split(self._strip_protocol(path))
        if name is None:
            raise IsADirectoryError(errno.EISDIR, "is a directory", path)
        found, _ = _found(repo, tag, name)
        if inner is not None:
            return _asked(found._shared_reader, inner)
        if found.is_directory:
            raise IsADirectoryError(errno.EISDIR, "is a directory", path)
        return found._shared_reader()

    def cat_file(self, path, start=None, end=None, **kwargs):
        """Returns the bytes from `start` to `end`; only those are fetched."""
        with self._open(path) as file:
            size = file.seek(0, 2)
            first, last, _ = slice(start, end).indices(size)
            file.seek(first)
            return file.read(max(last - first, 0))

    def created(self, path):
        """Exports keep no time."""
        raise NotImplementedError("exports keep no time: the same result is the same export")

    def modified(self, path):
        """Returns a time between 1970 and 2004 that stands for the content.

        Exports keep no time, but DuckDB opens nothing without one, and compares it to tell whether the file that it
        remembers is still the same. Equal contents have equal times, and others hardly ever.
        """
        return datetime.fromtimestamp(0, timezone.utc) + timedelta(seconds=int(self.checksum(path)[:8], 16) >> 2)

    def checksum(self, path):
        """Returns the BLAKE3 digest, that of the whole folder for a member of one."""
        repo, tag, name, inner = _split(self._strip_protocol(path))
        if name is None:
            raise IsADirectoryError(errno.EISDIR, "is a directory", path)
        return _found(repo, tag, name)[1]["digest"]

    ukey = checksum

    def _refuse(self, path, *args, **kwargs):
        raise _read_only(path)

    mkdir = makedirs = rmdir = _rm = rm_file = rm = cp_file = mv = pipe_file = put_file = touch = _refuse


def _is_remote(path):
    return path.split("://")[0] in _SCHEMES and "://" in path


def _split(path):
    """Splits a path into repository or URL, tag, name, and path within that; what is missing is None."""
    head, at, rest = path.rpartition("@")
    if not at:
        return path, None, None, None
    tag, _, rest = rest.partition("/")
    name, _, inner = rest.partition("/")
    return head, unquote(tag), name or None, unquote(inner) if inner else None


def _quoted(text):
    """Writes what would mean something in a path, to this file system or to fsspec's patterns, as in a URL."""
    return re.sub(r"[%@?*:\[]", lambda match: quote(match.group(), safe=""), text)


def _found(repo, tag, name):
    """Returns an export and its entry."""
    name, _, query = name.partition("?")
    params = _native.NativeParams.from_query(query)
    export = Imported(_asked(_context.workspace().resolve, repo, tag, name, params))
    return export, _entry(repo, tag, export._record, params.to_query())


def _members(export, base):
    """Returns the members of a directory, at every depth, with the folders that only their members tell of."""
    found = {}
    for path, kind, size in _asked(export._native.members):
        path = _quoted(path)
        found[path] = {"name": f"{base}/{path}", "size": size, "type": kind}
        while path := path.rpartition("/")[0]:
            found.setdefault(path, _directory(f"{base}/{path}"))
    return list(found.values())


def _directory(name):
    return {"name": name, "size": 0, "type": "directory"}


def _exports(repo, tag):
    rows = json.loads(_asked(_context.workspace().exports_json, repo, tag))
    return [_entry(repo, tag, row, row["query"]) for row in rows]


def _entry(repo, tag, record, query):
    """Describes an export; its name is the one spelling of its path, with parameters sorted and typed."""
    # The query is escaped already, but not for paths.
    query = re.sub(r"[@/?*\[]", lambda match: quote(match.group(), safe=""), query)
    return {
        "name": f"{repo}@{quote(tag, safe='')}/{record['name']}" + (f"?{query}" if query else ""),
        "size": record["size"],
        "type": "directory" if record["suffix"].endswith(".dir") else "file",
        "digest": record["digest"],
        "suffix": record["suffix"],
        "media_type": record["media_type"],
    }


def _asked(question, *arguments):
    """Calls, and turns "not found" into what fsspec understands."""
    try:
        return question(*arguments)
    except NotFound as error:
        raise FileNotFoundError(errno.ENOENT, str(error)) from error


def _read_only(path):
    return OSError(errno.EROFS, "exports are made with OneNB.exports, not through URLs", str(path))
