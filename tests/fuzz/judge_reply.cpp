// Replies of judges: whatever they hold, a verdict is on the contract's scale and a failure has a kind and a
// message; and a reply that only repeats the judged text is no verdict.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "plugins/common/text.hpp"
#include "plugins/judge/verdict.hpp"

using namespace assay::judge;

namespace {

void check_verdict(const Result<Verdict>& verdict, const Contract& contract) {
  if (!verdict) {
    if (verdict.error().message.empty()) std::abort();
    return;
  }
  bool offered = contract.is_number() && verdict->score >= contract.low && verdict->score <= contract.high;
  for (const Choice& choice : contract.menu) {
    offered = offered || (choice.label == verdict->label && choice.score == verdict->score);
  }
  if (!offered || !std::isfinite(verdict->score)) std::abort();
  if (verdict->reason.size() > kReasonLimit * 3 + 3) std::abort();
}

/// A judge that repeats the whole judged text: with nothing of its own, and behind its own decision.
void check_quotation(const std::string& text, const Contract& contract) {
  const std::vector<std::string> judged = {text};
  for (const Reply& reply : {Reply{text, {}, {}, "stop"}, Reply{"It says: " + text, {}, {}, "stop"},
                             Reply{"It says:\n" + text, {}, {}, "stop"}, Reply{{}, text, {}, "tool_calls"}}) {
    const bool empty = reply.text.empty() && reply.tool_arguments.empty();
    if (!empty && read_verdict(reply, contract, {}, judged)) std::abort();
  }
  const Choice own = contract.menu.empty() ? Choice{"1", 1} : contract.menu.back();
  const auto decided =
      read_verdict({"GRADE: " + own.label + "\n\n" + text, {}, {}, "stop"}, contract, {}, judged);
  if (decided && decided->score != own.score) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::vector<std::string> judged = {text.substr(0, size / 3)};
  const std::string nonce = "k3j9x0q7m2w5z8b1";
  for (const Contract& contract :
       {Contract::truth(), Contract::pairwise(), Contract::number(1, 5), Contract::number(0, 1),
        Contract::choices({{"C", 1}, {"P", 0.5}, {"I", 0}})}) {
    check_quotation(text, contract);
    check_verdict(read_verdict({text, {}, {}, "stop"}, contract), contract);
    check_verdict(read_verdict({text, {}, {}, "stop"}, contract, nonce, judged), contract);
    check_verdict(read_verdict({{}, text, {}, "tool_calls"}, contract, nonce, judged), contract);
  }
  return 0;
}
