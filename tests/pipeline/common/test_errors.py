"""What is said of errors, and what is not."""

import time

import pytest

from pipeline.common.errors import is_out_of_memory, one_line, printable


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("https://me:secret@host/a: not found", "https://***@host/a: not found"),
        ("(https://me:secret@host:80/a@b)", "(https://***@host:80/a@b)"),
        ("s3://AK123:with/slash+@bucket/folder", "s3://***@bucket/folder"),
        ("https://token@host", "https://***@host"),
        ("s3://bucket/x?secret_key=a/b&region=eu&X-Amz-Signature=12", "s3://bucket/x?secret_key=***&region=eu"
         "&X-Amz-Signature=***"),
        ("https://host:8080/me@home", "https://host:8080/me@home"),
        ("https://host/x?page=1", "https://host/x?page=1"),
        ("from me@host, and a://b, c@d", "from me@host, and a://b, c@d"),
    ],
)  # fmt: skip
def test_secrets_of_urls_are_left_out(said: str, shown: str) -> None:
    assert printable(said) == shown
    assert one_line(ValueError(f"{said}\n")) == shown


@pytest.mark.parametrize("part", ["://a:", "://", "://?key", "://?key=", "://a?a&a:"])
def test_texts_that_are_made_to_take_long_take_no_time(part: str) -> None:
    started = time.monotonic()
    printable(part * (200_000 // len(part)))  # as large as a file of YAML may be
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
    ids=str,
)
def test_a_memory_that_is_full_is_known_by_whoever_says_so(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_out_of_memory(ValueError(str(error)))
