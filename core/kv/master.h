// A server's primary side: log, objects and replication put together, and the rule that joins them: an answer leaves
// when everything it rests on is on all backups, so reads see only what is replicated (design section 3).
//
// Answers leave in the order of the log positions they wait for. Anything executed in a turn is certified and sent as
// one batch at the end of the turn, when the replicas' windows allow.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/byte_fifo.h"
#include "core/base/ring.h"
#include "core/kv/cleaner.h"
#include "core/kv/store.h"
#include "core/log/log.h"
#include "core/replication/replica_manager.h"
#include "core/turn/outbox.h"

namespace slipstream {

class Master {
 public:
  struct Request {
    Channel channel = 0;
    std::uint64_t tag = 0;
    RpcMessage message;
    KeyHash first_hash = 0;  // scratch: of the first item, for looking ahead
  };

  Master(const LogOptions& log, const ReplicationOptions& replication, NodeId self, std::uint64_t seed,
         const Region& log_memory, PeerLinks& peers);

  KvStore& store() { return store_; }
  ReplicaManager& replicas() { return replicas_; }
  const ReplicaManager& replicas() const { return replicas_; }
  Log& log() { return log_; }
  const Log& log() const { return log_; }
  const KvStore& store() const { return store_; }
  const Cleaner& cleaner() const { return cleaner_; }
  // False: our lease has ended, so our tablets may be another's already: what is executed is not answered. It is once
  // the lease is renewed, which tells that they were ours all the time.
  void set_may_answer(bool may) { may_answer_ = may; }

  // Executes requests of one turn, in order. The views in them must live until it returns.
  void execute(std::span<Request> requests, Outbox& out);
  // Makes room, replicates what is new and answers what has become durable. Once a turn, last.
  void advance(TimeNs now, Outbox& out);
  // advance() has more to do now.
  bool needs_turn() const { return cleaner_.needs_turn(); }

  std::string trouble() const;
  std::string describe() const;

 private:
  struct Waiting {
    LogPosition position = 0;
    std::uint64_t tag = 0;
    Channel channel = 0;
  };

  // Whether all items are there and can be executed: a request is refused whole.
  bool well_formed(ConstBytes body) const;
  void execute_one(const Request& request, Outbox& out);
  bool rests_on_durable(const KvItemHeader& item, const ItemResult& result) const;
  void append_answer(const ItemResult& result);

  Log log_;
  KvStore store_;
  ReplicaManager replicas_;
  Cleaner cleaner_;
  LogPosition durable_ = 0;
  Ring<Waiting> waiting_;
  ByteFifo answers_;               // of waiting_, in the same order
  std::vector<std::byte> answer_;  // scratch: the answer being made
  bool may_answer_ = true;
  bool is_starved_ = false;  // an append found no room in this turn
};

}  // namespace slipstream
