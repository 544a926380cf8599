#include "core/formula.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "core/check.hpp"

namespace assay {
namespace {

struct Function {
  std::string_view name;
  bool many;  ///< takes one or more; else exactly one
  double (*of)(std::span<const double>);
};
using Values = std::span<const double>;

/// What is no number stays visible: of a comparison it would be the one that is left out.
double chosen(Values values, bool largest) {
  for (const double value : values)
    if (std::isnan(value)) return value;
  return largest ? *std::ranges::max_element(values) : *std::ranges::min_element(values);
}

constexpr std::array<Function, 8> kFunctions = {{
    {"min", true, [](Values v) { return chosen(v, false); }},
    {"max", true, [](Values v) { return chosen(v, true); }},
    {"abs", false, [](Values v) { return std::abs(v[0]); }},
    {"floor", false, [](Values v) { return std::floor(v[0]); }},
    {"ceil", false, [](Values v) { return std::ceil(v[0]); }},
    {"exp", false, [](Values v) { return std::exp(v[0]); }},
    {"sqrt", false, [](Values v) { return std::sqrt(v[0]); }},
    {"log", false, [](Values v) { return std::log(v[0]); }},
}};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

template <class Range, class Name>
std::string listed(const Range& range, Name name) {
  std::string list;
  for (const auto& element : range) list += (list.empty() ? "" : ", ") + std::string(name(element));
  return list;
}

}  // namespace

bool Formula::is_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 && is_letter(text[0]) &&
         std::ranges::all_of(text, [](char c) { return is_letter(c) || is_digit(c); });
}

/// Each method reads one rule of the grammar and appends its steps.
class Formula::Parser {
 public:
  Parser(std::string_view text, std::span<const std::string> names, std::vector<Step>& steps)
      : text_(text), names_(names), steps_(steps) {}

  Result<> parse() {
    ASSAY_OK(sum());
    if (at_ == text_.size()) return {};
    return fault(at_, "there must be an operator or the end, not " + found());
  }

 private:
  Result<> sum() {
    ASSAY_OK(product());
    while (const auto op = one_of("+-")) {
      ASSAY_OK(product());
      steps_.push_back({*op == '+' ? Op::add : Op::subtract});
    }
    return {};
  }

  Result<> product() {
    ASSAY_OK(sign());
    while (const auto op = one_of("*/")) {
      ASSAY_OK(sign());
      steps_.push_back({*op == '*' ? Op::multiply : Op::divide});
    }
    return {};
  }

  // Whatever nests passes through here.
  Result<> sign() {
    if (depth_ == kFormulaDepth)
      return fault(at_, "it is nested deeper than " + std::to_string(kFormulaDepth) + " levels");
    ++depth_;
    const auto op = one_of("+-");
    ASSAY_OK(op ? sign() : power());
    if (op == '-') steps_.push_back({Op::negate});
    --depth_;
    return {};
  }

  Result<> power() {
    ASSAY_OK(atom());
    if (!one_of("^")) return {};
    ASSAY_OK(sign());
    steps_.push_back({Op::power});
    return {};
  }

  Result<> atom() {
    skip_spaces();
    const size_t start = at_;
    if (one_of("(")) {
      ASSAY_OK(sum());
      return closed(start);
    }
    const char next = at_ < text_.size() ? text_[at_] : '\0';
    if (is_digit(next) || next == '.') return number();
    if (is_letter(next)) return name();
    return fault(start, "there must be a number, a name or \"(\", not " + found());
  }

  Result<> number() {
    double value = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error == std::errc::result_out_of_range)
      return fault(at_, "the number is too large or too small for a double");
    if (error != std::errc()) return fault(at_, "there must be a number");
    at_ = static_cast<size_t>(end - text_.data());
    steps_.push_back({Op::number, value});
    return {};
  }

  Result<> name() {
    const size_t start = at_;
    while (at_ < text_.size() && (is_letter(text_[at_]) || is_digit(text_[at_]))) ++at_;
    const std::string_view name = text_.substr(start, at_ - start);
    if (one_of("(")) return call(name, start);
    const auto known = std::ranges::find(names_, name);
    if (known == names_.end())
      return fault(start, "there is no \"" + std::string(name.substr(0, 64)) + "\"; there is " +
                              listed(names_, [](const std::string& text) { return text; }));
    steps_.push_back({Op::value, 0, static_cast<size_t>(known - names_.begin())});
    return {};
  }

  Result<> call(std::string_view name, size_t start) {
    const auto* const function = std::ranges::find(kFunctions, name, &Function::name);
    if (function == kFunctions.end())
      return fault(start, "there is no function \"" + std::string(name.substr(0, 64)) + "\"; there is " +
                              listed(kFunctions, [](const Function& known) { return known.name; }));
    size_t count = 0;
    do {
      ASSAY_OK(sum());
      ++count;
    } while (one_of(","));
    if (count > 1 && !function->many)
      return fault(start, std::string(name) + " takes one argument, not " + std::to_string(count));
    steps_.push_back({Op::call, 0, static_cast<size_t>(function - kFunctions.begin()), count});
    return closed(start);
  }

  Result<> closed(size_t start) {
    if (one_of(")")) return {};
    return fault(at_, "there must be a \")\" for column " + std::to_string(start + 1) + ", not " + found());
  }

  /// The next character, when it is one of these.
  std::optional<char> one_of(std::string_view characters) {
    skip_spaces();
    if (at_ == text_.size() || !characters.contains(text_[at_])) return std::nullopt;
    return text_[at_++];
  }

  void skip_spaces() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }

  /// What stands here, for a message.
  std::string found() const {
    if (at_ == text_.size()) return "the end";
    size_t end = at_ + 1;
    while (end < text_.size() && (static_cast<unsigned char>(text_[end]) & 0xc0) == 0x80) ++end;
    return "\"" + std::string(text_.substr(at_, end - at_)) + "\"";
  }

  static std::unexpected<Error> fault(size_t at, const std::string& what) {
    return fail(ErrorKind::config, "column " + std::to_string(at + 1) + ": " + what);
  }

  std::string_view text_;
  std::span<const std::string> names_;
  std::vector<Step>& steps_;
  size_t at_ = 0;
  size_t depth_ = 0;
};

Result<Formula> Formula::parse(std::string_view text, std::span<const std::string> names) {
  if (text.size() > kFormulaLength)
    return fail(ErrorKind::config, "it is longer than " + std::to_string(kFormulaLength) + " bytes");
  Formula formula;
  ASSAY_OK(Parser(text, names, formula.steps_).parse());
  return formula;
}

double Formula::evaluate(std::span<const double> values) const {
  std::vector<double> stack;
  const auto pop = [&stack] {
    ASSAY_CHECK(!stack.empty(), "the parser gives every step its operands");
    const double top = stack.back();
    stack.pop_back();
    return top;
  };
  for (const Step& step : steps_) {
    if (step.op == Op::number) {
      stack.push_back(step.number);
    } else if (step.op == Op::value) {
      ASSAY_CHECK(step.which < values.size(), "there is a value for every name");
      stack.push_back(values[step.which]);
    } else if (step.op == Op::negate) {
      stack.push_back(-pop());
    } else if (step.op == Op::call) {
      ASSAY_CHECK(step.count > 0 && step.count <= stack.size(), "the parser gives calls their arguments");
      const double result = kFunctions[step.which].of(std::span(stack).last(step.count));
      stack.resize(stack.size() - step.count);
      stack.push_back(result);
    } else {
      const double right = pop();
      const double left = pop();
      stack.push_back(step.op == Op::add        ? left + right
                      : step.op == Op::subtract ? left - right
                      : step.op == Op::multiply ? left * right
                      : step.op == Op::divide   ? left / right
                                                : std::pow(left, right));
    }
  }
  return pop();
}

}  // namespace assay
