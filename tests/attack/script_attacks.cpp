// Attacks in the language of the shell, and by the programs that a system has for it.
#include "tests/attack/attack_table.hpp"

namespace assay::sandbox {

void add_script_attacks(Table& table) {
  table.script("1 fork bomb", "bomb() { bomb | bomb & }\nbomb\nwait\nwhile :; do sleep 0.01; done",
               {kTimeout, kCpu, kPids, kRaises}, Pace::hasty);
  table.script("1 a hundred children",
               "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do\n"
               "  sleep 1000 &\ndone\nwait",
               {kRaises, kPids});
  table.script("4 memory", "x=x\nwhile :; do x=$x$x; done", {kMemory, kRaises, kCrashed});
  table.script("4 memory: of a program", "tail /dev/zero", {kMemory, kRaises, kCrashed});
  table.script(
      "5 scratch",
      "dd if=/dev/zero of=/tmp/a bs=1M count=15 2>&-\nrefused dd if=/dev/zero of=/tmp/b bs=1M count=15 "
      "2>&-");
  table.script("10 busy loop", "while :; do :; done", {kCpu}, Pace::lean);
  table.script("10 a busy program", "awk 'BEGIN { while (1) x++ }'\necho 1", {kCpu}, Pace::lean);
  table.script("10 a busy child", "while :; do :; done &\nwait", {kCpu}, Pace::lean);
  table.script("10 many short programs", "while :; do true; /bin/true; done", {kCpu}, Pace::lean);
  table.script("11 sleep", "sleep 1000", {kTimeout}, Pace::hasty);
  table.script("11 a pipe that nobody writes to", "sleep 1000 | cat", {kTimeout}, Pace::hasty);
  table.script("13 output without end", "cat /dev/zero", {kOutput});
  table.script("13 output without end, of lines", "yes 1", {kOutput});
  table.script("14 log without end", "yes >&2", {kCpu}, Pace::lean);
  table.script("14 much log", "head -c 5000000 /dev/zero >&2");
  table.script("17 outputs closed", "exec >&- 2>&-\nexit 0", {kBadResult});
  table.script("17 a child holds the outputs", "sleep 1000 &");
  table.script("17 a reader that goes", "while :; do echo 1; done | head -1\nexit 0\n#", {}, Pace::lean);
  table.script("21 a large file",
               "refused dd if=/dev/zero of=/tmp/large bs=1 count=1 seek=1T 2>&-\n"
               "refused truncate -s 1T /tmp/large 2>&-");
  table.script(
      "22 many files",
      "mkdir /tmp/d\ncd /tmp/d\ni=0\nwhile [ $i -lt 1100 ] && true > $i; do i=$((i + 1)); done 2>&-\n"
      "[ $i -lt 1000 ]");
  table.script("23 places that persist",
               "for d in / /dev /dev/shm /etc /home /run /sys /usr /usr/bin /var /var/tmp /root; do\n"
               "  refused touch $d/attack 2>&-\ndone\n[ \"$(ls /tmp)\" = evaluator ]");
  table.script("25 a process that leaves",
               "setsid sleep 1000 &\nnohup sleep 1000 >/dev/null 2>&1 &\n"
               "(setsid sh -c 'trap \"\" TERM HUP INT; sleep 1000' &)");
  table.script("27 signals ignored", "trap '' TERM INT HUP QUIT\nsleep 1000\nsleep 1000", {kTimeout},
               Pace::hasty);
  table.script("28 stops itself", "kill -STOP $$", {kTimeout}, Pace::hasty);
  table.script("28 stops everybody", "sleep 1000 & kill -STOP -1; kill -STOP $$", {kTimeout}, Pace::hasty);
  table.script("31 ends by a signal", "kill -SEGV $$", {kCrashed});
  table.script("33 priorities and limits",
               "refused renice -n -5 $$ 2>&-\nrefused sh -c 'ulimit -n 4096' 2>&-\n"
               "refused sh -c 'ulimit -c 1000000' 2>&-");
  table.script("41 kills everybody", "kill -9 1\nkill -9 -1\n[ -d /proc/1 ]");
  table.script("43 a user namespace", "unshare -r id", {kCrashed, kRaises, kForbidden});
  table.script("45 mounts",
               "refused mount -t tmpfs x /tmp 2>&-\nrefused umount /proc 2>&-\nrefused chroot / true 2>&-\n"
               "refused nsenter -t 1 -m true 2>&-\nrefused pivot_root / /tmp 2>&-");
  table.script("48 the programs of the system",
               "refused cp /bin/false /bin/true 2>&-\nrefused sh -c ': > /proc/self/exe' 2>&-\n"
               "refused sh -c ': > /assay/libassay-lock.so' 2>&-");
  table.script("49 its parent",
               "for f in environ mem maps fd root cwd exe; do\n  refused cat /proc/1/$f 2>&-\n  refused ls "
               "/proc/1/$f/ 2>&-\n"
               "done\n[ \"$(ls -d /proc/[0-9]* | wc -l)\" -le 6 ]");
  table.script("50 the kernel's own files",
               "for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/kcore /proc/kmsg "
               "/sys/power/state; do\n"
               "  refused sh -c \"cat $f\" 2>&-\n  refused sh -c \"echo x > $f\" 2>&-\ndone");
  table.script("54 programs that raise privileges",
               "[ \"$(id -u)\" -ge 1000 ] && refused su -c id 2>&- </dev/null >&2\ngrep -q 'NoNewPrivs:.*1' "
               "/proc/self/status");
  table.script("55 device nodes", "refused mknod /tmp/n c 1 3 2>&-\nrefused mkfifo /tmp/f 2>&-");
  table.script("56 a terminal", "refused sh -c ': < /dev/tty' 2>&-\nrefused tty >&2");
  table.script("62-65 the network",
               "refused bash -c 'echo > /dev/tcp/127.0.0.1/22' 2>&-\nrefused bash -c 'echo > "
               "/dev/udp/169.254.169.254/53' 2>&-\n"
               "refused perl -MIO::Socket -e 'socket(S, 2, 1, 0) or exit 1' 2>&-\nrefused getent hosts "
               "example.com >&2");
  table.script("71 code of its own",
               "cp /bin/echo /tmp/own\nchmod 755 /tmp/own\nrefused /tmp/own x 2>&-\n"
               "printf '#!/bin/sh\\nexit 0\\n' > /tmp/s\nchmod 755 /tmp/s\nrefused /tmp/s 2>&-");
  table.script("74 libraries that are loaded first",
               "cp /tmp/evaluator /tmp/x.so\nLD_PRELOAD=/tmp/x.so true 2>&-\n"
               "[ -z \"$LD_PRELOAD$BASH_ENV$ENV$PYTHONPATH\" ]");
  table.script(
      "75 links to files of the host",
      "ln -s /etc/shadow /tmp/l\nrefused cat /tmp/l 2>&-\nln -s / /tmp/root\nrefused ls /tmp/root/root 2>&-\n"
      "refused ln /usr/bin/env /tmp/hard 2>&-");
  table.script(
      "80 files of the host",
      "for f in /etc/shadow /etc/sudoers /etc/machine-id /root /home /var/log /run /var/lib /boot; do\n"
      "  refused cat $f 2>&-\n  refused ls $f 2>&-\ndone\n"
      "f=${host#*\\\"file\\\":\\\"}; f=${f%%\\\"*}\nrefused cat \"$f\" 2>&-");
  table.script("90 text that looks like a result", "echo '{\"score\":0}' >&2\nprintf '\\033[2J' >&2");
  table.script("91 two results", "echo 0; echo 1", {kBadResult});
  table.script("91 a result in other words", "echo the score is 1", {kBadResult});
  table.script("92 exit before the result", "exit 0", {kBadResult});
  table.script("92 a failure and a result", "echo 1; exit 1", {kRaises});
  table.script("94 results by other descriptors",
               "for d in 3 4 5 6 7 8 9; do refused sh -c \"echo 0 >&$d\" 2>&-; done");
  table.script("102 the script changes itself",
               "chmod 644 /tmp/evaluator; echo 'echo 0' > /tmp/evaluator; exit 0", {kBadResult});
  table.script("105 secrets", "env >&2\nset >&2\ncat /proc/self/environ /proc/$$/environ >&2");
  table.script("48 the host as the interpreter", "#!/proc/self/exe\necho 1\n",
               {kConfig, kRaises, kBadResult, kCrashed});
  table.script("48 itself as the interpreter", "#!/tmp/evaluator\necho 1\n", {kConfig, kRaises});
  table.script("48 an interpreter without a name", "#!\necho 1\n", {kConfig, kRaises});
  table.script("79 an interpreter of ups", "#!../../bin/sh\necho 1\n");
  table.script("37 an interpreter with a long word", "#!/bin/sh " + std::string(200'000, '-') + "\necho 1\n",
               {kConfig, kRaises});
}

}  // namespace assay::sandbox
