// Section 3.1 of the catalogue, by the process of an item in Python: what it can use up.
#include "tests/attack/attack_table.hpp"

namespace assay::sandbox {

void add_resource_attacks(Table& table) {
  table.harmless("1 fork", R"py(
assert error_of(os.fork) == errno.EPERM
assert error_of(os.posix_spawn, "/bin/true", ["true"], {}) == errno.EPERM
for flags in (signal.SIGCHLD, 0x100, 0x4100, 0x8000, 0):
    refused("clone", flags)
if X86:
    refused("fork")
)py");
  table.harmless("2 thread bomb", R"py(
stop, count = threading.Event(), 0
try:
    while count < 1000:
        threading.Thread(target=stop.wait, daemon=True).start()
        count += 1
except RuntimeError:
    pass
stop.set()
assert count < 20, count
)py");
  table.ends("2 thread bomb that does not end", {kTimeout}, R"py(
while True:
    try:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    except RuntimeError:
        time.sleep(0.01)
)py",
             Pace::hasty);
  table.ends("4 memory: lists", {kMemory}, "x = []\nwhile True: x.append(bytearray(1 << 20))");
  table.ends("4 memory: one large object", {kMemory}, "return len(bytearray(1 << 34))");
  table.ends("4 memory: strings that double", {kMemory}, "x = 'x'\nwhile True: x += x");
  table.ends("4 memory: an integer", {kMemory, kCpu}, "return len(bytes(1 << (1 << 34)))", Pace::lean);
  table.ends("4 memory: format", {kMemory}, "return len('%*d' % (2000000000, 1))");
  table.ends("4 memory: small objects", {kMemory}, "x = {}\nwhile True: x[len(x)] = [x]");
  table.ends("4 memory: MemoryError is caught for ever", {kCpu}, R"py(
x = []
while True:
    try:
        x.append(bytearray(1 << 20))
    except MemoryError:
        pass
)py",
             Pace::lean);
  table.harmless("4 memory: the next item has all of it", "return len(bytearray(30 << 20)) / (30 << 20)");
  table.harmless("4 memory: mappings in C", R"py(
got = 0
while mapped(1 << 20) > 0:
    got += 1
assert got < 128, got
)py");
  table.harmless("5 shared memory is refused", R"py(
assert mapped(1 << 20, RW, SHARED | ANONYMOUS) == -errno.ENOMEM
assert mapped(1 << 20, RW, 3 | ANONYMOUS) == -errno.ENOMEM  # MAP_SHARED_VALIDATE
refused("memfd_create", b"x", 0)
refused("memfd_secret", 0)
refused("shmget", 0, 1 << 30, 0o1600)
)py");
  table.harmless("5 shared memory by /dev/zero", R"py(
for flags in (os.O_RDONLY, os.O_RDWR):
    try:
        zero = os.open("/dev/zero", flags)
    except OSError:
        continue
    got = mapped(1 << 30, RW, SHARED, zero)
    assert got < 0, flags
    assert mapped(1 << 30, RW, PRIVATE, zero) < 0
)py");
  table.both("5 scratch counts at most its size", R"py(
if NAMESPACES:
    written = 0
    try:
        for name in range(100):
            with open("/tmp/%d" % name, "wb", buffering=0) as file:
                for _ in range(15):
                    written += file.write(bytes(1 << 20))
    except OSError as error:
        assert error.errno == errno.ENOSPC
    assert written <= 16 << 20, written
    assert error_of(os.mkdir, "/dev/shm/x") in (errno.ENOENT, errno.EROFS, errno.EACCES)
)py");
  table.both("5 scratch that is mapped", R"py(
if NAMESPACES:
    with open("/tmp/file", "w+b") as file:
        file.truncate(8 << 20)
        for _ in range(100):  # the same pages each time
            address = mapped(8 << 20, RW, SHARED, file.fileno())
            assert address > 0
        touch(address, 8 << 20)
)py");
  table.harmless("6 kernel memory: pipes", R"py(
pipes = []
try:
    while True:
        pipes.append(os.pipe())
        os.set_blocking(pipes[-1][1], False)
        os.write(pipes[-1][1], bytes(1 << 20))
except OSError as error:
    assert error.errno == errno.EMFILE
assert len(pipes) < 64
refused("fcntl", pipes[0][0], 1031, 1 << 20)  # F_SETPIPE_SZ
)py");
  table.both("6 kernel memory: sockets", R"py(
pairs = (ctypes.c_int * 2)()
count, held = 0, 0
while call("socketpair", 1, 1 | 0o4000, 0, ctypes.byref(pairs)) == 0:
    count += 1
    try:
        while True:
            held += os.write(pairs[0], bytes(1 << 16))
    except BlockingIOError:
        pass
assert count < 32 and held < 32 << 20, (count, held)
)py");
  table.both("6 kernel memory: epoll, timers, events", R"py(
import select
held = []
try:
    while True:
        held.append(select.epoll())
        for one in held[:-1]:
            held[-1].register(one, select.EPOLLIN)
except OSError as error:
    assert error.errno in (errno.EMFILE, errno.ELOOP, errno.EINVAL), error
assert len(held) < 64
refused("timer_create", 0, 0, 0)
refused("inotify_init1", 0)
refused("signalfd4", -1, 0, 8, 0)
refused("io_setup", 128, ctypes.byref(ctypes.c_long()))
)py");
  table.harmless("6 kernel memory: page tables of what is never written", R"py(
got = []
while len(got) < 64:
    address = mapped(1 << 34, 1, PRIVATE | ANONYMOUS | NORESERVE)
    if address < 0:
        break
    got.append(address)
assert len(got) < 8, len(got)
)py");
  table.may_end("6 kernel memory: mappings without number", {kMemory, kCpu}, R"py(
count = 0
for i in range(1 << 20):
    if mapped(PAGE, 1 if i & 1 else 0) < 0:
        break
    count += 1
assert count < 1 << 17, count
)py",
                Pace::lean);
  table.harmless("7 more address space than memory", R"py(
assert mapped(1 << 30) == -errno.ENOMEM
assert mapped(1 << 30, RW, PRIVATE | ANONYMOUS | NORESERVE) == -errno.ENOMEM
assert mapped(1 << 30, RW, PRIVATE | ANONYMOUS | POPULATE) == -errno.ENOMEM
address = mapped(1 << 30, 0, PRIVATE | ANONYMOUS | NORESERVE)
assert address < 0 or call("mprotect", address, 1 << 30, RW) == -errno.ENOMEM
small = mapped(PAGE)
assert call("mremap", small, PAGE, 1 << 30, 1) == -errno.ENOMEM
)py");
  table.harmless("7 a mapping that grows down is no stack", R"py(
assert mapped(1 << 30, RW, PRIVATE | ANONYMOUS | GROWSDOWN) < 0
assert mapped(PAGE, RW, PRIVATE | ANONYMOUS | GROWSDOWN) < 0
)py");
  table.harmless("8 pinned memory", R"py(
address = mapped(PAGE)
refused("mlock", address, PAGE)
refused("mlock2", address, PAGE, 1)
refused("mlockall", 3)
assert mapped(PAGE, RW, PRIVATE | ANONYMOUS | LOCKED) < 0
)py");
  table.ends("10 busy loop", {kCpu}, "while True: pass", Pace::lean);
  table.ends("10 a regular expression", {kCpu}, "import re\nre.match(r'(a+)+$', 'a' * 50 + 'b')", Pace::lean);
  table.ends("10 one operation in C that holds the interpreter", {kCpu, kMemory},
             "return len(str(3 ** 30000000)) and 1", Pace::lean);
  table.ends("10 native code", {kCpu}, R"py(
if X86:
    run_machine_code(b"\xeb\xfe")
while True:
    pass
)py",
             Pace::lean);
  table.ends("10 every exception is swallowed", {kCpu}, R"py(
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
)py",
             Pace::lean);
  table.ends("11 sleep", {kTimeout}, "time.sleep(1000)", Pace::hasty);
  table.ends("11 reading what never comes", {kTimeout}, "os.read(os.pipe()[0], 1)", Pace::hasty);
  table.ends("11 reading its own result", {kTimeout}, "os.read(4, 1)", Pace::hasty);
  table.ends("11 a lock that is never free", {kTimeout}, R"py(
lock = threading.Lock()
lock.acquire()
lock.acquire()
)py",
             Pace::hasty);
  table.ends("11 the answer is an object whose number takes for ever", {kTimeout}, R"py(
class Slow:
    def __float__(self):
        time.sleep(1000)
return Slow()
)py",
             Pace::hasty);
  table.ends("12 every processor busy", {kCpu}, R"py(
import hashlib
def spin():
    while True:
        hashlib.sha256(bytes(1 << 20)).digest()
for _ in range(3):
    threading.Thread(target=spin, daemon=True).start()
time.sleep(1000)
)py",
             Pace::lean);
  table.ends("13 output without end", {kCpu}, "while True: print('x' * 1000)", Pace::lean);
  table.harmless("13 much output", "for i in range(20000): print('line', i)");
  table.harmless("14 much on standard error", "for i in range(20000): os.write(2, b'x' * 100 + b'\\n')");
  table.harmless("15 an endless line", "for i in range(2000): os.write(1, b'x' * 4096)");
  table.harmless("15 bytes that are no text", R"py(
for i in range(200):
    os.write(1, bytes(4096))
    os.write(1, bytes(range(256)) * 16)
)py");
  table.ends("16 a byte at a time", {kCpu, kTimeout}, "while True: os.write(1, b'x')", Pace::hasty);
  table.harmless("17 outputs closed", "os.close(1)\nos.close(2)");
  table.ends("17 every descriptor closed", {kCrashed}, "os.closerange(0, 64)");
  table.ends("17 descriptors exchanged", {kCrashed, kBadResult, kOutput}, "os.dup2(1, 4)\nos.dup2(2, 4)");
  table.harmless("19 descriptors used up", R"py(
held = []
assert error_of(lambda: [held.append(os.open("/dev/null", os.O_RDONLY)) for _ in range(10000)]) == errno.EMFILE
assert len(held) < 64
refused("prlimit64", 0, 7, (ctypes.c_long * 2)(4096, 4096), 0)
)py");
  table.harmless("20 descriptors sent to the host", R"py(
for descriptor in (1, 2, 4):
    refused("sendmsg", descriptor, 0, 0)
    refused("sendmmsg", descriptor, 0, 1, 0)
    refused("sendto", descriptor, b"x", 1, 0, 0, 0)
    refused("recvmsg", descriptor, 0, 0)
    refused("shutdown", descriptor, 2)
    refused("setsockopt", descriptor, 1, 8, ctypes.byref(ctypes.c_int(1)), 4)
)py");
  table.both("21 sparse files", R"py(
if NAMESPACES:
    file = os.open("/tmp/sparse", os.O_RDWR | os.O_CREAT)
    assert error_of(os.ftruncate, file, 1 << 40) == errno.EFBIG
    assert error_of(os.posix_fallocate, file, 0, 1 << 40) in (errno.EFBIG, errno.ENOSPC)
    assert error_of(os.pwrite, file, b"x", 1 << 40) == errno.EFBIG
)py");
  table.both("22 inodes used up", R"py(
if NAMESPACES:
    count = 0
    try:
        for count in range(100000):
            os.close(os.open("/tmp/%d" % count, os.O_CREAT | os.O_WRONLY))
    except OSError as error:
        assert error.errno == errno.ENOSPC
    assert count <= 1000, count
)py");
  table.both("22 folders in folders", R"py(
if NAMESPACES:
    try:
        while True:
            os.mkdir("d")
            os.chdir("d")
    except OSError as error:
        assert error.errno == errno.ENOSPC
)py");
  table.both("22 folders that cannot be listed", R"py(
if NAMESPACES:
    os.makedirs("/tmp/a/b/c")
    open("/tmp/a/b/c/file", "w").close()
    for path in ("/tmp/a/b/c", "/tmp/a/b", "/tmp/a"):
        os.chmod(path, 0)
)py");
  table.both("22 names that are hard to say", R"py(
if NAMESPACES:
    for name in (b"\xff\xfe", b"-rf", b"a\nb", b" ", b"..x", b"x" * 255, b"*"):
        os.mkdir(b"/tmp/" + name)
        open(b"/tmp/" + name + b"/" + name, "w").close()
)py");
  table.both("23 places that persist", R"py(
for folder in ("/", "/dev", "/dev/shm", "/dev/mqueue", "/etc", "/home", "/opt", "/proc", "/proc/self", "/root", "/run",
               "/run/lock", "/srv", "/sys", "/sys/fs/cgroup", "/usr", "/usr/lib/python3", "/var", "/var/tmp", "/var/lib",
               HOST["folder"]) + (() if NAMESPACES else ("/tmp",)):
    error_of(os.mkdir, folder + "/attack")
    error_of(os.open, folder + "/attack", os.O_CREAT | os.O_WRONLY)
    error_of(os.symlink, "/", folder + "/attack")
)py");
  table.ends("26 the main thread ends, another goes on", {kTimeout}, R"py(
threading.Thread(target=time.sleep, args=(1000,)).start()
call("exit", 0)
)py",
             Pace::hasty);
  table.ends("27 every signal blocked", {kTimeout}, R"py(
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
time.sleep(1000)
)py",
             Pace::hasty);
  table.ends("28 stops itself", {kTimeout, kRaises}, R"py(
result = call("tgkill", os.getpid(), call("gettid"), signal.SIGSTOP)
assert result != -errno.EPERM
)py",
             Pace::hasty);
  table.ends("31 aborts", {kCrashed}, R"py(
assert resource.getrlimit(resource.RLIMIT_CORE)[1] <= 1
os.abort()
)py");
  table.ends("31 a fault", {kCrashed}, "ctypes.string_at(8)");
  table.both("32 the killer's score", R"py(
for path in ("/proc/self/oom_score_adj", "/proc/self/oom_adj"):
    error_of(os.open, path, os.O_WRONLY)
)py");
  table.both("33 priorities", R"py(
refused("setpriority", 0, 0, -20)
refused("sched_setscheduler", 0, 1, ctypes.byref(ctypes.c_int(1)))
refused("sched_setparam", 0, ctypes.byref(ctypes.c_int(1)))
refused("sched_setattr", 0, bytes(48), 0)
refused("ioprio_set", 1, 0, 1 << 13)
)py");
  table.both("34 processors", R"py(
refused("sched_setaffinity", 0, 8, b"\xff" * 8)
refused("set_mempolicy", 0, 0, 0)
refused("mbind", 0, 0, 0, 0, 0, 0)
refused("migrate_pages", 0, 0, 0, 0)
refused("move_pages", 0, 0, 0, 0, 0, 0)
)py");
  table.harmless("35 timers", R"py(
refused("timer_create", 0, 0, ctypes.byref(ctypes.c_long()))
refused("setitimer", 0, bytes(32), 0)
if X86:
    refused("alarm", 1)
)py");
  table.both("38 calls that hold the kernel's locks", R"py(
refused("sync")
refused("syncfs", 1)
for command in range(10):
    call("membarrier", 1 << command, 0)
)py");
}

}  // namespace assay::sandbox
