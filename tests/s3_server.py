"""An S3 server on loopback for the tests: moto's, answering one request at a time.

Served by several threads, moto lets two creators of one key both win, which no S3 does. Prints its address and runs
until it is killed or its standard input ends.
"""

from loopback import serve
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)

serve(server, server.server_port)
