#include "sandbox/runtime/spawner_client.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/redirect_error.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "core/check.hpp"
#include "core/log.hpp"
#include "sandbox/jail/helper.hpp"

namespace assay::sandbox {
namespace {

using namespace std::chrono_literals;

constexpr auto kProbePatience = 20s;  // three modes at most, each with deadlines of its own
constexpr auto kMakePatience = 10s;
constexpr auto kEndPatience = 5s;

Result<pid_t> start_process(const std::string& path, int socket) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, socket, kSpawnerFd);
  char* argv[] = {const_cast<char*>("assay-spawner"), nullptr};
  char* environment[] = {nullptr};
  pid_t pid = 0;
  const int error = posix_spawn(&pid, path.c_str(), &actions, nullptr, argv, environment);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail_errno(ErrorKind::internal, "cannot start " + path, error);
  return pid;
}

std::string explain(const SpawnReply& reply) {
  std::string text(to_string(reply.mode));
  text += ": ";
  text += to_string(reply.step);
  text += " failed: ";
  text += std::strerror(reply.error);
  return text;
}

}  // namespace

SpawnerClient::SpawnerClient(asio::any_io_executor executor, pid_t pid, UniqueFd socket)
    : executor_(executor), pid_(pid), socket_(executor, socket.release()), scope_(executor) {}

SpawnerClient::~SpawnerClient() {
  ASSAY_CHECK(pid_ == 0, "SpawnerClient::close() was not awaited");
}

Result<std::unique_ptr<SpawnerClient>> SpawnerClient::launch(asio::any_io_executor executor) {
  ASSAY_TRY(const std::string path, helper_path("assay-spawner"));
  ASSAY_TRY(SocketPair sockets, make_socket_pair(SOCK_SEQPACKET));
  ASSAY_TRY(const pid_t pid, start_process(path, sockets.theirs.get()));
  sockets.theirs.reset();
  std::unique_ptr<SpawnerClient> client(new SpawnerClient(executor, pid, std::move(sockets.ours)));
  client->scope_.spawn("spawner answers", client->receive_all());
  return client;
}

Task<Result<std::unique_ptr<SpawnerClient>>> SpawnerClient::start(asio::any_io_executor executor,
                                                                  std::optional<Mode> mode, int host_fd) {
  ASSAY_CO_TRY(auto client, launch(executor));
  Result<void> found = co_await client->find_mode(mode, Profile::sealed, host_fd);
  if (found) co_return client;
  co_await client->close();
  co_return std::unexpected(std::move(found).error());
}

Task<Result<SpawnReply>> SpawnerClient::try_mode(asio::any_io_executor executor, Mode mode, Profile profile,
                                                 int host_fd) {
  ASSAY_CO_TRY(const auto client, launch(executor));
  Result<void> found = co_await client->find_mode(mode, profile, host_fd);
  co_await client->close();
  if (found) co_return SpawnReply{.kind = SpawnReply::Kind::found, .mode = mode, .cgroups = client->cgroups_};
  if (client->refused_modes_.empty()) co_return std::unexpected(std::move(found).error());
  co_return client->refused_modes_.front();
}

Task<Result<void>> SpawnerClient::find_mode(std::optional<Mode> mode, Profile profile, int host_fd) {
  SpawnRequest request{.kind = SpawnRequest::Kind::probe, .id = next_id_++};
  request.demand_mode = mode.has_value();
  request.mode = mode.value_or(Mode::full);
  request.profile = profile;
  const auto expected = std::make_shared<Expected>(executor_);
  made_[request.id] = expected;
  ASSAY_CO_OK(send(request, host_fd));
  const auto reply = co_await await(expected, kProbePatience);
  made_.erase(request.id);
  if (reply && reply->kind == SpawnReply::Kind::found) {
    mode_ = reply->mode;
    cgroups_ = reply->cgroups;
    co_return Result<void>();
  }
  std::string message = "no jail can be built on this machine";
  if (refused_modes_.empty()) message += ": the spawner did not answer";
  for (const SpawnReply& refused : refused_modes_) message += "; " + explain(refused);
  co_return fail(ErrorKind::internal, message + "; `assay doctor` says what to do");
}

Result<void> SpawnerClient::send(const SpawnRequest& request, int host_fd) {
  if (!alive_) return fail(ErrorKind::internal, "the sandbox's spawner has ended");
  const int error = send_packet(socket_.native_handle(), &request, sizeof request, &host_fd, 1);
  if (error != 0) return fail_errno(ErrorKind::internal, "cannot speak to the sandbox's spawner", error);
  return {};
}

Task<Result<SpawnerClient::Jail>> SpawnerClient::make(int host_fd, Profile profile, JailLimits limits,
                                                      JailAccess access) {
  const SpawnRequest request{.kind = SpawnRequest::Kind::make,
                             .id = next_id_++,
                             .mode = mode_,
                             .profile = profile,
                             .limits = limits,
                             .access = access};
  const auto expected = std::make_shared<Expected>(executor_);
  made_[request.id] = expected;
  ended_[request.id] = std::make_shared<Expected>(executor_);
  Result<void> sent = send(request, host_fd);
  std::optional<SpawnReply> reply;
  if (sent) reply = co_await await(expected, kMakePatience);
  made_.erase(request.id);
  if (reply && reply->kind == SpawnReply::Kind::made)
    co_return Jail{request.id, std::move(expected->fds[0]), std::move(expected->fds[1]),
                   std::move(expected->fds[2])};
  ended_.erase(request.id);
  if (!sent) co_return std::unexpected(std::move(sent).error());
  co_return fail(ErrorKind::internal,
                 reply ? "cannot make a jail: " + explain(*reply) : "the sandbox's spawner did not answer");
}

Task<std::optional<SpawnReply>> SpawnerClient::wait_end(uint64_t id) {
  const auto expected = ended_[id];
  std::optional<SpawnReply> reply;
  if (expected) reply = co_await await(expected, kEndPatience);
  ended_.erase(id);
  co_return reply;
}

Task<std::optional<SpawnReply>> SpawnerClient::await(std::shared_ptr<Expected> expected,
                                                     Clock::duration patience) {
  if (!expected->reply && alive_) {
    boost::system::error_code ignored;
    expected->arrived.expires_after(patience);
    co_await expected->arrived.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  co_return expected->reply;
}

Task<> SpawnerClient::receive_all() {
  while (alive_) {
    boost::system::error_code error;
    co_await socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                                asio::redirect_error(asio::use_awaitable, error));
    if (error) break;
    SpawnReply reply;
    Received received = receive_packet(socket_.native_handle(), &reply, sizeof reply);
    if (received.end || received.error != 0) break;
    receive(reply, std::move(received.fds));
  }
  lose_spawner();
}

void SpawnerClient::receive(SpawnReply reply, std::array<UniqueFd, kPacketFds> fds) {
  Expectations& expectations = reply.kind == SpawnReply::Kind::exited ? ended_ : made_;
  const auto found = expectations.find(reply.id);
  if (found == expectations.end()) return;  // nobody waits any more; the descriptors close
  Expected& expected = *found->second;
  if (reply.kind == SpawnReply::Kind::refused) {  // the probe goes on to the next mode
    refused_modes_.push_back(reply);
    return;
  }
  expected.reply = reply;
  expected.fds = std::move(fds);
  expected.arrived.cancel();
}

void SpawnerClient::lose_spawner() {
  alive_ = false;
  for (Expectations* expectations : {&made_, &ended_})
    for (auto& [id, expected] : *expectations) expected->arrived.cancel();
}

Task<> SpawnerClient::close() {
  // Its end of the socket says that we are gone; it kills the jails and ends.
  ::shutdown(socket_.native_handle(), SHUT_RDWR);
  co_await scope_.join();
  boost::system::error_code error;
  socket_.close(error);
  asio::posix::stream_descriptor process(executor_, static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  asio::steady_timer patience(executor_, kEndPatience);
  patience.async_wait([pid = pid_](boost::system::error_code stopped) {
    if (!stopped) ::kill(pid, SIGKILL);
  });
  co_await process.async_wait(asio::posix::stream_descriptor::wait_read,
                              asio::redirect_error(asio::use_awaitable, error));
  patience.cancel();
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

}  // namespace assay::sandbox
