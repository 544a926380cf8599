// A plugin with two evaluators: one that answers at once, one that asks a model.
#include <assay/evaluator.hpp>
#include <string>
#include <string_view>

namespace {

/// 1 when the sample has no more words than "limit".
class Short {
 public:
  static constexpr std::string_view describe = R"({
    "name": "short", "summary": "1 when the sample has no more words than limit",
    "params": {"type": "object", "properties": {"limit": {"type": "integer", "minimum": 1}},
               "required": ["limit"], "additionalProperties": false},
    "max_in_flight": 64})";

  explicit Short(const assay::Params& params) : limit_(*params.number("limit")) {}

  assay::Score evaluate(const assay::Item& item) const {
    double words = 0;
    bool inside = false;
    for (const char c : item.sample()) {
      const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
      if (!space && !inside) words++;
      inside = !space;
    }
    return {.score = words <= limit_ ? 1.0 : 0.0,
            .reason = std::to_string(static_cast<long>(words)) + " words",
            .metrics = {{"words", words}}};
  }

 private:
  double limit_;
};

/// Asks the model "model" whether the sample is polite. What it answers is looked at here, not believed:
/// anything but yes and no is an error, never a score.
class Polite {
 public:
  static constexpr std::string_view describe = R"({
    "name": "polite", "summary": "1 when a model calls the sample polite",
    "params": {"type": "object", "properties": {"model": {"type": "string"}},
               "required": ["model"], "additionalProperties": false},
    "services": ["assay.llm/1"], "max_in_flight": 64})";

  explicit Polite(const assay::Params& params) : model_(*params.text("model")) {}

  void evaluate(assay::Call call) const {
    std::string request =
        R"({"model":)" + assay::quoted(model_) + R"(,"messages":[{"role":"user","content":)";
    request +=
        assay::quoted("Is this polite? Answer yes or no.\n\n" + std::string(call.item().sample())) + "}]}";
    call.complete(request, [](assay::Call asked, const assay::Reply& reply) {
      if (reply.text() == "yes" || reply.text() == "no")
        asked.score({.score = reply.text() == "yes" ? 1.0 : 0.0});
      else
        asked.fail("the model answered neither yes nor no: " + std::string(reply.text()), "judge_parse");
    });
  }

 private:
  std::string model_;
};

}  // namespace

ASSAY_PLUGIN("words", "1.0.0", Short, Polite);
