"""The file object that `Exported.open` gives.

- Bytes go straight to the native writer, and no copy is kept.
- A writer that seeks back (zip, xlsx) expects to find its bytes there: what was written is then read back into a
  temporary file, which is exported as a whole when it is closed.
- Nothing is exported before `close`. An exception inside `with`, or a file that is forgotten, leaves no trace.
"""

import codecs
import io
import json
import os
import tempfile
import threading
import warnings

from ._errors import Error
from ._shape import shape_finder

_SLICE = 1024 * 1024
# A temporary file shorter than this stays in memory.
_IN_MEMORY = 8 * 1024 * 1024
# What each mode takes: text, bytes.
_MODES = {
    None: (True, True),
    "t": (True, False),
    "wt": (True, False),
    "w": (True, False),
    "b": (False, True),
    "wb": (False, True),
}


class ExportFile(io.IOBase):
    """A file that becomes an export when it is closed."""

    def __init__(self, start, name, suffix, mode, encoding, done, inputs=list):
        # First, so that a constructor that fails leaves nothing to close.
        self._closed = True
        if mode not in _MODES:
            raise ValueError(f"mode {mode!r} is not one of None, 'w', 'wt', 't', 'wb', 'b'")
        self._takes_text, self._takes_bytes = _MODES[mode]
        self._encoding = encoding
        self._encoder = codecs.getincrementalencoder(encoding)()
        self._start = start
        self._name = name + suffix
        self._suffix = suffix
        self._done = done
        self._inputs = inputs
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._position = 0
        self._shape = shape_finder(suffix)
        self._spilled = None
        self._native = start()
        self._closed = False

    @property
    def name(self):
        """The export's name with its suffix."""
        return self._name

    @property
    def mode(self):
        """`wb` where only bytes are taken, else `w`."""
        return "w" if self._takes_text else "wb"

    @property
    def encoding(self):
        """How text becomes bytes; line ends stay as they are written."""
        return self._encoding

    @property
    def closed(self):
        """Whether the file was closed, exported or not."""
        return self._closed

    def readable(self):
        """Always false."""
        return False

    def writable(self):
        """Always true."""
        return True

    def seekable(self):
        """Always true."""
        return True

    def read(self, size=-1):
        """Always refused; NumPy takes only objects with this method for files."""
        raise io.UnsupportedOperation("an export being written cannot be read")

    def flush(self):
        """Does nothing: an export is whole when it is closed, and not before."""
        self._check_open()

    def tell(self):
        """Returns the position in bytes."""
        self._check_open()
        return self._position

    def write(self, data):
        """Writes text or bytes; returns how many characters or bytes that were."""
        with self._lock:
            self._check_open()
            if isinstance(data, str):
                if not self._takes_text:
                    raise TypeError("a bytes-like object is required, not 'str'")
                self._put(self._encoder.encode(data))
                return len(data)
            if not self._takes_bytes:
                raise TypeError(f"write() argument must be str, not {type(data).__name__}")
            return self._put_buffer(data)

    def _put_buffer(self, data):
        if isinstance(data, bytes) and len(data) <= _SLICE:
            self._put(data)
            return len(data)
        with memoryview(data) as view:
            if not view.c_contiguous:
                view = memoryview(view.tobytes())
            with view.cast("B") as flat:
                for start in range(0, len(flat), _SLICE):
                    self._put(bytes(flat[start : start + _SLICE]))
                return len(flat)

    def _put(self, data):
        if self._spilled is not None:
            self._spilled.write(data)
        else:
            self._native.write(data)
            if self._shape is not None:
                self._shape.feed(data)
        self._position += len(data)

    def seek(self, offset, whence=0):
        """Moves; anywhere but to where the file stands, this turns the file into a temporary one until it is closed."""
        with self._lock:
            self._check_open()
            if whence not in (0, 1, 2):
                raise ValueError(f"whence {whence!r} is not 0, 1 or 2")
            if self._spilled is None:
                target = offset + (self._position if whence else 0)
                if target == self._position:
                    return target
                if target < 0:
                    raise ValueError(f"negative position {target}")
                self._spill()
                offset, whence = target, 0
            self._position = self._spilled.seek(offset, whence)
            return self._position

    def truncate(self, size=None):
        """Cuts the file; the position stays."""
        with self._lock:
            self._check_open()
            size = self._position if size is None else size
            if self._spilled is not None or size != self._position:
                self._spill()
                self._spilled.truncate(size)
            return size

    def _spill(self):
        """Goes on in a temporary file that holds what was written so far."""
        if self._spilled is not None:
            return
        reader = self._native.read_back()
        spilled = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)
        try:
            while data := reader.read(_SLICE):
                spilled.write(data)
        except BaseException:
            spilled.close()
            raise
        self._spilled = spilled

    def _drop_spilled(self):
        if self._spilled is not None:
            self._spilled.close()
            self._spilled = None

    def close(self):
        """Exports what was written; the previous version stays if that fails."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                if self._process != os.getpid():
                    raise Error("this export was opened in another process", "open it again after the fork")
                outcome, shape = self._finish()
            finally:
                self._drop_spilled()
                self._native.discard()
        self._done(outcome, shape)

    def _finish(self):
        self._put(self._encoder.encode("", final=True))
        if self._spilled is not None:
            self._native = self._start()
            self._shape = shape_finder(self._suffix)
            self._spilled.seek(0)
            while data := self._spilled.read(_SLICE):
                self._native.write(data)
                if self._shape is not None:
                    self._shape.feed(data)
        outcome = json.loads(self._native.finish(self._inputs()))
        try:
            return outcome, self._shape and self._shape.shape()
        except Exception:  # Only a table's size for people; the bytes need not be what the suffix says.
            return outcome, None

    def discard(self):
        """Closes without exporting."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._drop_spilled()
                self._native.discard()

    def __exit__(self, kind, error, traceback):
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self):
        if not self._closed:
            self.discard()
            if self._process == os.getpid():
                message = f"export {self._name} was never closed, and is discarded"
                warnings.warn(message, ResourceWarning, stacklevel=2, source=self)

    def __repr__(self):
        return f"<OneNB export file {self._name!r}, {'closed' if self._closed else 'open'}>"

    def _check_open(self):
        if self._closed:
            raise ValueError("I/O operation on closed file")
