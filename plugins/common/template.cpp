#include "plugins/common/template.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "plugins/common/item.hpp"
#include "plugins/common/json.hpp"
#include "plugins/common/text.hpp"

namespace assay::plugins {
namespace {

constexpr std::string_view kOpen = "{{";
constexpr std::string_view kClose = "}}";
constexpr size_t kBudgetLimit = 1024 * 1024;
constexpr size_t kPathLimit = 256;  // bytes between the braces
constexpr std::array<std::string_view, 4> kRoles = {"system", "developer", "user", "assistant"};

std::string place_of(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const auto line = 1 + std::ranges::count(before, '\n');
  const size_t start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  return "line " + std::to_string(line) + ", column " + std::to_string(offset - start + 1);
}

/// The names of `a.b[0].c`; empty for what is no path.
std::vector<std::string> path_names(std::string_view text) {
  std::vector<std::string> names;
  for (size_t at = 0; at <= text.size();) {
    size_t end = at;
    while (end < text.size() && (is_word(text[end]) || text[end] == '-')) ++end;
    if (end == at) return {};
    names.emplace_back(text.substr(at, end - at));
    while (end < text.size() && text[end] == '[') {
      const size_t close = text.find(']', end);
      const std::string_view index =
          close == std::string_view::npos ? "" : text.substr(end + 1, close - end - 1);
      if (index.empty() || !std::ranges::all_of(index, is_digit)) return {};
      names.emplace_back(index);
      end = close + 1;
    }
    if (end == text.size()) return names;
    if (text[end] != '.') return {};
    at = end + 1;
  }
  return {};
}

std::string why_no_path(std::string_view text) {
  if (text.empty()) return "is empty";
  if (text.front() == '{') return "has three braces: two insert a text, and it is never escaped";
  if (std::string_view("#/^>!&").find(text.front()) != std::string_view::npos) {
    return "is a Mustache section, which templates do not have";
  }
  if (text.find('|') != std::string_view::npos) return "has a filter, which templates do not have";
  return "is no dotted path";
}

/// `text` within `budget` bytes: its beginning and its end, and between them how much is missing.
std::string within(std::string_view text, size_t budget) {
  const std::string_view start = head(text, budget - budget / 2);
  const std::string_view end = tail(text, budget / 2);
  const size_t missing = text.size() - start.size() - end.size();
  return std::string(start) + "\n[… " + std::to_string(missing) + " bytes cut here …]\n" + std::string(end);
}

/// The messages of a prompt that is a chat; null for a text.
std::optional<Json> chat_of(std::string_view prompt) {
  if (!trim(prompt).starts_with('[')) return std::nullopt;
  auto parsed = parse_json(prompt);
  const auto is_object = [](const Json& element) { return element.is_object(); };
  const bool chat = parsed && !parsed->empty() && std::ranges::all_of(*parsed, is_object);
  return chat ? std::move(parsed) : std::nullopt;
}

Error config_error(std::string message) {
  return {ErrorKind::config, std::move(message)};
}

}  // namespace

class Template::Compiler {
 public:
  Compiler(Template& made, std::span<const std::string> also) : made_(made), also_(also) {}

  Result<bool> compile(std::string_view prompt) {
    if (prompt.size() > kTemplateLimit) return config_error("the prompt is longer than 256 KiB");
    const auto chat = chat_of(prompt);
    if (!chat) return add("user", prompt, "");
    made_.chat_ = true;
    for (size_t i = 0; i < chat->size(); ++i) {
      if (auto added = add_message((*chat)[i], "message " + std::to_string(i + 1)); !added) return added;
    }
    return true;
  }

 private:
  Result<bool> add_message(const Json& message, const std::string& name) {
    const std::string* role = as_string(find_member(&message, "role"));
    const std::string* content = as_string(find_member(&message, "content"));
    if (role == nullptr || std::ranges::find(kRoles, *role) == kRoles.end()) {
      return config_error("the prompt's " + name + ": role must be system, developer, user or assistant");
    }
    if (content == nullptr) return config_error("the prompt's " + name + ": content must be a text");
    return add(*role, *content, name + ", ");
  }

  Result<bool> add(std::string_view role, std::string_view text, const std::string& where) {
    made_.parts_.push_back({std::string(role), {}});
    std::string literal;
    for (size_t at = 0; at < text.size();) {
      const size_t open = std::min(text.find(kOpen, at), text.size());
      literal += text.substr(at, open - at);
      if (open == text.size()) break;
      if (literal.ends_with('\\') && open > at) {
        literal.pop_back();
        const bool escaped = !(literal.ends_with('\\') && open > at + 1);
        if (escaped) {
          literal += kOpen;
          at = open + kOpen.size();
          continue;
        }
      }
      const size_t close = text.find(kClose, open);
      const std::string place = where + place_of(text, open);
      if (close == std::string_view::npos) {
        return config_error("the prompt's {{ at " + place +
                            " is never closed; write \\{{ for literal braces");
      }
      add_literal(literal);
      if (auto added = add_variable(trim(text.substr(open + 2, close - open - 2)), place); !added)
        return added;
      at = close + kClose.size();
    }
    add_literal(literal);
    return true;
  }

  void add_literal(std::string& literal) {
    if (!literal.empty()) made_.parts_.back().pieces.push_back({std::exchange(literal, {}), {}, {}});
  }

  Result<bool> add_variable(std::string_view name, const std::string& place) {
    const std::string shown = "the prompt's {{ " + bounded(name, 80) + " }} at " + place + " ";
    auto path = name.size() <= kPathLimit ? path_names(name) : std::vector<std::string>{};
    if (path.empty())
      return config_error(shown + why_no_path(name) + "; write {{ input }}, and \\{{ for literal braces");
    if (!is_known(path.front())) return config_error(shown + "is unknown. There is: " + known());
    if (path.size() > 1 && !has_members(path.front()))
      return config_error(shown + "leads into what has no members");
    if (++count_ > kVariablesLimit) {
      return config_error(shown + "is one too many: a prompt has at most " + std::to_string(kVariablesLimit));
    }
    auto& variables = made_.variables_;
    if (std::ranges::find(variables, name) == variables.end()) variables.emplace_back(name);
    made_.parts_.back().pieces.push_back({std::string(name), std::move(path), place});
    return true;
  }

  bool is_known(const std::string& name) const {
    return std::ranges::find(standard_names(), name) != standard_names().end() ||
           std::ranges::find(also_, name) != also_.end();
  }

  std::string known() const {
    std::string names;
    const auto append = [&](std::string_view name) {
      names += (names.empty() ? "" : ", ") + std::string(name);
    };
    std::ranges::for_each(standard_names(), append);
    std::ranges::for_each(also_, append);
    return names;
  }

  Template& made_;
  std::span<const std::string> also_;
  size_t count_ = 0;
};

class Template::Renderer {
 public:
  Renderer(const Json& item, const RenderOptions& options) : item_(item), options_(options) {}

  Result<Rendered> render(const std::vector<Part>& parts) {
    for (const Part& part : parts) {
      Message message{part.role, {}};
      for (const Piece& piece : part.pieces) {
        if (auto appended = append(piece, message.content); !appended) return appended.error();
        if (size_ + message.content.size() > kPromptLimit) {
          return Error{ErrorKind::context_too_long,
                       "the prompt is longer than 8 MiB; lower the budget of its variables"};
        }
      }
      size_ += message.content.size();
      rendered_.messages.push_back(std::move(message));
    }
    return std::move(rendered_);
  }

 private:
  Result<bool> append(const Piece& piece, std::string& out) {
    if (piece.path.empty()) {
      out += piece.text;
      return true;
    }
    auto text = text_of(item_, piece.path, options_.swapped);
    if (!text) return Error{text.error().kind, text.error().message + " (the prompt's " + piece.place + ")"};
    const auto own = options_.budgets.find(piece.text);
    const size_t budget =
        std::min(own != options_.budgets.end() ? own->second : options_.budget, kBudgetLimit);
    if (text->size() > budget) {
      *text = within(*text, budget);
      add_once(rendered_.cut, piece.text);
    }
    out += options_.wrap ? options_.wrap(piece.text, *text) : *text;
    add_once(rendered_.judged, *text);
    return true;
  }

  static void add_once(std::vector<std::string>& texts, const std::string& text) {
    if (std::ranges::find(texts, text) == texts.end()) texts.push_back(text);
  }

  const Json& item_;
  const RenderOptions& options_;
  Rendered rendered_;
  size_t size_ = 0;
};

Result<Template> Template::compile(std::string_view prompt, std::span<const std::string> also) noexcept {
  Template made;
  if (auto compiled = Compiler(made, also).compile(prompt); !compiled) return compiled.error();
  return made;
}

Result<Rendered> Template::render(const Json& item, const RenderOptions& options) const noexcept {
  return Renderer(item, options).render(parts_);
}

}  // namespace assay::plugins
