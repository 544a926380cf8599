// Where in a judge's reply something stands that could be its verdict.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace assay::judge {

/// Bytes `begin` to `end` of a text.
struct Span {
  size_t begin = 0;
  size_t end = 0;
  std::string_view of(std::string_view text) const noexcept { return text.substr(begin, end - begin); }
  bool overlaps(const Span& other) const noexcept { return begin < other.end && other.begin < end; }
};

/// A verdict as text: "Score: 4" and in it "4".
struct Match {
  Span span;
  Span value;
  std::string_view key = {};  ///< "Score"; empty for brackets
};

/// A member of a JSON object: `"score": 4`.
struct Member {
  std::string key;  ///< decoded
  Span span;
  Span value;
};

/// The outermost JSON objects of a text, at most 64; nothing when there are more, or so many braces without a
/// match that finding out would take too long.
std::optional<std::vector<Span>> find_objects(std::string_view text) noexcept;
/// The members of the JSON object at `object` (find_objects), as they stand there; not those of objects
/// within.
std::vector<Member> members_of(std::string_view text, const Span& object) noexcept;
/// Lines "GRADE: C", "**Final score:** 4", "## Rating (1-5) = 4"; the value may be on the next line. Lines of
/// a Markdown quotation ("> GRADE: C") are not the judge's own and are left out.
std::vector<Match> find_lines(std::string_view text) noexcept;
/// "[[A]]", "[[4]]": up to 64 bytes without brackets or line ends in double brackets.
std::vector<Match> find_brackets(std::string_view text) noexcept;
/// The lines that are not blank, without blanks around.
std::vector<Span> find_all_lines(std::string_view text) noexcept;
/// The first and the last line that is not blank.
std::optional<Span> first_line(std::string_view text) noexcept;
std::optional<Span> last_line(std::string_view text) noexcept;

/// The text behind a block of reasoning at its beginning, "<think>…</think>"; nothing when that has no end.
std::optional<std::string_view> without_thinking(std::string_view text) noexcept;

}  // namespace assay::judge
