// Log lines of every program: one line an event on stderr, structured fields as key=value after the message.
// State changes are `info`, one line a run; nothing per item above `debug`. Secrets never appear: pass ids,
// not values.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace assay::log {

enum class Level { debug, info, warn, error, off };

struct Field {
  std::string_view key;
  std::string value;
};

/// Sets the lowest level that is printed; the start is `info`. Call before threads are started.
void set_level(Level level);
/// `debug`, `info`, `warn`, `error`, `off`; false for another word.
bool set_level(std::string_view name);

/// Whether a line of this level is printed: for those that are costly to make.
bool enabled(Level level);

void write(Level level, std::string_view message, std::span<const Field> fields);
inline void write(Level level, std::string_view message, std::initializer_list<Field> fields = {}) {
  write(level, message, std::span(fields.begin(), fields.size()));
}

inline void debug(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::debug, m, f);
}
inline void info(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::info, m, f);
}
inline void warn(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::warn, m, f);
}
inline void error(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::error, m, f);
}

}  // namespace assay::log
