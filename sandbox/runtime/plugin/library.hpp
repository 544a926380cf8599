// A plugin's library, loaded into this process: what it exports, and what it says of itself.
#pragma once

#include <assay/plugin.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "core/error.hpp"

namespace assay::sandbox::plugin {

class Library {
 public:
  /// Runs the library's constructors. `config` when it cannot be loaded, is no plugin, or of another ABI.
  static Result<Library> load(const std::string& path);

  const assay_plugin_entry& entry() const { return *entry_; }
  std::string_view description() const { return description_; }  ///< a JSON object

  /// Checks what `describe` says of the evaluator `name` ("PLUGIN/EVALUATOR"): `config` when it is not there,
  /// or needs a service that we have not.
  struct Evaluator {
    std::string name;  ///< as create() wants it
    size_t max_in_flight = 1;
  };
  Result<Evaluator> find(std::string_view name) const;

 private:
  const assay_plugin_entry* entry_ = nullptr;
  std::string_view description_;
};

}  // namespace assay::sandbox::plugin
