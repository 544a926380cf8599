// Requests and responses as handlers see them. No Beast here: it stays in connection.cpp.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/problem.hpp"
#include "api/store/types.hpp"
#include "core/async/task.hpp"

namespace assay::api {

/// A body that is read while it arrives.
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  /// The next piece, valid until the next call; empty: the body has ended. 408 and 400 when it does not
  /// arrive.
  virtual Task<Answer<std::string_view>> next() = 0;
};

/// A body that is made while it is sent.
class BodyWriter {
 public:
  virtual ~BodyWriter() = default;
  /// The next piece; empty: the body is complete.
  virtual Task<Answer<std::string>> next() = 0;
};

struct Route;

struct Request {
  std::string id;    ///< the client's X-Request-Id, or one that was made for it
  std::string peer;  ///< the client's address: one IPv4 address, one IPv6 network of 64 bits, or "unix"
  const Route* route = nullptr;  ///< once it is found
  std::string key;               ///< the API key's hash; empty: none was given
  std::string method;            ///< "GET"
  std::string path;              ///< without "/v1" or "/api/v1", still percent-encoded
  std::vector<std::pair<std::string, std::string>> query;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  std::vector<std::string> parameters;                       ///< what the route's {…} stand for, in order
  std::string body;                                          ///< of routes with a buffered body
  BodyReader* reader = nullptr;                              ///< of routes with a streamed one
  Principal principal;
  /// Of requests that create and have an Idempotency-Key; `response` is empty.
  std::optional<Receipt> receipt;
  /// Whether the client has hung up.
  std::function<bool()> peer_gone;

  std::string_view header(std::string_view lower_case_name) const;
  /// The receipt to keep with an answer of `response`.
  std::optional<Receipt> receipt_for(const std::string& response) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  std::unique_ptr<BodyWriter> writer;  ///< sends the body instead, chunk by chunk

  Response() = default;
  explicit Response(std::string body_) : body(std::move(body_)) {}
};

Response response_from(const Problem& problem, std::string_view request_id = {});

/// Whether a client's X-Request-Id is taken: 1 to 64 characters of [A-Za-z0-9._-].
bool is_request_id(std::string_view text);

/// Whether a store can keep and compare `text`: valid UTF-8 without U+0000, which PostgreSQL has no place
/// for.
bool is_storable(std::string_view text);

/// Splits and decodes a request target's path segments and query; nullopt for bad percent-encoding.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);
std::optional<std::vector<std::pair<std::string, std::string>>> parse_query(std::string_view text);

}  // namespace assay::api
