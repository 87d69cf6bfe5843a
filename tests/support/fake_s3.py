"""A small S3 server in memory, for one bucket named ``bucket``. It checks no signatures."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

MODIFIED = "2026-01-02T03:04:05.000Z"


class FakeS3(ThreadingHTTPServer):
    """Attributes: ``objects`` has data and media types by key, ``uploads`` the parts of open uploads.

    ``requests`` has the methods and paths of all requests. ``failure`` is a body to answer 403 with.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.types: dict[str, str] = {}
        self.requests: list[str] = []
        self.failure = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serve_s3() -> Generator[FakeS3]:
    with FakeS3() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeS3

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        self.server.requests.append(f"{self.command} {self.path}")

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_request(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        parts = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        key = unquote(parts.path).removeprefix("/bucket").lstrip("/")
        if self.server.failure:
            self.answer(403, self.server.failure.encode())
            return
        match self.command:
            case "PUT":
                self.put(key, query, body)
            case "POST":
                self.post(key, query, body)
            case "DELETE" if "uploadId" in query:
                self.server.uploads.pop(query["uploadId"], None)
                self.answer(204)
            case "DELETE":
                self.server.objects.pop(key, None)
                self.answer(204)
            case _ if key:
                self.get(key)
            case _:
                self.list(query.get("prefix", ""))

    do_PUT = do_POST = do_DELETE = do_GET = do_HEAD = handle_request  # noqa: N815 - the names of the base class

    def put(self, key: str, query: dict[str, str], body: bytes) -> None:
        if "uploadId" in query:
            self.server.uploads[query["uploadId"]][int(query["partNumber"])] = body
        else:
            self.server.objects[key] = body, self.headers.get("Content-Type", "")
        self.answer(200, ETag=f'"{md5(body).hexdigest()}"')

    def post(self, key: str, query: dict[str, str], body: bytes) -> None:
        if "uploads" in query:
            self.server.uploads[key] = {}
            self.server.types[key] = self.headers.get("Content-Type", "")
            xml = (
                f"<UploadId>{escape(key)}</UploadId><Bucket>bucket</Bucket><Key>{escape(key)}</Key>"
            )
            self.answer(200, _xml("InitiateMultipartUploadResult", xml))
        elif "uploadId" in query:
            parts = self.server.uploads.pop(query["uploadId"])
            data = b"".join(part for _, part in sorted(parts.items()))
            self.server.objects[key] = data, self.server.types[key]
            self.answer(200, _xml("CompleteMultipartUploadResult", '<ETag>"x"</ETag>'))
        else:  # ?delete
            keys = re.findall("<Key>(.*?)</Key>", body.decode())
            for deleted in keys:
                self.server.objects.pop(deleted, None)
            done = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in keys)
            self.answer(200, _xml("DeleteResult", done))

    def get(self, key: str) -> None:
        if key not in self.server.objects:
            self.answer(404, _xml("Error", "<Code>NoSuchKey</Code>"))
            return
        data, media_type = self.server.objects[key]
        headers = {
            "Last_Modified": "Fri, 02 Jan 2026 03:04:05 GMT",
            "ETag": '"x"',
            "Content_Type": media_type,
        }
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match is None:
            self.answer(200, data, Content_Length=str(len(data)), **headers)
            return
        first, last = int(match[1]), min(int(match[2] or len(data)), len(data) - 1)
        span = f"bytes {first}-{last}/{len(data)}"
        self.answer(206, data[first : last + 1], Content_Range=span, **headers)

    def list(self, prefix: str) -> None:
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size>"
            f"<LastModified>{MODIFIED}</LastModified><ETag>x</ETag></Contents>"
            for key, (data, _) in sorted(self.server.objects.items())
            if key.startswith(prefix)
        )
        self.answer(200, _xml("ListBucketResult", f"<IsTruncated>false</IsTruncated>{entries}"))


def _xml(name: str, content: str) -> bytes:
    return f'<?xml version="1.0"?><{name}>{content}</{name}>'.encode()
