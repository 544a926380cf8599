// A plugin whose evaluators do what the item says: "orderly" one after the other, "busy" eight at once.
#include <assay/evaluator.hpp>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;

/// 1 when every one of them is refused; else which was not.
assay::Score try_the_walls() {
  std::string got_through;
  const auto refused = [&](const char* what, long result) {
    if (result >= 0) got_through += std::string(what) + ' ';
  };
  refused("fork", fork());
  char* const words[] = {const_cast<char*>("/bin/true"), nullptr};
  refused("execve", execve(words[0], words, nullptr));
  refused("socket", socket(AF_INET, SOCK_STREAM, 0));
  refused("unix socket", socket(AF_UNIX, SOCK_STREAM, 0));
  for (const char* path : {"/etc/shadow", "/etc/passwd", "/proc/self/environ", "/root", "/home"})
    refused(path, open(path, O_RDONLY));
  for (const char* path : {"/tmp/file", "/file", "/assay/plugin/file", "/dev/shm/file"})
    refused(path, open(path, O_WRONLY | O_CREAT, 0600));
  refused("unlink", unlink("/assay/plugin/obedient.so"));
  refused("kill", kill(getppid() > 0 ? getppid() : 1, 0));
  return {.score = got_through.empty() ? 1.0 : 0.0, .reason = got_through};
}

void ask(const assay::Call& call, std::string_view model, int times) {
  const auto left = std::make_shared<int>(times);
  const auto said = std::make_shared<std::string>();
  for (int i = 0; i < times; i++)
    call.complete(R"({"model":)" + assay::quoted(model) + R"(,"messages":[]})",
                  [left, said](assay::Call asked, const assay::Reply& reply) {
                    *said += std::string(reply.text()) + '/' + std::string(reply.finish()) + ' ';
                    if (--*left == 0) asked.score({.score = 1, .reason = *said});
                  });
}

void answer_later(const assay::Call& call) {
  std::thread([call] {
    std::this_thread::sleep_for(std::chrono::milliseconds(static_cast<int>(*call.item().number("after"))));
    call.score({.score = call.item().number("score").value_or(0)});
  }).detach();
}

void wait_for_cancellation(const assay::Call& call) {
  std::thread([call] {
    while (!call.cancelled()) std::this_thread::sleep_for(1ms);
    call.fail("gave up");
  }).detach();
}

/// Past the host, which does not know of it and reads nothing meanwhile.
void write_frame(const std::string& text) {
  const auto size = static_cast<uint32_t>(text.size());
  std::string frame(reinterpret_cast<const char*>(&size), sizeof size);
  frame += text;
  for (size_t at = 0; at < frame.size();) {
    const ssize_t written = write(3, frame.data() + at, frame.size() - at);
    if (written > 0) at += static_cast<size_t>(written);
  }
}

std::vector<assay::Call> kept;

void obey(const assay::Call& call) {
  const auto item = call.item();
  const std::string order(item.text("do").value_or("score"));
  if (order == "score") call.score({.score = item.number("score").value_or(0)});
  if (order == "read")
    call.score({.score = 0.5,
                .passed = true,
                .reason = std::string(item.sample()),
                .metrics = {{"tag", *item.number("metadata.tags.1")}, {"size", double(item.all().size())}}});
  if (order == "skip") call.skip("not for this one");
  if (order == "throw") throw assay::Failure("told to", std::string(item.text("kind").value_or("")));
  if (order == "crash") *reinterpret_cast<volatile int*>(8) = 0;  // a signal that it sends itself is ignored
  if (order == "abort") std::abort();
  if (order == "nap") {
    std::this_thread::sleep_for(std::chrono::milliseconds(int(item.number("after").value_or(0))));
    call.score({.score = item.number("score").value_or(0)});
  }
  if (order == "hang")
    while (true) std::this_thread::sleep_for(1s);
  if (order == "spin")
    for (volatile int turns = 0; true;) turns = turns + 1;
  if (order == "eat") call.score({.score = static_cast<double>(std::string(400U << 20, 'x').size())});
  if (order == "trace") ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
  if (order == "walls") call.score(try_the_walls());
  if (order == "later") answer_later(call);
  if (order == "wait") wait_for_cancellation(call);
  if (order == "keep") kept.push_back(call);
  if (order == "ask") ask(call, item.text("model").value_or("m"), int(item.number("times").value_or(1)));
  if (order == "flood")
    while (true)
      write_frame(
          R"({"jsonrpc":"2.0","id":7,"method":"llm.complete","params":{"evaluation":1,"request":{"model":""}}})");
  if (order == "outsize") {
    write_frame(R"({"jsonrpc":"2.0","id":1,"result":{"score":1,"reason":")" + std::string(2U << 20, 'x') +
                R"(","usage":{"wall_us":1,"cpu_us":1,"memory_bytes":1,"method":"rusage"}}})");
    std::this_thread::sleep_for(100s);
  }
  if (order == "log") {
    call.log("one line");
    call.score({.score = 1});
  }
  if (order == "forge") {  // bytes of its own on the host's socket
    (void)!write(3, "forged", 6);
    call.score({.score = 1});
  }
}

class Orderly {
 public:
  static constexpr std::string_view describe =
      R"({"name": "orderly", "params": {"type": "object"}, "services": ["assay.json/1"]})";
  explicit Orderly(const assay::Params& params) {
    if (params.has("refuse")) throw std::runtime_error("refuse: told to");
    if (params.has("hang"))
      while (true) std::this_thread::sleep_for(1s);
  }
  void evaluate(assay::Call call) const { obey(call); }
};

class Busy {
 public:
  static constexpr std::string_view describe = R"({"name": "busy", "max_in_flight": 8})";
  void evaluate(assay::Call call) const { obey(call); }
};

class Demanding {
 public:
  static constexpr std::string_view describe =
      R"({"name": "demanding", "services": ["assay.crystal-ball/9"]})";
  assay::Score evaluate(const assay::Item&) const { return {.score = 1}; }
};

}  // namespace

ASSAY_PLUGIN("obedient", "0.1.0", Orderly, Busy, Demanding);
