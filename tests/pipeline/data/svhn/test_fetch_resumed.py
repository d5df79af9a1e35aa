"""Downloads that are interrupted, killed, run twice, or find no room."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.common import paths
from pipeline.common.errors import Interrupted
from tests.helpers.checkout import ROOT
from tests.helpers.file_server import (
    BODY,
    HALF,
    JUNK,
    KEPT,
    KNOWN,
    NAME,
    PART,
    REST,
    WRONG_SIZE,
    Answer,
    Handler,
    Server,
    cut,
    fails,
    get,
    good,
    hang_up,
    keep,
    other,
    part_of,
    stall,
    status,
    succeeds,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("quick")


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
