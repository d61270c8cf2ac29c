"""A proxy on loopback that spoils chosen requests to an object store, for tests.

It listens on a port of its own, passes requests on one by one and counts them from 0. A line on its standard input,
`N FAULT`, starts the count anew and spoils request N; `-` as N spoils none. A line on its standard output answers each
of them with how many requests came since the one before. It ends with its standard input.

Faults: `500`, `503`, `429` and `409` answer without asking the store; `refuse` closes the connection at once;
`half-sent` reads half of the request first; `lost` asks the store and never answers; `412` asks the store twice, so
that a create finds its own object; `cut-N` breaks the answer off after N per cent of its bytes; `slow` waits a little;
`kill-before` and `kill-after` print `kill` and hold the request, before or after it took effect, until the next line.
"""

import http.client
import socket
import sys
import threading
import time

SLOW_SECONDS = 0.2
REASONS = {"500": "Internal Server Error", "503": "Slow Down", "429": "Too Many Requests", "409": "Conflict"}
CODES = {"500": "InternalError", "503": "SlowDown", "429": "TooManyRequests", "409": "ConditionalRequestConflict"}


class Plan:
    """Which request is spoiled, and how."""

    def __init__(self):
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.count, self.number, self.fault = 0, None, None

    def change(self, number, fault):
        """Starts anew and returns how many requests there were."""
        with self.lock:
            count, self.count = self.count, 0
            self.number, self.fault = number, fault
            # Whoever was held back belongs to a process that is gone.
            self.released.set()
            self.released = threading.Event()
        return count

    def next(self):
        """Counts a request; returns its fault, if any, and what holds it."""
        with self.lock:
            hit = self.count == self.number
            self.count += 1
            return (self.fault if hit else None), self.released


class Broken(Exception):
    """The connection is to be closed."""


def read_request(stream):
    """Returns the first line, the headers as bytes pairs, and the length of the body; `None` at the end."""
    first = stream.readline()
    if not first:
        return None
    headers = []
    while (line := stream.readline().rstrip(b"\r\n")):
        name, _, value = line.partition(b":")
        headers.append((name.decode("latin-1"), value.strip().decode("latin-1")))
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    method, target, _ = first.decode("latin-1").split(" ", 2)
    return method, target, headers, length


def ask(upstream, method, target, headers, body):
    """Passes a request on and returns status, reason, headers and body of the answer."""
    connection = http.client.HTTPConnection(*upstream, timeout=60)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        if name.lower() not in ("connection", "expect"):
            connection.putheader(name, value)
    connection.putheader("Connection", "close")
    connection.endheaders(body)
    answer = connection.getresponse()
    result = answer.status, answer.reason, answer.getheaders(), answer.read()
    connection.close()
    return result


def write_answer(client, method, answer, percent=100):
    status, reason, headers, body = answer
    lines = [f"HTTP/1.1 {status} {reason}"]
    hidden = ("connection", "transfer-encoding", "content-length", "date", "server")
    lines += [f"{name}: {value}" for name, value in headers if name.lower() not in hidden]
    length = next((value for name, value in headers if name.lower() == "content-length"), None)
    lines.append(f"Content-Length: {length if method == 'HEAD' and length else len(body)}")
    whole = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (b"" if method == "HEAD" else body)
    client.sendall(whole[: len(whole) * percent // 100])
    if percent < 100:
        raise Broken


def refusal(code):
    body = f"<Error><Code>{CODES[code]}</Code><Message>On purpose.</Message></Error>".encode()
    return int(code), REASONS[code], [("Content-Type", "application/xml")], body


def handle(client, stream, upstream, plan):
    """Serves one request. Returns whether there may be another one."""
    request = read_request(stream)
    if request is None:
        return False
    method, target, headers, length = request
    fault, released = plan.next()
    if fault == "refuse":
        raise Broken
    if any(name.lower() == "expect" for name, _ in headers):
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if fault == "half-sent":
        stream.read(length // 2)
        raise Broken
    body = stream.read(length)
    if fault in REASONS:
        write_answer(client, method, refusal(fault))
        return True
    if fault == "slow":
        time.sleep(SLOW_SECONDS)
    if fault == "kill-before":
        hold(released)
    answer = ask(upstream, method, target, headers, body)
    if fault == "412":
        answer = ask(upstream, method, target, headers, body)
    if fault == "kill-after":
        hold(released)
    if fault == "lost":
        raise Broken
    percent = int(fault.removeprefix("cut-")) if fault and fault.startswith("cut-") else 100
    write_answer(client, method, answer, percent)
    return True


def hold(released):
    print("kill", flush=True)
    released.wait()
    raise Broken


def serve(client, upstream, plan):
    # Small answers must not wait for an acknowledgement.
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with client, client.makefile("rb") as stream:
        try:
            while handle(client, stream, upstream, plan):
                pass
        except (Broken, OSError, http.client.HTTPException, ValueError):
            # Closing with unread bytes in the buffer resets the connection, as a network would.
            pass


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    plan = Plan()
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def accept():
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client, (host, int(port)), plan), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(f"Running on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    for line in sys.stdin:
        number, fault = line.split()
        print(plan.change(None if number == "-" else int(number), fault), flush=True)


main()
