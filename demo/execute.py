"""Executes a notebook in a real kernel with injected parameters, as papermill does: `execute.py IN OUT name=value`."""

import os
import sys
import tempfile

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell


def main(source: str, target: str, *assignments: str) -> None:
    notebook = nbformat.read(source, as_version=4)
    at = next(i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    injected = new_code_cell("\n".join(text.replace("=", " = ", 1) for text in assignments))
    injected.metadata["tags"] = ["injected-parameters"]
    injected["id"] = "injected"
    notebook.cells.insert(at + 1, injected)
    notebook.metadata["papermill"] = {"input_path": source, "output_path": target}
    os.environ["ONENB_NOTEBOOK"] = os.path.abspath(target)
    # Sockets in the file system rather than TCP: nobody else on the machine can listen.
    with tempfile.TemporaryDirectory() as sockets:
        manager = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=os.path.join(sockets, "kernel"))
        folder = os.path.dirname(os.path.abspath(target))
        client = NotebookClient(notebook, km=manager, timeout=600, resources={"metadata": {"path": folder}})
        # A manager of one's own is left running unless asked; its kernel would complain once this process is gone.
        client.execute(cleanup_kc=True)
    nbformat.write(notebook, target)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                print(f"  {os.path.basename(target)}: {output.text.strip()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
