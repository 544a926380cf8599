// The targets that a jail asks the proxy of packages for, and the URLs of settings.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "sandbox/runtime/packages/index_proxy.hpp"

using namespace assay::sandbox;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto& target : {HostPort::of_url(text), HostPort::of_text(text, 443)})
    if (target && (target->host.empty() || target->host.find_first_of("/@: ") != std::string::npos))
      std::abort();
  return 0;
}
