#include "experiments/cli/progress.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

namespace slipstream::cli {
namespace {

std::string duration_text(double seconds) {
  const auto whole = static_cast<long>(seconds + 0.5);
  if (whole < 100) return fmt::format("{} s", whole);
  if (whole < 6000) return fmt::format("{} min", (whole + 30) / 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

}  // namespace

Progress::Progress(bool shown, std::size_t runs, std::size_t done)
    : shown_(shown),
      runs_(runs),
      done_(done),
      done_at_start_(done),
      start_(std::chrono::steady_clock::now()),
      last_finish_(start_) {}

void Progress::finished() {
  ++done_;
  last_finish_ = std::chrono::steady_clock::now();
}

Progress::~Progress() {
  if (shown_) fmt::print(stderr, "\r\033[K");
}

void Progress::show(const std::string& what) {
  if (!shown_) return;
  using Seconds = std::chrono::duration<double>;
  std::string rate;
  if (done_ > done_at_start_) {
    const double each = Seconds(last_finish_ - start_).count() / static_cast<double>(done_ - done_at_start_);
    const double since = Seconds(std::chrono::steady_clock::now() - last_finish_).count();
    const double left = std::max(0.0, each * static_cast<double>(runs_ - done_) - since);
    rate = fmt::format(" · {:.1f} runs/min · about {} left", 60.0 / std::max(each, 1e-6), duration_text(left));
  }
  fmt::print(stderr, "\r\033[K[{}/{}] {}{}", done_, runs_, what, rate);
  std::fflush(stderr);
}

void Progress::say(const std::string& text) { fmt::print(stderr, "{}{}\n", shown_ ? "\r\033[K" : "", text); }

}  // namespace slipstream::cli
