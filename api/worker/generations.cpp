#include "api/worker/generations.hpp"

#include "api/container/run_json.hpp"

namespace assay::api {
namespace {

constexpr int64_t kMostItems = 1000;  // a call

/// One line for every text of the items asked for, in the order of their identities.
class GenerationsWriter final : public BodyWriter {
 public:
  GenerationsWriter(Store& store, const Run& run, Range items)
      : store_(store),
        run_(run.row),
        filter_{.evaluator = static_cast<int>(run.evaluators) - 1, .until = items.to},
        after_{items.from - 1, INT32_MAX, INT32_MAX, INT32_MAX} {}

  Task<Answer<std::string>> next() override {
    constexpr int64_t kPage = 200;
    if (done_) co_return std::string();
    const auto found = co_await store_.results(run_, after_, filter_, kPage);
    if (!found) co_return std::unexpected(found.error());
    std::string lines;
    for (const auto& result : *found) {
      {
        JsonObject line(lines);
        line.number("item", result.id.item);
        line.number("model", result.id.model);
        line.number("trial", result.id.trial);
        line.members_of(result.payload);
      }
      lines += '\n';
    }
    done_ = static_cast<int64_t>(found->size()) < kPage;
    if (!found->empty()) after_ = found->back().id;
    co_return lines;
  }

 private:
  Store& store_;
  int64_t run_;
  ResultFilter filter_;
  OutcomeId after_;
  bool done_ = false;
};

}  // namespace

GenerationsQuery read_generations(Query& query) {
  GenerationsQuery wanted;
  wanted.from = query.integer("from", 0, 0, INT64_C(1) << 53);
  wanted.items = query.integer("items", kMostItems, 1, kMostItems);
  query.note("items", "How many of the items, from the one that `from` names.");
  return wanted;
}

Task<Answer<Response>> run_generations(Context& context, Request& request) {
  Query query(request.query);
  const auto wanted = read_generations(query);
  ASSAY_CO_OK(query.done());
  const auto run = co_await context.store.run(request.principal.access, request.parameters[0]);
  if (!run) co_return std::unexpected(run.error());
  if (!generates(*run))
    co_return refuse(409, "nothing_generated", "the run generates no side of its items", "run");
  Response response;
  response.content_type = "application/jsonl";
  response.writer = std::make_unique<GenerationsWriter>(context.store, *run,
                                                        Range{wanted.from, wanted.from + wanted.items});
  co_return response;
}

}  // namespace assay::api
