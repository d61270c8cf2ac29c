"""How the servers of the tests live: until they are killed or their standard input ends."""

import os
import sys
import threading


def serve(server, port):
    """Prints the address and serves; whoever started this ends it by closing its standard input."""

    def end_with_parent():
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end_with_parent, daemon=True).start()
    print(f"Running on http://127.0.0.1:{port}", flush=True)
    server.serve_forever()
