#include "tests/attack/victim.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "sandbox/jail/helper.hpp"

namespace assay::sandbox {
namespace {

using namespace std::chrono_literals;

constexpr uid_t kJailUids = 12;
constexpr uid_t kJailBlock = 1'024;
constexpr const char* kVariable = "ASSAY_ATTACK_SECRET";

std::set<pid_t>& own_children() {
  static std::set<pid_t> pids;
  return pids;
}

std::string random_text() {
  unsigned char bytes[16];
  REQUIRE(getrandom(bytes, sizeof bytes, 0) == sizeof bytes);
  std::string text;
  for (const unsigned char byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

UniqueFd listening(int family, const sockaddr* address, socklen_t size) {
  UniqueFd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  REQUIRE((fd && bind(fd.get(), address, size) == 0 && listen(fd.get(), 8) == 0));
  return fd;
}

UniqueFd listening_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, path.data(), path.size());
  return listening(AF_UNIX, reinterpret_cast<sockaddr*>(&address),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size()));
}

bool spoken_to(const UniqueFd& fd) {
  pollfd polled{fd.get(), POLLIN, 0};
  return poll(&polled, 1, 0) != 0;
}

/// All but the time of the last reading, which the kernel moves on its own.
bool same(const struct stat& one, const struct stat& other) {
  const auto equal = [](const timespec& a, const timespec& b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
  };
  return one.st_ino == other.st_ino && one.st_mode == other.st_mode && one.st_uid == other.st_uid &&
         one.st_size == other.st_size && one.st_nlink == other.st_nlink &&
         equal(one.st_mtim, other.st_mtim) && equal(one.st_ctim, other.st_ctim);
}

struct Process {
  pid_t pid, parent, session;
  char state;
  std::string name;
};

std::vector<Process> processes() {
  std::vector<Process> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0) continue;
    std::ifstream file(entry.path() / "stat");
    std::string text;
    for (std::string line; std::getline(file, line);) text += line + ' ';  // a name may have line ends
    const size_t name_begin = text.find('('), name_end = text.rfind(')');
    if (name_begin == std::string::npos || name_end < name_begin) continue;
    Process process{.pid = pid, .parent = 0, .session = 0, .state = 0, .name = {}};
    process.name = text.substr(name_begin + 1, name_end - name_begin - 1);
    pid_t group = 0;
    std::istringstream(text.substr(name_end + 1)) >> process.state >> process.parent >> group >>
        process.session;
    found.push_back(std::move(process));
  }
  return found;
}

/// The real user of a process, which may hide its folder of /proc from others.
uid_t uid_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  uid_t uid = 0;
  for (std::string word; file >> word;)
    if (word == "Uid:" && file >> uid) break;
  return uid;
}

}  // namespace

Victim::Victim() : secret_(random_text()) {
  REQUIRE(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
  REQUIRE(setenv(kVariable, secret_.c_str(), 1) == 0);
  char folder[] = "/tmp/assay-victim-XXXXXX";
  REQUIRE(mkdtemp(folder) != nullptr);
  folder_ = folder;
  REQUIRE(chmod(folder, 0755) == 0);
  add_file("secret", 0644, geteuid());
  add_process(geteuid());
  if (geteuid() != 0) add_owned(geteuid());

  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  tcp_ = listening(AF_INET, reinterpret_cast<sockaddr*>(&address), sizeof address);
  socklen_t size = sizeof address;
  REQUIRE(getsockname(tcp_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port_ = ntohs(address.sin_port);
  abstract_ = listening_at(std::string(1, '\0') + folder_.filename().string());
  path_socket_ = listening_at(folder_ / "socket");
  REQUIRE(chmod((folder_ / "socket").c_str(), 0777) == 0);
}

void Victim::add_jail_users() {
  if (geteuid() != 0) return;
  const auto of_a_spawner = spawners();
  for (const Process& process : processes()) {
    if (std::ranges::count(of_a_spawner, process.parent) == 0) continue;
    const uid_t first = uid_of(process.pid) / kJailBlock * kJailBlock;
    if (first == 0) continue;  // is still being made
    for (uid_t uid = first; uid < first + kJailUids; uid++) {
      add_owned(uid);
      add_process(uid);
    }
    return;
  }
  FAIL("no jail to learn the users of");
}

Victim::~Victim() {
  for (const auto& [uid, pid] : processes_) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    own_children().erase(pid);
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
  unsetenv(kVariable);
}

void Victim::add_file(const std::string& name, mode_t mode, uid_t owner) {
  File file{.path = folder_ / name};
  std::ofstream(file.path) << secret_ << '\n';
  REQUIRE(chown(file.path.c_str(), owner, static_cast<gid_t>(-1)) == 0);
  REQUIRE(chmod(file.path.c_str(), mode) == 0);
  REQUIRE(stat(file.path.c_str(), &file.before) == 0);
  files_.push_back(std::move(file));
}

void Victim::add_owned(uid_t owner) {
  add_file("owned-" + std::to_string(owner), 0600, owner);
}

void Victim::add_process(uid_t owner) {
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    syscall(SYS_close_range, 0, ~0U, 0);
    if (owner != geteuid() && setresuid(owner, owner, owner) != 0) _exit(1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_DUMPABLE, 1);
    while (true) pause();
  }
  processes_[owner] = pid;
  own_children().insert(pid);
}

std::string Victim::description() const {
  nlohmann::json json{{"file", files_.front().path},
                      {"folder", folder_},
                      {"owned", nlohmann::json::array()},
                      {"socket", folder_ / "socket"},
                      {"abstract", folder_.filename()},
                      {"port", port_},
                      {"pid", processes_.at(geteuid())},
                      {"daemon", getpid()},
                      {"variable", kVariable}};
  for (const auto& [uid, pid] : processes_) json["pids"].push_back(pid);
  for (const File& file : files_)
    if (file.before.st_mode % 01000 == 0600) json["owned"].push_back(file.path);
  return json.dump();
}

std::vector<std::string> Victim::harm_done(const Outcome& outcome) {
  std::vector<std::string> harm;
  for (const std::string* text : {&outcome.reason, &outcome.log, &outcome.error.message})
    if (text->contains(secret_)) harm.emplace_back("the secret was read");
  for (File& file : files_) {
    struct stat now{};
    if (stat(file.path.c_str(), &now) != 0 || !same(file.before, now))
      harm.push_back(file.path.string() + " was changed");
    file.before = now;  // said once
  }
  for (const auto& [uid, pid] : processes_) {
    siginfo_t changed{};
    const int events = WEXITED | WSTOPPED | WCONTINUED | WNOHANG | WNOWAIT;
    if (waitid(P_PID, static_cast<id_t>(pid), &changed, events) != 0 || changed.si_pid != 0)
      harm.push_back("a process of user " + std::to_string(uid) + " was signalled");
  }
  if (spoken_to(tcp_) || spoken_to(abstract_) || spoken_to(path_socket_))
    harm.emplace_back("a socket was spoken to");
  return harm;
}

std::vector<std::string> orphans_left() {
  const auto known = spawners();
  const auto deadline = std::chrono::steady_clock::now() + 3s;
  while (true) {
    std::vector<std::string> found;
    const bool late = std::chrono::steady_clock::now() > deadline;
    for (const Process& process : processes()) {
      if (process.parent != getpid()) continue;
      if (own_children().contains(process.pid) || std::ranges::count(known, process.pid) > 0) continue;
      if (process.state == 'Z') {
        waitpid(process.pid, nullptr, WNOHANG);
        continue;
      }
      // Its jail lives: it will end with that.
      if (process.session != getsid(0) && !own_children().contains(process.session) &&
          kill(process.session, 0) == 0)
        continue;
      found.push_back(std::to_string(process.pid) + ' ' + process.name);
      if (late) kill(process.pid, SIGKILL);  // said once
    }
    if (found.empty() || late) return found;
    std::this_thread::sleep_for(5ms);
  }
}

std::vector<pid_t> spawners() {
  const std::string program = helper_path("assay-spawner").value_or("");
  std::vector<pid_t> pids;
  for (const Process& process : processes()) {
    if (process.parent != getpid()) continue;
    std::error_code gone;
    const auto exe = std::filesystem::read_symlink("/proc/" + std::to_string(process.pid) + "/exe", gone);
    if (!gone && exe == program) pids.push_back(process.pid);
  }
  return pids;
}

std::vector<pid_t> processes_named(const std::string& name) {
  std::vector<pid_t> pids;
  for (const Process& process : processes())
    if (process.state != 'Z' && process.name == name) pids.push_back(process.pid);
  return pids;
}

size_t open_descriptors() {
  size_t count = 0;
  for (int fd = 0; fd < 1024; fd++) count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

size_t mounts() {
  std::ifstream file("/proc/self/mountinfo");
  size_t count = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string number, parent, device, root, point;
    words >> number >> parent >> device >> root >> point;
    count += point == "/" || point == "/tmp" || point == "/proc" || point == "/usr" ? 1 : 0;
  }
  return count;
}

size_t resident_bytes() {
  size_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace assay::sandbox
