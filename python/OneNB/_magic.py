"""What makes `from OneNB.exports._p1 import Report` work.

- `OneNB.exports`, `OneNB.working`, `OneNB.i` and all below are modules without content: an export is made each time its
  name is asked for, and no module keeps it, so a cell that runs again gets what is true then.
- `_p1` stands for the variable `p1` of the frame that asks for the export's name: its locals, then its globals. The
  module of such a name takes itself out of `sys.modules` when it has answered.
- Repositories and revisions are looked up when an export's name is asked for, not before.
"""

import importlib.abc
import importlib.machinery
import keyword
import sys
import threading
import types
import unicodedata

from . import _context
from ._errors import Conflict, Error, NotFound
from ._exported import Exported
from ._twins import find

# Held while a module removes itself, so that it never removes another thread's newer one.
_removal = threading.Lock()


class _Namespace(types.ModuleType):
    """A module whose names are made when they are asked for.

    All that it has itself is spelled with double underscores: any other name may be an export's or a variable's.
    """

    # `import *` would bring in whatever was exported last, over the user's own names.
    __all__ = ()

    def __init__(self, name, content):
        super().__init__(name)
        self.__dict__["__content__"] = content

    def __setattr__(self, name, value):
        # The import system hangs each submodule on its parent, where it would hide the fresh one.
        if not isinstance(value, _Namespace):
            super().__setattr__(name, value)

    def __getattr__(self, name):
        # Front ends probe every object for names such as `_repr_html_`.
        if name.startswith(("__", "_repr_", "_ipython_")) and name.endswith("_"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return self.__content__.make(self, name, sys._getframe(1))

    def __dir__(self):
        try:
            return sorted({mangle(name) for name in self.__content__.names()})
        except Error:
            return []


class _Place:
    """Somewhere exports are written to or read from; `_x` below it is the same place with the parameters of `x`."""

    def make(self, module, name, frame):
        """Returns what `name` stands for below the module."""
        if name.startswith("_"):
            return _Namespace(f"{module.__name__}.{name}", _WithParams(self, name[1:]))
        return self.export(name, None, "params")

    def export(self, name, params, variable):
        """Returns an export."""
        raise NotImplementedError

    def names(self):
        """Returns the names of the exports there, for completion."""
        raise NotImplementedError


class _Exports(_Place):
    """`OneNB.exports`."""

    def export(self, name, params, variable):
        return Exported(name, params, variable=variable)

    def names(self):
        return _context.workspace().export_names(None, "working")


class _Working(_Place):
    """`OneNB.working`."""

    def export(self, name, params, variable):
        try:
            repo, rev = self.revision()
            real = _context.workspace().demangle_export(repo, rev, name)
            return find(repo, rev, real, params, variable)
        except (NotFound, Conflict) as error:
            raise ImportError(str(error), name=name) from error

    def names(self):
        return _context.workspace().export_names(*self.revision())

    def revision(self):
        """Returns repository and revision by their real names."""
        return None, "working"


class _Tag(_Working):
    """`OneNB.i.REPO.TAG`; a branch or commit does as well."""

    def __init__(self, repo, rev):
        self._repo = repo
        self._rev = rev

    def revision(self):
        workspace = _context.workspace()
        repo = workspace.demangle_repo(self._repo)
        return repo, workspace.demangle_rev(repo, self._rev)


class _Repository:
    """`OneNB.i.REPO`."""

    def __init__(self, repo):
        self._repo = repo

    def make(self, module, name, frame):
        return _Namespace(f"{module.__name__}.{name}", _Tag(self._repo, name))

    def names(self):
        workspace = _context.workspace()
        repo = workspace.demangle_repo(self._repo)
        return [*workspace.tags(repo), *workspace.branches(repo)]


class _Repositories:
    """`OneNB.i`."""

    def make(self, module, name, frame):
        return _Namespace(f"{module.__name__}.{name}", _Repository(name))

    def names(self):
        return _context.workspace().repos()


class _WithParams:
    """`._p1` below a place."""

    def __init__(self, place, variable):
        self._place = place
        self._variable = variable

    def make(self, module, name, frame):
        with _removal:
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]
        for scope in (frame.f_locals, frame.f_globals):
            if self._variable in scope:
                return self._place.export(name, scope[self._variable], self._variable)
        raise ImportError(
            f"there is no variable `{self._variable}` here, which `_{self._variable}` stands for\n"
            f"hint: assign the parameters first: {self._variable} = dict(year=2023)",
            name=module.__name__,
        )

    def names(self):
        return self._place.names()


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules below `OneNB.exports`, `OneNB.working` and `OneNB.i` by asking their parents for them."""

    def find_spec(self, name, path=None, target=None):
        """Returns the spec of a module that exists only while it is used."""
        parent, _, child = name.rpartition(".")
        above = sys.modules.get(parent)
        if not isinstance(above, _Namespace):
            return None
        in_place = isinstance(above.__content__, _Place)
        if in_place and not child.startswith("_"):
            # An export is no module; the import system then asks for the attribute, whose error says more.
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=not in_place)

    def create_module(self, spec):
        """Returns the parent's own answer for the name."""
        parent, _, child = spec.name.rpartition(".")
        return getattr(sys.modules[parent], child)

    def exec_module(self, module):
        """Does nothing: there is no code."""


def install():
    """Puts the finder and the three roots in place; returns the roots."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    roots = []
    for name, content in (
        ("OneNB.exports", _Exports()),
        ("OneNB.working", _Working()),
        ("OneNB.i", _Repositories()),
    ):
        root = _Namespace(name, content)
        root.__path__ = []
        root.__spec__ = importlib.machinery.ModuleSpec(name, finder, is_package=True)
        root.__package__ = name
        sys.modules[name] = root
        roots.append(root)
    return roots


def mangle(name):
    """Returns the import name of a repository, tag or export, which completion offers."""
    text = "".join(char if ("_" + char).isidentifier() else "_" for char in unicodedata.normalize("NFKC", name))
    if text[:1].isdigit():
        text = "_" + text
    return text + "_" if keyword.iskeyword(text) else text
