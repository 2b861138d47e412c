"""Work for the tests of executors. Importable, so that workers can have it."""

import gc
import os
import signal
import struct
import sys
import time
from multiprocessing.connection import Connection


def square(i):
    return i * i


def process(_):
    return os.getpid()


def settings(_):
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return " ".join(os.environ[name] for name in names)


PanicException = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})


def fail_at_three_and_four(i):
    if i == 3:
        raise LookupError("task 3")
    if i == 4:
        raise PanicException
    return i


def interrupt(_):
    raise KeyboardInterrupt


def is_ctrl_c_blocked(_):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def leave_at_three(i):
    if i == 3:
        sys.exit(0)
    return i


def exit_at_three(i):
    if i == 3:
        os._exit(9)
    return i * i


def die_at_three(i):
    if i == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return i * i


def exit_at_a_multiple_of_seven(i):
    if i % 7 == 0:
        os._exit(9)
    return i


def die_in_a_while(task):
    """Die, if deadly, after the quick task has been done and before its result has been stored."""
    if task[0] == "deadly":
        time.sleep(0.5)
        os._exit(9)
    return "done"


def die_while_sending(i):
    """Die, if third, having sent the beginning of what is announced as ten megabytes."""
    if i == 3:
        for pipe in [one for one in gc.get_objects() if isinstance(one, Connection) and one.writable]:
            os.write(pipe.fileno(), struct.pack("!i", 10_000_000) + b"begun")
        os._exit(9)
    return i


def sleep(seconds):
    time.sleep(seconds)
    return seconds
