#include "core/check/story.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "core/base/check.h"

namespace slipstream::story {
namespace {

HistoryOperation make(Action action, std::uint32_t client, During t) {
  HistoryOperation op;
  op.action = action;
  op.client = client;
  op.invoked_ns = t.from;
  op.ended_ns = t.to;
  op.key = 1;
  op.outcome = Outcome::kOk;
  op.answers = 1;
  return op;
}

HistoryOperation conditional(Action action, std::uint32_t client, During t, std::uint64_t expected,
                             std::uint64_t version) {
  HistoryOperation op = make(action, client, t);
  op.asked = expected;
  op.version = version;
  return op;
}

// The store: executes one operation at one moment.
class Store {
 public:
  struct Answer {
    Outcome outcome = Outcome::kOk;
    std::uint64_t version = 0;
    HistoryValue seen;
  };

  Answer execute(const HistoryOperation& op, Rng& rng) {
    Object& object = objects_[op.key];
    const bool present = object.version != 0;
    if (op.action == Action::kRead) {
      if (!present) return {Outcome::kNotFound, 0, {}};
      return {Outcome::kOk, object.version, object.value};
    }
    HistoryValue value = op.written;
    if (op.action == Action::kIncrement) {
      if (present && object.value.form != HistoryValue::Form::kCounter) {
        return {Outcome::kNotANumber, object.version, {}};
      }
      value = counter_value((present ? object.value.word : 0) + op.asked);
    }
    if (is_conditional(op.action) && op.asked != object.version) return {Outcome::kMismatch, object.version, {}};
    if (is_remove(op.action) && !present) return {Outcome::kNotFound, 0, {}};
    object.last += rng.chance(1, 8) ? 2 : 1;
    object.version = is_remove(op.action) ? 0 : object.last;
    object.value = value;
    return {Outcome::kOk, object.last, op.action == Action::kIncrement ? value : HistoryValue{}};
  }
  std::uint64_t version(std::uint64_t key) { return objects_[key].version; }
  std::uint64_t last(std::uint64_t key) { return objects_[key].last; }

 private:
  struct Object {
    std::uint64_t version = 0;  // 0: absent
    std::uint64_t last = 0;
    HistoryValue value;
  };
  std::map<std::uint64_t, Object> objects_;
};

class Author {
 public:
  explicit Author(const RandomHistoryOptions& options) : options_(options), rng_(options.seed, "random-history") {
    for (std::uint32_t c = 0; c < options.clients; ++c) {
      histories_.emplace_back(c, options.clients);
      for (std::uint32_t i = 0; i < options.outstanding; ++i) idle_.push_back(c);
    }
  }

  std::vector<History> tell() {
    std::size_t invoked = 0;
    while (invoked < options_.operations || !waiting_.empty() || !executed_.empty()) {
      now_ += static_cast<TimeNs>(rng_.below(3));
      const std::uint64_t what = rng_.below(8);
      if (what < 4 && invoked < options_.operations && !idle_.empty()) {
        invoke();
        ++invoked;
      } else if (what < 6 && !waiting_.empty()) {
        Open open = pick(waiting_);
        if (!gives_up(open, false)) executed_.push_back({open.client, open.operation, execute(open)});
      } else if (!executed_.empty()) {
        Open open = pick(executed_);
        if (!gives_up(open, true)) complete(open);
      }
      if (!given_up_.empty() && rng_.chance(1, 8)) execute(pick(given_up_));
    }
    return std::move(histories_);
  }

 private:
  struct Open {
    std::uint32_t client = 0;
    std::uint32_t operation = 0;
    Store::Answer answer;
  };

  Open pick(std::vector<Open>& from) {
    std::swap(from[rng_.below(from.size())], from.back());
    const Open open = from.back();
    from.pop_back();
    return open;
  }

  void invoke() {
    std::swap(idle_[rng_.below(idle_.size())], idle_.back());
    const std::uint32_t client = idle_.back();
    idle_.pop_back();
    std::uint32_t all = 0;
    for (const std::uint32_t weight : options_.mix) all += weight;
    std::uint64_t drawn = rng_.below(all);
    std::size_t action = 0;
    while (drawn >= options_.mix[action]) drawn -= options_.mix[action++];
    const auto kind = static_cast<Action>(action);
    const std::uint64_t key = rng_.below(options_.keys);
    std::uint64_t asked = 0;
    if (is_conditional(kind)) {
      const std::uint64_t guess = rng_.below(4);
      asked = guess < 2 ? store_.version(key) : guess == 2 ? 0 : rng_.below(store_.last(key) + 1);
    }
    if (kind == Action::kIncrement) asked = rng_.below(3);
    HistoryValue written;
    if (is_write(kind)) written = options_.counters ? counter_value(rng_.below(3)) : stamp_value(++stamps_);
    waiting_.push_back({client, histories_[client].invoke(now_, kind, key, asked, written), {}});
  }

  Store::Answer execute(const Open& open) {
    return store_.execute(histories_[open.client].operations()[open.operation], rng_);
  }

  void complete(const Open& open) {
    histories_[open.client].complete(open.operation, now_, open.answer.outcome, open.answer.version, open.answer.seen);
    idle_.push_back(open.client);
  }

  bool gives_up(Open& open, bool executed) {
    if (!histories_[open.client].operations()[open.operation].is_mutation()) return false;
    const std::uint64_t drawn = rng_.below(1000);
    if (drawn < options_.unknown_per_mille) {
      histories_[open.client].unknown(open.operation, now_);
      idle_.push_back(open.client);
      if (!executed) given_up_.push_back(open);
      return true;
    }
    if (executed || drawn >= options_.unknown_per_mille + options_.failed_per_mille) return false;
    open.answer = {Outcome::kFailed, 0, {}};
    complete(open);
    return true;
  }

  const RandomHistoryOptions& options_;
  Rng rng_;
  Store store_;
  std::vector<History> histories_;
  std::vector<std::uint32_t> idle_;  // the client of each operation that can be invoked
  std::vector<Open> waiting_;
  std::vector<Open> executed_;
  std::vector<Open> given_up_;  // not executed yet
  std::uint64_t stamps_ = 0;
  TimeNs now_ = 0;
};

}  // namespace

HistoryOperation wrote(std::uint32_t client, During t, std::uint64_t stamp, std::uint64_t version) {
  HistoryOperation op = make(Action::kWrite, client, t);
  op.written = stamp_value(stamp);
  op.version = version;
  return op;
}

HistoryOperation wrote_if(std::uint32_t client, During t, std::uint64_t expected, std::uint64_t stamp,
                          std::uint64_t version) {
  HistoryOperation op = conditional(Action::kConditionalWrite, client, t, expected, version);
  op.written = stamp_value(stamp);
  return op;
}

HistoryOperation refused(std::uint32_t client, During t, std::uint64_t expected, std::uint64_t stamp,
                         std::uint64_t found) {
  HistoryOperation op = wrote_if(client, t, expected, stamp, found);
  op.outcome = Outcome::kMismatch;
  return op;
}

HistoryOperation removed(std::uint32_t client, During t, std::uint64_t version) {
  HistoryOperation op = make(Action::kRemove, client, t);
  op.version = version;
  return op;
}

HistoryOperation removed_if(std::uint32_t client, During t, std::uint64_t expected, std::uint64_t version) {
  return conditional(Action::kConditionalRemove, client, t, expected, version);
}

HistoryOperation added(std::uint32_t client, During t, std::uint64_t addend, std::uint64_t sum, std::uint64_t version) {
  HistoryOperation op = conditional(Action::kIncrement, client, t, addend, version);
  op.seen = counter_value(sum);
  return op;
}

HistoryOperation saw(std::uint32_t client, During t, std::uint64_t stamp, std::uint64_t version) {
  HistoryOperation op = make(Action::kRead, client, t);
  op.seen = stamp_value(stamp);
  op.version = version;
  return op;
}

HistoryOperation saw_counter(std::uint32_t client, During t, std::uint64_t number, std::uint64_t version) {
  HistoryOperation op = saw(client, t, 0, version);
  op.seen = counter_value(number);
  return op;
}

HistoryOperation saw_nothing(std::uint32_t client, During t) {
  HistoryOperation op = make(Action::kRead, client, t);
  op.outcome = Outcome::kNotFound;
  return op;
}

HistoryOperation unknown(HistoryOperation op) {
  op.outcome = Outcome::kUnknown;
  op.answers = 0;
  op.version = 0;
  op.seen = {};
  return op;
}

HistoryOperation failed(HistoryOperation op) {
  op.outcome = Outcome::kFailed;
  op.version = 0;
  op.seen = {};
  return op;
}

HistoryOperation of_key(std::uint64_t key, HistoryOperation op) {
  op.key = key;
  return op;
}

std::vector<HistoryOperation> history(std::vector<HistoryOperation> operations) {
  std::stable_sort(operations.begin(), operations.end(), [](const HistoryOperation& a, const HistoryOperation& b) {
    return std::tie(a.invoked_ns, a.client) < std::tie(b.invoked_ns, b.client);
  });
  struct Moment {
    TimeNs time = 0;
    int rank = 0;  // ends, then beginnings; what begins and ends at once ends behind them
    std::size_t operation = 0;
    bool ends = false;
  };
  std::vector<Moment> moments;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const HistoryOperation& op = operations[i];
    SLIP_CHECK(op.invoked_ns <= op.ended_ns);
    moments.push_back({op.invoked_ns, 1, i, false});
    moments.push_back({op.ended_ns, op.invoked_ns == op.ended_ns ? 2 : 0, i, true});
  }
  std::stable_sort(moments.begin(), moments.end(), [](const Moment& a, const Moment& b) {
    return std::tie(a.time, a.rank) < std::tie(b.time, b.rank);
  });
  std::map<std::uint32_t, std::uint32_t> events;
  std::map<std::uint32_t, std::uint32_t> numbers;
  for (HistoryOperation& op : operations) op.number = numbers[op.client]++;
  for (const Moment& m : moments) {
    HistoryOperation& op = operations[m.operation];
    (m.ends ? op.ended_event : op.invoked_event) = events[op.client]++;
  }
  return operations;
}

std::vector<History> random_history(const RandomHistoryOptions& options) { return Author(options).tell(); }

void spoil(std::vector<HistoryOperation>& operations, Rng& rng) {
  HistoryOperation& op = operations[rng.below(operations.size())];
  const HistoryOperation& other = operations[rng.below(operations.size())];
  switch (rng.below(8)) {
    case 0: ++op.version; break;
    case 1: op.version -= op.version > 0; break;
    case 2: op.version = other.version; break;
    case 3:
      op.seen = rng.chance(1, 2) ? other.seen : other.written;
      if (rng.chance(1, 16)) op.seen = {0, HistoryValue::Form::kTorn};
      break;
    case 7:  // one value, two writes
      if (is_write(op.action) && is_write(other.action)) op.written = other.written;
      break;
    case 4: op.outcome = static_cast<Outcome>(rng.below(static_cast<std::uint64_t>(Outcome::kUnknown) + 1)); break;
    case 5:
      op.ended_ns -= static_cast<TimeNs>(rng.below(static_cast<std::uint64_t>(op.ended_ns - op.invoked_ns) + 1));
      break;
    default:
      op.invoked_ns += static_cast<TimeNs>(rng.below(static_cast<std::uint64_t>(op.ended_ns - op.invoked_ns) + 1));
  }
  operations = history(std::move(operations));
}

}  // namespace slipstream::story
