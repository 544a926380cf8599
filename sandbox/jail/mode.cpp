#include "sandbox/jail/mode.hpp"

namespace assay::sandbox {

std::string_view to_string(Mode mode) {
  switch (mode) {
    case Mode::full:
      return "full";
    case Mode::userns:
      return "userns";
    case Mode::nons:
      return "nons";
  }
  return "nons";
}

std::optional<Mode> mode_from(std::string_view name) {
  for (const Mode mode : {Mode::full, Mode::userns, Mode::nons})
    if (name == to_string(mode)) return mode;
  return std::nullopt;
}

}  // namespace assay::sandbox
