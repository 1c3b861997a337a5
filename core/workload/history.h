// What clients record of the operations that they ask for, so that checkers can judge a run afterwards (core/check; as
// JSON lines also checkers outside). Plain data, appended in the order of a client's own events.
//
// Semantics of what is recorded: a key is a register with a version, 0 while it is absent. A mutation that took effect
// answers a version above all earlier ones of the key, also across removes and crashes, and not always the next one.
// Items of a multi-operation are operations of their own, each with its own outcome.
//
// Times are nanoseconds of a clock that all clients share: an operation is invoked not later than its request is
// posted, and completed not earlier than its answer was polled.
//
// Processes, as outside checkers want them: each has one operation at a time, and none after one of unknown outcome. So
// an operation takes a free process of its client, or a new one; `client`, `client + clients`, `client + 2 clients`,
// ... are the client's. A client that crashed and came back is another client.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/ring.h"
#include "core/base/units.h"

namespace slipstream {

enum class Action : std::uint8_t { kRead, kWrite, kConditionalWrite, kRemove, kConditionalRemove, kIncrement };
std::string_view name(Action action);  // "read", "write", "cas", "remove", "remove-if", "add"
constexpr bool is_conditional(Action a) { return a == Action::kConditionalWrite || a == Action::kConditionalRemove; }
constexpr bool is_write(Action a) { return a == Action::kWrite || a == Action::kConditionalWrite; }
constexpr bool is_remove(Action a) { return a == Action::kRemove || a == Action::kConditionalRemove; }

enum class Outcome : std::uint8_t {
  kOpen,        // no answer yet
  kOk,          // took effect (reads: the object is there)
  kNotFound,    // read or remove of an absent object
  kMismatch,    // conditional: the object had another version, `version`
  kNotANumber,  // increment of an object, of version `version`, that is no counter
  kFailed,      // refused; definitely without effect
  kUnknown,     // no answer will come: it may have taken effect, may still, or never will
};
std::string_view name(Outcome outcome);

// A value by what identifies it.
struct HistoryValue {
  enum class Form : std::uint8_t {
    kNone,      // no value
    kStamp,     // write_value() of the key and the stamp `word`
    kCounter,   // 8 bytes: the number `word`
    kUnmarked,  // too short to tell more than its key
    kTorn,      // bytes that nobody wrote to this key
  };
  std::uint64_t word = 0;
  Form form = Form::kNone;

  bool operator==(const HistoryValue&) const = default;
};
constexpr HistoryValue stamp_value(std::uint64_t stamp) { return {stamp, HistoryValue::Form::kStamp}; }
constexpr HistoryValue counter_value(std::uint64_t number) { return {number, HistoryValue::Form::kCounter}; }
// Of the value that was written to, or read from, a key.
HistoryValue value_of(std::uint64_t key, ConstBytes bytes);
std::string describe(const HistoryValue& value);  // "stamp 7", "counter 3", "nothing", ...

// The stamp of a client's n-th written value: unique in a run, and exact in a JSON reader's double for clients below
// 8191 and n below 2^40.
constexpr std::uint64_t stamp_of(std::uint32_t client, std::uint64_t n) {
  return (std::uint64_t{client} + 1) << 40 | n;
}

struct HistoryOperation {
  TimeNs invoked_ns = 0;
  TimeNs ended_ns = kNever;  // completed, or given up
  std::uint64_t key = 0;     // record number
  std::uint64_t asked = 0;   // conditional: the version it must have, 0 absent; increment: what to add
  std::uint64_t version = 0;
  HistoryValue written;             // writes
  HistoryValue seen;                // reads; increments: the counter after it
  std::uint32_t client = 0;         // who
  std::uint32_t number = 0;         // among its client's operations
  std::uint32_t process = 0;        // see above
  std::uint32_t multi = 0;          // which of its client's multi-operations, from 1; 0: none
  std::uint32_t invoked_event = 0;  // place among its client's events: what comes after what at one time
  std::uint32_t ended_event = UINT32_MAX;
  Action action = Action::kRead;
  Outcome outcome = Outcome::kOpen;
  std::uint8_t answers = 0;  // more than one is an error that checkers find

  bool is_mutation() const { return action != Action::kRead; }
  bool took_effect() const { return outcome == Outcome::kOk && is_mutation(); }
  bool may_have_taken_effect() const { return is_undecided() && is_mutation(); }
  bool is_undecided() const { return outcome == Outcome::kOpen || outcome == Outcome::kUnknown; }
  // It certainly happened before `other`: it had its answer when the other was invoked. At the same time that is known
  // of one client's operations only.
  bool precedes(const HistoryOperation& other) const {
    if (is_undecided()) return false;
    if (client == other.client) return ended_event < other.invoked_event;
    return ended_ns < other.invoked_ns;
  }
};
std::string describe(const HistoryOperation& operation);  // one line for people

// One client's record.
class History {
 public:
  History(std::uint32_t client, std::uint32_t clients) : client_(client), clients_(clients) {}

  // The number of the operation, by which the others know it.
  std::uint32_t invoke(TimeNs now, Action action, std::uint64_t key, std::uint64_t asked = 0, HistoryValue written = {},
                       std::uint32_t multi = 0);
  void complete(std::uint32_t operation, TimeNs now, Outcome outcome, std::uint64_t version = 0,
                HistoryValue seen = {});
  void unknown(std::uint32_t operation, TimeNs now);

  std::uint32_t client() const { return client_; }
  std::span<const HistoryOperation> operations() const { return operations_; }
  void reserve(std::size_t operations) { operations_.reserve(operations); }

 private:
  struct FreeProcess {
    std::uint32_t process = 0;
    TimeNs since_ns = 0;
  };

  std::uint32_t client_;
  std::uint32_t clients_;
  std::uint32_t processes_ = 0;
  std::uint32_t events_ = 0;
  std::vector<HistoryOperation> operations_;
  Ring<FreeProcess> free_{64};
};

// All clients' operations, in the order of their invocation.
std::vector<HistoryOperation> merge(std::span<const History> histories);
std::vector<HistoryOperation> merge(std::span<const History* const> histories);
void sort_by_invocation(std::vector<HistoryOperation>& operations);

struct HistoryEvent {
  TimeNs time_ns = 0;
  std::size_t operation = 0;  // place in the merged operations
  bool ends = false;
};
// In the order of time; at one time invocations first, so that no order is claimed that was not seen.
std::vector<HistoryEvent> events_of(std::span<const HistoryOperation> operations);

// Appends one event as a JSON line:
//   {"index":0,"time":5,"process":1,"type":"invoke","f":"write","key":7,"value":1099511627777}
// type: "ok"; "fail": no effect (a conditional that met another version, a remove of what is not there); "info":
// unknown. value: what is written or was read (null: nothing; "torn"); cas [expected version, value]; remove-if the
// expected version; add the addend, once ok [addend, sum]. ok and mismatches tell the "version", fail the "error",
// items of multi-operations "multi".
void append_json_line(std::string& out, std::size_t index, const HistoryOperation& operation, bool ends);

}  // namespace slipstream
