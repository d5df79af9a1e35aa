"""A server of one file that misbehaves in each way that servers and networks have."""

import gzip
import hashlib
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.data.svhn import official_files
from pipeline.experiment.params import SyntheticConfig
from pipeline.stages import download
from pipeline.stages.download import DownloadConfig

BODY = random.Random(0).randbytes(100_000)


HALF = len(BODY) // 2


KNOWN = official_files.OfficialFile(len(BODY), hashlib.md5(BODY).hexdigest(), images=1)


NAME = "train_32x32.mat"


KEPT = paths.downloads() / NAME


PART = paths.downloads() / f"{NAME}.part"


WAYS_OUT = "; set data.source to a mirror's URL, to a folder that holds the files, or to synthetic"


Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    server: "Server"

    def do_GET(self) -> None:
        self.server.asked.append(self.headers.get("Range"))
        # The last answer stands for all further ones.
        turn = min(len(self.server.asked), len(self.server.answers)) - 1
        with suppress(BrokenPipeError, ConnectionResetError):  # the client may have gone
            self.server.answers[turn](self)

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def start(self) -> int:
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    over: threading.Event
    answers: list[Answer]
    asked: list[str | None]  # the Range header of each request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


def good(handler: Handler, until: int = len(BODY)) -> None:
    """The whole file, or the range that was asked for; the connection ends at byte `until`."""
    start = handler.start()
    if start:
        content_range = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
        handler.head(206, Content_Range=content_range, Content_Length=len(BODY) - start)
    else:
        handler.head(200, Content_Length=len(BODY))
    handler.wfile.write(BODY[start:until])


def cut(until: int = HALF) -> Answer:
    return lambda handler: good(handler, until)


def whole(handler: Handler, until: int = len(BODY)) -> None:
    """A server that knows no ranges."""
    handler.head(200, Content_Length=len(BODY))
    handler.wfile.write(BODY[:until])


def whole_cut(handler: Handler) -> None:
    whole(handler, HALF)


def unmeasured(handler: Handler, until: int = len(BODY)) -> None:
    """Without a length: the body ends where the connection does."""
    handler.head(200)
    handler.wfile.write(BODY[:until])


def unmeasured_cut(handler: Handler) -> None:
    unmeasured(handler, HALF)


def chunked(body: bytes, end: bytes = b"0\r\n\r\n") -> Answer:
    def answer(handler: Handler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.head(200, Transfer_Encoding="chunked", Connection="close")
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(body), body) + end)

    return answer


def part_of(content_range: str | None, body: bytes) -> Answer:
    """206, whatever was asked for."""

    def answer(handler: Handler) -> None:
        said = {} if content_range is None else {"Content_Range": content_range}
        handler.head(206, **said, Content_Length=len(body))
        handler.wfile.write(body)

    return answer


def status(code: int) -> Answer:
    return lambda handler: handler.head(code, Content_Length=0)


def stall(handler: Handler, at: int = HALF) -> None:
    good(handler, at)
    handler.server.over.wait(10)


def hang_up(handler: Handler) -> None:
    handler.close_connection = True


def other(body: bytes) -> Answer:
    """Another file under the name."""

    def answer(handler: Handler) -> None:
        handler.head(200, Content_Length=len(body))
        handler.wfile.write(body)

    return answer


def compressing(handler: Handler) -> None:
    """A server that compresses where it may: ranges would count other bytes."""
    if "gzip" in handler.headers["Accept-Encoding"]:
        body = gzip.compress(BODY)
        handler.head(200, Content_Length=len(body), Content_Encoding="gzip")
        handler.wfile.write(body)
    else:
        good(handler)


def get(source: str) -> None:
    download.run(DownloadConfig(source), SyntheticConfig(1, 1, 1, 0))


def succeeds(server: Server) -> None:
    get(server.url)
    assert paths.raw("train").read_bytes() == BODY
    assert {path.name for path in paths.downloads().iterdir()} == {NAME, f"{NAME}.lock"}


def fails(source: str) -> str:
    """What is said of a download that fails, which leaves nothing in data."""
    with pytest.raises(PipelineError) as caught:
        get(source)
    assert not list(Path("data").iterdir())
    assert not KEPT.exists()
    said = str(caught.value)
    assert "\n" not in said
    return said.replace(f"{source}/{NAME}", "URL")


def keep(content: bytes) -> None:
    PART.parent.mkdir(parents=True)
    PART.write_bytes(content)


REST = f"bytes={HALF}-"


WRONG_SIZE = f"bytes {HALF}-{len(BODY)}/{len(BODY) + 1}"


JUNK = bytes(1000)


BROKEN = "; 50,000 of 100,000 bytes are kept"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
