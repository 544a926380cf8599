#include "cli/mock/asked.hpp"

namespace assay::cli::mock {
namespace {

namespace dom = simdjson::dom;

/// The value at a JSON pointer; nullopt when it is not there, or null.
std::optional<dom::element> at(dom::element value, std::string_view pointer) {
  dom::element found;
  if (value.at_pointer(pointer).get(found) != simdjson::SUCCESS || found.is_null()) return std::nullopt;
  return found;
}

std::string_view text_at(dom::element value, std::string_view pointer) {
  std::string_view text;
  if (const auto found = at(value, pointer))
    if (found->get(text) != simdjson::SUCCESS) text = {};
  return text;
}

std::optional<size_t> count_at(dom::element value, std::string_view pointer) {
  uint64_t count = 0;
  const auto found = at(value, pointer);
  if (!found || found->get(count) != simdjson::SUCCESS) return std::nullopt;
  return count;
}

bool is_true_at(dom::element value, std::string_view pointer) {
  bool truth = false;
  const auto found = at(value, pointer);
  return found && found->get(truth) == simdjson::SUCCESS && truth;
}

std::unexpected<Complaint> complain(std::string message, std::string param) {
  Complaint complaint;
  complaint.message = std::move(message);
  complaint.param = std::move(param);
  return std::unexpected(std::move(complaint));
}

/// Adds the text of a message, a string or the texts of its parts.
void append_content(Asked& asked, dom::element content, bool of_user) {
  if (!asked.conversation.empty()) asked.conversation += '\n';
  const size_t begin = asked.conversation.size();
  std::string_view text;
  dom::array parts;
  if (content.get(text) == simdjson::SUCCESS) {
    asked.conversation += text;
  } else if (content.get(parts) == simdjson::SUCCESS) {
    for (const auto part : parts) asked.conversation += text_at(part, "/text");
  }
  if (!of_user) return;
  asked.last_at = begin;
  asked.last_size = asked.conversation.size() - begin;
}

std::expected<void, Complaint> read_messages(Asked& asked, dom::element body) {
  for (const char* said_first : {"/system", "/instructions"})
    if (const auto content = at(body, said_first)) append_content(asked, *content, false);
  const std::string_view name = asked.dialect == Dialect::responses ? "input" : "messages";
  const auto messages = at(body, "/" + std::string(name));
  dom::array list;
  if (messages && asked.dialect == Dialect::responses && messages->is_string()) {
    append_content(asked, *messages, true);
    return {};
  }
  if (!messages || messages->get(list) != simdjson::SUCCESS || list.size() == 0)
    return complain("'" + std::string(name) + "' must be a list of messages", std::string(name));
  for (const auto message : list)
    if (const auto content = at(message, "/content"))
      append_content(asked, *content, text_at(message, "/role") == "user");
  if (asked.last_size == 0)
    if (const auto content = at(list.at(list.size() - 1).value_unsafe(), "/content"))
      append_content(asked, *content, true);
  return {};
}

/// Where each API has what the answer is to look like.
struct Places {
  const char* format;      ///< its "type" is json_schema or json_object
  const char* schema;      ///< within the format
  const char* function;    ///< within a tool
  const char* parameters;  ///< within the function
  const char* chosen;      ///< the name of the tool that must be called
};
constexpr Places kPlaces[] = {
    {"/response_format", "/json_schema/schema", "/function", "/parameters", "/tool_choice/function/name"},
    {"/text/format", "/schema", "", "/parameters", "/tool_choice/name"},
    {"/output_config/format", "/schema", "", "/input_schema", "/tool_choice/name"},
};

/// A tool that must be called is as good as a format.
void read_forced_tool(Asked& asked, dom::element body, const Places& places) {
  const std::string_view chosen = text_at(body, places.chosen);
  const std::string_view mode = text_at(body, "/tool_choice");
  const bool any = mode == "required" || mode == "any" || text_at(body, "/tool_choice/type") == "any";
  dom::array tools;
  const auto list = at(body, "/tools");
  if ((chosen.empty() && !any) || !list || list->get(tools) != simdjson::SUCCESS) return;
  for (const auto tool : tools) {
    const auto function = at(tool, places.function);
    if (!function) continue;
    const std::string_view name = text_at(*function, "/name");
    if (!chosen.empty() && name != chosen) continue;
    asked.structure = Structure::tool;
    asked.tool = name;
    asked.schema = at(*function, places.parameters);
    return;
  }
}

std::expected<void, Complaint> read_structure(Asked& asked, dom::element body) {
  const Places& places = kPlaces[static_cast<size_t>(asked.dialect)];
  read_forced_tool(asked, body, places);
  const auto format = at(body, places.format);
  if (!format) return {};
  const std::string_view type = text_at(*format, "/type");
  if (type == "json_object") asked.structure = Structure::json_object;
  if (type != "json_schema") return {};
  asked.structure = Structure::schema;
  asked.schema = at(*format, places.schema);
  if (asked.schema && asked.schema->is_object()) return {};
  return complain("the json_schema has no schema", std::string(places.format + 1));
}

void read_limits(Asked& asked, dom::element body) {
  for (const char* name : {"/max_completion_tokens", "/max_tokens", "/max_output_tokens"})
    if (!asked.max_tokens) asked.max_tokens = count_at(body, name);
  asked.top_logprobs = std::min<size_t>(count_at(body, "/top_logprobs").value_or(0), 20);
  asked.logprobs =
      is_true_at(body, "/logprobs") || text_at(body, "/include/0") == "message.output_text.logprobs";
}

}  // namespace

std::expected<Asked, Complaint> read_asked(Dialect dialect, dom::element body) {
  if (!body.is_object()) return complain("the body must be a JSON object", "");
  if (is_true_at(body, "/stream")) return complain("this mock does not stream", "stream");
  Asked asked;
  asked.dialect = dialect;
  asked.model = text_at(body, "/model");
  if (asked.model.empty()) return complain("you must provide a model parameter", "model");
  if (auto read = read_messages(asked, body); !read) return std::unexpected(std::move(read).error());
  if (auto read = read_structure(asked, body); !read) return std::unexpected(std::move(read).error());
  read_limits(asked, body);
  return asked;
}

}  // namespace assay::cli::mock
