// The server's certificate.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <mutex>
#include <string>

#include "core/error.hpp"

namespace assay::api {

/// Thread-safe. Connections keep the certificate they began with.
class Tls {
 public:
  /// PEM files: the certificate with its chain, and its key without a passphrase.
  Tls(std::string certificate_file, std::string key_file)
      : certificate_file_(std::move(certificate_file)), key_file_(std::move(key_file)) {}

  /// Reads both files, at first and again when they were renewed. `config` names the file and what is wrong
  /// with it; what was there before stays in use then. A certificate that is not valid now is taken, with a
  /// warning: clocks differ, and clients judge for themselves.
  Result<void> load();
  std::shared_ptr<boost::asio::ssl::context> context() const;

 private:
  std::string certificate_file_, key_file_;
  mutable std::mutex mutex_;
  std::shared_ptr<boost::asio::ssl::context> context_;
};

}  // namespace assay::api
