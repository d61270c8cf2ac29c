"""Azure's emulator (azurite) with one container, on loopback, for tests.

Prints the address of the account and runs until it is killed or its standard input ends. Ends with exit code 1 where
azurite or node is not installed.
"""

import base64
import hashlib
import hmac
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from email.utils import formatdate

ACCOUNT = "devstoreaccount1"
# The key that every copy of the emulator has.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
CONTAINER = "onenb-tests"
MAIN = pathlib.Path(sys.prefix) / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


def make_container(address):
    date = formatdate(usegmt=True)
    resource = f"/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
    # Anybody may list it, so that tests need not sign for that.
    named = f"x-ms-blob-public-access:container\nx-ms-date:{date}\nx-ms-version:2021-12-02"
    signed = "PUT" + "\n" * 12 + f"{named}\n{resource}"
    digest = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
    headers = {
        "x-ms-blob-public-access": "container",
        "x-ms-date": date,
        "x-ms-version": "2021-12-02",
        "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}",
    }
    url = f"http://{address}/{ACCOUNT}/{CONTAINER}?restype=container"
    urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers)).close()


node = shutil.which("node")
if not node or not MAIN.exists():
    sys.exit("azurite is not installed")
with tempfile.TemporaryDirectory() as folder:
    options = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--skipApiVersionCheck", "--disableTelemetry"]
    process = subprocess.Popen([node, MAIN, *options, "--location", folder], stdout=subprocess.PIPE, text=True)

    def end_with_parent():
        sys.stdin.read()
        process.kill()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    threading.Thread(target=end_with_parent, daemon=True).start()
    for line in process.stdout:
        found = re.search(r"successfully listens on http://([0-9.:]+)|listening at http://([0-9.:]+)", line)
        if found:
            address = found[1] or found[2]
            make_container(address)
            print(f"Running on http://{address}/{ACCOUNT}", flush=True)
            break
    process.stdout.read()
