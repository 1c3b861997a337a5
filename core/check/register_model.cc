#include "core/check/register_model.h"

#include <fmt/format.h>

namespace slipstream {
namespace {

using Form = HistoryValue::Form;

// The object is met with this version (0: absent), which from now on is known.
bool meets(std::uint64_t version, RegisterState& state) {
  if (version == 0) return !state.present;
  if (!state.present || version < state.least || (state.exact && version != state.least)) return false;
  state.least = version;
  state.exact = true;
  return true;
}

bool observe(const RegisterOperation& op, RegisterState& state) {
  switch (op.outcome) {
    case Outcome::kOk:
      return op.version != 0 && op.seen.form != Form::kTorn && state.value == op.seen && meets(op.version, state);
    case Outcome::kNotFound: return !state.present;
    case Outcome::kMismatch: return op.version != op.asked && meets(op.version, state);
    case Outcome::kNotANumber: return op.version != 0 && state.value.form != Form::kCounter && meets(op.version, state);
    default: return false;
  }
}

bool mutate(const RegisterOperation& op, RegisterState& state) {
  if (is_conditional(op.action) && !meets(op.asked, state)) return false;
  HistoryValue value = op.written;
  if (is_remove(op.action)) {
    if (!state.present) return false;
  } else if (op.action == Action::kIncrement) {
    if (state.present && state.value.form != Form::kCounter) return false;
    value = counter_value((state.present ? state.value.word : 0) + op.asked);
    if (op.decided && op.seen != value) return false;
  }
  const bool known = op.decided || op.version != 0;
  if (known && op.version <= state.least) return false;
  state.present = !is_remove(op.action);
  state.value = state.present ? value : HistoryValue{};
  state.least = known ? op.version : state.least + 1;
  state.exact = known || !state.present;
  return true;
}

}  // namespace

bool apply(const RegisterOperation& op, RegisterState& state) {
  const RegisterState before = state;
  const bool takes_effect = op.action != Action::kRead && op.outcome == Outcome::kOk;
  if (takes_effect ? mutate(op, state) : observe(op, state)) return true;
  state = before;
  return false;
}

std::string describe(const RegisterState& state) {
  if (!state.present) return state.least == 0 ? "absent" : fmt::format("absent since version {}", state.least);
  return fmt::format("version {}{} {}", state.exact ? "" : ">= ", state.least, describe(state.value));
}

std::string why_not(const RegisterOperation& op, const RegisterState& state) {
  RegisterState after = state;
  if (apply(op, after)) return "possible";
  const bool takes_effect = op.action != Action::kRead && op.outcome == Outcome::kOk;
  if (!takes_effect) {
    if (op.seen.form == Form::kTorn) return "nobody wrote such a value";
    if (op.outcome == Outcome::kNotFound) return "the object is there";
    if (op.outcome == Outcome::kMismatch && op.version == op.asked) return "that is the version it asked for";
    after = state;
    if (!meets(op.version, after)) return fmt::format("version {} is not what is there", op.version);
    return "the value is not what is there";
  }
  after = state;
  if (is_conditional(op.action) && !meets(op.asked, after)) {
    return fmt::format("version {}, its condition, is not what is there", op.asked);
  }
  if (is_remove(op.action) && !state.present) return "there is nothing to remove";
  if (op.version != 0 && op.version <= after.least) return fmt::format("version {} is no newer", op.version);
  return "its counter does not follow from what is there";
}

}  // namespace slipstream
