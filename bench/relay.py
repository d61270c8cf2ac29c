"""A relay on loopback between a client and an object store: it adds latency, and counts requests and bytes.

A connection is answered one round trip late, as by a handshake over that distance, and each way takes half of a round
trip. Bytes are never held back for more than that, so the link itself is as fast as loopback.
"""

import asyncio
import threading

CHUNK = 1 << 18
MARK = b" HTTP/1.1\r\n"


class Relay:
    """Runs in a thread of its own. `address` is where it listens."""

    def __init__(self, upstream):
        self.upstream, self.round_trip = upstream, 0.0
        self.requests = self.sent = self.received = 0
        self.loop, started = asyncio.new_event_loop(), threading.Event()
        threading.Thread(target=self._run, args=(started,), daemon=True).start()
        started.wait()

    def begin(self, round_trip_ms):
        """Sets the latency and counts from zero."""
        self.round_trip = round_trip_ms / 1000
        self.requests = self.sent = self.received = 0

    def _run(self, started):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=CHUNK))
        self.address = "127.0.0.1:%d" % server.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()

    async def _serve(self, client, to_client):
        await asyncio.sleep(self.round_trip)
        host, port = self.upstream.split(":")
        store, to_store = await asyncio.open_connection(host, int(port), limit=CHUNK)
        await asyncio.gather(
            self._pump(client, to_store, self._count_sent()), self._pump(store, to_client, self._count_received())
        )

    async def _pump(self, source, target, count):
        """Passes on what comes, each piece half of a round trip after it came."""
        queue = asyncio.Queue(maxsize=64)

        async def write():
            while (item := await queue.get()) is not None:
                due, piece = item
                if (wait := due - self.loop.time()) > 0:
                    await asyncio.sleep(wait)
                target.write(piece)
                await target.drain()

        writer = asyncio.ensure_future(write())
        try:
            while piece := await source.read(CHUNK):
                count(piece)
                await queue.put((self.loop.time() + self.round_trip / 2, piece))
            await queue.put(None)
            await writer
        except ConnectionError:
            writer.cancel()
        finally:
            target.close()

    def _count_sent(self):
        tail = b""

        def count(piece):
            nonlocal tail
            self.sent += len(piece)
            self.requests += (tail + piece).count(MARK)
            tail = piece[-(len(MARK) - 1):]

        return count

    def _count_received(self):
        def count(piece):
            self.received += len(piece)

        return count
