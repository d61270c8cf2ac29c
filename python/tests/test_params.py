"""Parameter sets: golden vectors, type rules, and what is refused."""

import datetime
import enum
import json
import pathlib

import numpy as np
import pytest

import OneNB
from OneNB import _native

GOLDEN = json.loads((pathlib.Path(__file__).parents[2] / "tests/golden/params.json").read_text("utf-8"))


@pytest.mark.parametrize("vector", GOLDEN, ids=lambda vector: vector["name"])
def test_every_parameter_set_has_its_golden_encoding_and_hash(vector):
    params = json.loads(vector["params"])
    assert _native.params_hash(params) == vector["hash"]
    assert _native.NativeParams(params).cbor().hex() == vector["cbor"]


def test_none_and_the_empty_dict_are_the_same():
    assert _native.params_hash(None) == _native.params_hash({})


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (np.bool_(True), True),
        (np.int8(-3), -3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float16(0.5), 0.5),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.float64(2), 2.0),
        (np.str_("x"), "x"),
        ((1, (2,)), [1, [2]]),
        (enum.IntEnum("Level", "LOW HIGH").HIGH, 2),
        (-0.0, 0.0),
    ],
)
def test_a_value_is_kept_as_its_plain_python_type(given, plain):
    kept = OneNB.export("Sales", {"a": given}).params["a"]
    assert (kept, type(kept)) == (plain, type(plain))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (np.float32("nan"), "nan"),
        ("\ud800", "lone surrogate"),
        (b"x", "bytes"),
        (bytearray(), "bytearray"),
        ({1}, "set"),
        (1j, "complex"),
        (np.arange(3), "numpy.ndarray"),
        (np.longdouble(1), "longdouble"),
        (object(), "object"),
        (datetime.date(2024, 1, 1), "use .isoformat() / str()"),
        (datetime.datetime(2024, 1, 1), "use .isoformat() / str()"),
        (np.datetime64("2024-01-01"), "use .isoformat() / str()"),
        (np.timedelta64(1, "s"), "use .isoformat() / str()"),
        (pathlib.Path("x"), "use .isoformat() / str()"),
        ({1: 2}, "keys are str"),
        ({"\udc00": 2}, "lone surrogate"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_parameter_is_refused_by_the_variables_name(value, words):
    p1 = {"years": [1, value]}  # noqa: F841
    with pytest.raises((TypeError, ValueError)) as caught:
        from OneNB.exports._p1 import Sales  # noqa: F401
    assert "p1['years'][1]" in str(caught.value)
    assert words in str(caught.value)


def test_values_that_contain_themselves_are_refused():
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="contains itself"):
        OneNB.export("Sales", {"a": loop})


def test_only_dicts_are_parameter_sets():
    with pytest.raises(TypeError, match="params is of type list"):
        OneNB.export("Sales", [1])


def test_a_set_of_parameters_that_is_too_large_is_refused():
    with pytest.raises(OneNB.Error, match="65536"):
        OneNB.export("Sales", {"a": "x" * 70_000})
