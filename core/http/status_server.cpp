#include "core/http/status_server.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "core/async/scope.hpp"
#include "core/http/listener.hpp"

namespace assay::http {
namespace {

namespace beast = boost::beast::http;
constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);
constexpr size_t kConnections = 32;
constexpr std::chrono::seconds kPatience{10};

}  // namespace

struct StatusServer::Impl {
  Impl(asio::any_io_executor e, std::unique_ptr<Listener> l, Pages p)
      : executor(e), listener(std::move(l)), pages(std::move(p)), scope(e) {}

  Task<> accept() {
    co_await listener->accept([this] { return executor; },
                              [this](Socket socket) {
                                if (scope.size() <= kConnections)
                                  scope.spawn("status", serve(std::move(socket)));
                              });
  }

  Task<> serve(Socket socket) {
    const auto done = co_await with_deadline(answer(socket), Clock::now() + kPatience);
    (void)done;  // too slow: the socket closes
  }

  Task<bool> answer(Socket& socket) {
    boost::beast::flat_buffer buffer(size_t{8} << 10);
    beast::request_parser<beast::empty_body> parser;
    parser.header_limit(4096);
    const auto [error, count] = co_await beast::async_read_header(socket, buffer, parser, kAsTuple);
    if (error) co_return false;
    const auto method = parser.get().method();
    const std::string_view target(parser.get().target().data(), parser.get().target().size());
    StatusPage page{404, "text/plain; charset=utf-8", "nothing is here\n"};
    const auto found = pages.find(target.substr(0, target.find('?')));
    if (method != beast::verb::get && method != beast::verb::head)
      page = {405, "text/plain; charset=utf-8", "GET only\n"};
    else if (found != pages.end())
      page = co_await found->second();
    beast::response<beast::string_body> message;
    message.version(11);
    message.result(static_cast<unsigned>(page.status));
    message.set(beast::field::content_type, page.content_type);
    message.keep_alive(false);
    message.body() = std::move(page.text);
    message.prepare_payload();
    if (method == beast::verb::head) message.body().clear();
    const auto [failed, sent] = co_await beast::async_write(socket, message, kAsTuple);
    boost::system::error_code ignored;
    socket.shutdown(Socket::shutdown_send, ignored);
    co_return !failed;
  }

  asio::any_io_executor executor;
  std::unique_ptr<Listener> listener;
  Pages pages;
  Scope scope;
};

StatusServer::StatusServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StatusServer::~StatusServer() = default;

Result<std::unique_ptr<StatusServer>> StatusServer::start(asio::any_io_executor executor,
                                                          const std::string& address, Pages pages) {
  ASSAY_TRY(auto listener, listen_on(executor, address));
  auto impl = std::make_unique<Impl>(executor, std::move(listener), std::move(pages));
  impl->scope.spawn("accept", impl->accept());
  return std::unique_ptr<StatusServer>(new StatusServer(std::move(impl)));
}

std::string StatusServer::address() const {
  return impl_->listener->address();
}

Task<> StatusServer::close() {
  impl_->listener->close();
  impl_->scope.cancel();
  co_await impl_->scope.join();
}

}  // namespace assay::http
