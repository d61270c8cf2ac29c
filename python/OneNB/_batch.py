"""Batches: exports that become durable and visible together."""

import contextvars
import json
import os

from . import _display
from ._errors import Error

_current = contextvars.ContextVar("onenb_batch", default=None)


class Batch:
    """`with OneNB.batch():` — every export that the block makes is there at its end, or none if it fails.

    It covers the exports of this thread (or task) into one repository. Directories are exported by themselves.
    """

    def __init__(self):
        self._native = None
        self._workspace = None
        self._done = []
        self._token = None
        self._process = os.getpid()

    def __enter__(self):
        if current() is not None:
            raise Error("a batch is open already", "end it before another one begins")
        self._token = _current.set(self)
        return self

    def __exit__(self, kind, error, traceback):
        _current.reset(self._token)
        native, self._native = self._native, None
        if native is None:
            return
        if kind is not None:
            native.discard()
            return
        native.commit()
        for outcome, shape in self._done:
            _display.show(outcome, shape)

    def start(self, workspace, making):
        """Starts one export of the batch."""
        return self._of(workspace).export(making)

    def save_value(self, workspace, making, text):
        """Exports a small value as part of the batch."""
        self.collect(json.loads(self._of(workspace).export_value(making, text)), None)

    def collect(self, outcome, shape):
        """Remembers what is shown when all of it is durable."""
        self._done.append((outcome, shape))

    def _of(self, workspace):
        if self._native is None:
            self._native = workspace.batch()
            self._workspace = workspace
        if self._workspace is not workspace:
            raise Error("a batch belongs to one repository", "end it before exporting into another one")
        return self._native


def batch():
    """Starts a batch: use it as `with OneNB.batch():`."""
    return Batch()


def current():
    """Returns the batch that this thread's exports belong to, or None."""
    found = _current.get()
    # A forked child is on its own.
    return found if found is None or found._process == os.getpid() else None
