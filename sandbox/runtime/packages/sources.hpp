// Where the packages that evaluators ask for come from, and where they are kept: `[packages]` of the
// settings.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace assay::sandbox {

struct PackageSources {
  std::string folder;  ///< of installed environments; made when it is first needed
  /// URLs; empty: nothing is installed. A password in one stays in the jail that installs.
  std::string index;     ///< of Python packages, as pip takes it
  std::string registry;  ///< of Node packages, as npm takes it
  std::vector<std::string>
      hosts;               ///< HOST or HOST:PORT (443 without) that their files are on, beside their own
  std::string wheelhouse;  ///< a folder of wheels instead of an index: nothing is then downloaded
  size_t limit_bytes = size_t{20} << 30;  ///< of all environments together, and of one
};

}  // namespace assay::sandbox
