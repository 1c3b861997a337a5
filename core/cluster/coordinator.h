// The coordinator: who is a member, which server holds which tablet, who is dead and who takes over; and the phases of
// a run (all servers here, all data loaded, window open, window closed). What it decides is durable before anyone is
// told. Source: RAMCloud (SOSP'11, section 4; TOCS'15, section 7); leases: RIFL (SOSP'15).
//
// Level-triggered: events raise facts, advance() compares them with what is wanted and acts. Life and death:
//  - a server that is silent (a peer says so, its line is down, or it asks for no leave) is pinged; without a word
//  within
//    the probe time-out it is declared dead: its life is over, whatever it thinks;
//  - a dead server's tablets are split over the living, which replay them (core/cluster/recovery_master.h); they are
//    served again when the replayed data is on its own backups, and no sooner than the dead server's lease has ended;
//  - a tablet whose recovery master dies is given to another; a dead server is forgotten when it has no tablet left;
//  - a client that is not heard of for its lease is gone, and may come back only as another.
// Error: data that is on no living backup is waited for, then told by trouble(): which bytes of which segment.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/base/ids.h"
#include "core/cluster/master_recovery.h"
#include "core/cluster/membership_options.h"
#include "core/cluster/state_log.h"
#include "core/cluster/view.h"
#include "core/cluster/wire.h"
#include "core/kv/tablets.h"
#include "core/turn/outbox.h"

namespace slipstream {

struct CoordinatorOptions {
  std::vector<NodeId> servers;
  std::vector<NodeId> clients;
  std::vector<Tablet> tablets;
  TimeNs warmup_ns = 0;
  TimeNs duration_ns = 0;
  MembershipOptions membership;
};

// What a recovery took, from the declared death to the last tablet served again. Of this life of the coordinator.
struct RecoveryTimes {
  ServerId server;
  TimeNs declared_ns = 0;
  TimeNs found_ns = 0;      // all replicas are known, open ones scanned; 0: not yet
  TimeNs done_ns = 0;       // 0: not yet
  std::uint64_t bytes = 0;  // of its log, to be replayed
};

class Coordinator {
 public:
  // `found`: what an earlier life of it has stored.
  Coordinator(CoordinatorOptions options, std::vector<StoredFrame> found);

  void on_request(Channel channel, std::uint64_t tag, const RpcMessage& message, TimeNs now, Outbox& out);
  void on_answer(Channel channel, const RpcMessage& message, TimeNs now, Outbox& out);
  void on_down(Channel channel, TimeNs now);
  StateLog& state_log() { return state_log_; }
  void advance(TimeNs now, Outbox& out);

  TimeNs deadline() const;
  bool done() const;
  std::string trouble() const;
  std::string describe() const;
  const View& view() const { return view_; }
  const std::vector<RecoveryTimes>& recoveries() const { return times_; }

 private:
  enum class Phase : std::uint32_t { kEnlisting, kLoading, kWarmup, kWindow, kDraining, kDone };
  static constexpr Channel kNoChannel = 0;
  struct Waiting {
    Channel channel = 0;
    std::uint64_t tag = 0;
    RpcHeader header;
    std::uint64_t epoch = 0;  // released when that view is durable
    std::uint64_t known = 0;  // the view that the asker has
    std::uint32_t life = 0;
    std::uint32_t client = 0;
    std::vector<std::byte> body;  // of an answer that is no HelloAnswer
  };
  struct Server {  // what is known of a living one, besides the view
    Channel channel = kNoChannel;
    TimeNs heard_ns = 0;
    TimeNs pinged_ns = kNever;  // suspected since; kNever: not
    TimeNs granted_ns = 0;      // its last lease began no later
    std::uint64_t told = 0;     // the view that was sent to it
    bool start_told = false;    // of the measured window
    bool end_told = false;
    bool end_answered = false;
  };
  struct Client {
    NodeId node = kNoNode;
    TimeNs heard_ns = 0;
  };

  void on_hello(Channel channel, std::uint64_t tag, const RpcMessage& message, TimeNs now, Outbox& out);
  void enlist_server(const Hello& hello, Waiting waiting, TimeNs now);
  void enlist_client(const Hello& hello, Waiting waiting, TimeNs now);
  void heartbeat(const Hello& hello, Waiting waiting, TimeNs now, Outbox& out);
  void on_about(Channel channel, std::uint64_t tag, const RpcMessage& message, TimeNs now, Outbox& out);
  void on_suspect(NodeId node, TimeNs now);
  void on_recovered(const AboutServer& about, ConstBytes ranges, Waiting waiting, TimeNs now);
  void on_epochs(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out);

  TimeNs declared_at(ServerId dead) const;
  MemberState* member(NodeId node);
  bool all_enlisted() const;
  std::vector<ServerId> alive() const;
  void declare_dead(MemberState& member, TimeNs now);
  void changed() { ++view_.epoch; }
  void advance_phases(TimeNs now, Outbox& out);
  void advance_liveness(TimeNs now, Outbox& out);
  void advance_recoveries(TimeNs now, Outbox& out);
  void advance_recovery(MasterRecovery& recovery, TimeNs now, Outbox& out);
  void split(const MasterRecovery& recovery, Outbox& out);
  void assign(const MasterRecovery& recovery);
  void take_over(TimeNs now);
  void answer_plans(const MasterRecovery& recovery, Outbox& out);
  void persist(Outbox& out);
  void release(Outbox& out);
  void push_views(Outbox& out);
  void answer(const Waiting& waiting, Outbox& out);
  void refuse(Channel channel, std::uint64_t tag, const RpcHeader& request, Outbox& out);
  void send_view(Channel channel, RpcHeader header, std::uint64_t answers, HelloAnswer body, bool with_view,
                 Outbox& out);
  void tell_window(Server& server, bool starts, Outbox& out);
  Phase phase() const { return static_cast<Phase>(view_.phase); }
  void set_phase(Phase phase);

  CoordinatorOptions options_;
  StateLog state_log_;
  View view_;
  bool is_loaded_ = false;
  View saving_;                                 // on its way to storage, when its epoch is above that of
  View durable_;                                // what may be told
  std::map<std::uint16_t, Server> servers_;     // living, by node
  std::map<std::uint32_t, Client> clients_;     // living, by id
  std::map<std::uint16_t, TimeNs> last_lease_;  // of dead servers' nodes: no lease of theirs is longer
  std::vector<Waiting> unread_;                 // requests that came before our own state was loaded
  std::vector<Waiting> early_;                  // enlisting, before all servers are here
  std::vector<Waiting> waiting_;                // until their view is durable
  std::vector<Waiting> ready_;
  std::vector<Waiting> plans_;  // for a recovery to be decided
  struct Recovered {
    ServerId dead;
    ServerId by;
    std::vector<KeyRange> ranges;
    Waiting waiting;
  };
  std::vector<Recovered> recovered_;  // until the dead server's lease has ended
  std::vector<MasterRecovery> recoveries_;
  std::map<std::uint16_t, bool> finished_;  // clients' nodes
  std::vector<RecoveryTimes> times_;
  std::map<std::pair<std::uint16_t, std::uint64_t>, TimeNs> unreadable_since_;  // by dead node and segment
  TimeNs missing_since_ = kNever;
  TimeNs next_look_ = kNever;
  std::string trouble_;
};

}  // namespace slipstream
