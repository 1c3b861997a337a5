// A server's part in the recovery of others: reads what the dead master's replicas hold of the tablets it was given,
// from many backups at once, replays it into side segments, and when those are whole on its own backups makes them part
// of its log, all at once. Then the coordinator gives it the tablets. Source: RAMCloud (SOSP'11, section 4.5).
//
// Level-triggered: the view says what there is to recover; what it no longer says is given up without a trace.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "core/cluster/member.h"
#include "core/cluster/membership_options.h"
#include "core/kv/master.h"
#include "core/log/side_log.h"
#include "core/replication/peer_links.h"
#include "core/replication/recovery_source.h"

namespace slipstream {

class RecoveryMaster {
 public:
  RecoveryMaster(const MembershipOptions& options, TimeNs answer_timeout_ns, NodeId self, Master& master,
                 PeerLinks& peers)
      : options_(options), answer_timeout_ns_(answer_timeout_ns), self_(self), master_(master), peers_(peers) {}

  void on_view(const View& view, std::uint16_t own_life, Outbox& out);
  // Answers to kPlan and kRecovered, from the coordinator.
  void on_plan(const RpcMessage& message);
  void on_reported(const RpcMessage& message, Outbox& out);
  // Answers to kRecoveryData, from a backup.
  void on_data(Channel channel, const RpcMessage& message, TimeNs now, Outbox& out);
  void on_down(Channel channel);
  // Requests to the backup of our own node, which no channel leads to: to be handed over, and emptied, every turn.
  std::vector<std::vector<std::byte>>& own_requests() { return own_requests_; }
  bool asks_own_backup() const { return !own_requests_.empty(); }

  void advance(TimeNs now, CoordinatorLink& coordinator, Outbox& out);
  TimeNs deadline() const { return look_at_; }

  bool is_busy() const { return !tasks_.empty(); }
  // Bytes replayed, by part of the run's measured window.
  static constexpr std::size_t kParts = 200;
  const std::array<std::uint64_t, kParts>& recovered_in() const { return recovered_in_; }
  std::string describe() const;

 private:
  enum class Phase : std::uint8_t {
    kPlanning,     // what is to be read?
    kReading,      // from the backups, and replayed
    kReplicating,  // the side segments are not all closed on their backups
    kCommitting,   // the digest that names them is not durable
    kReporting,    // the coordinator does not know yet
  };
  struct Source {
    std::uint64_t segment = 0;
    std::uint32_t bytes = 0;
    std::vector<NodeId> nodes;
    std::size_t next_node = 0;
    std::size_t failed = 0;  // sources that could not
    std::uint32_t cursor = 0;
    std::uint16_t asked = kNoLink;  // a request is out
    TimeNs asked_ns = 0;
    std::uint64_t request = 0;
    bool is_done = false;
  };
  struct Task {
    ServerId dead;
    std::vector<KeyRange> all_ranges;  // of the recovery, as the view had them
    std::vector<std::uint32_t> ours;   // among them
    Phase phase = Phase::kPlanning;
    std::vector<Source> sources;  // of one range after the other
    std::size_t range = 0;        // in `ours`, that is being read
    SideLog side;
    KvStore::Removed removed;
    std::uint64_t committed_head = 0;  // whose digest names the side segments
    TimeNs asked_ns = 0;               // plan or report
    bool is_asked = false;
    std::uint64_t lost_segment = 0;
    std::vector<std::byte> held_back;  // entries for which the log had no room

    Task(ServerId server, Log& log) : dead(server), side(log) {}
    bool has(const TabletState& tablet) const;
  };

  void abandon(Task& task, Outbox& out);
  void forget_replayed(Task& task, Outbox& out);
  void ask(Task& task, CoordinatorLink& coordinator, TimeNs now, Opcode opcode, Outbox& out);
  void read(Task& task, TimeNs now, Outbox& out);
  void request(Task& task, Source& source, std::uint16_t link, TimeNs now, Outbox& out);
  bool replay(Task& task, ConstBytes entries, Outbox& out);
  void drain(Task& task, Outbox& out);
  void source_failed(Task& task, Source& source);
  TimeNs patience_with(const Source& source) const;
  void look(TimeNs at) { look_at_ = at < look_at_ ? at : look_at_; }

  MembershipOptions options_;
  TimeNs answer_timeout_ns_;
  NodeId self_;
  Master& master_;
  PeerLinks& peers_;
  std::list<Task> tasks_;
  std::uint64_t next_request_ = 1;
  std::vector<std::vector<std::byte>> own_requests_;
  std::array<std::uint64_t, kParts> recovered_in_{};
  TimeNs window_start_ns_ = 0;
  TimeNs window_end_ns_ = 0;
  TimeNs look_at_ = kNever;
};

}  // namespace slipstream
