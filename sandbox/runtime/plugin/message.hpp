// What the pool says to a plugin host (sdk/protocol.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/error.hpp"

namespace assay::sandbox::plugin {

struct Message {
  enum class Kind {
    initialize,
    evaluate,
    cancel,      ///< `id` is that of the evaluation
    completion,  ///< the answer to a call of ours; `id` is ours
    shutdown,
  };
  Kind kind = Kind::shutdown;
  int64_t id = 0;
  std::string_view
      params;  ///< JSON: of initialize, all of it; of evaluate, the item; of completion, the reply
  std::optional<Error> error;  ///< of completion: there is no reply
};

/// nullopt for anything that is not of this protocol. Views into `text`.
std::optional<Message> parse_message(std::string_view text);

}  // namespace assay::sandbox::plugin
