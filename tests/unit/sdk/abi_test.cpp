// The layout of ABI 1.0. These numbers may never change: new members come at the ends, and as new lines.
#include <assay/plugin.h>

#include <catch2/catch.hpp>
#include <cstddef>

static_assert(sizeof(void*) != 8 || sizeof(assay_text) == 16);
static_assert(offsetof(assay_outcome, verdict) == 4 && offsetof(assay_outcome, score) == 8 &&
              offsetof(assay_outcome, passed) == 16 && offsetof(assay_outcome, reason) == 24 &&
              offsetof(assay_outcome, metrics) == 40 && offsetof(assay_outcome, kind) == 56);
static_assert(offsetof(assay_host, abi_minor) == 4 && offsetof(assay_host, service) == 8 &&
              offsetof(assay_host, done) == 16 && offsetof(assay_host, cancelled) == 24);
static_assert(offsetof(assay_evaluator, evaluate) == 8 && offsetof(assay_evaluator, cancel) == 16 &&
              offsetof(assay_evaluator, destroy) == 24);
static_assert(offsetof(assay_plugin_entry, abi_major) == 4 && offsetof(assay_plugin_entry, abi_minor) == 8 &&
              offsetof(assay_plugin_entry, describe) == 16 && offsetof(assay_plugin_entry, create) == 24);
static_assert(offsetof(assay_json_service, item) == 8 && offsetof(assay_json_service, param) == 16);
static_assert(offsetof(assay_log_service, write) == 8);
static_assert(offsetof(assay_llm_reply, text) == 8 && offsetof(assay_llm_reply, finish) == 24 &&
              offsetof(assay_llm_reply, all) == 40);
static_assert(offsetof(assay_llm_service, complete) == 8);

TEST_CASE("ABI: sizes of version 1.0", "[sdk]") {
  CHECK(sizeof(assay_outcome) == 72);
  CHECK(sizeof(assay_host) == 32);
  CHECK(sizeof(assay_evaluator) == 32);
  CHECK(sizeof(assay_plugin_entry) == 32);
  CHECK(ASSAY_ABI_MAJOR == 1);
}
