#include "sim/sim_fabric.h"

#include <stdexcept>

#include <fmt/format.h>

namespace slipstream::sim {

Region SimFabric::create_region(std::string_view name, std::size_t bytes, Access) {
  constexpr std::size_t kPage = 4096;
  // calloc leaves large memory untouched until it is used: a simulated machine costs only what it touches.
  void* const memory = std::calloc(bytes + kPage, 1);
  if (memory == nullptr) {
    throw std::runtime_error(
        fmt::format("region {} of node {}: no memory for {} B; simulate smaller machines", name, index(node_), bytes));
  }
  regions_.emplace_back(memory);
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  auto* const aligned = static_cast<std::byte*>(memory) + (kPage - address % kPage) % kPage;
  const Bytes usable{aligned, bytes};
  network_.add_region(node_, usable);
  return {static_cast<std::uint32_t>(regions_.size() - 1), usable};
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
