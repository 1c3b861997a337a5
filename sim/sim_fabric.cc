#include "sim/sim_fabric.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

namespace slipstream::sim {

Region SimFabric::create_region(std::string_view name, std::size_t bytes, Access access) {
  const auto found = std::find_if(kept_.begin(), kept_.end(), [&](const Made& made) {
    return access == Access::kDurable && made.name == name && made.memory.size() == bytes;
  });
  if (found != kept_.end()) {
    regions_.push_back(std::move(*found));
    kept_.erase(found);
  } else {
    regions_.push_back(make(name, bytes, access));
  }
  network_.add_region(node_, regions_.back().memory);
  return {static_cast<std::uint32_t>(regions_.size() - 1), regions_.back().memory};
}

SimFabric::Made SimFabric::make(std::string_view name, std::size_t bytes, Access access) const {
  constexpr std::size_t kPage = 4096;
  // calloc leaves large memory untouched until it is used: a simulated machine costs only what it touches.
  void* const memory = std::calloc(bytes + kPage, 1);
  if (memory == nullptr) {
    throw std::runtime_error(
        fmt::format("region {} of node {}: no memory for {} B; simulate smaller machines", name, index(node_), bytes));
  }
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  auto* const aligned = static_cast<std::byte*>(memory) + (kPage - address % kPage) % kPage;
  Made made{std::string(name), access == Access::kDurable, {}, {aligned, bytes}};
  made.block.reset(memory);
  return made;
}

void SimFabric::end_life(bool keeps_memory) {
  for (const Event& event : lent_) network_.release(event);
  lent_.clear();
  if (!keeps_memory) kept_.clear();
  for (Made& made : regions_) {
    if (keeps_memory && made.durable) kept_.push_back(std::move(made));
  }
  regions_.clear();
}

Bytes SimFabric::region(std::string_view name) const {
  for (const Made& made : regions_) {
    if (made.name == name) return made.memory;
  }
  for (const Made& made : kept_) {
    if (made.name == name) return made.memory;
  }
  return {};
}

void SimFabric::post(std::span<const Op> ops) {
  for (const Op& op : ops) {
    const TransferId transfer = network_.prepare(node_, op);
    if (transfer != kNone) network_.launch(transfer, queue_.now());
  }
}

std::size_t SimFabric::poll(std::span<Event> events) {
  for (const Event& event : lent_) network_.release(event);
  lent_.clear();
  Ring<Event>& inbox = network_.inbox(node_);
  std::size_t n = 0;
  while (n < events.size() && !inbox.empty()) {
    events[n] = inbox.front();
    inbox.pop();
    if (events[n].kind == EventKind::kMessage) lent_.push_back(events[n]);
    ++n;
  }
  return n;
}

}  // namespace slipstream::sim
