"""Exceptions: one class for each kind of error that a program may want to tell apart."""


class Error(Exception):
    """Something failed. `hint` names what to do next, or is None."""

    hint = None

    def __init__(self, message="", hint=None):
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self):
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class NotFound(Error):
    """No such repository, revision, export or parameter set."""


class NotInitialised(Error):
    """The directory is in no Git repository, or `onenb init` was never run in it."""


class Damaged(Error):
    """Stored bytes are not what was written."""


class AuthError(Error):
    """Credentials are missing or refused, or the remote was not approved."""


class Conflict(Error):
    """Two things exclude each other: an ambiguous name, a name already taken."""


class DiskFull(Error):
    """No space is left."""


class TagMovedWarning(UserWarning):
    """A tag names one commit here and another on the remote; the local one is read."""


class OfflineWarning(UserWarning):
    """A remote could not be reached; what was read of it before was read from the cache."""


# Users see and pickle them under the name they are documented with.
_errors = (Error, NotFound, NotInitialised, Damaged, AuthError, Conflict, DiskFull)
for _class in (*_errors, TagMovedWarning, OfflineWarning):
    _class.__module__ = "OneNB"
