#include "sim/sim_options.h"

namespace slipstream::sim {

std::string_view name(Threading threading) {
  return threading == Threading::kRunToCompletion ? "run-to-completion" : "dispatch-workers";
}

std::optional<Threading> threading_of(std::string_view text) {
  for (const Threading t : {Threading::kRunToCompletion, Threading::kDispatchWorkers}) {
    if (name(t) == text) return t;
  }
  return std::nullopt;
}

std::string_view name(Waiting waiting) { return waiting == Waiting::kSpin ? "spin" : "yield"; }

std::optional<Waiting> waiting_of(std::string_view text) {
  for (const Waiting w : {Waiting::kSpin, Waiting::kYield}) {
    if (name(w) == text) return w;
  }
  return std::nullopt;
}

std::optional<WriteOrder> write_order_of(std::string_view text) {
  if (text == "whole") return WriteOrder::kWhole;
  if (text == "blocks") return WriteOrder::kBlocks;
  if (text == "none") return WriteOrder::kNone;
  return std::nullopt;
}

}  // namespace slipstream::sim
