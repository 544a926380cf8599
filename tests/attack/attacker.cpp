// A hostile plugin: "attack" does what the item names, "honest" does not. What an attack did not get is 1.
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <assay/evaluator.hpp>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

/// What of the machine there is to attack.
struct Target {
  std::string file, folder, socket;
  long pid = 0, daemon = 0;
};

/// Throws what worked and should not have.
void refused(const std::string& what, long result) {
  if (result >= 0) throw assay::Failure(what + " worked", "internal");
}

void read_files(const Target& target) {
  for (const std::string& path :
       {target.file, std::string("/etc/shadow"), std::string("/etc/passwd"),
        "/proc/" + std::to_string(target.daemon) + "/environ", "/proc/1/root" + target.file,
        std::string("/proc/self/mem"), std::string("/proc/self/environ"), std::string("/proc/kcore")}) {
    refused("open " + path, open(path.c_str(), O_RDONLY));
    refused("openat2 " + path, syscall(SYS_openat2, AT_FDCWD, path.c_str(), nullptr, 0));
  }
  refused("listing", open(target.folder.c_str(), O_RDONLY | O_DIRECTORY));
  for (int fd = 4; fd < 64; fd++) refused("descriptor " + std::to_string(fd), openat(fd, "..", O_RDONLY));
}

void change_files(const Target& target) {
  for (const std::string& path :
       {target.file, target.folder + "/new", std::string("/tmp/new"), std::string("/new"),
        std::string("/assay/plugin/new"), std::string("/dev/shm/new")}) {
    refused("creating " + path, open(path.c_str(), O_WRONLY | O_CREAT, 0600));
    refused("truncating " + path, truncate(path.c_str(), 0));
    refused("chmod " + path, chmod(path.c_str(), 0777));
    refused("unlink " + path, unlink(path.c_str()));
    refused("mkdir " + path, mkdir(path.c_str(), 0700));
    refused("symlink " + path, symlink("/", path.c_str()));
  }
  refused("linking", link(target.file.c_str(), "/tmp/link"));
  refused("memfd", syscall(SYS_memfd_create, "x", 0));
}

void start_processes(const Target&) {
  refused("fork", fork());
  refused("clone", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  refused("clone with memory", syscall(SYS_clone, CLONE_VM | SIGCHLD, 0, 0, 0, 0));
  refused("clone of a namespace", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
  refused("clone3", syscall(SYS_clone3, nullptr, 0));
#ifdef SYS_vfork
  refused("vfork", syscall(SYS_vfork));
#endif
  char* const words[] = {const_cast<char*>("/bin/sh"), nullptr};
  refused("execve", execve(words[0], words, nullptr));
  refused("execveat", syscall(SYS_execveat, 3, "", words, nullptr, AT_EMPTY_PATH));
}

void speak_to_others(const Target& target) {
  for (const int family : {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG})
    for (const int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW})
      refused("socket " + std::to_string(family), socket(family, type, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, target.socket.c_str(), sizeof address.sun_path - 1);
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0) {
    refused("connect", connect(pair[0], reinterpret_cast<sockaddr*>(&address), sizeof address));
    refused("sendto",
            sendto(pair[0], "x", 1, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&address), sizeof address));
    refused("bind", bind(pair[0], reinterpret_cast<sockaddr*>(&address), sizeof address));
    refused("sendmsg", sendmsg(pair[0], nullptr, 0));
  }
  refused("io_uring", syscall(SYS_io_uring_setup, 8, nullptr));
  for (const long pid : {target.pid, target.daemon, -1L, static_cast<long>(getppid())}) {
    refused("kill", kill(static_cast<pid_t>(pid), 0));
    refused("pidfd_open", syscall(SYS_pidfd_open, pid, 0));
  }
  refused("tgkill", syscall(SYS_tgkill, target.pid, target.pid, 0));
}

void change_the_host(const Target&) {
  void* const memory =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  refused("memory to write and run", memory == MAP_FAILED ? -1 : 0);
  void* const shared = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  refused("memory that is not counted", shared == MAP_FAILED ? -1 : 0);
  char limits[16];
  refused("limits of others", syscall(SYS_prlimit64, 2, 0, nullptr, limits));
  refused("dumpable", syscall(SYS_prctl, 4 /* PR_SET_DUMPABLE */, 1, 0, 0, 0));
  refused("affinity", syscall(SYS_sched_setaffinity, 0, 0, nullptr));
  refused("setuid", syscall(SYS_setuid, 0));
}

void start_threads(const Target&) {
  std::vector<std::thread> threads;
  try {
    for (int i = 0; i < 2'000; i++) threads.emplace_back([] { std::this_thread::sleep_for(100s); });
  } catch (const std::system_error&) {
    for (std::thread& thread : threads) thread.detach();
    if (threads.size() > 100) throw assay::Failure("a hundred threads", "internal");
    return;
  }
  throw assay::Failure("two thousand threads", "internal");
}

void forge(std::string_view text) {
  std::string frame(4, '\0');
  frame[0] = static_cast<char>(text.size());
  frame += text;
  (void)!write(3, frame.data(), frame.size());
  std::this_thread::sleep_for(100s);
}

size_t overflow(size_t depth) {
  if (depth == SIZE_MAX) return 0;
  volatile char page[4096];
  page[depth % sizeof page] = 1;
  return overflow(depth + 1) + page[0];
}

const std::map<std::string_view, void (*)(const Target&)> kAttacks = {
    {"read files", read_files},
    {"change files", change_files},
    {"start processes", start_processes},
    {"speak to others", speak_to_others},
    {"change the host", change_the_host},
    {"start threads", start_threads},
    {"another's answer", [](const Target&) { forge(R"({"jsonrpc":"2.0","id":77,"result":{"score":1}})"); }},
    {"no answer", [](const Target&) { forge("nonsense"); }},
    {"another initialize",
     [](const Target&) { forge(R"({"jsonrpc":"2.0","id":0,"result":{"concurrent":9}})"); }},
    {"a candidate",
     [](const Target&) { forge(R"({"jsonrpc":"2.0","id":0,"method":"run_candidate","params":{}})"); }},
    {"another's model",
     [](const Target&) {
       forge(R"({"jsonrpc":"2.0","id":1,"method":"llm.complete","params":{"evaluation":77,"request":{}}})");
     }},
    {"a huge frame",
     [](const Target&) {
       (void)!write(3, "\xff\xff\xff\x7f", 4);
       std::this_thread::sleep_for(100s);
     }},
    {"the socket's end",
     [](const Target&) {
       close(3);
       std::this_thread::sleep_for(100s);
     }},
    {"sleep", [](const Target&) { std::this_thread::sleep_for(1000s); }},
    {"spin",
     [](const Target&) {
       for (volatile int turns = 0; true;) turns = turns + 1;
     }},
    {"spin in threads",
     [](const Target&) {
       for (int i = 0; i < 8; i++)
         std::thread([] {
           for (volatile int turns = 0; true;) turns = turns + 1;
         }).detach();
       std::this_thread::sleep_for(1000s);
     }},
    {"eat", [](const Target&) { std::string(2U << 30, 'x').back() = 'y'; }},
    {"crash", [](const Target&) { *reinterpret_cast<volatile int*>(8) = 0; }},
    {"overflow", [](const Target&) { overflow(0); }},
    {"abort", [](const Target&) { std::abort(); }},
    {"exit", [](const Target&) { _exit(0); }},
    {"exit as a host that is spent", [](const Target&) { _exit(103); }},
};

class Attack {
 public:
  static constexpr std::string_view describe = R"({"name": "attack"})";
  explicit Attack(const assay::Params& params) {
    const auto text = [&](const char* path) { return std::string(params.text(path).value_or("")); };
    target_ = {text("file"), text("folder"), text("socket"),
               static_cast<long>(params.number("pid").value_or(1)),
               static_cast<long>(params.number("daemon").value_or(1))};
  }
  assay::Score evaluate(const assay::Item& item) const {
    const std::string_view name = *item.text("attack");
    if (name.starts_with("call "))
      syscall(std::atol(std::string(name.substr(5)).c_str()), 0, 0, 0, 0, 0, 0);
    else
      kAttacks.at(name)(target_);
    return {.score = 1};
  }

 private:
  Target target_;
};

class Honest {
 public:
  static constexpr std::string_view describe = R"({"name": "honest"})";
  assay::Score evaluate(const assay::Item& item) const { return {.score = *item.number("number") * 2}; }
};

}  // namespace

ASSAY_PLUGIN("attacker", "0.1.0", Attack, Honest);
