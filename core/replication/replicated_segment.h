// One segment of the primary's log and where its replicas stand (RAMCloud's ReplicatedSegment; design "Replicating a
// segment"). Plain state: facts raise `Progress`, a lost replica is a progress set back to zero, and
// ReplicaManager::advance() is the only place that compares it with the goal and acts.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/mutation.h"
#include "core/base/ring.h"
#include "core/fabric/fabric.h"
#include "core/log/log.h"
#include "core/replication/peer_links.h"

namespace slipstream {

// How far one replica is. Invariant: acked <= sent <= the segment's sealed bytes; closed implies opened.
struct Progress {
  bool open_sent = false;
  bool opened = false;
  bool close_sent = false;
  bool closed = false;
  std::uint32_t sent = 0;
  std::uint32_t acked = 0;
  std::uint32_t writes = 0;  // in flight
  std::uint32_t epoch = 0;   // of the replica, as its backup has noted it
  std::uint32_t update_sent = 0;
};

struct Replica {
  std::uint16_t link = kNoLink;  // which backup; kNoLink: to be placed
  RemoteKey key = 0;             // of the buffer, once opened
  std::uint64_t generation = 0;  // tells it from what was in its place before
  Progress progress;
};

struct ReplicatedSegment {
  std::uint64_t segment = 0;     // its id
  std::uint32_t slot = kNoSlot;  // in the log; kNoSlot: none
  bool is_head = false;          // the rules of heads hold, until it is closed everywhere
  bool is_working = false;       // among those that are not closed on all backups
  bool was_restored = false;     // it is among them because a closed replica was lost
  std::uint32_t epoch = 0;       // rises when a replica is lost before all are closed
  std::int64_t recorded = 0;     // the epoch that the coordinator knows; -1: it does not know that there is a log
  bool has_epoch = false;        // all replicas carry `epoch`
  std::vector<Replica> replicas;
  Ring<std::uint32_t> batch_ends{4};  // certified, but not yet known to be on all replicas
  std::uint32_t last_batch_end = 0;   // the last that was put into batch_ends
  std::uint32_t replicated_end = 0;   // the last that was on all replicas

  // Notes a batch that ends at `sealed`, when it is new.
  void note_batch(std::uint32_t sealed) {
    if (sealed == last_batch_end) return;
    last_batch_end = sealed;
    batch_ends.push(sealed);
  }
  // The end of the last batch that every replica has whole. A batch may be cut into several writes: bytes that are
  // there without their certificate do not count.
  std::uint32_t durable() {
    const std::uint32_t there = acked();
    if (mutated(Mutant::kAckHalfBatch)) return there;
    while (!batch_ends.empty() && batch_ends.front() <= there) {
      replicated_end = batch_ends.front();
      batch_ends.pop();
    }
    return there >= replicated_end ? replicated_end : 0;
  }

  bool is_on(std::uint16_t link) const {
    for (const Replica& r : replicas) {
      if (r.link == link) return true;
    }
    return false;
  }
  bool all_opened() const {
    for (const Replica& r : replicas) {
      if (!r.progress.opened) return false;
    }
    return true;
  }
  bool all_closed() const {
    for (const Replica& r : replicas) {
      if (!r.progress.closed) return false;
    }
    return true;
  }
  // False: a replica was lost, and nothing counts as replicated until a new one is whole and the coordinator knows that
  // the old one is not.
  bool settled() const { return recorded == epoch || mutated(Mutant::kNoEpochs); }
  // Bytes that every replica acknowledged.
  std::uint32_t acked() const {
    std::uint32_t least = UINT32_MAX;
    if (mutated(Mutant::kAckBeforeLast)) {
      for (const Replica& r : replicas)
        least = least == UINT32_MAX || r.progress.acked > least ? r.progress.acked : least;
      return least;
    }
    for (const Replica& r : replicas) least = r.progress.acked < least ? r.progress.acked : least;
    return least;
  }
};

}  // namespace slipstream
