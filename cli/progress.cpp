#include "cli/progress.hpp"

#include <algorithm>

#include "cli/terminal_text.hpp"

namespace assay::cli {
namespace {

using std::chrono::duration;

/// The rate is that of the last seconds, not of the whole task: it follows workers that come and go.
constexpr std::chrono::seconds kRateWindow{10};
constexpr size_t kBarColumns = 20;

std::string bar(double part) {
  const auto full = static_cast<size_t>(part * kBarColumns);
  std::string text = "[";
  for (size_t i = 0; i < kBarColumns; ++i) text += i < full ? '#' : '.';
  return text + "]";
}

}  // namespace

void Progress::update(const State& state, Clock::time_point now) {
  const bool new_phase = !drawn_ || state.phase != state_.phase;
  if (new_phase && drawn_) finish(now);
  if (new_phase) samples_.clear();
  state_ = state;
  samples_.push_back({now, state.done});
  // One sample from before the window stays, so that the window is always spanned.
  while (samples_.size() > 2 && now - samples_[1].at >= kRateWindow) samples_.pop_front();
  if (new_phase || now - *drawn_ >= (options_.terminal ? options_.redraw : options_.plain_line)) draw(now);
}

void Progress::finish(Clock::time_point now) {
  if (!drawn_) return;
  if (options_.terminal) {
    draw(now);
    std::fputc('\n', out_);
  } else if (line() != last_line_) {
    draw(now);
  }
  std::fflush(out_);
  drawn_.reset();
}

void Progress::note_waiting(const std::string& what, Clock::time_point now) {
  if (what == waiting_) return;
  waiting_ = what;
  if (what.empty()) return;
  finish(now);
  std::fprintf(out_, "waiting for %s\n", printable(what).c_str());
  std::fflush(out_);
}

void Progress::draw(Clock::time_point now) {
  last_line_ = line();
  if (options_.terminal)
    // One column stays free: a full line makes some terminals wrap. Then the rest of an older line is erased.
    std::fprintf(out_, "\r%s\x1b[K", clipped(last_line_, std::max<size_t>(options_.width, 2) - 1).c_str());
  else
    std::fprintf(out_, "%s\n", last_line_.c_str());
  std::fflush(out_);
  drawn_ = now;
}

std::string Progress::amount(uint64_t value) const {
  return state_.unit == Unit::bytes ? bytes_text(value) : with_thousands(value);
}

double Progress::rate() const {
  if (samples_.size() < 2 || samples_.back().done < samples_.front().done) return 0;
  const double seconds = duration<double>(samples_.back().at - samples_.front().at).count();
  return seconds <= 0 ? 0 : static_cast<double>(samples_.back().done - samples_.front().done) / seconds;
}

std::string Progress::line() const {
  const double per_second = rate();
  std::string text = printable(state_.phase) + " ";
  if (options_.terminal && state_.total > 0)
    text += bar(std::min(1.0, static_cast<double>(state_.done) / static_cast<double>(state_.total))) + " ";
  text += amount(state_.done);
  if (state_.total > 0) text += "/" + amount(state_.total);
  if (per_second >= 1)
    text += "  " + amount(static_cast<uint64_t>(per_second)) + "/s";
  else if (per_second > 0)
    text += "  " + decimal(60 * per_second, 1) + "/min";
  if (state_.errors > 0)
    text += "  " + with_thousands(state_.errors) + (state_.errors == 1 ? " error" : " errors");
  if (per_second > 0 && state_.total > state_.done)
    text +=
        "  " + duration_text(1000 * static_cast<double>(state_.total - state_.done) / per_second) + " left";
  return text;
}

}  // namespace assay::cli
