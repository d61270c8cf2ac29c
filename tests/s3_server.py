"""An S3 server on loopback for the tests: moto's, answering one request at a time.

Served by several threads, moto lets two creators of one key both win, which no S3 does. Prints its address and runs
until it is killed or its standard input ends.
"""

import os
import sys
import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)


def end_with_parent():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_parent, daemon=True).start()
print(f"Running on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
