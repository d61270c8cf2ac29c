"""A real kernel: cells that run again, receipts in the saved notebook."""

import json
import re
import sys

import pytest
from conftest import Repository

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

MEDIA_TYPE = "application/vnd.onenb.receipt+json"


def execute(repository, cells, monkeypatch, **options):
    """Runs cells in one kernel and returns the notebook as it was saved."""
    path = repository.path / "report.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, path)
    monkeypatch.setenv("ONENB_NOTEBOOK", str(path))
    resources = {"metadata": {"path": str(repository.path)}}
    client = nbclient.NotebookClient(notebook, timeout=120, resources=resources, **options)
    client.execute()
    nbformat.write(notebook, path)
    return json.loads(path.read_text("utf-8"))


def receipts(notebook):
    """Returns the receipts of all cells in order."""
    outputs = [output for cell in notebook["cells"] for output in cell["outputs"]]
    return [output["data"][MEDIA_TYPE] for output in outputs if MEDIA_TYPE in output.get("data", {})]


EXPORT = "from OneNB.exports._p1 import Report\nReport.write_csv([['a', 'b'], [p1['year'], 1]])"


def test_a_cell_that_runs_again_uses_the_new_values_and_leaves_a_receipt(repository, monkeypatch):
    saved = execute(repository, ["p1 = dict(year=1)", EXPORT, "p1 = dict(year=2)", EXPORT], monkeypatch)
    first, second = receipts(saved)
    assert (first["params"], second["params"]) == ({"year": 1}, {"year": 2})
    assert first["run"] == second["run"]
    assert first["digest"] != second["digest"]
    assert first["cell_source_digest"] == second["cell_source_digest"] is not None
    assert first["v"] == 1 and first["export"] == "Report" and first["suffix"] == ".csv" and first["size"] == 10


def test_the_output_says_what_was_exported(repository, monkeypatch):
    saved = execute(repository, ["p1 = dict(year=1)", EXPORT], monkeypatch)
    (output,) = saved["cells"][1]["outputs"]
    text = "".join(output["data"]["text/plain"])
    assert "Report{year=1}" in text and "1 × 2" in text and "10 B" in text
    assert "<b>" in "".join(output["data"]["text/html"])


def test_an_identical_export_says_since_when(repository, monkeypatch):
    execute(repository, ["p1 = dict(year=1)", EXPORT], monkeypatch)
    repository.commit(tag="v1")
    saved = execute(repository, ["p1 = dict(year=1)", EXPORT], monkeypatch)
    assert "unchanged since v1" in "".join(saved["cells"][1]["outputs"][0]["data"]["text/plain"])


def test_a_script_prints_nothing(repository):
    (repository.path / "make.py").write_text(
        "import OneNB\nwith OneNB.export('Sales').open(suffix='.csv') as f:\n    f.write('a')\n"
    )
    assert repository.run(sys.executable, "make.py") == ""
    (record,) = (repository.path / ".1nb/exports/Sales").iterdir()
    assert json.loads(record.read_text())["producer"]["path"] == "make.py"


def test_a_renamed_notebook_binds_its_own_versions(repository, monkeypatch):
    cells = ["p1 = dict(year=1)", EXPORT, "p1 = dict(year=2)", EXPORT]
    first, second = receipts(execute(repository, cells, monkeypatch))
    (repository.path / "report.ipynb").rename(repository.path / "renamed.ipynb")
    monkeypatch.delenv("ONENB_NOTEBOOK")
    # Exported by nobody who is recorded here, so it must not be what the notebook gets.
    repository.run(
        sys.executable,
        "-c",
        "import OneNB\nOneNB.export('Report', {'year': 1}).write_csv([['other']])",
    )
    repository.onenb("addnb", "--nb", "renamed.ipynb")
    repository.commit(tag="v1")
    for year, receipt in ((1, first), (2, second)):
        resolved = json.loads(repository.onenb("resolve", "v1:Report", "-p", f"year={year}", "--json"))["exports"][0]
        assert resolved["digest"] == receipt["digest"]
        assert repository.onenb("cat", "v1:Report", "-p", f"year={year}").split() == ["a,b", f"{year},1"]


def test_receipts_name_what_the_run_read(repository, monkeypatch):
    cells = [
        "from OneNB.exports import Base\nBase.write_as_json([1])",
        "from OneNB.working import Base\nBase",
        "from OneNB.exports import Derived\nwith Derived.open(suffix='.txt') as f:\n    f.write(str(Base.value))",
    ]
    saved = execute(repository, cells, monkeypatch)
    base, derived = receipts(saved)
    assert base["inputs"] == []
    assert [(row["name"], row["digest"]) for row in derived["inputs"]] == [("Base", base["digest"])]
    (shown,) = [output for output in saved["cells"][1]["outputs"] if output["output_type"] == "execute_result"]
    assert "my-repo@working:Base" in "".join(shown["data"]["text/html"])


def test_tab_completes_repositories_tags_and_exports(repository, monkeypatch):
    repository.run(sys.executable, "-c", "import OneNB\nOneNB.export('q3-2024').write_as_json(1)")
    repository.commit(tag="v1.0")
    complete = "print(get_ipython().kernel.do_complete({0!r}, {1})['matches'])"
    texts = ["OneNB.i.", "OneNB.i.my_repo.", "OneNB.i.my_repo.v1_0.", "OneNB.working.", "from OneNB.working import "]
    saved = execute(repository, ["import OneNB", *(complete.format(text, len(text)) for text in texts)], monkeypatch)
    shown = ["".join(cell["outputs"][0]["text"]) for cell in saved["cells"][1:]]
    for wanted, text in zip(("my_repo", "v1_0", "q3_2024", "q3_2024", "q3_2024"), shown, strict=True):
        assert wanted in text


def test_an_exception_in_a_cell_keeps_the_previous_version_and_leaves_no_receipt(repository, monkeypatch):
    export = "from OneNB.exports import Sales\nwith Sales.open(suffix='.txt') as f:\n    f.write({0!r})"
    cells = [export.format("old"), export.format("x" * 5_000_000) + "\n    1 / 0"]
    saved = execute(repository, cells, monkeypatch, allow_errors=True)
    assert [output["ename"] for output in saved["cells"][1]["outputs"]] == ["ZeroDivisionError"]
    (receipt,) = receipts(saved)
    assert receipt["size"] == 3
    assert repository.onenb("cat", "working:Sales") == "old"
    (receipt,) = receipts(execute(repository, [export.format("new")], monkeypatch))
    assert receipt["size"] == 3
    assert repository.onenb("cat", "working:Sales") == "new"


def test_a_killed_kernel_leaves_nothing_and_the_next_export_works(repository, monkeypatch):
    start = "import os\nfrom OneNB.exports import Sales\nf = Sales.open(suffix='.bin')\nf.write(os.urandom(24 << 20))\n"
    store = repository.path / ".git/onenb"

    def stored():
        return sum(path.stat().st_size for path in store.rglob("*") if path.is_file())

    for _ in range(3):
        with pytest.raises(nbclient.exceptions.DeadKernelError):
            execute(repository, [start + "os.kill(os.getpid(), 9)"], monkeypatch)
        # It had written something, which nothing shows and the next writer of data takes back.
        assert stored() > 8 << 20
        assert json.loads(repository.onenb("ls", "working", "--json"))["exports"] == []
        # Not a value that is kept inline, which opens no pack of data.
        code = "import os, OneNB\nwith OneNB.export('Next').open(suffix='.bin') as f:\n    f.write(os.urandom(100_000))"
        repository.run(sys.executable, "-c", code)
        repository.onenb("verify")
        repository.onenb("rm", "working:Next")
        assert stored() < 1 << 20
    (receipt,) = receipts(execute(repository, [start + "f.close()"], monkeypatch))
    assert receipt["size"] == 24 << 20
    repository.onenb("verify")


def test_threads_and_forked_children_of_a_kernel_export(repository, monkeypatch):
    saved = execute(
        repository,
        [
            "import os, OneNB\nfrom concurrent.futures import ThreadPoolExecutor\n"
            "def make(number):\n"
            "    with OneNB.export('Sales', {'number': number}).open(suffix='.txt') as f:\n"
            "        f.write(str(number) * 100_000)\n"
            "with ThreadPoolExecutor(4) as pool:\n    list(pool.map(make, range(4)))",
            "children = []\n"
            "for number in range(4, 7):\n"
            "    pid = os.fork()\n"
            "    if pid == 0:\n"
            "        try:\n            make(number)\n            os._exit(0)\n"
            "        finally:\n            os._exit(1)\n"
            "    children.append(pid)\n"
            "assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 3",
            "make(7)",
        ],
        monkeypatch,
    )
    # A child may not speak for the kernel.
    assert sorted(receipt["params"]["number"] for receipt in receipts(saved)) == [0, 1, 2, 3, 7]
    for number in range(8):
        assert repository.onenb("cat", "working:Sales", "-p", f"number={number}") == str(number) * 100_000


def test_errors_in_a_cell_say_what_to_do(tmp_path, monkeypatch):
    outside = Repository(tmp_path)
    for cell, words in (
        (
            "from OneNB.exports import Sales\nSales.write_as_json(1)",
            "NotInitialised: .*is in no Git repository\nhint: .*`git init`",
        ),
        ("from OneNB.exports._p9 import Sales", "ImportError.*no variable `p9`.*hint: "),
        ("from OneNB.i.nowhere.v1 import Sales", "ImportError.*nowhere.*hint: "),
    ):
        with pytest.raises(nbclient.exceptions.CellExecutionError) as caught:
            execute(outside, [cell], monkeypatch)
        text = re.sub(r"\x1b\[[0-9;]*m", "", str(caught.value))
        assert re.search(words, text, re.DOTALL), text
