"""Memory that was freed stays with a process that asks for it."""

import platform
import subprocess
import sys

import pytest

FREED = """
import sys
from pipeline.common import allocator

if sys.argv[1] == "kept":
    allocator.keep_freed()

def faults():
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def use():
    return [b"x" * (10 << 20) for _ in range(5)]

for _ in range(3):
    use()
before = faults()
for _ in range(3):
    use()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_what_is_freed_is_not_fetched_anew() -> None:
    faults = {
        kept: int(subprocess.run([sys.executable, "-c", FREED, kept], capture_output=True, check=True).stdout)
        for kept in ("kept", "given back")
    }
    assert faults["kept"] < 1000 < faults["given back"], faults
