#include "core/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace assay::log {
namespace {

spdlog::logger& logger() {
  // systemd reads "<n>" priorities and has its own clock; a terminal wants the time.
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>("assay", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern(std::getenv("JOURNAL_STREAM") != nullptr ? "%l: %v" : "%Y-%m-%dT%H:%M:%S.%e %l: %v");
    made->set_level(spdlog::level::info);
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *instance;
}

spdlog::level::level_enum level_of(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warn:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
    case Level::off:
      return spdlog::level::off;
  }
  return spdlog::level::info;
}

/// Values come from outside: a line feed or an escape sequence in one must not become a line of ours.
void append_value(std::string& line, std::string_view value) {
  const bool quote = value.empty() || value.find_first_of(" =\"") != std::string_view::npos;
  if (quote) line += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') line += '\\';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      line += c == '\n' ? "\\n" : "?";
    else
      line += c;
  }
  if (quote) line += '"';
}

}  // namespace

void set_level(Level level) {
  logger().set_level(level_of(level));
}

bool set_level(std::string_view name) {
  const auto level = spdlog::level::from_str(std::string(name == "warn" ? "warning" : name));
  if (level == spdlog::level::off && name != "off") return false;
  logger().set_level(level);
  return true;
}

bool enabled(Level level) {
  return logger().should_log(level_of(level));
}

void write(Level level, std::string_view message, std::span<const Field> fields) {
  if (!logger().should_log(level_of(level))) return;
  std::string line;
  for (const char c : message) line += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  for (const auto& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    append_value(line, field.value);
  }
  logger().log(level_of(level), "{}", line);
}

}  // namespace assay::log
