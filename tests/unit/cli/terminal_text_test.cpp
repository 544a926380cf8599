#include "cli/terminal_text.hpp"

#include <catch2/catch.hpp>

using namespace assay::cli;

TEST_CASE("terminal_text: nothing that commands a terminal gets through", "[cli][text]") {
  CHECK(printable("plain é 漢 🙂") == "plain é 漢 🙂");
  CHECK(printable("two\nlines\tand\r\nmore") == "two lines and  more");
  CHECK(printable("\x1b[31mred\x1b[0m") == "\uFFFD[31mred\uFFFD[0m");
  CHECK(printable("\x1b]0;title\a") == "\uFFFD]0;title\uFFFD");
  CHECK(printable("\u009b31m") == "\uFFFD31m");                // the escape in one character
  CHECK(printable("abc\u202Etxt.exe") == "abc\uFFFDtxt.exe");  // text that would be shown backwards
  CHECK(printable("a\xFFz") == "a\uFFFDz");
  CHECK(printable(std::string_view("a\0z", 3)) == "a\uFFFDz");
}

TEST_CASE("terminal_text: width counts columns, not bytes", "[cli][text]") {
  CHECK(display_width("") == 0);
  CHECK(display_width("abc") == 3);
  CHECK(display_width("é±–") == 3);
  CHECK(display_width("漢字") == 4);
  CHECK(display_width("🙂") == 2);
  CHECK(display_width("e\u0301") == 1);
}

TEST_CASE("terminal_text: what is cut says so and keeps whole characters", "[cli][text]") {
  CHECK(clipped("abc", 3) == "abc");
  CHECK(clipped("abcd", 3) == "ab…");
  CHECK(clipped("漢字漢", 4) == "漢…");
  CHECK(clipped("éé", 1) == "…");
  CHECK(clipped("abc", 0).empty());
  CHECK(padded_right("é", 3) == "é  ");
  CHECK(padded_left("12", 4) == "  12");
  CHECK(padded_left("12345", 4) == "12345");
}

TEST_CASE("terminal_text: numbers are written as people write them", "[cli][text]") {
  CHECK(with_thousands(0) == "0");
  CHECK(with_thousands(999) == "999");
  CHECK(with_thousands(17204) == "17,204");
  CHECK(with_thousands(1234567890) == "1,234,567,890");
  CHECK(decimal(0.5625, 4) == "0.5625");
  CHECK(decimal(12, 4) == "12");
  CHECK(decimal(1200, 0) == "1200");
  CHECK(decimal(-0.00001, 2) == "0");
  CHECK(decimal(-0.1, 4) == "-0.1");
  CHECK(decimal(1e300, 1).size() == 301);
  CHECK(percent(0.5625) == "56.2 %");
  CHECK(percent(1) == "100.0 %");
  CHECK(duration_text(0.2149) == "0.21 ms");
  CHECK(duration_text(12.4) == "12 ms");
  CHECK(duration_text(3400) == "3.4 s");
  CHECK(duration_text(125'000) == "2 min 5 s");
  CHECK(duration_text(7'500'000) == "2 h 5 min");
  CHECK(age_text(-3000) == "now");
  CHECK(age_text(59'999) == "59 s ago");
  CHECK(age_text(125'000) == "2 min ago");
  CHECK(age_text(7'200'000) == "2 h ago");
  CHECK(age_text(int64_t{3} * 86'400'000) == "3 d ago");
  CHECK(bytes_text(512) == "512 B");
  CHECK(bytes_text(1500) == "1.5 KB");
  CHECK(bytes_text(3'200'000'000) == "3.2 GB");
}
