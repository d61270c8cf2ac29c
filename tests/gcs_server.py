"""A small emulator of what onenb uses of Google Cloud Storage's XML interface, on loopback, for tests.

Objects live in memory, under `/BUCKET/OBJECT`; a PUT of `/BUCKET` makes a bucket. It knows whole and ranged reads, puts
with `x-goog-if-generation-match`, copies, deletes, HEAD, and listings with prefix, delimiter, start and pages, and
answers everything else with 501. Credentials are not looked at. Prints its address and runs until it is killed or its
standard input ends.
"""

import hashlib
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from loopback import serve

MODIFIED = "2024-01-01T00:00:00.000Z"
HTTP_DATE = "Mon, 01 Jan 2024 00:00:00 GMT"
MAX_PAGE = 1000

lock = threading.Lock()
buckets = {}
generations = iter(range(1, sys.maxsize))


class Refused(Exception):
    """An answer other than success: a status and Google's code for it."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave as one packet; two would wait for each other's acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_):
        """Nobody reads a log."""

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        length = headers.pop("length", len(body))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def serve(self, act):
        url = urlsplit(self.path)
        bucket, _, name = url.path.lstrip("/").partition("/")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            with lock:
                act(unquote(bucket), unquote(name), parse_qs(url.query), body)
        except Refused as refused:
            status, code = refused.args
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}.</Message></Error>"
            self.answer(status, text.encode(), Content_Type="application/xml")

    def objects(self, bucket):
        if bucket not in buckets:
            raise Refused(404, "NoSuchBucket")
        return buckets[bucket]

    def do_PUT(self):
        def put(bucket, name, query, body):
            if not name:
                buckets.setdefault(bucket, {})
                return self.answer(200)
            if query:
                raise Refused(501, "NotImplemented")
            objects = self.objects(bucket)
            if source := self.headers.get("x-goog-copy-source"):
                source = unquote(source).partition("/")[2]
                if source not in objects:
                    raise Refused(404, "NoSuchKey")
                body = objects[source][1]
            wanted = self.headers.get("x-goog-if-generation-match")
            if wanted is not None and int(wanted) != (objects[name][0] if name in objects else 0):
                raise Refused(412, "PreconditionFailed")
            objects[name] = next(generations), body
            self.answer(200, **tags(objects[name]))

        self.serve(put)

    def do_GET(self):
        def get(bucket, name, query, _):
            objects = self.objects(bucket)
            if not name:
                return self.answer(200, listing(objects, query), Content_Type="application/xml")
            if name not in objects:
                raise Refused(404, "NoSuchKey")
            body = objects[name][1]
            span = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
            if not span:
                return self.answer(200, body, **tags(objects[name]))
            start, last = (int(span[1]), span[2]) if span[1] else (max(len(body) - int(span[2]), 0), "")
            last = min(int(last or len(body) - 1), len(body) - 1)
            if start >= len(body):
                raise Refused(416, "InvalidRange")
            answer = {"Content_Range": f"bytes {start}-{last}/{len(body)}", **tags(objects[name])}
            self.answer(206, body[start : last + 1], **answer)

        self.serve(get)

    def do_HEAD(self):
        def head(bucket, name, _query, _):
            objects = self.objects(bucket)
            if name not in objects:
                raise Refused(404, "NoSuchKey")
            self.answer(200, length=len(objects[name][1]), **tags(objects[name]))

        self.serve(head)

    def do_DELETE(self):
        def delete(bucket, name, _query, _):
            if self.objects(bucket).pop(name, None) is None:
                raise Refused(404, "NoSuchKey")
            self.answer(204)

        self.serve(delete)

    def do_POST(self):
        def refuse(*_):
            raise Refused(501, "NotImplemented")

        self.serve(refuse)


def tags(found):
    generation, body = found
    etag = f'"{hashlib.md5(body).hexdigest()}"'
    return {"ETag": etag, "x-goog-generation": generation, "Last_Modified": HTTP_DATE}


def listing(objects, query):
    def only(name, default=""):
        return query.get(name, [default])[-1]

    if only("list-type") != "2":
        raise Refused(501, "NotImplemented")
    prefix, delimiter, token = only("prefix"), only("delimiter"), only("continuation-token")

    def folder_or_name(name):
        end = name.find(delimiter, len(prefix)) if delimiter else -1
        return name if end < 0 else name[: end + len(delimiter)]

    names = (name for name in objects if name.startswith(prefix) and name > only("start-after"))
    found = sorted({entry for entry in map(folder_or_name, names) if entry > token})
    count = min(int(only("max-keys", MAX_PAGE)), MAX_PAGE)
    page = found[:count]
    rows = "".join(
        f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
        if delimiter and name.endswith(delimiter) and name not in objects
        else f"<Contents><Key>{escape(name)}</Key><Size>{len(objects[name][1])}</Size>"
        f"<LastModified>{MODIFIED}</LastModified><ETag>{escape(tags(objects[name])['ETag'])}</ETag></Contents>"
        for name in page
    )
    more = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if len(found) > count else ""
    flag = "true" if more else "false"
    return f"<ListBucketResult><IsTruncated>{flag}</IsTruncated>{rows}{more}</ListBucketResult>".encode()


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

serve(server, server.server_port)
