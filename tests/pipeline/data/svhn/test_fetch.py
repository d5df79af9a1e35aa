"""Downloads from a server that misbehaves in each way that servers and networks have."""

import hashlib
import socket
from types import SimpleNamespace

import pytest

from pipeline.common.errors import PipelineError, printable
from pipeline.data.svhn import fetch
from tests.helpers.file_server import (
    BODY,
    BROKEN,
    HALF,
    JUNK,
    KEPT,
    KNOWN,
    NAME,
    PART,
    REST,
    WAYS_OUT,
    Answer,
    Server,
    chunked,
    compressing,
    cut,
    fails,
    good,
    hang_up,
    keep,
    other,
    part_of,
    stall,
    status,
    succeeds,
    unmeasured,
    unmeasured_cut,
    whole,
    whole_cut,
)

pytestmark = pytest.mark.usefixtures("quick")


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


def test_a_password_in_the_url_is_not_said(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    server.answers = [status(503), status(404)]
    url = server.url.replace("://", "://me:pa55word@")
    with pytest.raises(PipelineError) as raised:
        fetch.fetch(f"{url}/{NAME}?sig=pa55word", KEPT, KNOWN, lambda count: None)
    retried = capfd.readouterr().err
    assert f"http://***@127.0.0.1:{server.server_port}/{NAME}?sig=***: the server answers 503" in retried
    assert "pa55word" not in retried + printable(raised.value)  # as the command line prints it


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
