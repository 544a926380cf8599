#include "sandbox/jail/helper.hpp"

#include <unistd.h>

#include <filesystem>

namespace assay::sandbox {

Result<std::string> helper_path(std::string_view name) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return fail(ErrorKind::internal, "cannot read /proc/self/exe: " + error.message());
  const auto beside = self.parent_path() / name;
  const auto installed = self.parent_path().parent_path() / "libexec" / "assay" / name;
  // Not X_OK: an installed library is not executable (Debian's CMake sees to that).
  for (const auto& path : {beside, installed})
    if (access(path.c_str(), R_OK) == 0) return path.string();
  return fail(ErrorKind::config, "the program " + std::string(name) + " is neither at " + beside.string() +
                                     " nor at " + installed.string() + "; reinstall assay");
}

}  // namespace assay::sandbox
