#include "emulate/hosts/node_end.h"

#include <algorithm>

#include <fmt/format.h>

namespace slipstream::emulate {
namespace {

constexpr std::size_t kLastWords = 2000;  // bytes that are told

std::string states(const RunPlan& plan, std::span<const NodeEnd> ends) {
  std::string text;
  for (const NodeEnd& end : ends) {
    const char* const without = end.how == NodeEnd::How::kPutDown ? "did not stop, was killed" : "had not begun";
    text += fmt::format("\n  {}: {}", plan.name(end.id), end.text.empty() ? without : end.text);
  }
  return text;
}

}  // namespace

std::string trouble_of(const RunPlan& plan, const EmulateOptions& options, std::span<const NodeEnd> ends, int signal) {
  using How = NodeEnd::How;
  if (signal != 0) return interrupted(signal);  // the nodes may have got it, too
  const auto first = [&](How how) {
    return std::find_if(ends.begin(), ends.end(), [how](const NodeEnd& end) { return end.how == how; });
  };
  if (const auto lost = first(How::kLost); lost != ends.end()) {
    return fmt::format("{} {}{}", lost->who, lost->text, last_words(lost->words));
  }
  if (const auto end = first(How::kTrouble); end != ends.end()) {
    return fmt::format("{}: {}{}", plan.name(end->id), end->text, last_words(end->words));
  }
  if (first(How::kEndedRun) == ends.end()) return late(options) + states(plan, ends);
  if (first(How::kPutDown) != ends.end()) return "a node did not stop at the end of the run:" + states(plan, ends);
  return {};
}

std::string last_words(std::string_view words) {
  while (words.ends_with('\n') || words.ends_with('\r')) words.remove_suffix(1);
  if (words.size() > kLastWords) words.remove_prefix(words.size() - kLastWords);
  return words.empty() ? std::string() : fmt::format("; its last words: {}", words);
}

}  // namespace slipstream::emulate
