"""Downloads that go on from where they stopped, and try again what may get better.

What has arrived is kept as `<name>.part` beside the file's place, whatever ends the process, and the next run
continues it. Only a file of the known size and MD5 gets its name.
"""

import http.client
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
from urllib3.exceptions import HTTPError

from pipeline.common import files, locks
from pipeline.common.errors import Interrupted, PipelineError, one_line, printable, reason
from pipeline.common.progress import console
from pipeline.data.svhn import official_files
from pipeline.data.svhn.official_files import Advance, OfficialFile

ATTEMPTS = 5  # in a row that bring nothing new
BACKOFF = 1.0  # seconds before the second attempt, doubled before each further one
TIMEOUT = 30.0  # seconds without a connection or without a byte
BLOCK = 1 << 20  # bytes, at most, between two steps of the progress bar

# What may be otherwise a second later; any other status stays.
PASSING = {408, 425, 429, 500, 502, 503, 504}
DENIED, MISSING = "the server denies access", "not found on the server"
PLAIN = {401: DENIED, 403: DENIED, 404: MISSING, 410: MISSING}

# The first whose kind is among an error's causes, with whether it may get better.
CAUSES: tuple[tuple[tuple[type[Exception], ...], str, bool], ...] = (
    ((socket.gaierror,), "the name {host} cannot be looked up (offline, or a wrong name)", True),
    ((ConnectionRefusedError,), "{host} refuses the connection", True),
    ((ssl.SSLCertVerificationError,), "the certificate of {host} is not trusted", False),
    ((TimeoutError,), "nothing arrived for {timeout:g} s", True),
    ((ConnectionError, http.client.HTTPException), "the connection broke", True),
)

CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _Fault(Exception):
    """Failure of an attempt, in plain words; `passing` where another one may do better."""

    def __init__(self, cause: str, *, passing: bool) -> None:
        super().__init__(cause)
        self.passing = passing


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be the one process that downloads `path`; where another one is, say which and wait for it.

    Raises:
        PipelineError: the folder of `path` cannot be written.
    """

    def wait(holder: str) -> None:
        _say(f"{path.name} is being downloaded by {holder}; waiting for it")

    with locks.locked(path, wait):
        yield


def is_whole(path: Path, known: OfficialFile) -> bool:
    """Whether `path` is there with the known size and MD5."""
    return path.exists() and not _difference(path, known)


def fetch(url: str, path: Path, known: OfficialFile, advance: Advance) -> None:
    """Bring `url` (http, https or file) to `path`, which appears only when it has the known size and MD5.

    `advance` gets numbers of bytes: first those that an earlier run left, then those that arrive; a negative
    one where the server cannot go on from what is here, so that the file starts again.

    Raises:
        PipelineError: the server, the transfer, the checksum or the disk; the message names the ways out.
        Interrupted: Ctrl-C; what has arrived is kept.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        if url.startswith("file://"):
            official_files.copy(Path(url2pathname(urlsplit(url).path)), part, advance)
        else:
            _bring(url, part, known.size, advance)
        if difference := _difference(part, known):
            part.unlink()
            raise _Fault(f"{difference}; deleted", passing=False)
        part.replace(path)
    except _Fault as fault:
        kept = f"; {length:,} of {known.size:,} bytes are kept" if (length := _length(part)) else ""
        raise PipelineError(f"{url}: {fault}{kept}; {official_files.ways_out()}") from fault
    except KeyboardInterrupt:
        kept = f"{part} keeps {_length(part):,} of {known.size:,} bytes"
        raise Interrupted(f"interrupted: {kept}; the same command goes on from there") from None
    except OSError as error:
        said = f"{part}: cannot be written: {reason(error)}; what has arrived is kept"
        raise PipelineError(f"{said}; mend it and run the command again") from error


def _bring(url: str, part: Path, size: int, advance: Advance) -> None:
    """Make `part` the first `size` bytes of `url`, or fewer where the server says that these are all.

    Raises:
        _Fault: what does not get better, or did not in ATTEMPTS attempts in a row without a further byte.
    """
    furthest = _length(part)
    if furthest > size:
        part.unlink()
        furthest = 0
    advance(furthest)
    failures = 0
    while _length(part) < size:
        try:
            return _attempt(url, part, size, advance)
        except _Fault as fault:
            if not fault.passing:
                raise
            # A server that cannot go on sends the same bytes again: just further ones count as progress.
            failures = 1 if _length(part) > furthest else failures + 1
            furthest = max(furthest, _length(part))
            if failures == ATTEMPTS:
                raise _Fault(f"{fault}; gave up after {ATTEMPTS} attempts", passing=False) from fault
            wait = BACKOFF * 2 ** (failures - 1)
            _say(f"{url}: {fault}; attempt {failures + 1} of {ATTEMPTS} in {wait:g} s")
        time.sleep(wait)


def _attempt(url: str, part: Path, size: int, advance: Advance) -> None:
    """Add to `part` what one answer brings; start it again where the server cannot go on from its end."""
    held = _length(part)
    response = _ask(url, held)
    start, total = _place(response)
    if held and start not in (0, held):
        response.close()
        response = _ask(url, 0)
        start, total = _place(response)
    with response:
        if start is None or start not in (0, held):
            raise _Fault("the server sends another part than was asked for", passing=False)
        if total not in (None, size):
            raise _Fault(f"{total:,} bytes on the server, {size:,} expected", passing=False)
        advance(start - held)
        with part.open("ab" if start else "wb") as file:
            for block in _blocks(response, size - start):
                file.write(block)
                file.flush()  # a kill loses nothing
                advance(len(block))
        # The end of a chunked body is marked, so it is whole, if not what was expected.
        marked = response.status_code == 200 and "Transfer-Encoding" in response.headers
        if not marked and (length := _length(part)) < size:
            raise _Fault(f"the server stopped after {length:,} of {size:,} bytes", passing=True)


def _ask(url: str, start: int) -> requests.Response:
    """The answer to a request for the bytes from `start` on; it may bring others."""
    headers = {"Accept-Encoding": "identity"}  # a compressed file has other bytes to count
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    except (OSError, HTTPError) as error:
        raise _explained(error, url) from error
    status = response.status_code
    if status in (200, 206) or (status == 416 and start):  # 416: no such range
        return response
    response.close()
    said = (
        f"{PLAIN[status]} ({status})" if status in PLAIN else f"the server answers {status} {response.reason}"
    )
    raise _Fault(said.rstrip(), passing=status in PASSING)


def _place(response: requests.Response) -> tuple[int | None, int | None]:
    """Byte of the file that a body starts with, and the file's size; None where the server does not say."""
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    said = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status_code != 206 or not said:
        return None, None
    return int(said[1]), int(said[2]) if said[2].isdecimal() else None


def _blocks(response: requests.Response, count: int) -> Iterator[bytes]:
    """The first `count` bytes of a body, as they arrive."""
    while count:
        try:
            # Not `read`: it drops what it has when the connection breaks before it has all.
            block: bytes = response.raw.read1(min(BLOCK, count), decode_content=False)
        except (OSError, HTTPError) as error:
            raise _explained(error, response.url) from error
        if not block:
            return
        count -= len(block)
        yield block


def _explained(error: Exception, url: str) -> _Fault:
    """An exception of the transport, in plain words."""
    causes: list[BaseException] = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    server = url.partition("://")[2].partition("/")[0].rpartition("@")[2]  # also where `url` is none
    host = "the proxy" if isinstance(error, requests.exceptions.ProxyError) else server
    for kinds, text, passing in CAUSES:
        if any(isinstance(cause, kinds) for cause in causes):
            return _Fault(text.format(host=host, timeout=TIMEOUT), passing=passing)
    system = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    broken = isinstance(error, requests.ConnectionError | HTTPError) and not isinstance(error, ValueError)
    return _Fault(system[0] if system else one_line(error), passing=broken)


def _difference(path: Path, known: OfficialFile) -> str:
    """Difference of a file from what is known of it; empty where there is none."""
    if (length := _length(path)) != known.size:
        return f"{length:,} bytes arrived, {known.size:,} expected"
    return "" if (found := files.md5(path)) == known.md5 else f"MD5 {found}, expected {known.md5}"


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _say(line: str) -> None:
    console.print(printable(line), soft_wrap=True, markup=False)
