"""Imports that make their names on each access."""

import sys
import threading

import pytest

import OneNB
from OneNB import _magic


def test_an_import_that_runs_again_sees_the_new_values():
    seen = []
    for year in (2023, 2024):
        p1 = dict(year=year)  # noqa: F841
        from OneNB.exports._p1 import Report

        seen.append(Report.params)
    assert seen == [{"year": 2023}, {"year": 2024}]


def test_no_module_stays_behind():
    p1 = dict(year=1)  # noqa: F841
    from OneNB.exports._p1 import Report  # noqa: F401

    from OneNB.exports import Sales  # noqa: F401

    assert [name for name in sys.modules if name.startswith("OneNB.exports.")] == []
    assert "Sales" not in vars(OneNB.exports)


def test_each_access_makes_another_export():
    from OneNB.exports import Sales as first
    from OneNB.exports import Sales as second

    assert first is not second


def test_locals_come_before_globals():
    namespace = {"p1": {"from": "globals"}}
    code = "def f():\n    p1 = {'from': 'locals'}\n    from OneNB.exports._p1 import A\n    return A\n"
    exec(code + "inner = f()\nfrom OneNB.exports._p1 import A as outer\n", namespace)
    assert namespace["inner"].params == {"from": "locals"}
    assert namespace["outer"].params == {"from": "globals"}


def test_a_missing_variable_is_named():
    with pytest.raises(ImportError, match="`nowhere`"):
        from OneNB.exports._nowhere import A  # noqa: F401


@pytest.mark.parametrize("variable", ["make", "names", "place", "export", "revision", "p", "params"])
def test_any_variable_name_does(variable):
    namespace = {variable: {"a": 1}}
    exec(f"from OneNB.exports._{variable} import X", namespace)
    assert namespace["X"].params == {"a": 1}


def test_attributes_do_what_imports_do():
    p1 = dict(year=1)  # noqa: F841
    assert OneNB.exports._p1.Sales.params == {"year": 1}
    assert OneNB.exports.Sales.params == {}


def test_parameters_are_copied_at_the_import():
    p1 = dict(years=[1])
    from OneNB.exports._p1 import Report

    p1["years"].append(2)
    assert Report.params == {"years": [1]}


def test_a_star_import_brings_nothing():
    namespace = {}
    exec("from OneNB.exports import *", namespace)
    exec("from OneNB.working import *", namespace)
    assert set(namespace) == {"__builtins__"}


def test_front_ends_that_probe_modules_find_nothing():
    for name in ("__file__", "_repr_html_", "_ipython_display_"):
        assert not hasattr(OneNB.exports, name)


def test_threads_get_their_own_parameters():
    wrong = []

    def work(number):
        for step in range(200):
            p1 = dict(number=number, step=step)
            from OneNB.exports._p1 import Report

            if Report.params != p1:
                wrong.append(Report.params)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "mangled"),
    [("v1.0", "v1_0"), ("my-repo", "my_repo"), ("3fa9c2e", "_3fa9c2e"), ("class", "class_"), ("ﬁx", "fix"), ("é", "é")],
)
def test_names_are_mangled_into_identifiers(name, mangled):
    assert _magic.mangle(name) == mangled
    assert mangled.isidentifier()
