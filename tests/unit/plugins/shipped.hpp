// A shipped plugin, loaded as a host loads it: its parameters are checked against its schema.
#pragma once

#include <assay/plugin.h>
#include <dlfcn.h>

#include <catch2/catch.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "plugins/json/schema.hpp"
#include "tests/unit/sdk/test_host.hpp"

class Shipped {
 public:
  using Json = nlohmann::json;

  explicit Shipped(const std::string& name) {
    void* const library = dlopen((std::string(PLUGINS "/") + name + ".so").c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) FAIL(dlerror());
    entry_ = static_cast<const assay_plugin_entry*>(dlsym(library, "assay_plugin"));
    REQUIRE(entry_ != nullptr);
    described_ = Json::parse(entry_->describe);
    CHECK(described_["name"] == name);
  }

  const Json& described() const { return described_; }
  const Json& evaluator(const std::string& name) const {
    for (const Json& one : described_["evaluators"])
      if (one["name"] == name) return one;
    FAIL("no evaluator " << name);
    return described_;
  }

  /// What the schema or the plugin has against the parameters; empty when they are good.
  std::string complaint(const std::string& name, const Json& params) const {
    TestHost host(params);
    std::string why;
    auto* const made = host.create(*entry_, name.c_str(), &why);
    if (made != nullptr) made->destroy(made);
    if (!fits(name, params)) {
      CHECK_FALSE(why.empty());  // also a host that does not look at schemas is told
      return "schema";
    }
    return made != nullptr ? "" : why;
  }

  bool fits(const std::string& name, const Json& params) const {
    const auto schema = assay::json_check::Schema::compile(evaluator(name)["params"]);
    REQUIRE(schema);
    return schema->validate(params)->valid;
  }

  const assay_plugin_entry& entry() const { return *entry_; }

 private:
  const assay_plugin_entry* entry_ = nullptr;
  Json described_;
};

/// One evaluator with its parameters.
class Made {
 public:
  using Json = nlohmann::json;

  Made(const Shipped& plugin, const std::string& name, const Json& params = Json::object()) : host_(params) {
    INFO(params.dump());
    CHECK(plugin.fits(name, params));
    std::string why;
    evaluator_ = host_.create(plugin.entry(), name.c_str(), &why);
    if (evaluator_ == nullptr) FAIL(why);
  }
  ~Made() { evaluator_->destroy(evaluator_); }
  Made(const Made&) = delete;
  Made& operator=(const Made&) = delete;

  TestHost& host() { return host_; }
  void begin(assay_call& call) { TestHost::begin(evaluator_, call); }

  /// Of an evaluator that answers at once.
  Ended of(const Json& item) {
    assay_call call;
    call.item = item;
    begin(call);
    REQUIRE(call.ended);
    CHECK(call.answers == 1);
    return *call.ended;
  }
  /// Both sides as text.
  Ended of(const std::string& output, const std::string& expected) {
    return of({{"sample", {{"output", output}, {"text", output}}},
               {"ground_truth", {{"output", expected}, {"text", expected}}}});
  }

 private:
  TestHost host_;
  assay_evaluator* evaluator_ = nullptr;
};
