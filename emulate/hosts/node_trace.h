// What the nodes of a real run did, turn by turn, written down while it happens and told to an observer
// (core/node/trace.h) when the run is over. Each node has a file of records in the run directory, which it writes
// through a mapping: what a node did up to its death is there, however it died. A node is no longer followed when its
// file has kMostTraceRecords, or the file system is full.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/node/trace.h"
#include "core/rpc/wire.h"
#include "emulate/loop/loop.h"

namespace slipstream::emulate {

inline constexpr std::uint64_t kMostTraceRecords = 200'000;  // of a node: 14 MB

// A TraceEvent without its views.
struct TraceRecord {
  TraceKind kind = TraceKind::kTurn;
  EventKind event = EventKind::kMessage;  // kStorage
  std::uint8_t header_bytes = 0;
  std::uint8_t reserved = 0;
  std::uint16_t node = 0;
  std::uint16_t peer = 0;
  std::uint32_t channel = 0;
  std::uint32_t events = 0;
  TimeNs time_ns = 0;
  TimeNs lasts_ns = 0;
  std::uint64_t id = 0;  // of a message; kStorage: the frame; kFault: which of the plan
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;
  std::array<std::byte, sizeof(RpcHeader)> header{};  // of a message
};
static_assert(sizeof(TraceRecord) == 72);

class NodeTrace final : public TurnObserver {
 public:
  // Goes on behind what earlier lives of the node left in the file. Throws std::runtime_error.
  NodeTrace(const std::string& file, NodeId node, std::uint64_t most = kMostTraceRecords);
  ~NodeTrace() override;
  NodeTrace(const NodeTrace&) = delete;
  NodeTrace& operator=(const NodeTrace&) = delete;

  void saw(const TurnView& turn) override;

 private:
  void see(const Event& event, const TurnView& turn);
  void see(const Op& op, const TurnView& turn);
  void put(const TraceRecord& record);
  TraceRecord record(TraceKind kind, TimeNs time, NodeId peer) const;
  bool grow();

  NodeId node_;
  std::uint64_t most_;
  int descriptor_ = -1;
  std::byte* memory_ = nullptr;
  std::uint64_t room_ = 0;  // records that the file has room for
  bool full_ = false;
  std::map<Channel, NodeId> peers_;
};

// The records of a node's file, in the order in which they were made; empty when there is none. `full`: it was no
// longer followed from the last one on.
std::vector<TraceRecord> read_trace(const std::string& file, bool& full);

// Tells all records in the order of their times. `faults`: of the plan, that records of kind kFault name.
void tell_trace(std::vector<TraceRecord> records, const std::vector<Fault>& faults, Observer& observer);

}  // namespace slipstream::emulate
