"""Downloads from a server that misbehaves in each way that servers and networks do."""

import gzip
import hashlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.common import paths
from pipeline.common.errors import Interrupted, PipelineError
from pipeline.data.svhn import fetch, official_files
from pipeline.experiment.params import SyntheticConfig
from pipeline.stages import download
from pipeline.stages.download import DownloadConfig
from tests.helpers.checkout import ROOT

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


@pytest.fixture(autouse=True)
def quick(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An official set of one small file; no proxy between; no patience."""
    monkeypatch.setattr(paths, "SPLITS", ("train",))
    monkeypatch.setitem(official_files.OFFICIAL, "train", KNOWN)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(fetch, "ATTEMPTS", 3)
    monkeypatch.setattr(fetch, "BACKOFF", 0.01)
    monkeypatch.setattr(fetch, "TIMEOUT", 10.0)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.over, server.answers, server.asked = threading.Event(), [good], []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


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


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        pytest.param([good], [None], id="nothing wrong"),
        pytest.param([unmeasured], [None], id="no length"),
        pytest.param([chunked(BODY)], [None], id="chunked"),
        pytest.param([compressing], [None], id="compressing"),
        pytest.param([cut(), good], [None, REST], id="dropped half way"),
        pytest.param([unmeasured_cut, good], [None, REST], id="dropped half way, no length"),
        pytest.param([chunked(BODY[:HALF], b""), good], [None, REST], id="dropped half way, chunked"),
        pytest.param([stall, good], [None, REST], id="stalled half way"),
        pytest.param([hang_up, good], [None, None], id="no answer"),
        pytest.param([status(500), status(503), good], [None] * 3, id="fault of the server"),
        pytest.param([cut(), status(503), good], [None, REST, REST], id="fault, then the rest"),
        pytest.param([whole_cut, whole], [None, REST], id="200 to a range"),
        pytest.param(
            [cut(), part_of(f"bytes 9-99/{len(BODY)}", JUNK), good], [None, REST, None], id="other range"
        ),
        pytest.param(
            [cut(), part_of("bytes what-ever", JUNK), good], [None, REST, None], id="unreadable range"
        ),
        pytest.param([cut(), part_of(None, JUNK), good], [None, REST, None], id="206 without a range"),
        pytest.param([cut(), status(416), good], [None, REST, None], id="range refused"),
        pytest.param(
            [cut(), part_of(f"bytes {HALF}-{HALF + 9}/*", BODY[HALF : HALF + 10]), good],
            [None, REST, f"bytes={HALF + 10}-"],
            id="less than was asked for",
        ),
    ],
)
def test_a_whole_file_in_spite_of(
    server: Server, answers: list[Answer], asked: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    if stall in answers:
        monkeypatch.setattr(fetch, "TIMEOUT", 0.5)
    server.answers = answers
    succeeds(server)
    assert server.asked == asked


def test_any_number_of_drops_as_long_as_bytes_arrive(server: Server) -> None:
    steps = range(10_000, len(BODY) + 1, 10_000)
    assert len(steps) > 2 * fetch.ATTEMPTS
    server.answers = [cut(until) for until in steps]
    succeeds(server)
    assert len(server.asked) == len(steps)


def test_a_server_without_ranges_that_always_drops_is_given_up(server: Server) -> None:
    """Its bytes are the same ones again, so they are no progress."""
    server.answers = [whole_cut, lambda handler: whole(handler, HALF // 2)] * 10
    said = fails(server.url)
    assert said.startswith("URL: the connection broke; gave up after 3 attempts; 50,000 of 100,000 bytes")
    assert len(server.asked) == 3


BROKEN = "; 50,000 of 100,000 bytes are kept"


@pytest.mark.parametrize(
    ("answers", "said", "requests"),
    [
        pytest.param([status(404)], "not found on the server (404)", 1, id="404"),
        pytest.param([status(403)], "the server denies access (403)", 1, id="403"),
        pytest.param([status(418)], "the server answers 418 I'm a Teapot", 1, id="418"),
        pytest.param(
            [status(500)],
            "the server answers 500 Internal Server Error; gave up after 3 attempts",
            3,
            id="500",
        ),
        pytest.param(
            [status(503)], "the server answers 503 Service Unavailable; gave up after 3 attempts", 3, id="503"
        ),
        pytest.param([hang_up], "the connection broke; gave up after 3 attempts", 3, id="no answer"),
        pytest.param([cut()], f"the connection broke; gave up after 3 attempts{BROKEN}", 3, id="dropped"),
        pytest.param(
            [stall], f"nothing arrived for 0.5 s; gave up after 3 attempts{BROKEN}", 3, id="stalled"
        ),
        pytest.param(
            [unmeasured_cut],
            f"the server stopped after 50,000 of 100,000 bytes; gave up after 3 attempts{BROKEN}",
            3,
            id="dropped, no length",
        ),
        pytest.param([other(JUNK)], "1,000 bytes on the server, 100,000 expected", 1, id="shorter"),
        pytest.param([other(BODY + JUNK)], "101,000 bytes on the server, 100,000 expected", 1, id="longer"),
        pytest.param(
            [chunked(JUNK)], "1,000 bytes arrived, 100,000 expected; deleted", 1, id="shorter, no length"
        ),
        pytest.param(
            [other(bytes(len(BODY)))],
            f"MD5 {hashlib.md5(bytes(len(BODY))).hexdigest()}, expected {KNOWN.md5}; deleted",
            1,
            id="MD5",
        ),
        pytest.param(
            [part_of(None, JUNK)], "the server sends another part than was asked for", 1, id="206 to no range"
        ),
    ],
)
def test_what_is_said_of(
    server: Server, answers: list[Answer], said: str, requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stall in answers:
        monkeypatch.setattr(fetch, "TIMEOUT", 0.5)
    server.answers = answers
    assert fails(server.url) == f"URL: {said}{WAYS_OUT}"
    assert PART.exists() == ("kept" in said)
    assert len(server.asked) == requests


def test_more_bytes_than_expected_do_not_fill_the_disk(server: Server) -> None:
    server.answers = [chunked(bytes(2 * len(BODY)))]
    lengths: list[int] = []
    KEPT.parent.mkdir(parents=True)
    with pytest.raises(PipelineError, match=r"MD5 .*; deleted"):
        fetch.fetch(f"{server.url}/{NAME}", KEPT, KNOWN, lengths.append)
    assert sum(lengths) == len(BODY)


def test_a_name_that_no_server_has() -> None:
    said = fails("http://housenumbers.invalid")
    cause = "the name housenumbers.invalid cannot be looked up (offline, or a wrong name)"
    assert said == f"URL: {cause}; gave up after 3 attempts{WAYS_OUT}"


def test_a_port_on_which_nothing_listens() -> None:
    with socket.socket() as unused:  # bound, so that nobody else takes it, and not listening
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        said = fails(f"http://{address}")
    assert said == f"URL: {address} refuses the connection; gave up after 3 attempts{WAYS_OUT}"


def test_a_certificate_that_nobody_vouches_for_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raised as requests does; there is no certificate of 127.0.0.1 to serve."""
    import ssl

    import requests

    calls: list[str] = []

    def get(url: str, **_: object) -> requests.Response:
        calls.append(url)
        try:
            raise ssl.SSLCertVerificationError(1, "certificate verify failed")
        except ssl.SSLError as error:
            raise requests.exceptions.SSLError(error) from error

    monkeypatch.setattr(requests, "get", get)
    assert fails("https://127.0.0.1") == f"URL: the certificate of 127.0.0.1 is not trusted{WAYS_OUT}"
    assert len(calls) == 1


@pytest.mark.parametrize(
    "source", ["s3://bucket", "http://", "http://127.0.0.1:port", "http://[::1", "http://a..b"]
)
def test_a_source_that_is_no_address_is_not_tried_again(
    source: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert fails(source).endswith(WAYS_OUT)
    assert "attempt" not in capfd.readouterr().err


def test_each_retry_is_one_line_and_the_waits_double(
    server: Server, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(fetch, "time", SimpleNamespace(sleep=waits.append))
    monkeypatch.setattr(fetch, "ATTEMPTS", 4)
    server.answers = [status(503)]
    fails(server.url)
    lines = capfd.readouterr().err.splitlines()
    assert waits == [0.01, 0.02, 0.04]
    cause = f"{server.url}/{NAME}: the server answers 503 Service Unavailable"
    assert lines == [
        f"{cause}; attempt {turn} of 4 in {wait} s" for turn, wait in zip((2, 3, 4), waits, strict=True)
    ]


def test_the_next_run_goes_on_from_a_partial_file(server: Server) -> None:
    keep(BODY[:HALF])
    succeeds(server)
    assert server.asked == [REST]


def test_a_run_that_gave_up_is_continued(server: Server) -> None:
    server.answers = [cut()]
    fails(server.url)
    server.answers, server.asked = [good], []
    succeeds(server)
    assert server.asked == [REST]


@pytest.mark.parametrize("spoilt", [JUNK, bytes(len(BODY))], ids=["size", "MD5"])
def test_a_kept_file_that_was_spoilt_is_fetched_again(server: Server, spoilt: bytes) -> None:
    succeeds(server)
    KEPT.unlink()  # it is data/raw's file too
    KEPT.write_bytes(spoilt)
    succeeds(server)
    assert server.asked == [None, None]


def test_a_partial_file_that_is_all_there_is_not_asked_for(server: Server) -> None:
    """A process may be killed between the last byte and the check."""
    keep(BODY)
    succeeds(server)
    assert server.asked == []


def test_a_partial_file_longer_than_the_file_starts_again(server: Server) -> None:
    keep(BODY + JUNK)
    succeeds(server)
    assert server.asked == [None]


def test_a_partial_file_of_other_bytes_is_found_out_and_deleted(server: Server) -> None:
    keep(bytes(HALF))
    assert "; deleted; " in fails(server.url)
    succeeds(server)


@pytest.mark.parametrize(
    "answer",
    [other(JUNK), part_of(WRONG_SIZE, JUNK), status(404), status(503), hang_up],
    ids=["another file", "a part of another file", "404", "503", "no answer"],
)
def test_a_server_that_brings_nothing_costs_nothing(server: Server, answer: Answer) -> None:
    keep(BODY[:HALF])
    server.answers = [answer]
    fails(server.url)
    assert PART.read_bytes() == BODY[:HALF]


@pytest.mark.parametrize(
    ("answers", "steps"),
    [
        pytest.param([good], [HALF, 0, HALF], id="goes on"),
        pytest.param([whole], [HALF, -HALF, len(BODY)], id="starts again"),
    ],
)
def test_the_bar_counts_what_is_there(server: Server, answers: list[Answer], steps: list[int]) -> None:
    keep(BODY[:HALF])
    server.answers = answers
    done: list[int] = []
    fetch.fetch(f"{server.url}/{NAME}", KEPT, KNOWN, done.append)
    assert done[:2] == steps[:2]
    assert sum(done[2:]) == steps[2]
    assert sum(done) == len(BODY)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_ctrl_c_keeps_what_has_arrived(server: Server) -> None:
    def interrupt(handler: Handler) -> None:
        cut()(handler)
        wait_until(lambda: PART.exists() and PART.stat().st_size == HALF)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        handler.server.over.wait(10)

    server.answers = [interrupt]
    with pytest.raises(Interrupted) as caught:
        get(server.url)
    assert str(caught.value) == (
        f"interrupted: {PART} keeps 50,000 of 100,000 bytes; the same command goes on from there"
    )
    assert not list(Path("data").iterdir())
    server.answers, server.asked = [good], []
    succeeds(server)
    assert server.asked == [REST]


def child(code: str, *arguments: object) -> "subprocess.Popen[str]":
    """Another Python that downloads to KEPT."""
    prelude = (
        "import sys; from pathlib import Path; from pipeline.data.svhn import fetch, official_files\n"
        f"kept, known = Path({str(KEPT)!r}), official_files.{KNOWN!r}\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", prelude + code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


FETCH = "with fetch.locked(kept): fetch.fetch(sys.argv[1], kept, known, lambda n: None)"


def test_a_killed_run_is_continued_and_its_lock_is_free(server: Server) -> None:
    # So few that a buffer would hold them.
    server.answers = [lambda handler: stall(handler, at=100), good]
    process = child(FETCH, f"{server.url}/{NAME}")
    wait_until(lambda: PART.exists() and PART.stat().st_size == 100)
    process.kill()
    process.communicate()
    succeeds(server)
    assert server.asked == [None, "bytes=100-"]


def test_the_second_of_two_waits_for_the_first_and_takes_its_file(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    said, asked = threading.Event(), threading.Event()

    def wait(handler: Handler) -> None:
        asked.set()
        said.wait(10)
        good(handler)

    server.answers = [wait]
    process = child(FETCH, f"{server.url}/{NAME}")
    assert asked.wait(10)
    second = threading.Thread(target=get, args=(server.url,))
    second.start()
    lines: list[str] = []

    def it_waits() -> bool:
        lines.append(capfd.readouterr().err)
        return "waiting" in lines[-1]

    wait_until(it_waits)
    second.join(0.3)  # time enough to ask the server, if it did not wait
    assert second.is_alive()
    assert len(server.asked) == 1
    said.set()
    second.join()
    assert process.wait() == 0
    who = f"process {process.pid} on {socket.gethostname()} since [0-9: -]{{19}}"
    assert re.fullmatch(f"{NAME} is being downloaded by {who}; waiting for it\n", "".join(lines))
    assert paths.raw("train").read_bytes() == BODY
    assert len(server.asked) == 1


def test_a_full_disk(server: Server) -> None:
    """A limit on the size of files stands for it: writing fails at the same place in the same way."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
    report = "\ntry: attempt()\nexcept Exception as error: print(type(error).__name__, error)"
    process = child(f"{limit}def attempt():\n {FETCH}{report}", f"{server.url}/{NAME}")
    output, _ = process.communicate()
    assert output == (
        f"PipelineError {PART}: cannot be written: File too large; what has arrived is kept; "
        "mend it and run the command again\n"
    )
    assert PART.read_bytes() == BODY[:HALF]
    succeeds(server)
    assert server.asked == [None, REST]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_disk_that_is_full_from_the_start(server: Server) -> None:
    PART.parent.mkdir(parents=True)
    PART.symlink_to("/dev/full")
    assert fails(server.url).startswith(
        f"{PART}: cannot be written: No space left on device; what has arrived"
    )


def test_a_state_folder_that_cannot_be_written(server: Server) -> None:
    paths.STATE.write_text("a file where the folder should be")
    said = fails(server.url)
    assert said.startswith(f"{paths.downloads()}: cannot be written: Not a directory")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_state_folder_without_permission(server: Server) -> None:
    paths.downloads().mkdir(parents=True)
    paths.downloads().chmod(0o500)
    assert fails(server.url).startswith(f"{paths.downloads()}: cannot be written: Permission denied")
