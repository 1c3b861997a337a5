// Names of things that live across layers. Each is its own type, so that one cannot be passed for another.
#pragma once

#include <cstdint>

namespace slipstream {

// A node of the cluster: one step function, one address. Dense, starting at 0.
enum class NodeId : std::uint16_t {};
inline constexpr NodeId kNoNode{0xffff};

constexpr std::uint16_t index(NodeId id) { return static_cast<std::uint16_t>(id); }

// A segment of one master's log. Rises with every segment that the master ever opens; never used twice.
enum class SegmentId : std::uint64_t {};
constexpr std::uint64_t index(SegmentId id) { return static_cast<std::uint64_t>(id); }

}  // namespace slipstream
