"""A real HTTP server that serves what tests tell it to, whole or broken."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

from PIL import Image


@dataclass(frozen=True)
class Served:
    """What the server gives for a path. length: the one it claims; seconds: how long it is silent after each byte."""

    body: bytes = b""
    status: int = 200
    length: int | None = None
    location: str | None = None
    hang: bool = False
    drip: float = 0.0


@dataclass
class Source:
    """A real server. `give` maps a path to what it gets, one after the other; the last one stays."""

    url: str = ""
    give: dict[str, list[Served]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_for(self, path: str) -> Served:
        with self.lock:
            self.requests.append(path)
            self.at_once += 1
            self.most_at_once = max(self.at_once, self.most_at_once)
            served = self.give.get(path, [Served(b"not found", status=404)])
            return served.pop(0) if len(served) > 1 else served[0]


@contextmanager
def serving() -> Iterator[Source]:
    source = Source()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served = source.next_for(self.path)
            try:
                self.answer(served)
            except OSError:  # the client left
                pass
            finally:
                with source.lock:
                    source.at_once -= 1

        def answer(self, served: Served) -> None:
            if served.hang:
                source.over.wait(30)
                return
            self.send_response(served.status)
            self.send_header("Content-Length", str(len(served.body) if served.length is None else served.length))
            if served.location:
                self.send_header("Location", served.location)
            self.end_headers()
            if not served.drip:
                self.wfile.write(served.body)
                return
            for byte in served.body:
                self.wfile.write(bytes([byte]))
                if source.over.wait(served.drip):
                    return

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 64  # or else connections wait a second

    server = Server(("127.0.0.1", 0), Handler)
    source.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield source
    finally:
        source.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def picture(kind: str = "JPEG", size: tuple[int, int] = (32, 24), mode: str = "RGB") -> bytes:
    file = BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(file, kind)
    return file.getvalue()
