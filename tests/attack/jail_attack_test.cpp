// The jail against a host that is wholly in the attacker's hands: the Lua VM is treated as breakable, so
// whatever runs in its place must find nothing (catalogue rows 1-89 as far as a process without files and
// network can try them).
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <optional>

#include "sandbox/jail/helper.hpp"
#include "sandbox/jail/jail.hpp"
#include "sandbox/jail/landlock.hpp"
#include "tests/attack/jail_intruder.hpp"

using namespace assay::sandbox;

namespace {

struct Observed {
  std::optional<IntrusionReport> report;
  Ending ending;
};

/// A way to make a jail: from nothing, or from the root and a network namespace that others had before.
struct Way {
  Mode mode;
  bool prepared = false;
};
constexpr Way kWays[] = {{Mode::full}, {Mode::full, true}, {Mode::userns}, {Mode::nons}};

class Intruder {
 public:
  explicit Intruder(Way way) : mode_(way.mode), prepared_(way.prepared) {
    const auto path = assay::sandbox::helper_path("assay-jail-intruder");
    REQUIRE(path);
    host_ = assay::UniqueFd(open(path->c_str(), O_PATH | O_CLOEXEC));
    null_ = assay::UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC));
  }

  /// False when this machine cannot build such a jail.
  bool works() {
    if (mode_ == Mode::full && geteuid() != 0) return false;
    if (prepared_) mounts_ = make_root_mounts(Profile::sealed);
    JailResult made = make_jail(spec());
    if (made.failure.step != Step::none) return false;
    made.jail.protocol.reset();
    reap(made.jail.pidfd.get());
    if (prepared_) network_ = std::move(made.jail.network);
    return !prepared_ || (mounts_ && network_);
  }

  Observed run(IntrusionOrder order) {
    JailResult made = make_jail(spec());
    REQUIRE(made.failure.step == Step::none);
    REQUIRE(write(made.jail.protocol.get(), &order, sizeof order) == sizeof order);
    Observed observed;
    IntrusionReport report{};
    if (read(made.jail.protocol.get(), &report, sizeof report) == sizeof report) observed.report = report;
    observed.ending = reap(made.jail.pidfd.get());
    return observed;
  }

 private:
  JailSpec spec() {
    return {.mode = mode_,
            .slot = 7,
            .host_fd = host_.get(),
            .null_fd = null_.get(),
            .limits = {.address_space_bytes = 256U << 20, .cpu_seconds = 5},
            .network_fd = network_.get(),
            .mounts_fd = mounts_.get()};
  }

  Mode mode_;
  bool prepared_;
  assay::UniqueFd host_, null_, network_, mounts_;
};

constexpr const char* kNames[] = {
#define X(name) #name,
    ASSAY_INTRUSIONS(X)
#undef X
};

// Which attempts the jail refuses by itself, with Landlock but before the filter. The rest only the filter
// stops.
struct Case {
  Intrusion what;
  bool in_namespaces;  // full, userns
  bool without;        // nons
};
constexpr Case kRefused[] = {
    {Intrusion::open_passwd, true, true},
    {Intrusion::open_proc, true, true},
    {Intrusion::list_root, true, true},
    {Intrusion::make_file, true, true},
    {Intrusion::execute, true, true},
    {Intrusion::signal_others, true, true},
    {Intrusion::trace, true, true},
    {Intrusion::mount_proc, true, true},
    {Intrusion::chroot_up, true, true},
    {Intrusion::become_root, true, true},
    {Intrusion::raise_limit, true, true},
    {Intrusion::more_memory, true, true},
    {Intrusion::set_host_name, true, true},
    {Intrusion::message_queue, true, true},
    {Intrusion::descriptor_from_nowhere, true, true},
};

}  // namespace

TEST_CASE("Jail: its inhabitant has four descriptors, no rights and no environment", "[attack][jail][host]") {
  const Way way = GENERATE(from_range(std::begin(kWays), std::end(kWays)));
  const Mode mode = way.mode;
  CAPTURE(to_string(mode), way.prepared);
  Intruder intruder(way);
  if (!intruder.works()) {
    WARN("this machine cannot build this jail: " + std::string(to_string(mode)));
    return;
  }
  const Observed observed = intruder.run({Intrusion::nothing, false, false});
  REQUIRE(observed.report);
  REQUIRE(observed.report->descriptors == 0b1111);
  REQUIRE(observed.report->uid != 0);
  REQUIRE(observed.report->gid != 0);
  REQUIRE(observed.report->capabilities == 0);
  REQUIRE(observed.report->no_new_privs == 1);
  REQUIRE(observed.report->environment == 0);
  if (mode != Mode::nons) REQUIRE(observed.report->pid == 1);
  if (geteuid() == 0) REQUIRE(observed.report->groups == 0);
}

TEST_CASE("Jail: refuses what leads out of it, even without the filter", "[attack][jail][host]") {
  const Way way = GENERATE(from_range(std::begin(kWays), std::end(kWays)));
  const Mode mode = way.mode;
  Intruder intruder(way);
  if (!intruder.works()) {
    WARN("this machine cannot build this jail: " + std::string(to_string(mode)));
    return;
  }
  for (const Case& attack : kRefused) {
    if (mode == Mode::nons ? !attack.without : !attack.in_namespaces) continue;
    // There a process of the same user is for the filter alone to protect.
    if (attack.what == Intrusion::signal_others && mode == Mode::nons && geteuid() != 0 &&
        !landlock_contains_signals())
      continue;
    CAPTURE(to_string(mode), way.prepared, kNames[static_cast<size_t>(attack.what)]);
    const Observed observed = intruder.run({attack.what, true, false});
    REQUIRE(observed.report);
    CHECK(observed.report->error != 0);
  }
  REQUIRE(access("/tmp/assay-intruder", F_OK) != 0);
}

TEST_CASE("Jail: under the filter every attempt ends in SIGSYS", "[attack][jail]") {
  const Way way = GENERATE(from_range(std::begin(kWays), std::end(kWays)));
  const Mode mode = way.mode;
  Intruder intruder(way);
  if (!intruder.works()) {
    WARN("this machine cannot build this jail: " + std::string(to_string(mode)));
    return;
  }
  for (size_t i = 0; i < std::size(kNames); i++) {
    const auto what = static_cast<Intrusion>(i);
    CAPTURE(to_string(mode), way.prepared, kNames[i]);
    const Observed observed = intruder.run({what, true, true});
    switch (what) {
      case Intrusion::nothing:
        REQUIRE(observed.report);
        break;
      case Intrusion::more_memory:  // mmap is allowed, so much is not
        REQUIRE(observed.report);
        CHECK(observed.report->error == ENOMEM);
        break;
      case Intrusion::exit_quietly:
        CHECK((!observed.report && !observed.ending.signalled && observed.ending.status == 0));
        break;
      case Intrusion::crash:
        // A fault that is not handled ends an ordinary process; process 1 of a namespace as well.
        CHECK((observed.ending.signalled && observed.ending.status == SIGSEGV));
        break;
      default:
        CHECK_FALSE(observed.report);
        CHECK((observed.ending.signalled && observed.ending.status == SIGSYS));
    }
  }
}

TEST_CASE("Jail: a killed jail leaves no process and no descriptor", "[attack][jail][host]") {
  Intruder intruder(GENERATE(from_range(std::begin(kWays), std::end(kWays))));
  if (!intruder.works()) return;
  const auto open_descriptors = [] {
    int count = 0;
    for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return count;
  };
  const int before = open_descriptors();
  for (int i = 0; i < 20; i++) intruder.run({Intrusion::crash, true, true});
  REQUIRE(open_descriptors() == before);
}
