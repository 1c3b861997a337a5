#include "core/cluster/coordinator.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/mutation.h"

namespace slipstream {

Coordinator::Coordinator(CoordinatorOptions options, std::vector<StoredFrame> found)
    : options_(std::move(options)), state_log_(std::move(found)) {
  for (const NodeId server : options_.servers) view_.servers.push_back({{server, 0}, false});
  view_.epoch = 1;
}

MemberState* Coordinator::member(NodeId node) {
  for (MemberState& state : view_.servers) {
    if (state.server.node == node) return &state;
  }
  return nullptr;
}

bool Coordinator::all_enlisted() const {
  return std::all_of(view_.servers.begin(), view_.servers.end(), [](const MemberState& s) { return s.is_up; });
}

std::vector<ServerId> Coordinator::alive() const {
  std::vector<ServerId> servers;
  for (const MemberState& state : view_.servers) {
    if (state.is_up) servers.push_back(state.server);
  }
  return servers;
}

// ---- Requests.

void Coordinator::on_request(Channel channel, std::uint64_t tag, const RpcMessage& message, TimeNs now, Outbox& out) {
  out.work(Work::kControlMessageIn);
  if (!is_loaded_) {  // nobody enlists a second time on the same connection
    unread_.push_back({channel, tag, message.header, 0, 0, 0, 0, {message.body.begin(), message.body.end()}});
    return;
  }
  switch (message.header.opcode) {
    case Opcode::kEnlist:
    case Opcode::kHeartbeat: return on_hello(channel, tag, message, now, out);
    case Opcode::kSuspect:
    case Opcode::kPlan:
    case Opcode::kRecovered: return on_about(channel, tag, message, now, out);
    case Opcode::kEpochs: return on_epochs(channel, tag, message, out);
    case Opcode::kReady:
      if (phase() > Phase::kLoading) {
        waiting_.push_back({channel, tag, message.header, view_.epoch, 0, 0, 0, {}});
      } else {
        Progressed body;
        if (!read_body(message.body, body)) return;
        std::erase_if(ready_, [&](const Waiting& w) { return w.client == body.node; });
        ready_.push_back({channel, tag, message.header, 0, 0, 0, static_cast<std::uint32_t>(body.node), {}});
      }
      return;
    case Opcode::kFinished: {
      Progressed body;
      if (!read_body(message.body, body)) return;
      finished_[static_cast<std::uint16_t>(body.node)] = true;
      waiting_.push_back({channel, tag, message.header, view_.epoch, 0, 0, 0, {}});
      return;
    }
    default: return;
  }
}

void Coordinator::on_hello(Channel channel, std::uint64_t tag, const RpcMessage& message, TimeNs now, Outbox& out) {
  Hello hello;
  if (!read_body(message.body, hello)) return;
  Waiting waiting{channel, tag, message.header, 0, hello.epoch, hello.life, hello.client, {}};
  const MemberState* const server = member(NodeId{hello.node});
  const bool is_known = server != nullptr ? hello.life != 0 : hello.client != 0;
  if (is_known) {
    const bool lives = server != nullptr ? server->is_up && server->server.life == hello.life
                                         : std::binary_search(view_.clients.begin(), view_.clients.end(), hello.client);
    if (!lives) return refuse(channel, tag, message.header, out);
    if (server != nullptr) servers_[hello.node].channel = channel;
    return heartbeat(hello, std::move(waiting), now, out);
  }
  if (message.header.opcode != Opcode::kEnlist) return;
  if (server != nullptr) {
    enlist_server(hello, std::move(waiting), now);
  } else {
    enlist_client(hello, std::move(waiting), now);
  }
}

void Coordinator::enlist_server(const Hello& hello, Waiting waiting, TimeNs now) {
  MemberState& state = *member(NodeId{hello.node});
  if (state.is_up) declare_dead(state, now);  // who it was is no more, or never heard that it was
  ++state.server.life;
  state.is_up = true;
  Server& server = servers_[hello.node];
  server = Server{};
  server.channel = waiting.channel;
  server.heard_ns = now;
  server.granted_ns = now;
  changed();
  waiting.life = state.server.life;
  early_.push_back(std::move(waiting));
}

void Coordinator::enlist_client(const Hello& hello, Waiting waiting, TimeNs now) {
  const std::uint32_t id = ++view_.latest_client;
  view_.clients.push_back(id);
  clients_[id] = {NodeId{hello.node}, now};
  changed();
  waiting.client = id;
  early_.push_back(std::move(waiting));
}

void Coordinator::heartbeat(const Hello& hello, Waiting waiting, TimeNs now, Outbox& out) {
  if (hello.client != 0) {
    Client& client = clients_[hello.client];
    client = {NodeId{hello.node}, now};
  } else {
    Server& server = servers_[hello.node];
    server.heard_ns = now;
    server.granted_ns = now;
    server.pinged_ns = kNever;
  }
  // Leave to go on is given at once; a view only when it is durable.
  HelloAnswer body{waiting.life, waiting.client, durable_.epoch};
  RpcHeader header = waiting.header;
  header.is_answer = 1;
  send_view(waiting.channel, header, waiting.tag, body, waiting.known < durable_.epoch, out);
}

void Coordinator::on_about(Channel channel, std::uint64_t tag, const RpcMessage& message, TimeNs now, Outbox& out) {
  AboutServer about;
  if (!read_body(message.body, about)) return;
  const ServerId from{NodeId{about.from}, about.from_life};
  if (!view_.is_alive(from)) return refuse(channel, tag, message.header, out);
  servers_[about.from].heard_ns = now;
  Waiting waiting{channel, tag, message.header, 0, 0, 0, 0, {}};
  switch (message.header.opcode) {
    case Opcode::kSuspect: return on_suspect(NodeId{about.node}, now);
    case Opcode::kPlan:
      waiting.life = about.life;
      waiting.client = about.node;
      plans_.push_back(std::move(waiting));
      return;
    default: return on_recovered(about, message.body.subspan(sizeof(about)), std::move(waiting), now);
  }
}

void Coordinator::on_suspect(NodeId node, TimeNs now) {
  const MemberState* const state = member(node);
  if (!options_.membership.recoverable || state == nullptr || !state->is_up) return;
  Server& server = servers_[index(node)];
  if (server.pinged_ns == kNever) server.heard_ns = std::min(server.heard_ns, now - options_.membership.lease_ns);
}

TimeNs Coordinator::declared_at(ServerId dead) const {
  for (const DeadMaster& master : view_.dead) {
    if (master.server == dead) return master.declared_ns;
  }
  return 0;
}

void Coordinator::on_recovered(const AboutServer& about, ConstBytes listed, Waiting waiting, TimeNs now) {
  const ServerId dead{NodeId{about.node}, about.life};
  const ServerId by{NodeId{about.from}, about.from_life};
  if (about.lost_segment != 0) {
    // Its sources were bad: ask all backups again, then let it try once more, while patience lasts.
    const TimeNs since = unreadable_since_.try_emplace({about.node, about.lost_segment}, now).first->second;
    if (now - since >= options_.membership.recovery_patience_ns && trouble_.empty()) {
      trouble_ =
          fmt::format("lost: segment {} of node {}: no replica of it can be read to its end; declared dead at {} ns",
                      about.lost_segment, about.node, declared_at(dead));
    }
    for (MasterRecovery& recovery : recoveries_) {
      if (recovery.server() == dead) recovery.ask_again();
    }
    waiting.epoch = view_.epoch;
    waiting_.push_back(std::move(waiting));
    return;
  }
  // It has read all segments: patience with them begins anew.
  std::erase_if(unreadable_since_, [&](const auto& entry) { return entry.first.first == about.node; });
  std::vector<KeyRange> ranges;
  KeyRange range;
  for (; read_body(listed, range); listed = listed.subspan(sizeof(range))) ranges.push_back(range);
  std::erase_if(recovered_, [&](const Recovered& r) { return r.dead == dead && r.by == by && r.ranges == ranges; });
  recovered_.push_back({dead, by, std::move(ranges), std::move(waiting)});
}

void Coordinator::on_epochs(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out) {
  AboutServer about;
  if (!read_body(message.body, about)) return;
  const ServerId from{NodeId{about.from}, about.from_life};
  if (!view_.is_alive(from)) return refuse(channel, tag, message.header, out);
  const ConstBytes listed = message.body.subspan(sizeof(about));
  Waiting waiting{channel, tag, message.header, 0, 0, 0, 0, {listed.begin(), listed.end()}};
  for (std::size_t at = 0; at + sizeof(SegmentEpoch) <= listed.size(); at += sizeof(SegmentEpoch)) {
    SegmentEpoch epoch;
    std::memcpy(&epoch, listed.data() + at, sizeof(epoch));
    epoch.segment |= std::uint64_t{about.from} << 48;
    const auto known = std::find_if(view_.epochs_of_living.begin(), view_.epochs_of_living.end(),
                                    [&](const SegmentEpoch& e) { return e.segment == epoch.segment; });
    if (known == view_.epochs_of_living.end()) {
      view_.epochs_of_living.push_back(epoch);
    } else {
      known->epoch = std::max(known->epoch, epoch.epoch);
    }
  }
  changed();
  waiting.epoch = view_.epoch;
  waiting_.push_back(std::move(waiting));
}

void Coordinator::on_answer(Channel channel, const RpcMessage& message, TimeNs now, Outbox& out) {
  out.work(Work::kControlMessageIn);
  for (auto& [node, server] : servers_) {
    if (server.channel != channel) continue;
    server.heard_ns = now;
    server.pinged_ns = kNever;
    WindowMark mark;
    if (message.header.opcode == Opcode::kWindow && read_body(message.body, mark) && mark.starts == 0) {
      server.end_answered = true;
    }
    if (message.header.opcode != Opcode::kReplicasOf) continue;
    for (MasterRecovery& recovery : recoveries_) {
      const std::uint64_t id = std::uint64_t{index(recovery.server().node)} << 16 | recovery.server().life;
      if (id == message.header.id) recovery.on_replicas(member(NodeId{node})->server, message.body);
    }
  }
}

void Coordinator::on_down(Channel channel, TimeNs now) {
  std::erase_if(unread_, [channel](const Waiting& w) { return w.channel == channel; });
  if (phase() == Phase::kDone) return;
  std::erase_if(plans_, [channel](const Waiting& w) { return w.channel == channel; });
  for (auto& [node, server] : servers_) {
    if (server.channel != channel) continue;
    server.channel = kNoChannel;
    server.start_told = server.end_told = false;
    if (!options_.membership.recoverable) {
      trouble_ = fmt::format("node {} is gone", node);
      return;
    }
    server.told = 0;
    for (MasterRecovery& recovery : recoveries_) recovery.forget(member(NodeId{node})->server);
    on_suspect(NodeId{node}, now);
  }
  if (options_.membership.recoverable) return;
  const auto used = [channel](const Waiting& w) { return w.channel == channel; };
  if (std::any_of(ready_.begin(), ready_.end(), used)) trouble_ = "a client is gone";
}

// ---- Decisions.

void Coordinator::advance(TimeNs now, Outbox& out) {
  if (!is_loaded_) {
    state_log_.start(out);
    if (!state_log_.is_loaded()) return;
    is_loaded_ = true;
    if (state_log_.loaded()) {
      view_ = *state_log_.loaded();
      changed();
      // No lease that an earlier life gave ends later than one given now.
      for (const MemberState& state : view_.servers) {
        if (state.is_up) servers_[index(state.server.node)].heard_ns = now;
        if (state.is_up) servers_[index(state.server.node)].granted_ns = now;
      }
      for (const DeadMaster& dead : view_.dead) last_lease_[index(dead.server.node)] = now;
      for (const std::uint32_t client : view_.clients) clients_[client].heard_ns = now;
    }
    for (const Waiting& request : std::exchange(unread_, {})) {
      on_request(request.channel, request.tag, {request.header, request.body}, now, out);
    }
  }
  advance_phases(now, out);
  if (options_.membership.recoverable) {
    advance_liveness(now, out);
    advance_recoveries(now, out);
  }
  persist(out);
  release(out);
  push_views(out);
}

void Coordinator::set_phase(Phase phase) {
  view_.phase = static_cast<std::uint32_t>(phase);
  changed();
}

void Coordinator::advance_phases(TimeNs now, Outbox& out) {
  if (phase() == Phase::kEnlisting && all_enlisted()) {
    for (const Tablet& tablet : options_.tablets) {
      view_.tablets.push_back({tablet.table, tablet.first, tablet.last, member(tablet.server)->server, kNoServerId});
    }
    set_phase(Phase::kLoading);
  }
  if (phase() != Phase::kEnlisting) {
    for (Waiting& waiting : early_) {
      waiting.epoch = view_.epoch;
      waiting_.push_back(std::move(waiting));
    }
    early_.clear();
  }
  if (phase() == Phase::kLoading && ready_.size() >= options_.clients.size()) {
    view_.window_start_ns = now + options_.warmup_ns;
    view_.window_end_ns = view_.window_start_ns + options_.duration_ns;
    set_phase(Phase::kWarmup);
    for (Waiting& waiting : ready_) {
      waiting.epoch = view_.epoch;
      waiting.client = 0;
      waiting_.push_back(std::move(waiting));
    }
    ready_.clear();
  }
  if (phase() == Phase::kWarmup && now >= view_.window_start_ns) {
    set_phase(Phase::kWindow);
  }
  if (phase() == Phase::kWindow && now >= view_.window_end_ns) set_phase(Phase::kDraining);
  for (auto& [node, server] : servers_) {
    if (server.channel == kNoChannel) continue;
    if (phase() >= Phase::kWindow && !std::exchange(server.start_told, true)) tell_window(server, true, out);
    if (phase() >= Phase::kDraining && !std::exchange(server.end_told, true)) tell_window(server, false, out);
  }
  if (phase() == Phase::kDraining && finished_.size() >= options_.clients.size()) {
    const bool all_told = std::all_of(servers_.begin(), servers_.end(), [](const auto& s) {
      return s.second.end_answered || s.second.channel == kNoChannel;
    });
    if (all_told) set_phase(Phase::kDone);
  }
}

void Coordinator::advance_liveness(TimeNs now, Outbox& out) {
  const MembershipOptions& m = options_.membership;
  next_look_ = now + m.probe_timeout_ns / 2;
  if (phase() == Phase::kEnlisting) return;
  for (MemberState& state : view_.servers) {
    if (!state.is_up) continue;
    Server& server = servers_[index(state.server.node)];
    if (server.pinged_ns == kNever && now - server.heard_ns >= m.lease_ns) {
      server.pinged_ns = now;
      if (server.channel != kNoChannel) {
        RpcHeader header;
        header.opcode = Opcode::kPing;
        send_message(out, server.channel, header, Progressed{}, 0, Work::kControlMessageOut);
      }
    }
    if (server.pinged_ns == kNever) continue;
    if (now - server.pinged_ns >= m.probe_timeout_ns) {
      declare_dead(state, now);
    } else {
      next_look_ = std::min(next_look_, server.pinged_ns + m.probe_timeout_ns);
    }
  }
  const auto is_gone = [&](std::uint32_t id) { return now - clients_[id].heard_ns >= m.client_lease_ns; };
  for (const std::uint32_t id : view_.clients) {
    if (!is_gone(id)) continue;
    changed();
    break;
  }
  std::erase_if(view_.clients, is_gone);
  std::erase_if(clients_, [&](const auto& c) {
    return !std::binary_search(view_.clients.begin(), view_.clients.end(), c.first);
  });
}

void Coordinator::declare_dead(MemberState& state, TimeNs now) {
  const ServerId dead = state.server;
  state.is_up = false;
  last_lease_[index(dead.node)] = servers_[index(dead.node)].granted_ns;
  servers_.erase(index(dead.node));
  changed();
  DeadMaster master{dead, now, false, {}};
  std::erase_if(view_.epochs_of_living, [&](const SegmentEpoch& epoch) {
    if (epoch.segment >> 48 != index(dead.node)) return false;
    master.epochs.push_back({epoch.segment & 0xffffffffffff, epoch.epoch});
    return true;
  });
  bool owned = false;
  for (TabletState& tablet : view_.tablets) {
    if (tablet.owner == dead) owned = true;
    if (tablet.recoverer == dead) tablet.recoverer = kNoServerId;
  }
  if (owned) times_.push_back({dead, now, 0, 0, 0});
  if (owned) view_.dead.push_back(std::move(master));
  std::erase_if(recovered_, [&](const Recovered& r) { return r.by == dead; });
  for (MasterRecovery& recovery : recoveries_) recovery.forget(dead);
}

void Coordinator::advance_recoveries(TimeNs now, Outbox& out) {
  take_over(now);
  // A dead master without tablets is forgotten, and with it its replicas.
  const auto has_tablets = [this](ServerId server) {
    const auto owns = [server](const TabletState& t) { return t.owner == server; };
    if (mutated(Mutant::kForgottenEarly)) return std::all_of(view_.tablets.begin(), view_.tablets.end(), owns);
    return std::any_of(view_.tablets.begin(), view_.tablets.end(), owns);
  };
  if (std::erase_if(view_.dead, [&](const DeadMaster& d) { return !has_tablets(d.server); }) > 0) changed();
  for (RecoveryTimes& times : times_) {
    if (times.done_ns == 0 && !has_tablets(times.server)) times.done_ns = now;
  }
  std::erase_if(recoveries_, [&](const MasterRecovery& r) { return !has_tablets(r.server()); });
  for (const DeadMaster& dead : view_.dead) {
    const auto known = [&](const MasterRecovery& r) { return r.server() == dead.server; };
    if (std::none_of(recoveries_.begin(), recoveries_.end(), known)) recoveries_.emplace_back(dead);
  }
  // That it is dead must be durable before anybody is told to shut it out.
  bool any_missing = false;
  for (MasterRecovery& recovery : recoveries_) {
    const bool is_told = std::any_of(durable_.dead.begin(), durable_.dead.end(),
                                     [&](const DeadMaster& d) { return d.server == recovery.server(); });
    if (is_told) advance_recovery(recovery, now, out);
    any_missing = any_missing || !recovery.missing().empty();
  }
  if (!any_missing) {
    missing_since_ = kNever;
  } else {
    if (missing_since_ == kNever) missing_since_ = now;
    if (now - missing_since_ >= options_.membership.recovery_patience_ns && trouble_.empty()) {
      for (const MasterRecovery& recovery : recoveries_) {
        if (recovery.missing().empty()) continue;
        trouble_ += fmt::format("{}lost: {}; declared dead at {} ns", trouble_.empty() ? "" : "; ", recovery.missing(),
                                std::find_if(view_.dead.begin(), view_.dead.end(), [&](const DeadMaster& d) {
                                  return d.server == recovery.server();
                                })->declared_ns);
      }
    }
  }
}

void Coordinator::advance_recovery(MasterRecovery& recovery, TimeNs now, Outbox& out) {
  const std::vector<ServerId> living = alive();
  for (const ServerId server : living) {
    const Channel channel = servers_[index(server.node)].channel;
    if (channel == kNoChannel || !recovery.must_ask(server)) continue;
    RpcHeader header;
    header.opcode = Opcode::kReplicasOf;
    header.id = std::uint64_t{index(recovery.server().node)} << 16 | recovery.server().life;
    ReplicasOf body;
    body.master = index(recovery.server().node);
    body.life = recovery.server().life;
    send_message(out, channel, header, body, 0, Work::kControlMessageOut);
  }
  if (living.empty() || !recovery.has_answers_of(living)) return;
  if (!recovery.is_decided()) recovery.decide();
  next_look_ = std::min(next_look_, now + options_.membership.probe_timeout_ns);
  if (!recovery.is_decided()) return;
  for (RecoveryTimes& times : times_) {
    if (times.server != recovery.server() || times.found_ns != 0) continue;
    times.found_ns = now;
    times.bytes = recovery.bytes();
  }
  split(recovery, out);
  assign(recovery);
  answer_plans(recovery, out);
}

// The first time: every tablet in as many pieces as there are recovery masters. Keys are hashed, so equal ranges hold
// equal shares of bytes and records.
void Coordinator::split(const MasterRecovery& recovery, Outbox& out) {
  const auto dead = std::find_if(view_.dead.begin(), view_.dead.end(),
                                 [&](const DeadMaster& d) { return d.server == recovery.server(); });
  if (dead->is_split) return;
  dead->is_split = true;
  changed();
  std::size_t pieces = recovery.bytes() / options_.membership.partition_bytes + 1;
  if (out.rare(Rare::kManyPieces)) pieces += out.rare_below(alive().size());
  pieces = std::min(pieces, alive().size());
  std::vector<TabletState> split;
  for (const TabletState& tablet : view_.tablets) {
    const std::uint64_t width = (tablet.last - tablet.first) / pieces;
    if (tablet.owner != recovery.server() || width == 0) {
      split.push_back(tablet);
      continue;
    }
    for (std::size_t i = 0; i < pieces; ++i) {
      TabletState piece = tablet;
      piece.first = tablet.first + i * width;
      piece.last = i + 1 == pieces ? tablet.last : piece.first + width - 1;
      split.push_back(piece);
    }
  }
  view_.tablets = std::move(split);
}

// What has no recovery master goes to the server that has least to do.
void Coordinator::assign(const MasterRecovery& recovery) {
  for (TabletState& tablet : view_.tablets) {
    if (tablet.owner != recovery.server() || tablet.recoverer != kNoServerId) continue;
    std::size_t least = SIZE_MAX;
    for (const ServerId server : alive()) {
      const auto load =
          static_cast<std::size_t>(std::count_if(view_.tablets.begin(), view_.tablets.end(),
                                                 [server](const TabletState& t) { return t.recoverer == server; }) *
                                       1000 +
                                   std::count_if(view_.tablets.begin(), view_.tablets.end(),
                                                 [server](const TabletState& t) { return t.owner == server; }));
      if (load >= least) continue;
      least = load;
      tablet.recoverer = server;
    }
    changed();
  }
}

void Coordinator::answer_plans(const MasterRecovery& recovery, Outbox& out) {
  const auto is_asked = [&](const Waiting& w) {
    return NodeId{static_cast<std::uint16_t>(w.client)} == recovery.server().node && w.life == recovery.server().life;
  };
  for (Waiting& waiting : plans_) {
    if (!is_asked(waiting)) continue;
    for (const SegmentPlan& planned : recovery.plan()) {
      const PlanSegment head{planned.segment, planned.bytes, static_cast<std::uint32_t>(planned.sources.size())};
      const auto raw = std::as_bytes(std::span(&head, 1));
      waiting.body.insert(waiting.body.end(), raw.begin(), raw.end());
      for (const NodeId source : planned.sources) {
        waiting.body.push_back(static_cast<std::byte>(index(source) & 0xff));
        waiting.body.push_back(static_cast<std::byte>(index(source) >> 8));
      }
      while (waiting.body.size() % sizeof(std::uint64_t) != 0) waiting.body.push_back(std::byte{0});
    }
    answer(waiting, out);
  }
  std::erase_if(plans_, is_asked);
}

// The dead server's tablets change hands when no read of its own can be answered any more.
void Coordinator::take_over(TimeNs now) {
  for (Recovered& r : recovered_) {
    const TimeNs lease = options_.membership.lease_ns;
    const TimeNs over = last_lease_[index(r.dead.node)] + lease + lease / 50;  // clocks may drift by 2 %
    if (now < over && !mutated(Mutant::kTakeOverEarly)) {
      next_look_ = std::min(next_look_, over);
      continue;
    }
    for (TabletState& tablet : view_.tablets) {
      const KeyRange range{tablet.table, tablet.first, tablet.last};
      if (tablet.owner != r.dead || tablet.recoverer != r.by ||
          std::find(r.ranges.begin(), r.ranges.end(), range) == r.ranges.end()) {
        continue;
      }
      tablet.owner = r.by;
      tablet.recoverer = kNoServerId;
      changed();
    }
    r.waiting.epoch = view_.epoch;
    waiting_.push_back(std::move(r.waiting));
    r.by = kNoServerId;
  }
  std::erase_if(recovered_, [](const Recovered& r) { return r.by == kNoServerId; });
}

// ---- What is told.

void Coordinator::persist(Outbox& out) {
  if (!options_.membership.recoverable) {
    if (durable_.epoch != view_.epoch) durable_ = view_;
    return;
  }
  if (mutated(Mutant::kTellBeforeDurable)) durable_ = view_;
  if (saving_.epoch > durable_.epoch && state_log_.durable_epoch() >= saving_.epoch) durable_ = saving_;
  if (saving_.epoch > durable_.epoch || view_.epoch == saving_.epoch) return;
  saving_ = view_;
  state_log_.save(saving_, out);
}

void Coordinator::release(Outbox& out) {
  const auto is_due = [this](const Waiting& w) { return w.epoch <= durable_.epoch; };
  for (const Waiting& waiting : waiting_) {
    if (!is_due(waiting)) continue;
    if (waiting.header.opcode != Opcode::kEnlist) {
      answer(waiting, out);
      continue;
    }
    RpcHeader header = waiting.header;
    header.is_answer = 1;
    const HelloAnswer body{waiting.life, waiting.client, durable_.epoch};
    send_view(waiting.channel, header, waiting.tag, body, waiting.known < durable_.epoch, out);
  }
  std::erase_if(waiting_, is_due);
}

void Coordinator::push_views(Outbox& out) {
  if (!options_.membership.recoverable) return;
  for (auto& [node, server] : servers_) {
    if (server.channel == kNoChannel || server.told == durable_.epoch) continue;
    server.told = durable_.epoch;
    RpcHeader header;
    header.opcode = Opcode::kView;
    send_view(server.channel, header, 0, {0, 0, durable_.epoch}, true, out);
  }
}

void Coordinator::send_view(Channel channel, RpcHeader header, std::uint64_t answers, HelloAnswer body, bool with_view,
                            Outbox& out) {
  std::vector<std::byte> view;
  if (with_view) encode(durable_, view);
  std::byte* const at =
      out.send(channel, sizeof(header) + sizeof(body) + view.size(), answers, Work::kControlMessageOut);
  std::memcpy(at, &header, sizeof(header));
  std::memcpy(at + sizeof(header), &body, sizeof(body));
  if (!view.empty()) std::memcpy(at + sizeof(header) + sizeof(body), view.data(), view.size());
}

void Coordinator::answer(const Waiting& waiting, Outbox& out) {
  RpcHeader header = waiting.header;
  header.is_answer = 1;
  std::byte* const at =
      out.send(waiting.channel, sizeof(header) + waiting.body.size(), waiting.tag, Work::kControlMessageOut);
  std::memcpy(at, &header, sizeof(header));
  if (!waiting.body.empty()) std::memcpy(at + sizeof(header), waiting.body.data(), waiting.body.size());
}

void Coordinator::refuse(Channel channel, std::uint64_t tag, const RpcHeader& request, Outbox& out) {
  Waiting waiting{channel, tag, request, 0, 0, 0, 0, {}};
  waiting.header.status = Status::kDead;
  answer(waiting, out);
}

void Coordinator::tell_window(Server& server, bool starts, Outbox& out) {
  RpcHeader header;
  header.opcode = Opcode::kWindow;
  send_message(out, server.channel, header, WindowMark{starts ? 1u : 0u}, 0, Work::kControlMessageOut);
}

TimeNs Coordinator::deadline() const {
  if (!is_loaded_) return state_log_.is_loaded() ? 0 : kNever;
  TimeNs at = options_.membership.recoverable ? next_look_ : kNever;
  if (phase() == Phase::kWarmup) at = std::min(at, view_.window_start_ns);
  if (phase() == Phase::kWindow) at = std::min(at, view_.window_end_ns);
  return at;
}

bool Coordinator::done() const { return phase() == Phase::kDone; }

std::string Coordinator::trouble() const { return trouble_.empty() ? state_log_.trouble() : trouble_; }

std::string Coordinator::describe() const {
  std::string line = fmt::format("coordinator phase {} epoch {}/{} up {}/{} ready {} finished {}/{}", view_.phase,
                                 view_.epoch, durable_.epoch, alive().size(), view_.servers.size(), ready_.size(),
                                 finished_.size(), options_.clients.size());
  for (const DeadMaster& dead : view_.dead) {
    const auto left = std::count_if(view_.tablets.begin(), view_.tablets.end(),
                                    [&](const TabletState& t) { return t.owner == dead.server; });
    line += fmt::format(" | dead {}.{}: {} tablets left", index(dead.server.node), dead.server.life, left);
  }
  for (const MasterRecovery& recovery : recoveries_) {
    if (!recovery.missing().empty()) line += " missing " + recovery.missing();
  }
  return line;
}

}  // namespace slipstream
