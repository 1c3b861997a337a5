#include "experiments/cli/progress.h"

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
    : shown_(shown), runs_(runs), done_(done), done_at_start_(done), start_(std::chrono::steady_clock::now()) {}

Progress::~Progress() {
  if (shown_) fmt::print(stderr, "\r\033[K");
}

void Progress::show(const std::string& what) {
  if (!shown_) return;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  const std::size_t made = done_ - done_at_start_;
  std::string rate;
  if (made > 0) {
    const double each = elapsed.count() / static_cast<double>(made);
    rate = fmt::format(" · {:.1f} runs/min · about {} left", 60.0 / each,
                       duration_text(each * static_cast<double>(runs_ - done_)));
  }
  fmt::print(stderr, "\r\033[K[{}/{}] {}{}", done_, runs_, what, rate);
  std::fflush(stderr);
}

void Progress::say(const std::string& text) { fmt::print(stderr, "{}{}\n", shown_ ? "\r\033[K" : "", text); }

}  // namespace slipstream::cli
