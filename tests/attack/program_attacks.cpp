// Attacks by programs: as those by items in Python, but a program may start others, signal them, and has
// memory that is written and run. All its processes count together where there are control groups; else each
// has its own limits.
#include "tests/attack/attack_table.hpp"

namespace assay::sandbox {

void add_program_attacks(Table& table) {
  table.program("1 fork bomb", R"py(
count = 0
try:
    while count < 1000:
        if os.fork() == 0:
            time.sleep(1000)
        count += 1
except OSError as error:
    assert error.errno == errno.EAGAIN
assert 0 < count < 20, count
)py");
  table.program("1 fork bomb that does not end", R"py(
while True:
    try:
        os.fork()
    except OSError:
        pass
)py",
                {kCpu, kPids}, Pace::lean);
  table.program("3 processes that each start the next and end", R"py(
while True:
    try:
        if os.fork():
            os._exit(0)
    except OSError:
        pass
)py",
                {kBadResult, kCpu, kPids});
  table.program("3 pairs that start each other anew", R"py(
os.setsid()
while True:
    try:
        if os.fork() == 0:
            os.setsid()
        elif os.fork():
            time.sleep(0.001)
    except OSError:
        time.sleep(0.001)
)py",
                {kTimeout, kCpu, kPids}, Pace::hasty);
  table.program("2 thread bomb", R"py(
threading.stack_size(1 << 16)
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
  table.program("4 memory: pages touched", "return len(bytearray(1 << 30)) and 1", {kMemory, kRaises});
  table.program("4 memory: more and more", "x = []\nwhile True: x.append(bytearray(1 << 20))",
                {kMemory, kRaises});
  // Without control groups each process counts for itself, and what they share for none.
  table.program_may_end("4 memory: of several processes together", {kMemory, kRaises}, R"py(
filled, fill = os.pipe()
for _ in range(4):
    if os.fork() == 0:
        x = bytearray(30 << 20)
        os.write(fill, b"x")
        time.sleep(1000)
os.close(fill)
for _ in range(4):
    if os.waitpid(-1, os.WNOHANG)[0] == 0:
        os.read(filled, 1)
)py",
                        Pace::hasty);
  table.program_may_end("5 memory: shared", {kMemory, kRaises}, R"py(
address = mapped(200 << 20, RW, SHARED | ANONYMOUS)
assert address < 0 or touch(address, 200 << 20) is None
)py");
  table.program("5 shared memory by /dev/zero, files in memory", R"py(
assert error_of(os.open, "/dev/zero", os.O_RDWR) == errno.EACCES
refused("memfd_create", b"x", 0)
refused("memfd_secret", 0)
refused("shmget", 0, 1 << 30, 0o1600)
)py");
  table.program("6 kernel memory: pipes", R"py(
pipes = []
try:
    while True:
        pipes.append(os.pipe())
        os.set_blocking(pipes[-1][1], False)
        os.write(pipes[-1][1], bytes(1 << 20))
except OSError as error:
    assert error.errno == errno.EMFILE
refused("fcntl", pipes[0][0], 1031, 1 << 20)
)py");
  table.program("8 pinned memory", R"py(
refused("mlockall", 3)
assert mapped(PAGE, RW, PRIVATE | ANONYMOUS | LOCKED) < 0
)py");
  table.program("10 busy loop", "while True: pass", {kCpu}, Pace::lean);
  table.program("10 a busy child", "os.fork()\nwhile os.getppid() != 1: pass\nos.wait()", {kCpu}, Pace::lean);
  table.program("12 every processor busy", "os.fork()\nos.fork()\nwhile True: pass", {kCpu}, Pace::lean);
  table.program("12 busy children that are not waited for", R"py(
for _ in range(3):
    if os.fork() == 0:
        while True:
            pass
time.sleep(3)
)py",
                {kCpu}, Pace::lean);
  table.program("11 sleep", "time.sleep(1000)", {kTimeout}, Pace::hasty);
  table.program("11 reads its input to the end and waits for more", R"py(
sys.stdin.read()
os.read(os.pipe()[0], 1)
)py",
                {kTimeout}, Pace::hasty);
  table.program("13 output without end", "while True: os.write(1, bytes(65536))", {kOutput});
  table.program("13 a number without end", "while True: os.write(1, b'1' * 65536)", {kOutput});
  table.program("14 log without end", "while True: os.write(2, b'x' * 65536)", {kCpu}, Pace::lean);
  table.program("15 log of bytes that are no text",
                "for i in range(200): os.write(2, bytes(range(256)) * 16)");
  table.program("16 a byte at a time", "while True: os.write(2, b'x')", {kCpu}, Pace::lean);
  table.program("17 outputs closed", "os.closerange(0, 64)\nos._exit(0)", {kBadResult});
  table.program("17 outputs closed, and it goes on", "os.closerange(0, 64)\ntime.sleep(1000)", {kTimeout},
                Pace::hasty);
  table.program("17 a child holds the outputs", R"py(
if os.fork() == 0:
    os.setsid()
    time.sleep(1000)
)py");
  table.program("17 a child that goes on writing", R"py(
if os.fork() == 0:
    while True:
        os.write(2, b"x" * 1000)
)py");
  table.program("19 descriptors used up", R"py(
held = []
assert error_of(lambda: [held.append(os.open("/dev/null", os.O_RDONLY)) for _ in range(10000)]) == errno.EMFILE
assert len(held) < 64
try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    raise AssertionError("the limit was raised")
except (ValueError, OSError):
    pass
)py");
  table.program("20 descriptors sent to the host", R"py(
for descriptor in (0, 1, 2):
    refused("sendmsg", descriptor, 0, 0)
    refused("sendmmsg", descriptor, 0, 1, 0)
)py");
  table.program("24 zombies", R"py(
count = 0
try:
    while count < 1000:
        if os.fork() == 0:
            os._exit(0)
        count += 1
except OSError:
    pass
assert count < 20, count
)py");
  table.program("25 a process that leaves", R"py(
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 64)
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        time.sleep(1000)
    os._exit(0)
os.wait()
)py");
  table.program("27 every signal blocked", R"py(
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
time.sleep(1000)
)py",
                {kTimeout}, Pace::hasty);
  table.program("28 stops itself", "os.kill(os.getpid(), signal.SIGSTOP)", {kTimeout}, Pace::hasty);
  table.program("28 stopped children", R"py(
for _ in range(5):
    if os.fork() == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
)py");
  table.program("30 a parent that waits for its vfork", R"py(
call("vfork")
time.sleep(1000)
)py",
                {kTimeout, kCrashed}, Pace::hasty);
  table.program("31 aborts", "os.abort()", {kCrashed});
  table.program("41 signals to others", R"py(
for pid in HOST["pids"] + [HOST["daemon"]]:
    assert error_of(os.kill, pid, signal.SIGKILL) == errno.ESRCH
for number in (signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL, signal.SIGSEGV):
    try:
        os.kill(1, number)
    except OSError:
        pass
    try:
        os.kill(-1, number if number != signal.SIGSTOP else 0)
    except OSError:
        pass
refused("pidfd_open", 1, 0)
refused("rt_sigqueueinfo", 1, 9, bytes(128))
)py");
  table.program("41 its whole group", "os.killpg(0, signal.SIGKILL)", {kMemory, kCrashed});
  table.program("47 exactly its own descriptors", R"py(
assert open_descriptors() == [0, 1, 2], open_descriptors()
for fd in "012":
    assert os.readlink("/proc/self/fd/" + fd).startswith("pipe:")
)py");
  table.program("47 exactly its own descriptors, in a program it starts", R"py(
import subprocess
found = subprocess.run(["ls", "/proc/self/fd"], capture_output=True, text=True).stdout.split()
assert found == ["0", "1", "2", "3"], found  # 3: of ls
)py");
  table.program("49 it is alone", R"py(
pids = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
assert pids == [1, os.getpid()], pids
)py");
  table.program("54 programs that raise privileges", R"py(
import subprocess
for program in ("/usr/bin/su", "/usr/bin/newgrp"):
    if os.path.exists(program):
        done = subprocess.run([program, "-c", "id -u"], stdin=subprocess.DEVNULL, capture_output=True)
        assert done.stdout != b"0\n", done
shell = subprocess.run(["/bin/sh", "-c", "id -u; grep NoNewPrivs /proc/self/status"], capture_output=True, text=True)
assert shell.stdout.split() == [str(os.getuid()), "NoNewPrivs:", "1"], shell
)py");
  table.program("71 code of its own", R"py(
import shutil
shutil.copy("/bin/true", "/tmp/own")
os.chmod("/tmp/own", 0o755)
assert error_of(os.execv, "/tmp/own", ["own"]) == errno.EACCES
refused("execveat", os.open("/tmp/own", os.O_RDONLY), b"", 0, 0, 0x1000)
refused("execveat", os.open("/bin/true", os.O_RDONLY), b"", 0, 0, 0x1000)
refused("memfd_create", b"x", 0)
import glob, subprocess
for loader in glob.glob("/lib64/ld-*") + glob.glob("/lib/ld-*"):
    done = subprocess.run([loader, "/tmp/own"], capture_output=True)
    assert done.returncode != 0, loader
try:
    ctypes.CDLL("/tmp/own")
    raise AssertionError("it was loaded")
except OSError:
    pass
)py");
  table.program("74 its environment", R"py(
assert set(os.environ) == {"PATH", "HOME", "TMPDIR", "LANG", "TZ", "ASSAY_PARAMS", "LC_CTYPE"} & set(os.environ)
assert os.environ["ASSAY_PARAMS"] == "{}"
)py");
  for (const int code : {1, 100, 101, 103, 127, 255})
    table.program("92 a result and exit code " + std::to_string(code),
                  "print(1, flush=True)\nos._exit(" + std::to_string(code) + ")", {kRaises});
  table.program("92 exit code 0 without a result", "os._exit(0)", {kBadResult});
  table.program("92 a result, then a signal", "print(1, flush=True)\nos.kill(os.getpid(), signal.SIGTERM)",
                {kCrashed});
  table.program("92 a result, then for ever", "print(1, flush=True)\ntime.sleep(1000)", {kTimeout},
                Pace::hasty);
  table.program("94 a child that writes a result as well", R"py(
if os.fork() == 0:
    os.write(1, b"0.5\n")
    os._exit(0)
os.wait()
)py",
                {kBadResult});
  table.program_may_end("94 a child that writes a result afterwards", {kBadResult}, R"py(
if os.fork() == 0:
    while os.getppid() != 1:
        time.sleep(0.001)
    os.write(1, b"0.5\n")
    time.sleep(1000)
)py");
  table.words("37 words beyond what a program can be given",
              "[\"true\",\"" + std::string(3 << 20, 'x') + "\"]", {kConfig, kBadResult});
  table.words("48 the host itself as the program", R"(["/proc/self/exe"])",
              {kConfig, kRaises, kBadResult, kCrashed});
  table.words("48 the host itself by its number", R"(["/proc/1/exe"])", {kConfig, kRaises, kBadResult});
  table.words("55 a device as the program", R"(["/dev/null"])", {kConfig});
  table.words("73 a folder as the program", R"(["/usr"])", {kConfig});
  table.words("79 a name of ups", R"(["../../../bin/../usr/bin/../../etc/passwd"])", {kConfig});
  table.words("62 a server", R"(["python3","-m","http.server","-b","0.0.0.0"])", {kRaises});
}

}  // namespace assay::sandbox
