#include "tests/attack/attack_run.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <regex>

#include "core/json.hpp"
#include "sandbox/attack_stage.hpp"
#include "sandbox/attack_tools.hpp"
#include "sandbox/node_attack_tools.hpp"
#include "sandbox/node_honest.hpp"
#include "tests/attack/syscalls.hpp"

namespace assay::sandbox {
namespace {

using namespace std::chrono_literals;

constexpr size_t kPoolDescriptors = 16;  // the spawner's socket, host programs, the loop
constexpr size_t kHostDescriptors = 2;
constexpr size_t kHosts = 12;
constexpr size_t kTogether = 8;  // rows that wait for their deadline
[[maybe_unused]] constexpr size_t kResidentGrowth = 48U << 20;

Limits limits_of(Pace pace, bool starts_quickly) {
  Limits limits;
  limits.wall = pace == Pace::hasty ? 2s : 20s;
  limits.load = limits.wall;
  limits.cpu = pace != Pace::lean ? 10s : starts_quickly ? 100ms : 200ms;
  limits.memory_bytes = 64U << 20;
  limits.log_bytes = 2'048;
  return limits;
}

std::shared_ptr<const Program> make(const std::string& language, std::string source, Pace pace) {
  return make_program(std::move(source), limits_of(pace, language != "python"), "attack", language);
}

std::string body_of(const std::string& source) {
  std::string text = "def attack(item):\n    ";
  for (const char c : source) {
    text += c;
    if (c == '\n') text += "    ";
  }
  return text + "\n    return 1\n";
}

std::string command(const std::vector<std::string>& words) {
  std::string text = "[";
  for (const std::string& word : words) {
    if (text.size() > 1) text += ',';
    append_json_quote(text, word);
  }
  return text + ']';
}

double milliseconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

}  // namespace

AttackRun::AttackRun(Mode mode, std::string language)
    : mode_(mode),
      language_(std::move(language)),
      descriptors_(open_descriptors()),
      mounts_(mounts()),
      pool_(std::make_unique<PoolFixture>(PoolOptions{.hosts = kHosts, .window = 1, .mode = mode})) {}

bool AttackRun::can_run() {
  const std::string where = language_ + " in mode " + std::string(to_string(mode_));
  const auto refused = [&](const Error& error) {
    std::printf("attacks: %s: not run: %s\n", where.c_str(), error.message.c_str());
    return false;
  };
  if (!pool_->ok()) return refused(pool_->error());
  if (auto prepared = pool_->prepare(honest_program(Pace::roomy)); !prepared)
    return refused(prepared.error());
  const Outcome honest = pool_->evaluate(honest_program(Pace::roomy), kHonestItem);
  CAPTURE(where, honest.error.message, honest.log);
  REQUIRE((honest.verdict == Verdict::scored && honest.score == kHonestScore));
  victim_.add_jail_users();
  resident_ = resident_bytes();
  return true;
}

/// Rows under way.
struct AttackRun::Lanes {
  std::vector<const Attack*> left;  ///< from the back
  size_t busy = 0;
  bool told = false;  ///< what comes of each
  bool is_done() const { return left.empty() && busy == 0; }
};

void AttackRun::run(const std::vector<Attack>& attacks) {
  const char* const wanted = std::getenv("ASSAY_ATTACKS");
  Lanes one_by_one{.told = wanted != nullptr}, together{.told = wanted != nullptr};
  const std::regex pattern(wanted != nullptr ? wanted : "");
  for (const Attack& attack : attacks)
    if (attack.language == language_ && std::regex_search(language_ + ": " + attack.name, pattern))
      (attack.pace == Pace::hasty ? together : one_by_one).left.push_back(&attack);
  for (Lanes* lanes : {&one_by_one, &together}) {
    std::ranges::reverse(lanes->left);
    for (size_t i = 0; i < (lanes == &together ? kTogether : 1); i++) next(*lanes);
  }
  pool_->run_until([&] { return one_by_one.is_done() && together.is_done(); });
}

void AttackRun::next(Lanes& lanes) {
  if (lanes.left.empty()) return;
  const Attack& attack = *lanes.left.back();
  lanes.left.pop_back();
  lanes.busy++;
  rows_++;
  const auto began = Clock::now();
  (*pool_)->submit(program_of(attack), item_of(attack), [&, this, began](Outcome outcome) {
    const auto took = Clock::now() - began;
    if (lanes.told)
      std::printf(
          "%s: %s: %s: %s %g after %.0f ms: %s | %s\n", attack.language,
          std::string(to_string(mode_)).c_str(), attack.name.c_str(),
          outcome.verdict == Verdict::scored ? "scored" : std::string(to_string(outcome.error.kind)).c_str(),
          outcome.score, milliseconds(took),
          outcome.verdict == Verdict::scored ? "" : outcome.error.message.c_str(), outcome.log.c_str());
    check(attack, outcome, took);
    const auto asked = Clock::now();
    (*pool_)->submit(honest_program(attack.pace), kHonestItem, [&, this, asked](Outcome honest) {
      check_honest(attack, honest, Clock::now() - asked);
      lanes.busy--;
      next(lanes);
    });
  });
}

void AttackRun::check(const Attack& attack, const Outcome& outcome, Clock::duration took) {
  CAPTURE(attack.language, attack.name, to_string(mode_), to_string(outcome.verdict), outcome.score,
          to_string(outcome.error.kind), outcome.error.message, outcome.log, milliseconds(took));
  if (outcome.verdict == Verdict::scored)
    CHECK((outcome.score == 1 && (attack.ends_as.empty() || attack.may_be_scored)));
  else
    CHECK(
        (outcome.verdict == Verdict::errored && std::ranges::count(attack.ends_as, outcome.error.kind) > 0));
  CHECK(outcome.log.size() < 3 * 2'048 + 100);  // a byte that is no text takes three
  // Without control groups the processor time of a program's children shows late.
  const bool on_time = language_ == "python" || (*pool_)->cgroups() != Cgroups::none;
  CHECK((attack.pace == Pace::roomy || !on_time || took < 5s * slowness()));
  CHECK(victim_.harm_done(outcome) == std::vector<std::string>());
}

void AttackRun::check_honest(const Attack& attack, const Outcome& outcome, Clock::duration took) {
  CAPTURE(attack.language, attack.name, to_string(mode_), to_string(outcome.error.kind),
          outcome.error.message, outcome.log, milliseconds(took));
  CHECK((outcome.verdict == Verdict::scored && outcome.score == kHonestScore));
  CHECK(open_descriptors() <= descriptors_ + kPoolDescriptors + 4 * kHosts * kHostDescriptors + 20);
  if (mode_ == Mode::nons)
    CHECK(orphans_left() == std::vector<std::string>());  // else they die with the jail
  if (attack.pace == Pace::hasty) return;                 // it may have waited for one of the others
  CHECK(took < 2s * slowness());
  honest_ms_.push_back(milliseconds(took));
}

void AttackRun::finish() {
  pool_->close();
  CAPTURE(language_, to_string(mode_));
  CHECK(orphans_left() == std::vector<std::string>());
  CHECK(mounts() == mounts_);
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)  // which keep what was freed
  CHECK(resident_bytes() < resident_ + kResidentGrowth);
#endif
  std::ranges::sort(honest_ms_);
  std::printf(
      "attacks: %s in mode %s: %zu rows in %.1f s; the honest item after each: median %.1f ms, worst %.1f "
      "ms; "
      "memory grew by %ld KiB\n",
      language_.c_str(), std::string(to_string(mode_)).c_str(), rows_,
      milliseconds(Clock::now() - began_) / 1000, honest_ms_.empty() ? 0 : honest_ms_[honest_ms_.size() / 2],
      honest_ms_.empty() ? 0 : honest_ms_.back(),
      (static_cast<long>(resident_bytes()) - static_cast<long>(resident_)) / 1024);
}

std::string AttackRun::tools() const {
  std::string text = "SYSCALLS = {";
  for (const auto& [name, number] : kSyscalls)
    text += '"' + std::string(name) + "\": " + std::to_string(number) + ", ";
  text += "}\nMODE = \"" + std::string(to_string(mode_)) + "\"\nHOST = " + victim_.description() + '\n';
  return text + std::string(process::kAttackTools);
}

std::string AttackRun::node_tools() const {
  return "const HOST = " + victim_.description() + ", MODE = \"" + std::string(to_string(mode_)) + "\";\n" +
         std::string(process::kNodeAttackTools);
}

std::shared_ptr<const Program> AttackRun::stage(Pace pace) {
  auto& program = stages_[pace];
  if (!program) program = make("python", tools() + std::string(process::kAttackStage), pace);
  return program;
}

std::shared_ptr<const Program> AttackRun::attacker(const std::string& evaluator, Pace pace) {
  auto program = std::make_shared<Program>(*make("plugin", "attacker/" + evaluator, pace));
  program->plugin = ASSAY_TEST_PLUGINS "/attacker.so";
  program->params = victim_.description();
  return program;
}

std::shared_ptr<const Program> AttackRun::honest_program(Pace pace) {
  if (language_ == "python") return stage(pace);
  auto& program = honest_[pace];
  if (program) return program;
  if (language_ == "node")
    program = make("node", node_tools() + std::string(process::kNodeHonest), pace);
  else if (language_ == "plugin")
    program = attacker("honest", pace);
  else if (language_ == "shell")
    program =
        make("shell", "read -r item; [ \"$item\" = '" + std::string(kHonestItem) + "' ] && echo 42\n", pace);
  else
    program = make("command", command({"sed", "-n", "s/.*\"number\":21.*/42/p"}), pace);
  return program;
}

std::shared_ptr<const Program> AttackRun::program_of(const Attack& attack) {
  switch (attack.place) {
    case Place::item:
      return stage(attack.pace);
    case Place::load:
      return make("python", tools() + "def run_evaluation(item):\n    return 1\n\n" + attack.source,
                  attack.pace);
    case Place::program:
      return make(attack.language,
                  command({"/usr/bin/python3", "-I", "-S", "-B", "-c",
                           tools() + body_of(attack.source) + "print(attack(None))\n"}),
                  attack.pace);
    case Place::script: {
      if (attack.source.starts_with("#!")) return make(attack.language, attack.source, attack.pace);
      const std::string given = "host='" + victim_.description() +
                                "'\nmode=" + std::string(to_string(mode_)) +
                                "\nrefused() { if \"$@\"; then echo \"worked: $*\" >&2; exit 9; fi; }\n";
      return make(attack.language, given + attack.source + (attack.ends_as.empty() ? "\necho 1\n" : "\n"),
                  attack.pace);
    }
    case Place::module:
      return make(attack.language, node_tools() + attack.source, attack.pace);
    case Place::plugin:
      return attacker("attack", attack.pace);
    case Place::words:
      return make(attack.language, attack.source, attack.pace);
  }
  std::abort();
}

std::string AttackRun::item_of(const Attack& attack) const {
  std::string item = R"({"id":"1","index":1,"sample":{"input":"in","output":"out"})";
  if (attack.place == Place::item) {
    item += R"(,"attack":)";
    append_json_quote(item, body_of(attack.source));
  }
  if (attack.place == Place::plugin) item += R"(,"attack":")" + attack.source + '"';
  return item + '}';
}

}  // namespace assay::sandbox
