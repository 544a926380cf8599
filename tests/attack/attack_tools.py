# What attacks in Python have at hand. SYSCALLS, MODE and HOST are put before this text by attack_run.cpp: the numbers
# of the system calls, the mode of the jail, and what of the host is to be got at.
import ctypes
import errno
import os
import resource
import signal
import struct
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NAMESPACES = MODE != "nons"
X86 = os.uname().machine == "x86_64"
REFUSALS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EAFNOSUPPORT, errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOMEM}
PAGE = 4096
RW, RX, RWX = 3, 5, 7
SHARED, PRIVATE, ANONYMOUS, GROWSDOWN, LOCKED, NORESERVE, POPULATE = 1, 2, 0x20, 0x100, 0x2000, 0x4000, 0x8000


def call(name, *arguments):
    """The result of a system call, or its errno as a negative number."""
    number = SYSCALLS.get(name) if isinstance(name, str) else name
    if number is None:
        return -errno.ENOSYS  # not of this architecture
    words = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    words += [ctypes.c_long(0)] * (6 - len(words))
    result = libc.syscall(ctypes.c_long(number), *words)
    return -ctypes.get_errno() if result == -1 else result


def refused(name, *arguments):
    result = call(name, *arguments)
    assert -result in REFUSALS, "%s gave %d" % (name, result)


def error_of(function, *arguments, **options):
    """The errno with which it fails; it has to."""
    try:
        function(*arguments, **options)
    except OSError as error:
        return error.errno
    raise AssertionError("%s%r worked" % (getattr(function, "__name__", function), arguments))


def hidden(path):
    """No way of opening it gives its contents."""
    for flags in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY, os.O_RDONLY | os.O_DIRECTORY, os.O_RDWR | os.O_CREAT):
        try:
            opened = os.open(path, flags)
        except OSError:
            continue
        assert flags == os.O_RDWR | os.O_CREAT and path.startswith("/tmp/"), path + " opens"
        os.close(opened)
        os.unlink(path)


def mapped(size, protection=RW, flags=PRIVATE | ANONYMOUS, descriptor=-1):
    """An address, or an errno as a negative number."""
    return call("mmap", 0, size, protection, flags, descriptor, 0)


def touch(address, size, stride=PAGE):
    for offset in range(0, size, stride):
        ctypes.memset(address + offset, 1, 1)


def run_machine_code(code):
    address = mapped(PAGE)
    ctypes.memmove(address, code, len(code))
    assert call("mprotect", address, PAGE, RX) == 0
    return ctypes.CFUNCTYPE(ctypes.c_long)(address)()


def frame(result):
    import json  # costs more than all else here

    text = result if isinstance(result, bytes) else json.dumps(result).encode()
    return len(text).to_bytes(4, "little") + text


def open_descriptors():
    found = []
    for descriptor in range(1100):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        found.append(descriptor)
    return found
