#include "plugins/judge/refusal.hpp"

#include <algorithm>
#include <array>

#include "plugins/common/text.hpp"

namespace assay::judge {
namespace {

constexpr size_t kLooked = 240;  // bytes of a reply in which a refusal begins

constexpr std::array<std::string_view, 5> kCut = {"length", "max_tokens", "max_output_tokens", "model_length",
                                                  "incomplete"};
constexpr std::array<std::string_view, 5> kFiltered = {"content_filter", "safety", "recitation", "blocklist",
                                                       "prohibited_content"};
constexpr std::array<std::string_view, 26> kRefusals = {"i can't assist",   "i cannot assist",
                                                        "i can't help",     "i cannot help",
                                                        "i can't evaluate", "i cannot evaluate",
                                                        "i can't provide",  "i cannot provide",
                                                        "i can't judge",    "i cannot judge",
                                                        "i can't comply",   "i cannot comply",
                                                        "i won't",          "i will not",
                                                        "i'm unable",       "i am unable",
                                                        "i'm not able to",  "i am not able to",
                                                        "i must decline",   "i'm sorry, but",
                                                        "i apologize, but", "lo siento, pero no",
                                                        "je ne peux pas",   "es tut mir leid",
                                                        "申し訳",           "抱歉"};

template <size_t N>
bool is_one_of(const std::array<std::string_view, N>& words, std::string_view word) {
  return std::ranges::any_of(words, [word](std::string_view one) { return equal_ignoring_case(one, word); });
}

}  // namespace

std::optional<Error> why_stopped(const Reply& reply) noexcept {
  if (!reply.refusal.empty() || equal_ignoring_case(reply.finish_reason, "refusal")) {
    const std::string_view said = reply.refusal.empty() ? reply.text : reply.refusal;
    return Error{ErrorKind::judge_refusal, "the judge declined: \"" + bounded(trim(said), 120) + "\""};
  }
  if (is_one_of(kFiltered, reply.finish_reason)) {
    return Error{ErrorKind::content_filter,
                 "the provider withheld the judge's reply (" + bounded(reply.finish_reason, 40) + ")"};
  }
  if (is_one_of(kCut, reply.finish_reason)) {
    return Error{ErrorKind::judge_truncated,
                 "the judge's reply was cut at its token limit; raise max_tokens"};
  }
  return std::nullopt;
}

bool begins_as_refusal(std::string_view text) noexcept {
  std::string start = lower(head(trim(text), kLooked));
  for (size_t at = start.find("’"); at != std::string::npos; at = start.find("’", at + 1))
    start.replace(at, 3, "'");
  return std::ranges::any_of(
      kRefusals, [&](std::string_view phrase) { return start.find(phrase) != std::string::npos; });
}

}  // namespace assay::judge
