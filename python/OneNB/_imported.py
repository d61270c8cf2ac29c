"""The reader's side: one export of one revision."""

import html
import io
import json

from . import _context, _display
from ._errors import Error, OfflineWarning, TagMovedWarning
from ._exported import SOURCE_SUFFIX

# Small enough that a footer costs little, large enough that rows do not cost a call each.
_BUFFER = 128 * 1024
_PEEKED = 8 * 1024


class _RawReader(io.RawIOBase):
    """The native reader under Python's `BufferedReader`."""

    def __init__(self, native, name):
        self._native = native
        self.name = name

    def readable(self):
        return True

    def seekable(self):
        return True

    def readinto(self, buffer):
        self._check_open()
        with memoryview(buffer) as view, view.cast("B") as flat:
            data = self._native.read(len(flat))
            flat[: len(data)] = data
            return len(data)

    def readall(self):
        # Without this, `io` would gather the whole in pieces of 8 KiB.
        self._check_open()
        return self._native.read()

    def tell(self):
        self._check_open()
        return self._native.tell()

    def seek(self, offset, whence=0):
        self._check_open()
        return self._native.seek(offset, whence)

    def close(self):
        self._native = None
        super().close()

    def _check_open(self):
        if self._native is None:
            raise ValueError("I/O operation on closed file")


class SharedReader(io.BufferedIOBase):
    """A file that threads may share if each keeps the GIL between `seek` and `read`, as those of DuckDB do.

    Both must be native for that: between two lines of Python, and in the lock of `BufferedReader`, another may run.
    """

    def __init__(self, native, name):
        self.name = name
        self.seek, self.read, self.tell = native.seek, native.read, native.tell

    def readable(self):
        return True

    def seekable(self):
        return True

    def read1(self, size=-1):
        return self.read(size if size >= 0 else _BUFFER)

    def peek(self, size=0):
        # With this, `io` looks for the end of a line in a piece and not byte by byte.
        start = self.tell()
        found = self.read(_PEEKED)
        self.seek(start)
        return found

    def close(self):
        self.seek = self.read = self.tell = _refuse_closed
        super().close()


def _refuse_closed(*_):
    raise ValueError("I/O operation on closed file")


class Imported:
    """An export found by repository and revision. What it stands for does not change any more."""

    def __init__(self, native):
        self._native = native
        found = json.loads(native.json())
        self._record = found.pop("record")
        self._place = found
        self._warn(native.moved())

    def _warn(self, moved):
        if moved is not None:
            tag, local, remote = moved
            _context.warn(
                f"tag {tag} is {local[:12]} here and {remote[:12]} on the remote; the local one is read",
                TagMovedWarning,
            )
        offline = self._native.offline_note()
        if offline is not None:
            _context.warn(offline, OfflineWarning)

    @property
    def name(self):
        """The export's name."""
        return self._record["name"]

    @property
    def params(self):
        """A copy of its parameters."""
        return json.loads(json.dumps(self._record["params"]))

    @property
    def info(self):
        """What is known of it: repository, revision, commit, digest, size, suffix, media type, producer, inputs."""
        record = {key: value for key, value in self._record.items() if key not in ("format", "kind")}
        return json.loads(json.dumps({**self._place, **record}))

    def reader(self):
        """Opens a seekable binary file that reads only what is asked of it."""
        return io.BufferedReader(_RawReader(*self._opened()), _BUFFER)

    def member(self, path):
        """Opens one file of a directory as `reader` opens an export; only what is read of it is fetched."""
        return io.BufferedReader(_RawReader(*self._opened(str(path))), _BUFFER)

    def _shared_reader(self, member=None):
        """Opens it, or one file of a directory, for libraries whose threads share a file."""
        return SharedReader(*self._opened(member))

    def _opened(self, member=None):
        """Returns a native reader of it, or of one file of a directory, and the name of that; it is an input now."""
        if member is not None:
            native, name = self._native.open_member(member), member
        elif self.is_directory:
            raise Error(f"{self.name} is a directory", "use `path()`, or `member(path)` for one file of it")
        else:
            native, name = self._native.open(), self.name + self._record["suffix"]
            self._warn(self._native.noticed())
        _context.record_input(self._native)
        return native, name

    @property
    def is_directory(self):
        """Whether it is a folder with members."""
        return self._record["suffix"].endswith(".dir")

    def members(self):
        """Returns the paths of the files in a directory, sorted; links to files of it are among them."""
        return [path for path, kind, _ in self._native.members() if kind != "directory"]

    def path(self):
        """Returns the path of a verified local file with the right suffix; a copy in the cache, not to be changed.

        For a directory it is a folder.
        """
        path = self._native.path()
        self._warn(self._native.noticed())
        _context.record_input(self._native)
        return path

    @property
    def value(self):
        """What `save_value` saved, the source that `open_no_upload` noted, or the content of any other JSON export."""
        if self._record.get("value") is not None:
            _context.record_input(self._native)
            return json.loads(json.dumps(self._record["value"]))
        if self._record["suffix"] in (".json", SOURCE_SUFFIX):
            return json.loads(bytes(self))
        raise Error(f"{self.name} is a {self._record['suffix']} file, not a value", "read it with `reader()`")

    def get_value(self):
        """Returns `value`."""
        return self.value

    def __bytes__(self):
        with self.reader() as file:
            return file.read()

    def __repr__(self):
        return f"<OneNB import {self._title()}: {self._words()}>"

    def _repr_html_(self):
        return f"<b>{html.escape(self._title())}</b>: {html.escape(self._words())}"

    def _title(self):
        return f"{self._place['repo']}@{self._place['rev']}:{self.name}{_display.params_text(self._record['params'])}"

    def _words(self):
        record, commit = self._record, self._place["commit"]
        words = [record["suffix"], _display.size_text(record["size"]), f"digest {record['digest'][:12]}"]
        if commit:
            words.append(f"commit {commit[:7]}")
        if record["producer"]["path"]:
            words.append(f"from {record['producer']['path']}")
        return ", ".join(words)
