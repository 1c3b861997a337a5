// What a node tells at the end of a run that is to be judged, beside its report: a checked client its history and its
// final reads, the coordinator how many deaths it declared. As bytes and back, for worlds whose nodes live in processes
// of their own.
#pragma once

#include <cstdint>
#include <vector>

#include "core/node/checked_client.h"
#include "core/turn/node.h"
#include "core/workload/history.h"

namespace slipstream {

struct NodeRecord {
  std::vector<HistoryOperation> operations;  // of one client, in the order of its invocations
  std::vector<CheckedClient::Final> finals;
  std::uint64_t deaths = 0;  // lives of servers that were declared over
};

// Empty when the node has nothing to tell.
NodeRecord record_of(const Node& node);

// About 20 bytes for an operation: numbers of variable length, times as differences, a checksum at the end.
std::vector<std::byte> encode(const NodeRecord& record);
// Throws std::runtime_error when the bytes are not a whole record.
NodeRecord decode_record(ConstBytes bytes);

}  // namespace slipstream
