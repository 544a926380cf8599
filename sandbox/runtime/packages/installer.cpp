#include "sandbox/runtime/packages/installer.hpp"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <nlohmann/json.hpp>

#include "core/async/on_disk.hpp"
#include "core/async/scope.hpp"
#include "core/fd.hpp"
#include "core/json.hpp"
#include "core/requirement.hpp"
#include "sandbox/runtime/packages/index_proxy.hpp"
#include "sandbox/runtime/packages/install_node.hpp"
#include "sandbox/runtime/packages/install_python.hpp"
#include "sandbox/runtime/packages/tree.hpp"

namespace assay::sandbox {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 15min;
constexpr auto kLook = 1s;
constexpr uint64_t kOthers = 32U << 20;  // what others may write to the disk meanwhile
constexpr size_t kLogBytes = 8U << 10;
constexpr uint16_t kHttps = 443;
constexpr std::array kCertificates = {"/etc/ssl/certs/ca-certificates.crt",
                                      "/etc/pki/tls/certs/ca-bundle.crt"};

std::vector<HostPort> reachable(const PackageSources& sources, const std::string& url) {
  std::vector<HostPort> hosts;
  if (auto host = HostPort::of_url(url)) hosts.push_back(std::move(*host));
  for (const std::string& text : sources.hosts)
    if (auto host = HostPort::of_text(text, kHttps)) hosts.push_back(std::move(*host));
  return hosts;
}

std::string certificates() {
  for (const char* path : kCertificates)
    if (auto text = read_file(path, 4U << 20)) return *text;
  return "";
}

std::string item_of(const Program& program, const std::string& url) {
  Json asked{{"requirements", program.requirements}, {"index", url}};
  asked["proxy"] = "http://127.0.0.1:" + std::to_string(kProxyPort);
  if (const auto host = HostPort::of_url(url)) asked["host"] = host->host + ":" + std::to_string(host->port);
  asked["certificates"] = url.starts_with("https://") ? certificates() : "";
  const Json item{{"id", "0"},
                  {"index", 0},
                  {"sample", Json::object()},
                  {"ground_truth", Json::object()},
                  {"metadata", asked}};
  return dump_json(item);
}

std::shared_ptr<const Program> installer_of(const Program& program) {
  auto installer = std::make_shared<Program>();
  installer->name = "packages of " + program.name;
  installer->language = kPackages;
  installer->source = program.language == "node" ? process::kNodeInstaller : process::kPythonInstaller;
  installer->limits.wall = kPatience;
  installer->limits.cpu = 4 * kPatience;
  installer->limits.memory_bytes = language_named(kPackages)->memory_bytes;
  installer->limits.log_bytes = kLogBytes;
  return installer;
}

Error explained(const Outcome& outcome, const std::optional<std::string>& refused,
                const std::optional<std::string>& unreached) {
  const ErrorKind kind = outcome.error.kind;
  if (kind == ErrorKind::internal || kind == ErrorKind::cancelled) return outcome.error;
  std::string message = "its requirements cannot be installed: ";
  const bool said = kind == ErrorKind::evaluator_error && !outcome.log.empty();
  message += said ? outcome.log : outcome.error.message;
  while (message.ends_with('\n')) message.pop_back();
  if (unreached)  // at another time it may work
    return {ErrorKind::internal, message + "\n(" + *unreached + " cannot be reached)"};
  if (refused) message += "\n(it wanted to reach " + *refused + ", which is not among packages.hosts)";
  return {ErrorKind::config, message};
}

}  // namespace

Error too_large(size_t limit_bytes) {
  return {ErrorKind::config,
          "its requirements take more than packages.bytes, " + std::to_string(limit_bytes) + " bytes"};
}

const std::string& Installer::url_of(const PackageSources& sources, const Program& program) {
  static const std::string none;
  if (program.language == "node") return sources.registry;
  return sources.wheelhouse.empty() ? sources.index : none;
}

Result<void> Installer::can_install(const PackageSources& sources, Mode mode, const Program& program) {
  if (program.language != "python" && program.language != "node")
    return fail(ErrorKind::config, "requirements are for the languages python and node");
  for (const std::string& line : program.requirements)
    if (!is_requirement(line))
      return fail(ErrorKind::config,
                  "a line of its requirements names no package: \"" + line.substr(0, 80) + "\"");
  if (mode == Mode::nons)
    return fail(
        ErrorKind::config,
        "it has requirements, and installing them needs namespaces, which this machine does not give");
  const bool node = program.language == "node";
  if (url_of(sources, program).empty() && (node || sources.wheelhouse.empty()))
    return fail(ErrorKind::config,
                std::string("it has requirements, and this worker installs none: set ") +
                    (node ? "packages.registry" : "packages.index or packages.wheelhouse"));
  return {};
}

Task<Result<void>> Installer::install(SpawnerClient* spawner, int host_fd, const PackageSources& sources,
                                      const Program& program, std::string folder) {
  const std::string& url = url_of(sources, program);
  JailAccess access;
  access.proxy = true;  // or what it opens would be in a network that other jails use after it
  if (!access.set(JailFolder::packages, folder, true) ||
      (url.empty() && !access.set(JailFolder::wheels, sources.wheelhouse, false)))
    co_return fail(ErrorKind::config,
                   "the paths of packages.folder and packages.wheelhouse have 500 bytes at most");
  if (stopped_) co_return fail(ErrorKind::cancelled, "the sandbox was closed");
  host_ = std::make_shared<Host>(executor_, installer_of(program), language_named(kPackages), nullptr,
                                 standstill_);

  std::optional<Outcome> outcome;
  std::optional<IndexProxy> proxy;
  Scope scope(executor_);
  Result<void> started = co_await host_->start(spawner, host_fd, access);
  if (started) {
    proxy.emplace(executor_, host_->take_listener(), reachable(sources, url)).start();
    scope.spawn("size of packages", watch_size(folder, sources.limit_bytes));
    host_->send({item_of(program, url), [&](Outcome answered) { outcome = std::move(answered); }});
    host_->flush();
    std::function<void()> on_progress = [] {};
    co_await host_->serve(std::move(on_progress));
  }
  Outcome ended = co_await host_->end(spawner);
  scope.cancel();
  co_await scope.join();
  std::optional<std::string> refused, unreached;
  if (proxy) {
    refused = proxy->refused();
    unreached = proxy->unreached();
    co_await proxy->close();
  }
  host_.reset();
  if (!started) co_return started;
  if (stopped_) co_return fail(ErrorKind::cancelled, "the sandbox was closed");
  if (fault_) co_return std::unexpected(*fault_);
  if (!outcome) outcome = std::move(ended);
  if (outcome->verdict == Verdict::scored) co_return Result<void>();
  co_return std::unexpected(explained(*outcome, refused, unreached));
}

void Installer::stop() {
  stopped_ = true;
  if (host_) host_->kill(Host::Kill::unwanted);
}

/// What is open and has no name any more is seen by what is free.
Task<> Installer::watch_size(std::string folder, size_t limit_bytes) {
  asio::steady_timer timer(executor_);
  const uint64_t free_before = free_bytes(folder);
  while (true) {
    timer.expires_after(kLook);
    const auto [stopped] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    if (stopped) co_return;
    const auto bytes =
        co_await on_disk(disk_, [folder, limit_bytes] { return tree_bytes(folder, limit_bytes); });
    const bool is_large = bytes && *bytes > limit_bytes;
    if (bytes && !is_large && free_bytes(folder) + limit_bytes + kOthers >= free_before) continue;
    fault_ = bytes ? too_large(limit_bytes) : bytes.error();
    if (host_) host_->kill(Host::Kill::unwanted);
    co_return;
  }
}

}  // namespace assay::sandbox
