"""What threads that have handed over large values keep of the machine's memory."""

import subprocess
import sys

from tests.harness.components import PROJECT

THREADS = 8
# A block larger than the others is freed first: by itself the C library takes it as the size that it is to keep.
PROGRAM = f"""
import os, sys, threading
sys.path.insert(0, {str(PROJECT / "host")!r})
sys.path.insert(1, {str(PROJECT)!r})
from holdfast_host.core.limits import MIB
from holdfast_host.worker.threads.heap import bound_free_memory, give_back
from tests.harness.processes import anonymous_bytes

def hand_over():
    bytes(9 * MIB)
    for _ in range(3):
        values = [bytes(6 * MIB) for _ in range(3)]
        del values
    done.release()
    over.acquire()

done, over = threading.Semaphore(0), threading.Semaphore(0)
if "bounded" in sys.argv:
    bound_free_memory()
before = anonymous_bytes(os.getpid())
for _ in range({THREADS}):
    threading.Thread(target=hand_over, daemon=True).start()
for _ in range({THREADS}):
    done.acquire()
give_back()
print((anonymous_bytes(os.getpid()) - before) // MIB)
"""


def kept_mib(*arguments: str) -> int:
    """How much more memory the process has than before its threads did anything."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_threads_that_had_large_values_give_their_memory_back() -> None:
    assert kept_mib("bounded") < THREADS * 4


def test_without_the_bound_each_of_them_keeps_it() -> None:
    assert kept_mib() > THREADS * 6
