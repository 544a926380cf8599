// Attacks by the author of an evaluator in Python: its top level runs in the interpreter from which all items
// fork.
#include "tests/attack/attack_table.hpp"

namespace assay::sandbox {

void add_load_attacks(Table& table) {
  table.load("while it loads: 10 busy loop", {kConfig}, "while True: pass", Pace::hasty);
  table.load("while it loads: 11 sleep", {kConfig}, "time.sleep(1000)", Pace::hasty);
  table.load("while it loads: 4 memory", {kConfig}, "x = []\nwhile True: x.append(bytearray(1 << 20))");
  table.load("while it loads: another program takes its place", {kConfig},
             "os.execv('/bin/sleep', ['sleep', '1000'])", Pace::hasty);
  table.load("while it loads: a shell takes its place", {kConfig},
             "os.execv('/bin/sh', ['sh', '-c', 'echo 1 >&4; echo 1 >&3'])");
  table.load("while it loads: 41 kills everybody", {kConfig}, "os.kill(-1, 9)\nraise ValueError");
  table.load("while it loads: 91 a result", {kConfig}, "os.write(4, frame({'score': 1}))");
  for (const char* record : {"2, 0, 0, 0", "4, 0, 0, 0", "99, 0, -1, -1"})
    table.load(std::string("while it loads: 104 a forged record ") + record, {kConfig},
               "os.write(3, struct.pack('<iiqq', " + std::string(record) + "))\ntime.sleep(1000)");
  for (const char* pid : {"os.getpid()", "-1"})
    table.load(std::string("while it loads: 104 an item's process that is ") + pid, {kConfig},
               "os.write(3, struct.pack('<iiqq', 1, " + std::string(pid) + ", 0, 0))\ntime.sleep(1000)",
               Pace::hasty);
  table.load("while it loads: 104 records without end", {kConfig}, R"py(
while True:
    os.write(3, struct.pack("<iiqq", 1, os.getpid(), 0, 0) * 1000)
)py",
             Pace::lean);
  table.load("while it loads: 104 part of a record", {kConfig}, "os.write(3, b'x' * 5)");
  for (const char* pid : {"1", "os.getppid()", "HOST['daemon']", "HOST['pids'][-1]"})
    table.load(std::string("104 the process of an item is said to be ") + pid, {kTimeout},
               R"py(
main = sys.modules["__main__"]
pid = )py" + std::string(pid) +
                   R"py(
class Forger:
    def pack(self, kind, value, *rest):
        return struct.pack("<iiqq", kind, pid if kind == 1 else value, *rest)
main.RECORD = Forger()
def run_evaluation(item):
    time.sleep(1000)
)py",
               Pace::hasty);
  table.load_may_end("while it loads: 1 fork bomb", {kPids}, R"py(
for _ in range(100):
    if call("clone", signal.SIGCHLD, 0, 0, 0, 0) == 0:
        time.sleep(1000)
        os._exit(0)
)py");
  table.load_may_end("while it loads: 25 a process that leaves", {kConfig}, R"py(
import subprocess
try:
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
except OSError:
    pass
if call("clone", signal.SIGCHLD, 0, 0, 0, 0) == 0:
    if call("clone", signal.SIGCHLD, 0, 0, 0, 0) == 0:
        call("setsid")
        os.closerange(0, 64)
        time.sleep(1000)
    os._exit(0)
)py");
  table.load_may_end("while it loads: 1 no process for the items", {kPids}, R"py(
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
)py");
  table.load_may_end("while it loads: 28 its children are not waited for", {kCrashed},
                     "signal.signal(signal.SIGCHLD, signal.SIG_IGN)");
  table.load_may_end("while it loads: 12 a thread that goes on", {kConfig, kCrashed, kCpu}, R"py(
def spin():
    while True:
        pass
threading.Thread(target=spin, daemon=True).start()
)py");
  table.load_may_end("while it loads: 94 a thread that writes results",
                     {kConfig, kCrashed, kBadResult, kOutput}, R"py(
def forge():
    while True:
        os.write(4, b"x")
        time.sleep(0.001)
threading.Thread(target=forge, daemon=True).start()
)py");
  table.load_may_end("while it loads: 13 a thread that floods the log", {kConfig, kCpu}, R"py(
def flood():
    while True:
        os.write(1, b"x" * 65536)
threading.Thread(target=flood, daemon=True).start()
)py",
                     Pace::lean);
  table.load("while it loads: 22 more files than can be cleaned up", {kConfig}, R"py(
if not NAMESPACES:
    raise ValueError
for i in range(100):
    os.mkdir("d")
    os.chdir("d")
)py");
  table.load_may_end("while it loads: 48 the filter of its items is faked", {kCrashed, kConfig}, R"py(
# What refuses the next filters with the error 0, which reads as success
program = b"".join(struct.pack("<HBBI", *line) for line in (
    (0x20, 0, 0, 0), (0x15, 0, 1, SYSCALLS["seccomp"]), (0x06, 0, 0, 0x50000), (0x06, 0, 0, 0x7fff0000)))
code = ctypes.create_string_buffer(program)
call("seccomp", 1, 0, struct.pack("<HxxxxxxQ", 4, ctypes.addressof(code)))
def run_evaluation(item):
    try:
        if os.fork() == 0:
            time.sleep(1000)
    except OSError:
        pass
    return 1
)py");
  // Its children have the filter of items (lock.cpp): every call that no program has a use for, in one row
  table.load("40-70 calls that end whoever makes them", {}, R"py(
deadly = """ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd unshare setns mount umount2 open_tree move_mount
fsopen fsconfig fsmount fspick mount_setattr pivot_root chroot bpf perf_event_open userfaultfd kexec_load
kexec_file_load init_module finit_module delete_module create_module add_key request_key keyctl open_by_handle_at
name_to_handle_at swapon swapoff reboot acct quotactl settimeofday clock_settime adjtimex clock_adjtime fanotify_init
lookup_dcookie vhangup nfsservctl iopl ioperm modify_ldt uselib seccomp""".split()
for name in deadly:
    if name not in SYSCALLS:
        continue
    child = os.fork()
    if child == 0:
        call(name, 0, 0, 0, 0, 0, 0)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS, (name, status)
)py");
  table.load("while it loads: 43 a user namespace", {kConfig}, "call('unshare', 0x10000000)");
  table.load("while it loads: 40 traces its parent", {kConfig}, "call('ptrace', 16, os.getppid(), 0, 0)");
  table.load("while it loads: 69 a listener", {kConfig}, "call('seccomp', 1, 8, bytes(16))");
  table.load_may_end("while it loads: 47 exactly its own descriptors", {}, R"py(
assert open_descriptors() == [0, 1, 2, 3, 4], open_descriptors()
)py");
  table.load("while it loads: 62 sockets", {}, "assert call('socket', 2, 1, 0) == -errno.EAFNOSUPPORT");
  table.load("while it loads: 73 a program has no more than it", {}, R"py(
import subprocess
assert subprocess.run(["/bin/cat", HOST["file"], "/etc/shadow"], capture_output=True).returncode == 1
found = subprocess.run(["/bin/sh", "-c", "echo $$; ls /proc/self/fd; env"], capture_output=True, text=True, env={})
assert HOST["variable"] not in found.stdout
)py");
  table.load("while it loads: 98 brackets in brackets", {kConfig}, "x = " + std::string(10'000, '('));
  table.load("while it loads: 79 a NUL in the source", {kConfig}, std::string("x = 1\0", 6));
}

}  // namespace assay::sandbox
