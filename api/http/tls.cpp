#include "api/http/tls.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>

#include "core/fd.hpp"
#include "core/log.hpp"

namespace assay::api {
namespace {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

/// Without this OpenSSL asks the terminal.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
                    unsigned offered_size, void*) {
  static constexpr std::array<unsigned char, 9> kHttp11 = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* found = nullptr;
  const int result =
      SSL_select_next_proto(&found, size, kHttp11.data(), kHttp11.size(), offered, offered_size);
  *chosen = found;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

std::string date_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "?";
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

void tell_validity(const std::string& file, const X509* certificate) {
  const ASN1_TIME* const begin = X509_get0_notBefore(certificate);
  const ASN1_TIME* const end = X509_get0_notAfter(certificate);
  if (X509_cmp_current_time(end) < 0)
    log::warn("the TLS certificate has expired: clients will refuse it",
              {{"file", file}, {"expired", date_of(end)}});
  else if (X509_cmp_current_time(begin) > 0)
    log::warn("the TLS certificate is not valid yet: clients will refuse it",
              {{"file", file}, {"valid_from", date_of(begin)}});
  else
    log::info("TLS certificate", {{"file", file}, {"expires", date_of(end)}});
}

Result<std::shared_ptr<ssl::context>> make_context(const std::string& certificate_file,
                                                   const std::string& key_file) {
  constexpr size_t kLimit = size_t{1} << 20;
  ASSAY_TRY(const std::string certificate, read_file(certificate_file, kLimit));
  ASSAY_TRY(const std::string key, read_file(key_file, kLimit));
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* const raw = context->native_handle();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_alpn_select_cb(raw, &choose_protocol, nullptr);
  SSL_CTX_set_default_passwd_cb(raw, &no_passphrase);
  error_code error;
  context->use_certificate_chain(boost::asio::buffer(certificate), error);
  if (error)
    return fail(ErrorKind::config,
                "the TLS certificate " + certificate_file +
                    " cannot be used: it must hold PEM certificates, the server's first (" + error.message() +
                    ')');
  ERR_clear_error();
  context->use_private_key(boost::asio::buffer(key), ssl::context::pem, error);
  if (error && ERR_GET_REASON(static_cast<unsigned long>(error.value())) == X509_R_KEY_VALUES_MISMATCH)
    return fail(ErrorKind::config,
                "the TLS key " + key_file + " is not that of the certificate " + certificate_file);
  if (error)
    return fail(ErrorKind::config,
                "the TLS key " + key_file +
                    " cannot be used: it must hold a PEM private key without a passphrase (" +
                    error.message() + ')');
  if (SSL_CTX_check_private_key(raw) != 1) {
    ERR_clear_error();
    return fail(ErrorKind::config,
                "the TLS key " + key_file + " is not that of the certificate " + certificate_file);
  }
  tell_validity(certificate_file, SSL_CTX_get0_certificate(raw));
  return context;
}

}  // namespace

Result<void> Tls::load() {
  ASSAY_TRY(auto context, make_context(certificate_file_, key_file_));
  const std::lock_guard lock(mutex_);
  context_ = std::move(context);
  return {};
}

std::shared_ptr<ssl::context> Tls::context() const {
  const std::lock_guard lock(mutex_);
  return context_;
}

}  // namespace assay::api
