"""A second S3 server, s3s-fs, on loopback, for tests. Objects are files below a directory that goes with it, so it does
not keep the whole contract: it answers 500 to questions about a key that is a folder, which onenb never asks.

Prints its address and runs until it is killed or its standard input ends. Ends with exit code 1 where it is not
installed; `make test-slow` installs it with cargo.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PROGRAM = shutil.which("s3s-fs", path=os.pathsep.join([str(pathlib.Path(sys.prefix) / "bin"), os.environ["PATH"]]))


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


if not PROGRAM:
    sys.exit("s3s-fs is not installed")
with tempfile.TemporaryDirectory() as folder:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    keys = ["--access-key", "tester", "--secret-key", "secret"]
    process = subprocess.Popen(
        [PROGRAM, *keys, "--host", "127.0.0.1", "--port", str(port), folder],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    # Its directory goes with it also where this program is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        while process.poll() is None and not answers(port):
            time.sleep(0.02)
        if process.poll() is not None:
            sys.exit("s3s-fs ended at once")
        os.mkdir(pathlib.Path(folder) / "onenb-tests")
        print(f"Running on http://127.0.0.1:{port}", flush=True)
        sys.stdin.read()
    finally:
        process.kill()
        process.wait()
