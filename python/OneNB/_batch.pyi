from types import TracebackType

from typing_extensions import Self

class Batch:
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

def batch() -> Batch: ...
