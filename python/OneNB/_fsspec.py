"""Exports as files for everything that opens URLs through fsspec: pandas, polars, dask, xarray, duckdb.

    onenb://repo@tag/Name?k=v                    a registered repository
    onenb+s3://bucket/prefix@tag/Name?k=v        a remote; also onenb+gs, onenb+az, onenb+file

Directories are repositories, then their tags, then exports; a parameter set is `Name?k=v`. An export that is a folder
is a directory with its members. The last `@` separates, so `/` and `@` in a tag, and `/` in a parameter, are written
`%2F` and `%40`. Nothing can be written: exports are made by `OneNB.exports`.
"""

import errno
import json
import re
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
        repo, tag, name, _ = _split(path)
        base = self._canonical(repo, tag, name)
        return [entry for entry in _members(base, repo, tag, name) if entry["name"].rpartition("/")[0] == own["name"]]

    def info(self, path, **kwargs):
        """Returns name, size and type, and for an export its digest, suffix and media type."""
        path = self._strip_protocol(path)
        repo, tag, name, inner = _split(path)
        if name is not None:
            own = self._export(repo, tag, name)
            if inner is None:
                return own
            members = _members(own["name"], repo, tag, name) if own["type"] == "directory" else []
            for entry in members:
                if entry["name"] == f"{own['name']}/{inner}":
                    return entry
            raise FileNotFoundError(errno.ENOENT, "no such member", path)
        if tag is not None:
            _exports(repo, tag)
        elif repo:
            _asked(_context.workspace().tags, repo)
        return _directory(path)

    def _export(self, repo, tag, name):
        """Returns the entry of one export."""
        canonical = self._canonical(repo, tag, name)
        for entry in _exports(repo, tag):
            if entry["name"] == canonical:
                return entry
        raise FileNotFoundError(errno.ENOENT, "no such export", canonical)

    def _canonical(self, repo, tag, name):
        """Returns the one spelling of an export's path, with parameters sorted and typed."""
        name, _, query = name.partition("?")
        query = _native.NativeParams.from_query(query).to_query()
        return f"{repo}@{quote(tag, safe='')}/{name}" + (f"?{query}" if query else "")

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
        found = _imported(repo, tag, name)
        if inner is not None:
            return _asked(found.member, inner)
        if found.is_directory:
            raise IsADirectoryError(errno.EISDIR, "is a directory", path)
        return found.reader()

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

    modified = created

    def checksum(self, path):
        """Returns the BLAKE3 digest."""
        return self.info(path)["digest"]

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
    return head, unquote(tag), name or None, inner or None


def _imported(repo, tag, name):
    name, _, query = name.partition("?")
    params = _native.NativeParams.from_query(query)
    return Imported(_asked(_context.workspace().resolve, repo, tag, name, params))


def _members(base, repo, tag, name):
    """Returns the members of a directory, at every depth, with the folders that only their members tell of."""
    native = _imported(repo, tag, name)._native
    found = {}
    for path, kind, size in _asked(native.members):
        found[path] = {"name": f"{base}/{path}", "size": size, "type": kind}
        while path := path.rpartition("/")[0]:
            found.setdefault(path, _directory(f"{base}/{path}"))
    return list(found.values())


def _directory(name):
    return {"name": name, "size": 0, "type": "directory"}


def _exports(repo, tag):
    found = []
    for row in json.loads(_asked(_context.workspace().exports_json, repo, tag)):
        query = f"?{row['query']}" if row["query"] else ""
        found.append(
            {
                "name": f"{repo}@{quote(tag, safe='')}/{row['name']}{query}",
                "size": row["size"],
                "type": "directory" if row["suffix"].endswith(".dir") else "file",
                "digest": row["digest"],
                "suffix": row["suffix"],
                "media_type": row["media_type"],
            }
        )
    return found


def _asked(question, *arguments):
    """Calls, and turns "not found" into what fsspec understands."""
    try:
        return question(*arguments)
    except NotFound as error:
        raise FileNotFoundError(errno.ENOENT, str(error)) from error


def _read_only(path):
    return OSError(errno.EROFS, "exports are made with OneNB.exports, not through URLs", str(path))
