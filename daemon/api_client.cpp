#include "daemon/api_client.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>

#include "core/fd.hpp"
#include "core/http/compress.hpp"
#include "core/json.hpp"

namespace assay::daemon {

using namespace std::chrono_literals;

/// An API that is there takes a connection at once; where nothing answers it is soon told, and tried again.
constexpr auto kConnect = 3s;

Result<ApiEndpoint> ApiEndpoint::parse(const std::string& address, std::string key, std::string ca_file) {
  ApiEndpoint endpoint;
  endpoint.key = std::move(key);
  endpoint.ca_file = std::move(ca_file);
  if (!endpoint.ca_file.empty()) {
    ASSAY_TRY(const std::string text, read_file(endpoint.ca_file, size_t{16} << 20));
    if (text.find("-----BEGIN CERTIFICATE-----") == std::string::npos)
      return fail(ErrorKind::config, "the CA file " + endpoint.ca_file + " holds no PEM certificate");
  }
  if (address.starts_with("unix:")) {
    endpoint.unix_socket = address.substr(5);
    endpoint.url = "http://localhost";
    if (endpoint.unix_socket.empty()) return fail(ErrorKind::config, "the address \"unix:\" names no socket");
    return endpoint;
  }
  if (!address.starts_with("http://") && !address.starts_with("https://"))
    return fail(ErrorKind::config,
                "\"" + address + "\" is no API address: give http://HOST:PORT, https://HOST or unix:/PATH");
  endpoint.url = address;
  while (endpoint.url.ends_with('/')) endpoint.url.pop_back();
  return endpoint;
}

namespace {

/// The start of what something else than the API said, on one line and safe to print.
std::string glimpse(std::string_view body) {
  constexpr size_t kMost = 200;
  std::string text;
  for (const char c : body) {
    if (text.size() == kMost) break;
    const auto byte = static_cast<unsigned char>(c);
    const bool blank = std::isspace(byte) != 0;
    if (blank && (text.empty() || text.back() == ' ')) continue;
    text += blank ? ' ' : std::isprint(byte) != 0 ? c : '?';
  }
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

}  // namespace

bool ApiAnswer::retryable() const {
  // A refusal of the API's own has a code: what has none is a page of something in between. Too large is too
  // large whoever says so.
  if (!ok() && code.empty() && status != 413) return true;
  return status == 408 || status == 429 || (status >= 500 && status != 501);
}

Error ApiAnswer::error() const {
  const ErrorKind kind = retryable() ? ErrorKind::transport : ErrorKind::config;
  if (!message.empty()) return Error{kind, message};
  const std::string said = glimpse(body);
  return Error{kind, "the API answered " + std::to_string(status) + (said.empty() ? "" : ": " + said)};
}

std::chrono::milliseconds backoff(int attempt) {
  static thread_local std::minstd_rand random{std::random_device{}()};
  const auto cap = std::min<int64_t>(30'000, 250LL << std::min(attempt, 10));
  return std::chrono::milliseconds(std::uniform_int_distribution<int64_t>(cap / 8, cap)(random));
}

std::chrono::milliseconds backoff(int attempt, const Result<ApiAnswer>& answer) {
  const auto asked = answer ? std::min<std::chrono::milliseconds>(answer->retry_after, 30s) : 0ms;
  return std::max(backoff(attempt), asked);
}

ApiClient::ApiClient(asio::any_io_executor executor, ApiEndpoint endpoint)
    : endpoint_(std::move(endpoint)), http_(executor) {}

/// A socket file has no network to spare, and small bodies nothing to gain.
void ApiClient::add_body(http::Request& request, Call& call) const {
  constexpr size_t kSmall = 1024;
  const bool network = endpoint_.unix_socket.empty();
  request.body = std::move(call.body);
  request.body_source = std::move(call.body_source);
  if (!network || (request.body.size() <= kSmall && !request.body_source)) return;
  request.headers.emplace_back("Content-Encoding", "zstd");
  if (request.body_source)
    request.body_source = http::zstd_source(std::move(request.body_source));
  else
    request.body = http::zstd_compress(request.body);
}

Task<Result<ApiAnswer>> ApiClient::call(Call call) {
  http::Request request;
  request.method = call.method;
  request.url = endpoint_.url + call.path;
  request.unix_socket = endpoint_.unix_socket;
  request.ca_file = endpoint_.ca_file;
  add_body(request, call);
  request.on_body = std::move(call.on_body);
  request.timeout = call.timeout;
  request.connect_timeout = kConnect;
  request.headers.emplace_back("Authorization", "Bearer " + endpoint_.key);
  request.headers.emplace_back("Accept", call.accept);
  if (call.method != "GET" && call.method != "DELETE")
    request.headers.emplace_back("Content-Type", call.content_type);
  if (!call.idempotency_key.empty()) request.headers.emplace_back("Idempotency-Key", call.idempotency_key);
  const bool network = endpoint_.unix_socket.empty();
  const auto began = Clock::now();
  auto response = co_await http_.send(std::move(request));
  if (observer_) observer_(call.path, response ? response->status : 0, Clock::now() - began);
  if (!response) {
    // A certificate that was good before is being renewed, mostly.
    if (response.error().kind == ErrorKind::auth && trusted_) response.error().kind = ErrorKind::transport;
    co_return std::unexpected(
        std::move(response.error())
            .with("the API at " + (network ? endpoint_.url : "unix:" + endpoint_.unix_socket)));
  }
  trusted_ = true;
  ApiAnswer answer;
  answer.status = response->status;
  answer.body = std::move(response->body);
  answer.retry_after = response->retry_after;
  if (!answer.ok()) {
    // What is not our envelope (a proxy's page) leaves message and code empty.
    if (const auto parsed = parse_json(answer.body);
        parsed && parsed->is_object() && parsed->contains("error")) {
      const Json& error = (*parsed)["error"];
      if (error.is_object()) {
        answer.code = error.value("code", Json()).is_string() ? error["code"].get<std::string>() : "";
        answer.message =
            error.value("message", Json()).is_string() ? error["message"].get<std::string>() : "";
        if (error.value("param", Json()).is_string())
          answer.message += " (" + error["param"].get<std::string>() + ")";
      }
    }
  }
  co_return answer;
}

Task<Result<ApiAnswer>> ApiClient::call_until(Call wanted, Deadline deadline, Trouble trouble) {
  for (int attempt = 0;; ++attempt) {
    Call copy = wanted;
    auto answer = co_await call(std::move(copy));
    const bool passing = answer ? answer->retryable() : answer.error().kind == ErrorKind::transport;
    if (!passing) co_return answer;
    auto wait = backoff(attempt);
    if (answer && answer->retry_after > wait) wait = answer->retry_after;
    const auto next = Clock::now() + wait;
    if (next >= deadline) co_return answer;
    if (trouble) trouble(answer ? answer->error() : answer.error(), next);
    const bool slept = co_await sleep_until(next);
    if (!slept) co_return fail(ErrorKind::cancelled, "cancelled");
  }
}

std::string url_encode(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || std::string_view("-._~").find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

}  // namespace assay::daemon
