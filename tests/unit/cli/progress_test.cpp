#include "cli/progress.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <memory>

using namespace assay::cli;
using namespace std::chrono_literals;

namespace {

/// What was drawn, at times that the test makes up.
class Screen {
 public:
  explicit Screen(Progress::Options options)
      : file_(::open_memstream(&text_, &size_)), progress(file_, options) {}
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen() {
    std::fclose(file_);
    std::free(text_);
  }
  void at(std::chrono::milliseconds when, const Progress::State& state) {
    progress.update(state, start_ + when);
  }
  void finish(std::chrono::milliseconds when) { progress.finish(start_ + when); }
  std::string text() {
    std::fflush(file_);
    return {text_, size_};
  }

 private:
  char* text_ = nullptr;
  size_t size_ = 0;
  std::FILE* file_;
  const Progress::Clock::time_point start_{};

 public:
  Progress progress;
};

}  // namespace

TEST_CASE("Progress: a log gets a line at the start, every few seconds and at the end", "[cli][progress]") {
  Screen screen({});
  screen.at(0ms, {"evaluating", 0, 10'000});
  for (int tenth = 1; tenth <= 100; ++tenth)
    screen.at(100ms * tenth,
              {"evaluating", 100ULL * static_cast<unsigned>(tenth), 10'000, tenth > 60 ? 3ULL : 0});
  screen.finish(10'050ms);
  CHECK(screen.text() ==
        "evaluating 0/10,000\n"
        "evaluating 5,000/10,000  1,000/s  5 s left\n"
        "evaluating 10,000/10,000  1,000/s  3 errors\n");
}

TEST_CASE("Progress: a terminal gets one line that is redrawn", "[cli][progress]") {
  Screen screen({.terminal = true});
  screen.at(0ms, {"evaluating", 0, 200});
  screen.at(10ms, {"evaluating", 1, 200});  // too soon to draw
  screen.at(1000ms, {"evaluating", 100, 200, 1});
  screen.finish(1000ms);
  CHECK(screen.text() ==
        "\revaluating [....................] 0/200\x1b[K"
        "\revaluating [##########..........] 100/200  100/s  1 error  1 s left\x1b[K"
        "\revaluating [##########..........] 100/200  100/s  1 error  1 s left\x1b[K\n");
}

TEST_CASE("Progress: a line never grows over the terminal's width", "[cli][progress]") {
  Screen screen({.terminal = true, .width = 20});
  screen.at(0ms, {"evaluating", 0, 200});
  CHECK(screen.text() == "\revaluating [......…\x1b[K");
}

TEST_CASE("Progress: a new phase has a line and a rate of its own", "[cli][progress]") {
  Screen screen({});
  screen.at(0ms, {"uploading", 0, 3'000'000, 0, Progress::Unit::bytes});
  screen.at(1s, {"uploading", 3'000'000, 3'000'000, 0, Progress::Unit::bytes});
  screen.at(2s, {"waiting", 0, 0});
  screen.finish(2s);
  CHECK(screen.text() ==
        "uploading 0 B/3 MB\n"
        "uploading 3 MB/3 MB  3 MB/s\n"
        "waiting 0\n");
}

TEST_CASE("Progress: what is waited for is said once, on a line of its own", "[cli][progress]") {
  Screen screen({.terminal = true});
  screen.progress.note_waiting("");
  screen.at(0ms, {"queued", 0, 0});
  for (int i = 0; i < 3; ++i) screen.progress.note_waiting("a \x1b[31mworker");
  screen.at(1s, {"queued", 0, 0});
  screen.progress.note_waiting("");
  const std::string text = screen.text();
  CHECK(text.find("\nwaiting for a ") != std::string::npos);
  CHECK(text.find("\x1b[31m") == std::string::npos);
  CHECK(text.find("waiting for", text.find("waiting for") + 1) == std::string::npos);
}

TEST_CASE("Progress: the rate is that of the last seconds", "[cli][progress]") {
  Screen screen({.plain_line = 60s});
  screen.at(0ms, {"evaluating", 0, 100'000});
  for (int second = 1; second <= 20; ++second)
    screen.at(1s * second, {"evaluating", 1000ULL * static_cast<unsigned>(second), 100'000});
  for (int second = 21; second <= 60; ++second) screen.at(1s * second, {"evaluating", 20'010, 100'000});
  screen.finish(60s);
  CHECK(screen.text() == "evaluating 0/100,000\nevaluating 20,010/100,000\n");
}

TEST_CASE("Progress: nothing drawn, nothing to finish", "[cli][progress]") {
  Screen screen({.terminal = true});
  screen.finish(0ms);
  CHECK(screen.text().empty());
}
