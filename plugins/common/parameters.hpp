// Parameters of one kind each, or what holds without them. What the evaluator's schema refuses is refused
// here as well, whether or not the host has looked: each of these throws Failure (`config`) that names the
// parameter.
#pragma once

#include <assay/evaluator.hpp>

#include <initializer_list>
#include <string>
#include <string_view>

namespace assay::plugins {

/// `params`, when `describe` has all their names and they have those that it requires.
Params checked(std::string_view describe, const Params& params);

Failure bad_parameter(const std::string& name, const std::string& what);

/// False without it.
bool flag(const Params& params, const std::string& name);
/// Finite and not negative; 0 without it.
double amount(const Params& params, const std::string& name);
/// One of `words`, the first of which holds without it.
std::string word(const Params& params, const std::string& name,
                 std::initializer_list<std::string_view> words);

}  // namespace assay::plugins
