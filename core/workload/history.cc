#include "core/workload/history.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/workload/workload.h"

namespace slipstream {
namespace {

using Form = HistoryValue::Form;

std::string_view json_type(const HistoryOperation& op, bool ends) {
  if (!ends) return "invoke";
  switch (op.outcome) {
    case Outcome::kOk: return "ok";
    case Outcome::kNotFound: return op.action == Action::kRead ? "ok" : "fail";
    case Outcome::kMismatch:
    case Outcome::kNotANumber:
    case Outcome::kFailed: return "fail";
    case Outcome::kOpen:
    case Outcome::kUnknown: break;
  }
  return "info";
}

std::string json_value(const HistoryValue& value) {
  switch (value.form) {
    case Form::kStamp:
    case Form::kCounter: return fmt::format("{}", value.word);
    case Form::kUnmarked: return "\"unmarked\"";
    case Form::kTorn: return "\"torn\"";
    case Form::kNone: break;
  }
  return "null";
}

std::string json_value(const HistoryOperation& op, bool ends) {
  switch (op.action) {
    case Action::kRead: return json_value(ends ? op.seen : HistoryValue{});
    case Action::kWrite: return json_value(op.written);
    case Action::kConditionalWrite: return fmt::format("[{},{}]", op.asked, json_value(op.written));
    case Action::kConditionalRemove: return fmt::format("{}", op.asked);
    case Action::kIncrement: {
      const auto addend = static_cast<std::int64_t>(op.asked);
      if (ends && op.outcome == Outcome::kOk) return fmt::format("[{},{}]", addend, json_value(op.seen));
      return fmt::format("{}", addend);
    }
    case Action::kRemove: break;
  }
  return "null";
}

std::string arguments(const HistoryOperation& op) {
  std::string text;
  if (is_conditional(op.action)) text += fmt::format(" if version {}", op.asked);
  if (is_write(op.action)) text += " " + describe(op.written);
  if (op.action == Action::kIncrement) text += fmt::format(" {}", static_cast<std::int64_t>(op.asked));
  return text;
}

template <typename Get>
std::vector<HistoryOperation> merge_all(std::size_t histories, Get&& history) {
  std::size_t size = 0;
  for (std::size_t i = 0; i < histories; ++i) size += history(i).operations().size();
  std::vector<HistoryOperation> all;
  all.reserve(size);
  for (std::size_t i = 0; i < histories; ++i) {
    const std::span<const HistoryOperation> some = history(i).operations();
    all.insert(all.end(), some.begin(), some.end());
  }
  sort_by_invocation(all);
  return all;
}

}  // namespace

void sort_by_invocation(std::vector<HistoryOperation>& operations) {
  std::sort(operations.begin(), operations.end(), [](const HistoryOperation& a, const HistoryOperation& b) {
    if (a.invoked_ns != b.invoked_ns) return a.invoked_ns < b.invoked_ns;
    return a.client != b.client ? a.client < b.client : a.number < b.number;
  });
}

std::string_view name(Action action) {
  switch (action) {
    case Action::kRead: return "read";
    case Action::kWrite: return "write";
    case Action::kConditionalWrite: return "cas";
    case Action::kRemove: return "remove";
    case Action::kConditionalRemove: return "remove-if";
    case Action::kIncrement: return "add";
  }
  return "?";
}

std::string_view name(Outcome outcome) {
  switch (outcome) {
    case Outcome::kOpen: return "open";
    case Outcome::kOk: return "ok";
    case Outcome::kNotFound: return "not-found";
    case Outcome::kMismatch: return "version-mismatch";
    case Outcome::kNotANumber: return "not-a-number";
    case Outcome::kFailed: return "failed";
    case Outcome::kUnknown: return "unknown";
  }
  return "?";
}

HistoryValue value_of(std::uint64_t key, ConstBytes bytes) {
  std::uint64_t word = 0;
  if (bytes.size() >= sizeof(word)) std::memcpy(&word, bytes.data(), sizeof(word));
  if (bytes.size() == sizeof(word)) return {word, Form::kCounter};
  if (!is_value_of(key, bytes)) return {0, Form::kTorn};
  if (bytes.size() < 2 * sizeof(word)) return {0, Form::kUnmarked};
  return {word, Form::kStamp};
}

std::string describe(const HistoryValue& value) {
  switch (value.form) {
    case Form::kNone: return "nothing";
    case Form::kStamp: return fmt::format("stamp {:x}", value.word);
    case Form::kCounter: return fmt::format("counter {}", static_cast<std::int64_t>(value.word));
    case Form::kUnmarked: return "an unmarked value";
    case Form::kTorn: return "a torn value";
  }
  return "?";
}

std::string describe(const HistoryOperation& op) {
  std::string text = fmt::format("client {} #{} [{}, ", op.client, op.number, op.invoked_ns);
  text += op.is_undecided() ? "...) ns" : fmt::format("{}] ns", op.ended_ns);
  text += fmt::format(" {} key {}{}: ", name(op.action), op.key, arguments(op));
  if (op.is_undecided()) return text + "outcome unknown";
  text += name(op.outcome);
  if (op.outcome != Outcome::kFailed && op.outcome != Outcome::kNotFound) {
    text += fmt::format(" version {}", op.version);
  }
  if (op.seen.form != Form::kNone) text += " " + describe(op.seen);
  return text;
}

std::uint32_t History::invoke(TimeNs now, Action action, std::uint64_t key, std::uint64_t asked, HistoryValue written,
                              std::uint32_t multi) {
  HistoryOperation op;
  op.invoked_ns = now;
  op.key = key;
  op.asked = asked;
  op.written = written;
  op.client = client_;
  op.number = static_cast<std::uint32_t>(operations_.size());
  op.multi = multi;
  op.invoked_event = events_++;
  op.action = action;
  // A process that ended at this very time is not taken: events of one time have no order but invocations first.
  if (!free_.empty() && free_.front().since_ns < now) {
    op.process = free_.front().process;
    free_.pop();
  } else {
    op.process = client_ + clients_ * processes_++;
  }
  operations_.push_back(op);
  return op.number;
}

void History::complete(std::uint32_t operation, TimeNs now, Outcome outcome, std::uint64_t version, HistoryValue seen) {
  SLIP_CHECK(operation < operations_.size() && outcome != Outcome::kOpen && outcome != Outcome::kUnknown);
  HistoryOperation& op = operations_[operation];
  if (op.answers < UINT8_MAX) ++op.answers;
  if (op.answers > 1) return;
  const bool was_given_up = op.outcome == Outcome::kUnknown;
  op.ended_ns = now;
  op.ended_event = events_++;
  op.outcome = outcome;
  op.version = version;
  op.seen = seen;
  if (!was_given_up) free_.push({op.process, now});
}

void History::unknown(std::uint32_t operation, TimeNs now) {
  SLIP_CHECK(operation < operations_.size());
  HistoryOperation& op = operations_[operation];
  if (op.outcome != Outcome::kOpen) return;
  op.ended_ns = now;
  op.ended_event = events_++;
  op.outcome = Outcome::kUnknown;
}

std::vector<HistoryOperation> merge(std::span<const History> histories) {
  return merge_all(histories.size(), [&](std::size_t i) -> const History& { return histories[i]; });
}

std::vector<HistoryOperation> merge(std::span<const History* const> histories) {
  return merge_all(histories.size(), [&](std::size_t i) -> const History& { return *histories[i]; });
}

std::vector<HistoryEvent> events_of(std::span<const HistoryOperation> operations) {
  std::vector<HistoryEvent> events;
  events.reserve(2 * operations.size());
  for (std::size_t i = 0; i < operations.size(); ++i) {
    events.push_back({operations[i].invoked_ns, i, false});
    if (operations[i].outcome != Outcome::kOpen) events.push_back({operations[i].ended_ns, i, true});
  }
  std::sort(events.begin(), events.end(), [](const HistoryEvent& a, const HistoryEvent& b) {
    if (a.time_ns != b.time_ns) return a.time_ns < b.time_ns;
    return a.ends != b.ends ? b.ends : a.operation < b.operation;
  });
  return events;
}

void append_json_line(std::string& out, std::size_t index, const HistoryOperation& op, bool ends) {
  const auto to = std::back_inserter(out);
  fmt::format_to(to, R"({{"index":{},"time":{},"process":{},"type":"{}","f":"{}","key":{},"value":{})", index,
                 ends ? op.ended_ns : op.invoked_ns, op.process, json_type(op, ends), name(op.action), op.key,
                 json_value(op, ends));
  const bool decided = ends && !op.is_undecided();
  const bool tells_version =
      op.outcome == Outcome::kOk || op.outcome == Outcome::kMismatch || op.outcome == Outcome::kNotANumber;
  if (decided && tells_version) fmt::format_to(to, R"(,"version":{})", op.version);
  if (decided && json_type(op, ends) == "fail") fmt::format_to(to, R"(,"error":"{}")", name(op.outcome));
  if (op.multi != 0) fmt::format_to(to, R"(,"multi":{})", op.multi);
  out += "}\n";
}

}  // namespace slipstream
