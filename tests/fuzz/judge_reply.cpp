// Replies of judges: whatever they hold, a verdict is on the contract's scale and a failure has a kind and a
// message.
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::vector<std::string> judged = {text.substr(0, size / 3)};
  const std::string nonce = "k3j9x0q7m2w5z8b1";
  for (const Contract& contract :
       {Contract::truth(), Contract::pairwise(), Contract::number(1, 5), Contract::number(0, 1),
        Contract::choices({{"C", 1}, {"P", 0.5}, {"I", 0}})}) {
    check_verdict(read_verdict({text, {}, {}, "stop"}, contract), contract);
    check_verdict(read_verdict({text, {}, {}, "stop"}, contract, nonce, judged), contract);
    check_verdict(read_verdict({{}, text, {}, "tool_calls"}, contract, nonce, judged), contract);
  }
  return 0;
}
