"""A real kernel: cells that run again, receipts in the saved notebook."""

import json

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

MEDIA_TYPE = "application/vnd.onenb.receipt+json"


def execute(repository, cells, monkeypatch):
    """Runs cells in one kernel and returns the notebook as it was saved."""
    path = repository.path / "report.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, path)
    monkeypatch.setenv("ONENB_NOTEBOOK", str(path))
    client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(repository.path)}})
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
    import sys

    (repository.path / "make.py").write_text(
        "import OneNB\nwith OneNB.export('Sales').open(suffix='.csv') as f:\n    f.write('a')\n"
    )
    assert repository.run(sys.executable, "make.py") == ""
    (record,) = (repository.path / ".1nb/exports/Sales").iterdir()
    assert json.loads(record.read_text())["producer"]["path"] == "make.py"
