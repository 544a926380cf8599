#include "plugins/text/porter_stemmer.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace assay::text {
namespace {

bool is_vowel_letter(char c) {
  return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u';
}

/// What vowels and consonants a stem has. A y behind a consonant is a vowel.
struct Shape {
  size_t measure = 0;  ///< how often a consonant follows a vowel: m in Porter's paper
  bool has_vowel = false;
  std::array<bool, 3> consonants{};  ///< whether the last three letters are; the last one last
};

Shape shape_of(std::string_view stem) {
  Shape shape;
  for (size_t i = 0; i < stem.size(); ++i) {
    auto& [before, previous, current] = shape.consonants;
    const bool consonant = stem[i] == 'y' ? i == 0 || !current : !is_vowel_letter(stem[i]);
    if (i > 0 && consonant && !current) ++shape.measure;
    if (!consonant) shape.has_vowel = true;
    before = previous;
    previous = current;
    current = consonant;
  }
  return shape;
}

size_t measure(std::string_view stem) {
  return shape_of(stem).measure;
}

bool ends_double_consonant(std::string_view stem) {
  return stem.size() >= 2 && stem.back() == stem[stem.size() - 2] && shape_of(stem).consonants[2];
}

/// Consonant, vowel, consonant other than w, x and y; or a word of vowel and consonant.
bool ends_short(std::string_view stem) {
  const auto [before, previous, current] = shape_of(stem).consonants;
  if (stem.size() == 2) return !previous && current;
  return stem.size() >= 3 && before && !previous && current && stem.back() != 'w' && stem.back() != 'x' &&
         stem.back() != 'y';
}

struct Rule {
  std::string_view suffix;
  std::string_view replacement;
};

std::string_view without(std::string_view word, std::string_view suffix) {
  return word.substr(0, word.size() - suffix.size());
}

void replace_suffix(std::string& word, const Rule& rule) {
  word.resize(word.size() - rule.suffix.size());
  word += rule.replacement;
}

/// The first rule whose suffix the word has is the only one tried: it holds if the stem's measure is above
/// `above`.
void apply_first(std::string& word, std::span<const Rule> rules, size_t above) {
  const auto rule = std::ranges::find_if(rules, [&](const Rule& r) { return word.ends_with(r.suffix); });
  if (rule != rules.end() && measure(without(word, rule->suffix)) > above) replace_suffix(word, *rule);
}

/// Plurals.
void step1a(std::string& word) {
  if (word.ends_with("ies") && word.size() == 4) return replace_suffix(word, {"ies", "ie"});
  if (word.ends_with("sses")) return replace_suffix(word, {"sses", "ss"});
  if (word.ends_with("ies")) return replace_suffix(word, {"ies", "i"});
  if (word.ends_with("s") && !word.ends_with("ss")) word.pop_back();
}

/// After -ed and -ing are gone.
void restore_end(std::string& stem) {
  const bool lost_e = stem.ends_with("at") || stem.ends_with("bl") || stem.ends_with("iz");
  if (!lost_e && ends_double_consonant(stem)) {
    if (stem.back() != 'l' && stem.back() != 's' && stem.back() != 'z') stem.pop_back();
  } else if (lost_e || (measure(stem) == 1 && ends_short(stem))) {
    stem += 'e';
  }
}

void step1b(std::string& word) {
  if (word.ends_with("ied")) return replace_suffix(word, {"ied", word.size() == 4 ? "ie" : "i"});
  if (word.ends_with("eed")) {
    if (measure(without(word, "eed")) > 0) word.pop_back();
    return;
  }
  for (const std::string_view suffix : {"ed", "ing"})
    if (word.ends_with(suffix) && shape_of(without(word, suffix)).has_vowel) {
      replace_suffix(word, {suffix, ""});
      return restore_end(word);
    }
}

void step1c(std::string& word) {
  if (!word.ends_with("y")) return;
  const auto stem = without(word, "y");
  if (stem.size() > 1 && shape_of(stem).consonants[2]) word.back() = 'i';
}

void step2(std::string& word) {
  static constexpr Rule kRules[] = {
      {"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"},
      {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"}, {"eli", "e"},     {"ousli", "ous"},
      {"ization", "ize"}, {"ation", "ate"},   {"ator", "ate"},  {"alism", "al"},  {"iveness", "ive"},
      {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"},  {"iviti", "ive"}, {"biliti", "ble"},
      {"fulli", "ful"},
  };
  // What ends in -alli may end in a suffix again without it.
  if (word.ends_with("alli") && measure(without(word, "alli")) > 0) replace_suffix(word, {"alli", "al"});
  // The l of -logi counts as part of the stem, so that "geo" is long enough.
  if (word.ends_with("logi")) {
    if (measure(without(word, "ogi")) > 0) word.pop_back();
    return;
  }
  apply_first(word, kRules, 0);
}

void step3(std::string& word) {
  static constexpr Rule kRules[] = {{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"},
                                    {"ical", "ic"},  {"ful", ""},   {"ness", ""}};
  apply_first(word, kRules, 0);
}

void step4(std::string& word) {
  static constexpr std::string_view kSuffixes[] = {"al",  "ance",  "ence", "er",  "ic",  "able", "ible",
                                                   "ant", "ement", "ment", "ent", "ion", "ou",   "ism",
                                                   "ate", "iti",   "ous",  "ive", "ize"};
  const auto* suffix = std::ranges::find_if(kSuffixes, [&](std::string_view s) { return word.ends_with(s); });
  if (suffix == std::end(kSuffixes)) return;
  const auto stem = without(word, *suffix);
  if (measure(stem) <= 1) return;
  if (*suffix == "ion" && !stem.ends_with('s') && !stem.ends_with('t')) return;
  word.resize(stem.size());
}

void step5(std::string& word) {
  if (word.ends_with("e")) {
    const auto stem = without(word, "e");
    const size_t m = measure(stem);
    if (m > 1 || (m == 1 && !ends_short(stem))) word.pop_back();
  }
  if (word.ends_with("ll") && measure(without(word, "l")) > 1) word.pop_back();
}

std::string_view irregular(std::string_view word) {
  static constexpr Rule kForms[] = {
      {"sky", "sky"},        {"skies", "sky"},       {"dying", "die"},        {"lying", "lie"},
      {"tying", "tie"},      {"news", "news"},       {"innings", "inning"},   {"inning", "inning"},
      {"outings", "outing"}, {"outing", "outing"},   {"cannings", "canning"}, {"canning", "canning"},
      {"howe", "howe"},      {"proceed", "proceed"}, {"exceed", "exceed"},    {"succeed", "succeed"},
  };
  const auto* form = std::ranges::find(kForms, word, &Rule::suffix);
  return form == std::end(kForms) ? std::string_view() : form->replacement;
}

}  // namespace

std::string porter_stem(std::string_view word) {
  if (const auto stem = irregular(word); !stem.empty()) return std::string(stem);
  std::string stem(word);
  if (word.size() <= 2) return stem;
  step1a(stem);
  step1b(stem);
  step1c(stem);
  step2(stem);
  step3(stem);
  step4(stem);
  step5(stem);
  return stem;
}

}  // namespace assay::text
