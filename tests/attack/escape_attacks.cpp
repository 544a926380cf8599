// Section 3.2 of the catalogue, by the process of an item in Python and by a program: ways out.
#include "tests/attack/attack_table.hpp"

namespace assay::sandbox {

void add_escape_attacks(Table& table) {
  table.harmless("41 signals to others", R"py(
pids = HOST["pids"] + [1, 2, -1, 0, os.getppid(), HOST["daemon"], -os.getppid()]
for pid in pids:
    for number in (0, signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL):
        refused("kill", pid, number)
        refused("tkill", pid, number)
        refused("tgkill", pid, pid, number)
        refused("rt_sigqueueinfo", pid, number, bytes(128))
        refused("rt_tgsigqueueinfo", pid, pid, number, bytes(128))
refused("pidfd_open", os.getppid(), 0)
refused("pidfd_send_signal", 4, 9, 0, 0)
)py");
  table.both("42 signals by way of descriptors", R"py(
for descriptor in (1, 4, os.pipe()[0]):
    for pid in (os.getppid(), HOST["pid"], 1):
        refused("fcntl", descriptor, 8, pid)  # F_SETOWN
        refused("fcntl", descriptor, 15, (ctypes.c_int * 2)(1, pid))  # F_SETOWN_EX
    refused("fcntl", descriptor, 10, signal.SIGKILL)  # F_SETSIG
)py");
  table.both("43 a user namespace", R"py(
for flags in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000, 0x2000000):
    refused("clone", flags | signal.SIGCHLD)
    refused("clone", flags | 0x50f00)  # of a thread
)py");
  table.both("44 clone3", "assert call('clone3', bytes(88), 88) == -errno.ENOSYS");
  table.both("46 up and out", R"py(
for path in ("/..", "/../../..", "/proc/self/cwd/..", "/proc/self/root/.."):
    try:
        assert not os.path.exists(path + HOST["folder"] + "/secret") or not NAMESPACES
    except PermissionError:
        pass
up = "../" * 64
hidden(up + HOST["file"][1:])
refused("openat2", -100, b"/", bytes(24), 24)
)py");
  table.harmless("47 exactly its own descriptors", R"py(
assert open_descriptors() == [0, 1, 2, 4], open_descriptors()
if NAMESPACES:
    links = {fd: os.readlink("/proc/self/fd/" + fd) for fd in "0124"}
    assert links["4"].startswith("socket:") and links["1"] == links["2"], links
    assert links["0"] == "/dev/null", links
)py");
  table.both("48 the programs that run it", R"py(
for path in ("/proc/self/exe", "/proc/1/exe", "/proc/%d/exe" % os.getppid(), "/usr/bin/python3", sys.executable,
             "/assay/libassay-lock.so"):
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
        error_of(os.open, path, flags)
for path in ("/proc/1/exe", "/proc/%d/exe" % os.getppid()):
    error_of(os.open, path, os.O_RDONLY)
)py");
  table.both("49 the memory, files and environment of its parents", R"py(
for pid in (1, os.getppid(), HOST["daemon"], HOST["pid"]):
    for name in ("environ", "mem", "maps", "smaps", "auxv", "fd", "fdinfo", "root", "cwd", "map_files", "pagemap", "stack",
                 "syscall", "io", "personality", "timers"):
        path = "/proc/%d/%s" % (pid, name)
        try:
            opened = os.open(path, os.O_RDONLY)
        except OSError:
            continue
        try:
            assert os.read(opened, 100) == b"", path
        except OSError:
            pass
        os.close(opened)
    for fd in range(8):
        error_of(os.open, "/proc/%d/fd/%d" % (pid, fd), os.O_RDWR)
    error_of(os.listdir, "/proc/%d/root/" % pid)
assert error_of(os.open, "/proc/self/mem", os.O_RDWR)
)py");
  table.harmless("49 what it may see of its parents does not say where they are", R"py(
if NAMESPACES:
    assert sorted(name for name in os.listdir("/proc") if name.isdigit())[0] == "1"
    for name in ("cmdline", "status", "mountinfo", "cgroup"):
        try:
            assert HOST["folder"] not in open("/proc/1/" + name).read()
        except PermissionError:
            pass
)py");
  table.both("50 the kernel's own files", R"py(
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches",
             "/proc/sysrq-trigger", "/proc/kcore", "/proc/kallsyms", "/proc/keys", "/proc/timer_list", "/proc/sched_debug",
             "/proc/kmsg", "/proc/kpagecount", "/proc/1/mem", "/proc/bus", "/proc/irq", "/proc/scsi", "/proc/acpi",
             "/proc/config.gz", "/proc/modules", "/proc/mounts/x", "/proc/net/tcp", "/sys/kernel", "/sys/firmware",
             "/sys/class", "/sys/fs/cgroup", "/dev/mem", "/dev/kmsg", "/dev/kvm", "/dev/fuse", "/dev/tty", "/dev/ptmx",
             "/dev/pts", "/dev/console", "/dev/loop0", "/dev/net/tun", "/dev/vsock", "/dev/userfaultfd", "/dev/uinput",
             "/dev/vda", "/dev/sda", "/dev/shm"):
    hidden(path)
refused("syslog", 3, ctypes.create_string_buffer(100), 100)
)py");
  table.both("52 control groups", R"py(
for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/release_agent", "/cgroup"):
    hidden(path)
)py");
  table.both("54 programs that raise privileges", R"py(
assert call("prctl", 39, 0, 0, 0, 0) == 1  # PR_GET_NO_NEW_PRIVS
for name in ("setuid", "setgid", "setfsuid"):
    result = call(name, 0)
    assert result == -errno.EPERM, (name, result)
refused("setresuid", 0, 0, 0)
refused("setresgid", 0, 0, 0)
refused("setgroups", 0, 0)
refused("capset", 0, 0)
assert 0 not in os.getresuid() + os.getresgid()
assert 0 not in os.getgroups()
if NAMESPACES:
    assert os.statvfs("/usr").f_flag & os.ST_NOSUID and os.statvfs("/tmp").f_flag & os.ST_NOSUID
    caps = [line.split()[1] for line in open("/proc/self/status") if line.startswith("Cap")]
    assert set(caps) == {"0" * 16}, caps
)py");
  table.both("55 device nodes", R"py(
folder = b"/tmp/" if NAMESPACES else HOST["folder"].encode() + b"/"
for mode in (0o20666, 0o60666, 0o10666, 0o140666):
    refused("mknodat", -100, folder + b"node", mode, (1 << 8) | 3)
if NAMESPACES:
    for path in (b"/tmp", b"/dev", b"/proc", b"/usr"):
        assert os.statvfs(path).f_flag & (os.ST_NODEV if path != b"/dev" else os.ST_RDONLY), path
    open("/tmp/a", "w").close()
    result = call("renameat2", -100, b"/tmp/a", -100, b"/tmp/b", 4)  # RENAME_WHITEOUT makes a node
    assert result < 0 or not os.path.exists("/tmp/a") or error_of(os.open, "/tmp/a", os.O_RDONLY)
)py");
  table.both("56 a terminal's input", R"py(
for request in (0x5412, 0x541C, 0x5412 | 1 << 32, 0x541C | 1 << 40, 0x540E, 0x5414, 0x5480):
    for descriptor in (0, 1, 2, 4):
        assert call("ioctl", descriptor, request, b"x") == -errno.ENOTTY
hidden("/dev/tty")
)py");
  table.both_end("58 32-bit calls", {kForbidden}, R"py(
if X86:
    run_machine_code(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
call("ptrace", 0, 0, 0, 0)
)py");
  table.both_end("58 x32 calls", {kForbidden}, "call(0x40000000 | 39)");
  table.both_end("58 a call without a number", {kForbidden}, "call(-1)");
  table.both("59 io_uring", R"py(
for name in ("io_uring_setup", "io_uring_enter", "io_uring_register"):
    assert call(name, 8, bytes(120), 0, 0) == -errno.ENOSYS
)py");
  for (const char* name : {"ptrace", "process_vm_readv", "unshare", "mount", "bpf", "keyctl"})
    table.ends(std::string("40-61 ") + name, {kForbidden},
               "call('" + std::string(name) + "', 0, 0, 0, 0, 0, 0)");
  table.both("62 sockets of every family", R"py(
for family in list(range(0, 46)) + [1 << 32 | 2, 1 << 31]:
    for kind in (1, 2, 3, 5):
        assert call("socket", family, kind, 0) == -errno.EAFNOSUPPORT, family
pair = (ctypes.c_int * 2)()
for family in (2, 10, 16, 17, 30, 38, 40):
    assert call("socketpair", family, 1, 0, ctypes.byref(pair)) == -errno.EAFNOSUPPORT, family
)py");
  table.both("63-65 the network and the host's sockets", R"py(
import socket
for family, address in ((socket.AF_INET, ("127.0.0.1", HOST["port"])), (socket.AF_INET, ("169.254.169.254", 80)),
                        (socket.AF_INET6, ("::1", HOST["port"])), (socket.AF_UNIX, "\0" + HOST["abstract"]),
                        (socket.AF_UNIX, HOST["socket"])):
    error_of(lambda: socket.socket(family, socket.SOCK_STREAM).connect(address))
ours, theirs = socket.socketpair()
path = HOST["socket"].encode()
for descriptor in (ours.fileno(), 1, 4):
    refused("connect", descriptor, struct.pack("<H", 1) + path, len(path) + 2)
    refused("bind", descriptor, struct.pack("<H", 1) + b"/tmp/x", 8)
    refused("accept4", descriptor, 0, 0, 0)
try:
    socket.getaddrinfo("example.com", 80)
    raise AssertionError("a name was found")
except socket.gaierror:
    pass
)py");
  table.both("66 locks and leases on what others see", R"py(
file = os.open("/usr/bin/python3", os.O_RDONLY)
refused("flock", file, 2)
for command in (5, 6, 7, 36, 37, 38, 1024, 1026, 1033):  # locks, leases, notices, seals
    refused("fcntl", file, command, bytes(64))
    refused("fcntl", file, command | 1 << 32, bytes(64))
)py");
  table.both("66 System V and POSIX queues and memory", R"py(
refused("shmget", 7, 4096, 0o1666)
refused("shmat", 0, 0, 0)
refused("semget", 7, 1, 0o1666)
refused("msgget", 7, 0o1666)
refused("mq_open", b"attack", 0o102, 0o666, 0)
)py");
  table.both_end("68 another personality", {kForbidden}, "call('personality', 0x0400000)");
  table.both("68 what a process can change of itself", R"py(
for option in range(1, 80):
    if option in (1, 2, 3, 4, 15, 16, 23, 39):
        continue  # its name, its death signal, whether it dumps, what it can ask
    result = call("prctl", option, 1, 0, 0, 0)
    assert result == -errno.EPERM, (option, result)
for option in (0x59616d61, 0x41555856):
    refused("prctl", option, os.getppid(), 0, 0, 0)
if X86:
    for code in (0x1001, 0x1004, 0x1011, 0x1012, 0x3001, 0x5001):
        assert call("arch_prctl", code, 0) == -errno.EINVAL, code
)py");
  table.both_end("69 a filter that answers for others", {kForbidden}, "call('seccomp', 1, 8, bytes(16))");
  table.both("69 a filter by the old call", "refused('prctl', 22, 2, bytes(16), 0, 0)");
  table.both("69 rules of its own", R"py(
refused("landlock_create_ruleset", bytes(24), 24, 0)
refused("landlock_restrict_self", 0, 0)
)py");
  table.harmless("71 code from memory", R"py(
refused("memfd_create", b"x", 0)
refused("execveat", os.open("/bin/true", os.O_RDONLY), b"", 0, 0, 0x1000)
assert error_of(os.execv, "/bin/true", ["true"]) == errno.EPERM
assert error_of(os.execve, os.open("/bin/true", os.O_RDONLY), ["true"], {})
)py");
  table.harmless("72 memory that is written and run", R"py(
assert mapped(PAGE, RWX) == -errno.EACCES
assert mapped(PAGE, RWX | 0x10000000) == -errno.EACCES
assert call("mprotect", mapped(PAGE), PAGE, RWX) == -errno.EACCES
refused("pkey_mprotect", mapped(PAGE), PAGE, RWX, -1)
refused("remap_file_pages", mapped(PAGE), PAGE, 0, 0, 0)
if NAMESPACES:
    file = os.open("/tmp/code", os.O_RDWR | os.O_CREAT, 0o700)
    os.write(file, bytes(PAGE))
    assert mapped(PAGE, RX, SHARED, file) < 0
    assert mapped(PAGE, RX, PRIVATE, file) < 0
    address = mapped(PAGE, RW, SHARED, file)
    assert call("mprotect", address, PAGE, RX) < 0
    assert error_of(os.open, "/proc/self/mem", os.O_WRONLY)
)py");
  table.harmless("72 a library of its own", R"py(
if NAMESPACES:
    import shutil
    library = next(line.split()[-1] for line in open("/proc/self/maps") if "libc.so" in line or "libm.so" in line)
    shutil.copy(library, "/tmp/own.so")
    try:
        ctypes.CDLL("/tmp/own.so")
        raise AssertionError("it was loaded")
    except OSError as error:
        assert "failed to map" in str(error) or "not permitted" in str(error), error
)py");
  table.harmless("73 programs of the host", R"py(
import subprocess
for argv in (["id"], ["/bin/sh", "-c", "id"], ["/usr/bin/python3", "-c", "1"], ["/proc/self/exe"]):
    assert error_of(subprocess.run, argv) in (errno.EPERM, errno.EACCES)
if os.path.exists("/usr/bin/env"):
    assert error_of(os.posix_spawn, "/usr/bin/env", ["env"], {}) == errno.EPERM
assert os.system("true") != 0
)py");
  table.harmless("74 its environment", R"py(
allowed = {"PATH", "HOME", "TMPDIR", "LANG", "TZ", "PYTHONHASHSEED", "LC_CTYPE"}
assert set(os.environ) <= allowed, os.environ
)py");
  table.both("75 links to files of the host", R"py(
if NAMESPACES:
    os.symlink("/usr", "/tmp/folder")
    os.symlink("/etc/passwd", "/tmp/file")
    os.symlink("/proc/1/root", "/tmp/root")
    os.symlink("loop", "/tmp/loop")
    os.mkdir("/tmp/inner")
    os.symlink("/", "/tmp/inner/up")
    for source in ("/usr/bin/python3", "/etc/passwd", "/dev/null"):
        assert error_of(os.link, source, "/tmp/hard") in (errno.EXDEV, errno.EPERM, errno.EACCES)
)py");
  table.both("77 owners and modes", R"py(
for path in ["/", "/usr", "/etc/passwd", "/dev/null", HOST["file"], HOST["folder"]] + HOST["owned"]:
    error_of(os.chmod, path, 0o777)
    error_of(os.chown, path, os.getuid(), -1)
    error_of(os.utime, path, (1, 1))
    error_of(os.setxattr, path, "user.x", b"x")
    error_of(os.truncate, path, 0)
    error_of(os.rename, path, path + "x")
    error_of(os.unlink, path)
)py");
  table.harmless("77 the folder of all", R"py(
if NAMESPACES:
    try:
        os.chmod("/tmp", 0o555)
    except PermissionError:
        pass
)py");
  table.both("79 paths out of the ordinary", R"py(
for path in (b"/../../etc/shadow", b"/\xff\xfe", b"x" * 5000, b"/" + b"a/" * 2500, b"//etc//shadow", b"/proc/self/fd/4/..",
             b"/proc/self/task/../../1/root/etc/shadow", b"/dev/fd/../../etc/shadow"):
    hidden(path if NAMESPACES or not path.startswith(b"/proc") else b"/etc/shadow")
)py");
  table.both("80 files of the host", R"py(
for path in ["/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh", "/etc/machine-id", "/root", "/home", "/var/log",
             "/var/lib", "/run/docker.sock", "/run/systemd", HOST["file"], HOST["folder"],
             "/boot", "/mnt", "/srv", "/opt", "/lost+found"] + HOST["owned"]:
    hidden(path)
if NAMESPACES:
    assert sorted(os.listdir("/etc")) == sorted({"alternatives", "ld.so.cache", "passwd", "group"} & set(os.listdir("/etc")))
    assert not set(os.listdir("/")) & {"home", "root", "var", "run", "sys", "boot", "opt", "mnt", "srv", "media"}
else:
    hidden("/etc/passwd")
)py");
  table.both("80 what Landlock lets through", R"py(
def fails(function, *arguments):
    try:
        function(*arguments)
    except OSError:
        return
    raise AssertionError(function.__name__)
for path in HOST["owned"] + [HOST["file"]]:
    fails(os.chmod, path, 0o666)
    fails(os.utime, path)
    fails(os.truncate, path, 0)
    fails(os.unlink, path)
    fails(os.rename, path, path + "-")
    fails(os.link, path, path + "-")
    for flags in (0o10000000, 0o10000000 | os.O_DIRECTORY):  # O_PATH
        try:
            opened = os.open(path, flags)
        except OSError:
            continue
        fails(os.fchmod, opened, 0o666)
        fails(os.read, opened, 1)
        fails(os.open, "/proc/self/fd/%d" % opened, os.O_RDONLY)
        fails(os.chmod, "/proc/self/fd/%d" % opened, 0o666)
)py");
  table.both("86 a name to mislead", R"py(
call("prctl", 15, b"a) R 1 (1 2\n3", 0, 0, 0)
)py");
}

}  // namespace assay::sandbox
