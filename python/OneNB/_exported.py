"""The writer's side: an export with its parameters, waiting for content."""

import contextlib
import csv
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import _batch, _context, _display, _native
from ._errors import Error
from ._file import ExportFile

_SLICE = 1024 * 1024
# An export of this suffix says where data is instead of holding it.
SOURCE_SUFFIX = ".source.json"
_MAX_VALUE = 100
# Pages of a Parquet file, in bytes: as long as the store's chunks.
_PAGES = {"min_chunk_size": 64 * 1024, "max_chunk_size": 256 * 1024, "norm_level": 0}
_DIRECTORY_SUFFIX = ".dir"


@dataclass
class _Making:
    """What the native side needs to start an export."""

    name: str
    params: _native.NativeParams
    suffix: str
    producer: object
    inputs: list
    run: object
    cell_source: object


class Exported:
    """An export that this notebook or script makes. Each write replaces the version in the work tree."""

    def __init__(self, name, params=None, *, variable="params"):
        self._name = name
        self._variable = variable
        self._source = params
        self._params = _native.NativeParams(params, variable)

    @property
    def name(self):
        """The export's name."""
        return self._name

    @property
    def params(self):
        """A copy of the parameters as they were when this was imported."""
        return json.loads(self._params.json())

    def open(self, *, suffix, mode=None, encoding="utf-8"):
        """Opens a file that is exported when it is closed.

        Without a mode it takes text and bytes; `w`, `wt` and `t` take text, `wb` and `b` bytes. An exception inside
        `with` discards what was written.
        """
        self._warn_if_changed()
        workspace, making, batch = _context.workspace_to_write(), self._making(suffix), _batch.current()
        if batch is None:
            start, done = (lambda: workspace.export(making)), _display.show
        else:
            start, done = (lambda: batch.start(workspace, making)), batch.collect
        return ExportFile(start, self._name, suffix, mode, encoding, done, _context.inputs)

    def text_writer(self, file_ext):
        """Opens a text file; `file_ext` is `csv` or `.csv`."""
        return self.open(suffix=_suffix_of(file_ext), mode="wt")

    def writer(self, file_ext):
        """Opens a binary file; `file_ext` is `npy` or `.npy`."""
        return self.open(suffix=_suffix_of(file_ext), mode="wb")

    def write_csv(self, rows):
        """Exports rows, each a sequence of cells, as CSV."""
        with self.open(suffix=".csv", mode="wt") as file:
            csv.writer(file).writerows(rows)

    def write_as_json(self, data, cls=None):
        """Exports data as JSON; `cls` is an encoder class as in `json.dump`."""
        with self.open(suffix=".json", mode="wt") as file:
            json.dump(data, file, cls=cls)

    def write_stream(self, stream, file_ext, encoding="utf-8"):
        """Exports everything that `stream.read` gives, text or bytes."""
        with self.open(suffix=_suffix_of(file_ext), encoding=encoding) as file:
            while data := stream.read(_SLICE):
                file.write(data)

    def to_parquet(self, table, **options):
        """Exports a table as Parquet whose pages are cut by content, so that versions of it share what they can.

        `table` is a data frame of pandas or polars, an Arrow table, or anything with Arrow's C stream interface;
        `options` go to `pyarrow.parquet.write_table`. Unless they say so, pages are neither compressed nor encoded by
        dictionaries, whose numbers all shift with a new value: the store compresses, and finds what changed in a page.
        """
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise Error("to_parquet needs pyarrow", "install it with `pip install 'pyarrow>=21'`") from None
        options = {"use_content_defined_chunking": _PAGES, "compression": "none", "use_dictionary": False} | options
        pandas = sys.modules.get("pandas")
        is_pandas = pandas is not None and isinstance(table, pandas.DataFrame)
        # Arrow's interface would leave the index out.
        table = pyarrow.Table.from_pandas(table) if is_pandas else pyarrow.table(table)
        with self.open(suffix=".parquet", mode="wb") as file:
            try:
                parquet.write_table(table, file, **options)
            except TypeError as error:
                if "use_content_defined_chunking" not in str(error):
                    raise
                hint = "update it with `pip install -U 'pyarrow>=21'`, or pass use_content_defined_chunking=None"
                raise Error(f"pyarrow {pyarrow.__version__} cannot cut pages by content", hint) from None

    @contextlib.contextmanager
    def path_writer(self, suffix):
        """Gives a temporary path to libraries that need one; the file is exported when the block ends well."""
        with tempfile.TemporaryDirectory(prefix="onenb-") as directory:
            path = Path(directory) / (self._name + suffix)
            # Opened first, so that a bad suffix or a missing repository shows before the work is done.
            with self.open(suffix=suffix, mode="wb") as file:
                yield path
                if path.is_dir():
                    raise Error(f"{path.name} is a directory", "export it with `directory()`")
                if not path.is_file():
                    raise Error(f"nothing was written to {path}")
                with open(path, "rb") as written:
                    while data := written.read(_SLICE):
                        file.write(data)

    @contextlib.contextmanager
    def directory(self, suffix=""):
        """Gives a temporary folder, which is exported with all that is in it when the block ends well.

        A suffix such as `.zarr` ends the folder's name, also when it is read back.
        """
        with tempfile.TemporaryDirectory(prefix="onenb-") as parent:
            path = Path(parent) / (self._name + suffix)
            path.mkdir()
            yield path
            self.write_directory(path, suffix)

    def write_directory(self, path, suffix=None):
        """Exports a folder that exists. Files that look as they did at the last export of that folder are not read."""
        self._warn_if_changed()
        path = Path(path)
        if not path.is_dir():
            raise NotADirectoryError(f"{path} is no directory")
        making = self._making((path.suffix if suffix is None else suffix) or _DIRECTORY_SUFFIX)
        _display.show(json.loads(_context.workspace_to_write().export_directory(making, path)), None)

    def save_value(self, data):
        """Exports a small value, at most 100 bytes of canonical JSON, which is kept inline everywhere."""
        self._warn_if_changed()
        try:
            text = _native.value_json(data, "the value")
        except TypeError as error:
            raise TypeError(f"{error} (write_as_json() takes an encoder class)") from None
        length = len(text.encode())
        if length > _MAX_VALUE:
            raise ValueError(f"the value has {length} bytes of JSON, more than {_MAX_VALUE}; use write_as_json()")
        workspace, making, batch = _context.workspace_to_write(), self._making(".json"), _batch.current()
        if batch is not None:
            batch.save_value(workspace, making, text)
        else:
            _display.show(json.loads(workspace.export_value(making, text)), None)

    def open_no_upload(self, *, fn_write_bytes_to=None, fn_returning_fileobj=None, source_type, params):
        """Opens data that stays where it is, and exports only where that is: source type and parameters.

        `fn_returning_fileobj` gets the parameters and returns an open file; `fn_write_bytes_to` gets a binary file
        and the parameters and writes the data there. Without either, builtin `open` is called. A dict of parameters
        is passed as keywords, a tuple as positionals. Returns the open file.
        """
        if fn_write_bytes_to is not None and fn_returning_fileobj is not None:
            raise TypeError("give fn_write_bytes_to or fn_returning_fileobj, not both")
        positional, keywords = ((), params) if isinstance(params, dict) else (tuple(params), {})
        text = _native.value_json({"source_type": source_type, "params": params}, "the source")
        if fn_write_bytes_to is not None:
            source = tempfile.TemporaryFile()
            fn_write_bytes_to(source, *positional, **keywords)
            source.seek(0)
        else:
            source = (fn_returning_fileobj or open)(*positional, **keywords)
        with self.open(suffix=SOURCE_SUFFIX, mode="wt") as file:
            file.write(text)
        return source

    def _making(self, suffix):
        return _Making(
            name=self._name,
            params=self._params,
            suffix=suffix,
            producer=_context.notebook_path(),
            inputs=_context.inputs(),
            run=_context.run_id(),
            cell_source=_context.cell_source(),
        )

    def _warn_if_changed(self):
        try:
            same = _native.NativeParams(self._source, self._variable) == self._params
        except (TypeError, ValueError):
            same = False
        if not same:
            _context.warn(
                f"{self._variable} changed after the import of {self._name}; the imported values are used: "
                f"{_display.params_text(self.params)}",
                UserWarning,
            )

    def __repr__(self):
        return f"<OneNB export {self._name}{_display.params_text(self.params)}>"


def _suffix_of(file_ext):
    return file_ext if file_ext.startswith(".") else f".{file_ext}"
