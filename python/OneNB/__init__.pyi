from typing import Any

from . import exports as exports
from . import working as working
from ._batch import batch as batch
from ._errors import (
    AuthError as AuthError,
)
from ._errors import (
    Conflict as Conflict,
)
from ._errors import (
    Damaged as Damaged,
)
from ._errors import (
    DiskFull as DiskFull,
)
from ._errors import (
    Error as Error,
)
from ._errors import (
    NotFound as NotFound,
)
from ._errors import (
    NotInitialised as NotInitialised,
)
from ._errors import (
    OfflineWarning as OfflineWarning,
)
from ._errors import (
    TagMovedWarning as TagMovedWarning,
)
from ._exported import Exported as Exported
from ._imported import Imported as Imported

__version__: str
i: Any

def export(name: str, params: dict[str, Any] | None = None) -> Exported: ...
def load(
    repo: str | None,
    tag: str,
    name: str,
    params: dict[str, Any] | None = None,
    commit: str | None = None,
) -> Imported: ...
def working_export(name: str, params: dict[str, Any] | None = None) -> Imported: ...
