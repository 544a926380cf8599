// What a model is asked and what it answers, whatever the provider: the words of the rest of the program.
//
// How a request is spelled on the wire and how an answer is read is the dialect's (daemon/llm/dialect.hpp).
// Values all: nothing here refers to anything else. Facts: evaluation-practice §2.3 of the design notes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/json.hpp"

namespace assay::llm {

enum class Role { system, developer, user, assistant };
std::string_view to_string(Role role);

struct Part {
  enum class Type { text, image };
  Type type = Type::text;
  std::string text;  ///< the text, or the URL of the image ("https://…" or "data:image/png;base64,…")
};

struct Message {
  Role role = Role::user;
  std::vector<Part> parts;  ///< at least one
};

inline constexpr size_t kMostMessages = 4096;

/// A chat array as OpenAI writes it: [{"role":"user","content":"…"}], or for content a list of parts
/// {"type":"text","text":"…"} and {"type":"image_url","image_url":{"url":"…"}}. `config` that names the
/// place.
Result<std::vector<Message>> messages_from(const Json& array);

/// What the number in Parameters::max_tokens is called in OpenAI chat completions: reasoning models take only
/// the second name, small local servers only the first.
enum class MaxTokensName { max_tokens, max_completion_tokens };

/// Inference parameters. What is not set is not sent.
struct Parameters {
  std::optional<double> temperature;  ///< 0 … 2
  std::optional<double> top_p;        ///< 0 … 1
  std::optional<int64_t> max_tokens;  ///< of the output, reasoning included; 1 … kMostOutputTokens
  MaxTokensName max_tokens_name = MaxTokensName::max_tokens;
  std::optional<int64_t> seed;
  std::vector<std::string> stop;
  std::optional<int> top_logprobs;  ///< 0 … 20 alternatives a token; set at all: log probabilities are wanted
  std::string reasoning_effort;     ///< "low", "high", …; empty: not sent
  std::string forwarded = "{}";     ///< a JSON object: other members of the body, as they are
};

/// Whether a member of that name may be forwarded: 1 to 64 of [A-Za-z0-9_.-], so that no sentence of a
/// provider that repeats it can be taken for the provider's own; and none that is a member of ours, also when
/// case and separators are left out ("Temperature", "response.format"). `config` that begins with the name.
Result<void> check_forwardable(const std::string& name);

/// From an object: temperature, top_p, max_tokens (or max_completion_tokens, max_output_tokens), seed, stop
/// (a string or a list), logprobs (true or false), top_logprobs, reasoning_effort; other members are
/// forwarded. `config` for values out of range, for members that a request already says or that would change
/// what an answer looks like ("stream", "n", "tools", …), and for names that are not check_forwardable().
Result<Parameters> parameters_from(const Json& object);

/// How structured output is asked for, the strictest first. `json_object` and `prompt` tell the model the
/// schema in words.
enum class StructureMode { schema, tool, json_object, prompt };
std::string_view to_string(StructureMode mode);

struct Structure {
  std::string name;    ///< 1 … 64 of [A-Za-z0-9_-]
  std::string schema;  ///< a JSON schema, an object
  /// Whether the provider shall guarantee the schema: it then wants every property required and
  /// "additionalProperties": false.
  bool strict = true;
  StructureMode mode = StructureMode::schema;
};
/// `config` when the name or the schema is none.
Result<void> check_structure(const Structure& structure);

struct Request {
  std::string model;  ///< as the endpoint knows it
  std::vector<Message> messages;
  Parameters parameters;
  std::optional<Structure> structure;
};

/// Tokens, each counted once: their sum is what was read and written. None is negative or above kTokenLimit.
struct TokenUsage {
  int64_t input = 0;           ///< read by the model, not from a cache
  int64_t cached = 0;          ///< read from the provider's prompt cache
  int64_t cache_write_5m = 0;  ///< written to that cache for 5 minutes, or for a time that was not said
  int64_t cache_write_1h = 0;
  int64_t output = 0;      ///< written by the model, reasoning included
  int64_t reasoning = 0;   ///< the part of `output` that is reasoning, where told
  bool estimated = false;  ///< counted by us (daemon/llm/price.hpp), not told by the provider
  bool operator==(const TokenUsage&) const = default;
};
/// A larger number of tokens in an answer is no number of tokens: no model reads or writes a hundredth of it.
inline constexpr int64_t kTokenLimit = 100'000'000;
/// The most that a request may ask a model to write.
inline constexpr int64_t kMostOutputTokens = 1'000'000;

enum class Finish {
  stop,            ///< it said what it wanted to say
  length,          ///< cut at max_tokens
  content_filter,  ///< cut by the provider
  refusal,         ///< the model refused
  tool,            ///< it called the tool: Reply::tool
  other,           ///< anything else; Reply::finish_reason has the provider's word
};
std::string_view to_string(Finish finish);

struct TokenLogprob {
  struct Alternative {
    std::string token;
    double logprob = 0;  ///< natural logarithm
  };
  std::string token;
  double logprob = 0;
  std::vector<Alternative> top;  ///< as given: most likely first, usually with the token itself
};

struct ToolCall {
  std::string name;
  std::string arguments;  ///< a JSON object, compact
};

/// An answer that was read whole. Texts are UTF-8.
struct Reply {
  std::string text;              ///< what it wrote; often empty when it called the tool or refused
  std::optional<ToolCall> tool;  ///< set exactly when `finish` is `tool`; the first, when it called several
  Finish finish = Finish::stop;
  std::string finish_reason;  ///< as the provider put it
  std::string refusal;        ///< why, when `finish` is `refusal`; may be empty
  std::string reasoning;      ///< what it thought, where the provider shows it
  std::vector<TokenLogprob> logprobs;
  std::optional<TokenUsage> usage;  ///< nullopt: not told
  std::string model;                ///< that answered, as the provider names it; may be empty
  std::string request_id;           ///< for the provider's support; may be empty
};

}  // namespace assay::llm
