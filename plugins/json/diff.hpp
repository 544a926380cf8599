// How alike two JSON documents are.
#pragma once

#include <expected>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace assay::json_check {

/// Whether a string that holds an object or array as JSON is compared as that.
enum class Strings { parse, preserve };

/// 1 - |a - b| / (|a| + |b|), as autoevals' `NumericDiff`; 1 for two zeros.
double number_similarity(double a, double b);

/// From 0 to 1, as autoevals' `JSONDiff`: the mean over all keys of two objects (a missing one is null) and
/// over all positions of two arrays (a missing one scores 0), edit similarity of strings, `number_similarity`
/// of numbers and booleans (which are 0 and 1), 1 for two nulls and 0 for one; other pairs by the edit
/// similarity of their JSON.
///
/// The error says that the documents are too deep or their strings too long (kLevenshteinCellLimit for all
/// pairs together). Unlike autoevals, integers beyond 64 bits are doubles, and strings holding NaN or
/// Infinity no JSON.
std::expected<double, std::string> json_similarity(const nlohmann::json& output,
                                                   const nlohmann::json& expected,
                                                   Strings strings = Strings::parse);

}  // namespace assay::json_check
