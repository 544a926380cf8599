// Parameters of one kind each, or what holds without them. The host checks them against the schema; what a
// schema would not let through is refused here as well.
#pragma once

#include <assay/evaluator.hpp>

#include <cmath>
#include <initializer_list>
#include <string>
#include <string_view>

namespace assay::plugins {

inline Failure bad_parameter(const std::string& name, const std::string& what) {
  return Failure(name + ": must be " + what, "config");
}

inline bool flag(const Params& params, const std::string& name, bool otherwise = false) {
  if (!params.has(name)) return otherwise;
  const auto value = params.boolean(name);
  if (!value) throw bad_parameter(name, "true or false");
  return *value;
}

/// Finite and not negative.
inline double amount(const Params& params, const std::string& name) {
  if (!params.has(name)) return 0;
  const auto value = params.number(name);
  if (!value || !std::isfinite(*value) || *value < 0) throw bad_parameter(name, "a number from 0 on");
  return *value;
}

/// One of `words`, the first of which holds without the parameter.
inline std::string word(const Params& params, const std::string& name,
                        std::initializer_list<std::string_view> words) {
  if (!params.has(name)) return std::string(*words.begin());
  std::string all;
  for (const std::string_view one : words) {
    if (params.text(name) == one) return std::string(one);
    all += (all.empty() ? "" : ", ") + std::string(one);
  }
  throw bad_parameter(name, "one of " + all);
}

}  // namespace assay::plugins
