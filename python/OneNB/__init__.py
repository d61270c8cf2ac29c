"""OneNB: export data from notebooks and scripts, and read it back by repository and tag.

    from OneNB.exports import Sales              # write
    from OneNB.exports._p1 import Report         # write, one version per value of the variable p1
    from OneNB.i.myrepo.v1 import Sales          # read by repository and tag
    from OneNB.working import Sales              # read the newest local export

`export`, `load` and `working_export` do the same without import magic.
"""

from ._batch import batch
from ._errors import (
    AuthError,
    Conflict,
    Damaged,
    DiskFull,
    Error,
    NotFound,
    NotInitialised,
    OfflineWarning,
    TagMovedWarning,
)
from ._exported import Exported
from ._imported import Imported
from ._native import __version__
from ._twins import export, load, working_export

__all__ = [
    "AuthError",
    "Conflict",
    "Damaged",
    "DiskFull",
    "Error",
    "Exported",
    "Imported",
    "NotFound",
    "NotInitialised",
    "OfflineWarning",
    "TagMovedWarning",
    "__version__",
    "batch",
    "export",
    "load",
    "working_export",
]

from . import _magic

exports, working, i = _magic.install()
