#include "plugins/judge/question.hpp"

#include <nlohmann/json.hpp>

#include "plugins/common/json.hpp"
#include "plugins/judge/fence.hpp"
#include "plugins/judge/nonce.hpp"

namespace assay::judge {
namespace {

bool is_system(const Message& message) {
  return message.role == "system" || message.role == "developer";
}

Json message_of(const std::string& role, const std::string& content) {
  return {{"role", role}, {"content", content}};
}

/// The label of the straight order, said of the swapped one.
std::string turned(const std::string& verdict) {
  return verdict == R"("A")" ? R"("B")" : verdict == R"("B")" ? R"("A")" : verdict;
}

RenderOptions options_of(const Settings& settings, const Ask& ask) {
  RenderOptions options;
  options.swapped = ask.swapped;
  options.budget = settings.budget;
  options.budgets = settings.budgets;
  return options;
}

/// Of this question, whatever else the item holds.
Result<Fence> fence_of(const Settings& settings, const Json& item, const Ask& ask) {
  const auto plain = settings.prompt.render(item, options_of(settings, ask));
  if (!plain) return plain.error();
  Json question = Json::array({settings.models[ask.model], ask.vote, ask.swapped});
  for (const Message& message : plain->messages) question.push_back({message.role, message.content});
  return Fence::with_nonce(nonce_of(dump_json(question)));
}

class Asking {
 public:
  Asking(const Settings& settings, const Fence& fence, const Ask& ask)
      : settings_(settings), fence_(fence), ask_(ask) {}

  Result<Rendered> render(const Json& item) const {
    RenderOptions options = options_of(settings_, ask_);
    options.wrap = [this](std::string_view variable, std::string_view text) {
      return fence_.wrap(variable, text);
    };
    return settings_.prompt.render(item, options);
  }

  /// The prompt's own system messages and ours, the examples, the item.
  Result<Json> messages(const std::vector<Message>& rendered) const {
    Json all = Json::array();
    size_t next = 0;
    for (; next < rendered.size() && is_system(rendered[next]); ++next)
      all.push_back(message_of(rendered[next].role, rendered[next].content));
    if (all.empty()) {
      all.push_back(message_of("system", rules()));
    } else {
      all.back()["content"] = all.back()["content"].get<std::string>() + "\n\n" + rules();
    }
    for (const Example& example : settings_.examples) {
      if (auto added = add_example(example, all); !added) return added.error();
    }
    for (; next < rendered.size(); ++next)
      all.push_back(message_of(rendered[next].role, rendered[next].content));
    return all;
  }

  std::string request(const Json& messages) const {
    Json params = *parse_json(settings_.inference_params);
    const auto max_tokens = ask_.max_tokens ? ask_.max_tokens : settings_.max_tokens;
    if (max_tokens) params[settings_.max_tokens_name] = *max_tokens;
    // The same seed would give the same vote.
    if (params.contains("seed"))
      params["seed"] = params["seed"].get<int64_t>() + static_cast<int64_t>(ask_.vote);
    // By hand: a schema's order of properties is the order in which the model writes them.
    std::string request = R"({"model":)" + dump_json(settings_.models[ask_.model]) + R"(,"messages":)" +
                          dump_json(messages) + R"(,"params":)" + dump_json(params);
    if (settings_.format == Format::schema) request += R"(,"schema":)" + settings_.schema;
    if (settings_.format == Format::ours) {
      request += R"(,"schema":{"name":"judgement","schema":)" +
                 answer_schema(settings_.contract, fence_.nonce()) + R"(,"strict":true})";
    }
    return request + "}";
  }

 private:
  std::string rules() const {
    if (settings_.format != Format::ours) return fence_.instruction();
    return fence_.instruction() + "\n\n" + answer_instruction(settings_.contract, fence_.nonce());
  }

  Result<bool> add_example(const Example& example, Json& messages) const {
    const auto rendered = render(*parse_json(example.item));
    if (!rendered) return rendered.error();
    for (const Message& message : rendered->messages)
      if (!is_system(message)) messages.push_back(message_of(message.role, message.content));
    messages.push_back(message_of("assistant", answer_of(example)));
    return true;
  }

  std::string answer_of(const Example& example) const {
    const std::string own = settings_.contract.is_number() ? "score" : "verdict";
    const std::string key = settings_.format == Format::ours ? verdict_key(fence_.nonce()) : own;
    return R"({"reason":)" + dump_json(example.reason) + "," + dump_json(key) + ":" +
           (ask_.swapped ? turned(example.verdict) : example.verdict) + "}";
  }

  const Settings& settings_;
  const Fence& fence_;
  const Ask& ask_;
};

}  // namespace

Result<Question> question_for(const Settings& settings, const Json& item, const Ask& ask) {
  const auto fence = fence_of(settings, item, ask);
  if (!fence) return fence.error();
  const Asking asking(settings, *fence, ask);
  auto rendered = asking.render(item);
  if (!rendered) return rendered.error();
  const auto messages = asking.messages(rendered->messages);
  if (!messages) return messages.error();
  return Question{asking.request(*messages), fence->nonce(), std::move(rendered->judged),
                  std::move(rendered->cut)};
}

Result<bool> try_examples(const Settings& settings) {
  const auto fence = Fence::with_nonce(nonce_of(""));
  if (!fence) return fence.error();
  const Ask ask;
  const Asking asking(settings, *fence, ask);
  for (size_t i = 0; i < settings.examples.size(); ++i) {
    const auto rendered = asking.render(*parse_json(settings.examples[i].item));
    if (!rendered)
      return Error{ErrorKind::config, "[" + std::to_string(i) + "] as an item: " + rendered.error().message};
  }
  return true;
}

}  // namespace assay::judge
