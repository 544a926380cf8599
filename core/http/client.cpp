#include "core/http/client.hpp"

#include <curl/curl.h>
#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

#include "core/check.hpp"
#include "core/http/overseer.hpp"

namespace assay::http {
namespace {

static_assert(kAbortBody == CURL_READFUNC_ABORT);

/// Of all headers of an answer.
constexpr size_t kHeaderLimitBytes = 256 << 10;
/// Handles that wait for their next request: making one costs more than using it.
constexpr size_t kMostSpare = 64;

using Handler = asio::any_completion_handler<void(Exchange)>;

struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
using Easy = std::unique_ptr<CURL, EasyDeleter>;
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

/// One request under way. Libcurl holds a pointer to it until it is finished.
struct Call {
  Call(Request r, Handler h, Easy e) : request(std::move(r)), done(std::move(h)), easy(std::move(e)) {}

  Request request;
  Handler done;  // Boost 1.81: never move-assigned, its assignment recurses without end
  Response response;
  uint64_t number = 0;  // unlike its address never that of another one
  bool too_large = false;
  size_t header_bytes = 0;
  int sends = 0;
  Easy easy;
  std::unique_ptr<curl_slist, ListDeleter> headers;
  char error[CURL_ERROR_SIZE] = "";
};

size_t on_response_body(char* data, size_t size, size_t count, void* user) {
  auto* call = static_cast<Call*>(user);
  const size_t bytes = size * count;
  long status = 0;
  curl_easy_getinfo(call->easy.get(), CURLINFO_RESPONSE_CODE, &status);
  if (call->request.on_body && status >= 200 && status < 300) {
    call->request.on_body({data, bytes});
    return bytes;
  }
  if (call->response.body.size() + bytes > call->request.response_limit_bytes) {
    call->too_large = true;
    return 0;
  }
  call->response.body.append(data, bytes);
  return bytes;
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

size_t on_response_header(char* data, size_t size, size_t count, void* user) {
  auto* call = static_cast<Call*>(user);
  const std::string_view line(data, size * count);
  call->header_bytes += line.size();
  if (call->header_bytes > kHeaderLimitBytes) {
    call->too_large = true;
    return 0;
  }
  auto& headers = call->response.headers;
  if (line.starts_with("HTTP/")) headers.clear();  // those before were of a 1xx, or of a proxy
  if (const size_t colon = line.find(':'); colon != std::string_view::npos)
    headers.emplace_back(trimmed(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
  return line.size();
}

/// Called when a connection is there and the request is about to be written to it.
int on_connected(void* user, char*, char*, int, int) {
  auto* call = static_cast<Call*>(user);
  return ++call->sends > 1 && call->request.send_once ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

size_t on_request_body(char* into, size_t size, size_t count, void* user) {
  return static_cast<Call*>(user)->request.body_source(into, size * count);
}

void set_options(Call& call) {
  CURL* easy = call.easy.get();
  const Request& request = call.request;
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &call);
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call.error);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.connect_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);  // what is between forgets quiet connections
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 15L);
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  if (request.multiplex && request.url.starts_with("https:")) curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
  curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, &on_connected);
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, &call);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &on_response_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &call);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &on_response_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &call);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!request.ca_file.empty()) {
    curl_easy_setopt(easy, CURLOPT_CAINFO, request.ca_file.c_str());
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  }
  if (!request.unix_socket.empty()) {
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, request.unix_socket.c_str());
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
  }
  curl_slist* headers = curl_slist_append(nullptr, "Expect:");  // no 100-continue round trip
  for (const auto& [name, value] : request.headers)
    headers = curl_slist_append(headers, (name + ": " + value).c_str());
  if (request.body_source) {
    headers = curl_slist_append(headers, "Transfer-Encoding: chunked");
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, &on_request_body);
    curl_easy_setopt(easy, CURLOPT_READDATA, &call);
  } else if (!request.body.empty() || request.method == "POST" || request.method == "PATCH") {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.c_str());
    // Of each request over TLS: a thousand at once must not take 64 MB.
    if (request.body.size() < (64U << 10)) curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 16L * 1024);
  }
  if (request.one_of_many) curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 4L * 1024);
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  call.headers.reset(headers);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
}

/// Whether the server may have seen the request.
bool was_sent(const Call& call) {
  long bytes = 0;
  curl_easy_getinfo(call.easy.get(), CURLINFO_REQUEST_SIZE, &bytes);
  return bytes > 0 || call.sends > 1;
}

Result<Response> outcome_of(Call& call, CURLcode code) {
  if (call.too_large)
    return fail(ErrorKind::transport, call.header_bytes > kHeaderLimitBytes
                                          ? "the answer's headers are too large"
                                          : "the answer is larger than " +
                                                std::to_string(call.request.response_limit_bytes) + " bytes");
  if (code == CURLE_ABORTED_BY_CALLBACK && call.sends > 1)
    return fail(ErrorKind::transport, "the connection was closed before an answer came");
  if (code != CURLE_OK) {
    const std::string why = call.error[0] != '\0' ? call.error : curl_easy_strerror(code);
    if (code == CURLE_PEER_FAILED_VERIFICATION)
      return fail(ErrorKind::auth, "the server's certificate is not trusted: " + why +
                                       "; if it is of an authority of your own, name that as the CA file "
                                       "(--ca-file, api.ca_file; of a model provider its ca_file)");
    if (code == CURLE_SSL_CONNECT_ERROR)
      return fail(ErrorKind::transport, why + "; does this port speak plain http?");
    return fail(ErrorKind::transport, why);
  }
  long status = 0;
  curl_off_t wait = 0;
  curl_easy_getinfo(call.easy.get(), CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(call.easy.get(), CURLINFO_RETRY_AFTER, &wait);
  call.response.status = static_cast<int>(status);
  call.response.retry_after = std::chrono::seconds(wait);
  return std::move(call.response);
}

}  // namespace

struct Client::Impl : std::enable_shared_from_this<Client::Impl> {
  /// A socket of libcurl's that the loop watches. The descriptor is libcurl's: released, never closed here.
  /// That of a connection is watched until it is closed, not only while there is a request on it: a kept
  /// connection then costs no system call to take up again.
  struct Watch {
    Watch(const asio::any_io_executor& executor, int fd) : descriptor(executor, fd) {}
    asio::posix::stream_descriptor descriptor;
    int wanted = 0;
    bool reading = false;
    bool writing = false;
  };

  explicit Impl(asio::any_io_executor e) : executor(e), timer(e) {
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
    multi = curl_multi_init();
    ASSAY_CHECK(multi != nullptr, "libcurl could not be started");
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &Impl::on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &Impl::on_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    for (auto& [call, owned] : calls) curl_multi_remove_handle(multi, call->easy.get());
    calls.clear();
    curl_multi_cleanup(multi);
    for (auto& [fd, watch] : watches) watch->descriptor.release();
  }

  static int on_timer(CURLM*, long milliseconds, void* user) {
    auto* self = static_cast<Impl*>(user);
    self->due = Deadline::max();
    if (milliseconds < 0) return 0;
    // Libcurl must not be called from its own callback: always through the loop.
    if (milliseconds == 0) {
      self->act_soon();
    } else {
      self->due = Clock::now() + std::chrono::milliseconds(milliseconds);
      self->arm_timer();
    }
    return 0;
  }

  /// Once for all requests that are begun in one turn of the loop.
  void act_soon() {
    if (std::exchange(acts_soon, true)) return;
    asio::post(executor, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self) return;
      self->acts_soon = false;
      self->act(CURL_SOCKET_TIMEOUT, 0);
    });
  }

  // The timer is not moved with every request: it looks at what is due in the moment when it fires.
  void arm_timer() {
    if (due == Deadline::max() || (timer_armed && timer.expiry() <= due)) return;
    timer_armed = true;
    timer.expires_at(due);  // ends an earlier wait with an error
    timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (error || !self) return;
      self->timer_armed = false;
      if (Clock::now() >= self->due) {
        self->due = Deadline::max();
        self->act(CURL_SOCKET_TIMEOUT, 0);
      }
      self->arm_timer();
    });
  }

  static int on_open(void* user, curl_socket_t fd, curlsocktype) {
    auto* self = static_cast<Impl*>(user);
    self->forget(fd);
    self->connections.insert(fd);
    self->overseer.opened(fd);
    return ::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? CURL_SOCKOPT_OK : CURL_SOCKOPT_ERROR;
  }

  static int on_close(void* user, curl_socket_t fd) {
    auto* self = static_cast<Impl*>(user);
    self->connections.erase(fd);
    self->overseer.closed(fd);
    self->forget(fd);
    return ::close(fd);
  }

  void forget(curl_socket_t fd) {
    const auto it = watches.find(fd);
    if (it == watches.end()) return;
    const auto watch = it->second;
    watch->wanted = 0;
    watches.erase(it);
    watch->descriptor.cancel();
    watch->descriptor.release();
  }

  static int on_socket(CURL*, curl_socket_t fd, int what, void* user, void*) {
    auto* self = static_cast<Impl*>(user);
    if (what == CURL_POLL_REMOVE) {
      const auto it = self->watches.find(fd);
      if (it == self->watches.end()) return 0;
      it->second->wanted = 0;
      if (!self->connections.contains(fd)) self->forget(fd);  // the resolver's: closed without a word
      return 0;
    }
    auto& watch = self->watches[fd];
    if (!watch) watch = std::make_shared<Watch>(self->executor, fd);
    watch->wanted = what;
    self->arm(fd, watch);
    return 0;
  }

  void arm(curl_socket_t fd, const std::shared_ptr<Watch>& watch) {
    if ((watch->wanted & CURL_POLL_IN) != 0 && !watch->reading) {
      watch->reading = true;
      watch->descriptor.async_wait(
          asio::posix::stream_descriptor::wait_read,
          [weak = weak_from_this(), fd, watch](const boost::system::error_code& error) {
            watch->reading = false;
            const auto self = weak.lock();
            if (error || watch->wanted == 0 || !self) return;
            self->act(fd, CURL_CSELECT_IN);
            if (watch->wanted != 0) self->arm(fd, watch);
          });
    }
    if ((watch->wanted & CURL_POLL_OUT) != 0 && !watch->writing) {
      watch->writing = true;
      watch->descriptor.async_wait(
          asio::posix::stream_descriptor::wait_write,
          [weak = weak_from_this(), fd, watch](const boost::system::error_code& error) {
            watch->writing = false;
            const auto self = weak.lock();
            if (error || watch->wanted == 0 || !self) return;
            self->act(fd, CURL_CSELECT_OUT);
            if (watch->wanted != 0) self->arm(fd, watch);
          });
    }
  }

  void act(curl_socket_t fd, int events) {
    int running = 0;
    {
      const Overseer::Stay stay(overseer);
      curl_multi_socket_action(multi, fd, events, &running);
    }
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      Call* call = nullptr;
      const CURLcode code = message->data.result;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
      finish(call, [code](Call& c) {
        return Exchange{outcome_of(c, code), was_sent(c), code == CURLE_OPERATION_TIMEDOUT};
      });
    }
  }

  template <class Outcome>
  void finish(Call* call, Outcome outcome) {
    const auto it = calls.find(call);
    if (it == calls.end()) return;
    const std::unique_ptr<Call> owned = std::move(it->second);
    calls.erase(it);
    Exchange exchange = outcome(*owned);
    curl_multi_remove_handle(multi, owned->easy.get());
    if (spare.size() < kMostSpare) {
      curl_easy_reset(owned->easy.get());  // what the options point at goes with the call
      spare.push_back(std::move(owned->easy));
    }
    asio::post(executor, [done = std::move(owned->done), exchange = std::move(exchange)]() mutable {
      std::move(done)(std::move(exchange));
    });
  }

  Easy take_handle() {
    if (spare.empty()) return Easy(curl_easy_init());
    Easy easy = std::move(spare.back());
    spare.pop_back();
    return easy;
  }

  void start(Request request, Handler handler) {
    const auto slot = asio::get_associated_cancellation_slot(handler);
    auto owned = std::make_unique<Call>(std::move(request), std::move(handler), take_handle());
    Call* call = owned.get();
    ASSAY_CHECK(call->easy != nullptr, "libcurl gave no handle");
    call->number = ++last_number;
    if (call->request.url.starts_with("https:")) overseer.start();
    set_options(*call);
    curl_easy_setopt(call->easy.get(), CURLOPT_SOCKOPTFUNCTION, &Impl::on_open);
    curl_easy_setopt(call->easy.get(), CURLOPT_SOCKOPTDATA, this);
    curl_easy_setopt(call->easy.get(), CURLOPT_CLOSESOCKETFUNCTION, &Impl::on_close);
    curl_easy_setopt(call->easy.get(), CURLOPT_CLOSESOCKETDATA, this);
    calls.emplace(call, std::move(owned));
    auto cancelled_slot = slot;
    if (cancelled_slot.is_connected())
      cancelled_slot.assign([weak = weak_from_this(), call, number = call->number](asio::cancellation_type) {
        const auto self = weak.lock();
        if (!self) return;
        // Posted: this may be inside a callback of libcurl's. Until then the call may have ended and another
        // one have its address, hence the number.
        asio::post(self->executor, [self, call, number] {
          if (!self->calls.contains(call) || call->number != number) return;
          self->finish(call, [](Call& c) {
            return Exchange{fail(ErrorKind::cancelled, "cancelled"), was_sent(c), false};
          });
        });
      });
    curl_multi_add_handle(multi, call->easy.get());
  }

  asio::any_io_executor executor;
  asio::steady_timer timer;
  Deadline due = Deadline::max();  // for libcurl's next timeout
  bool timer_armed = false;
  bool acts_soon = false;
  Overseer overseer;
  CURLM* multi = nullptr;
  uint64_t last_number = 0;
  std::unordered_map<curl_socket_t, std::shared_ptr<Watch>> watches;
  std::unordered_set<curl_socket_t> connections;
  std::vector<Easy> spare;
  std::unordered_map<Call*, std::unique_ptr<Call>> calls;
};

Client::Client(asio::any_io_executor executor) : impl_(std::make_shared<Impl>(executor)) {}
Client::~Client() = default;

Task<Exchange> Client::exchange(Request request) {
  const bool cancelled = co_await is_cancelled();
  if (cancelled) co_return Exchange{fail(ErrorKind::cancelled, "cancelled")};
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(Exchange)>(
      [impl = impl_](auto handler, Request r) { impl->start(std::move(r), Handler(std::move(handler))); },
      asio::use_awaitable, std::move(request));
}

Task<Result<Response>> Client::send(Request request) {
  Exchange done = co_await exchange(std::move(request));
  co_return std::move(done.response);
}

}  // namespace assay::http
