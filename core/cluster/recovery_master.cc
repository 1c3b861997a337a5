#include "core/cluster/recovery_master.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/mutation.h"

namespace slipstream {

bool RecoveryMaster::Task::has(const TabletState& tablet) const {
  return std::any_of(ours.begin(), ours.end(), [&](std::uint32_t i) {
    return tablet.owner == dead && all_ranges[i] == KeyRange{tablet.table, tablet.first, tablet.last};
  });
}

// ---- Facts.

// What is given to us later, because its first recovery master died, is a task of its own.
void RecoveryMaster::on_view(const View& view, std::uint16_t own_life, Outbox& out) {
  const ServerId self{self_, own_life};
  window_start_ns_ = view.window_start_ns;
  window_end_ns_ = view.window_end_ns;
  for (Task& task : tasks_) {
    const auto ours = [&](const TabletState& t) { return t.recoverer == self && task.has(t); };
    if (std::none_of(view.tablets.begin(), view.tablets.end(), ours)) abandon(task, out);
  }
  std::erase_if(tasks_, [](const Task& task) { return task.dead == kNoServerId; });
  for (const DeadMaster& dead : view.dead) {
    std::vector<KeyRange> ranges;
    std::vector<std::uint32_t> ours;
    for (const TabletState& t : view.tablets) {
      if (t.owner != dead.server) continue;
      const bool has_task = std::any_of(tasks_.begin(), tasks_.end(), [&](const Task& task) { return task.has(t); });
      if (t.recoverer == self && !has_task) ours.push_back(static_cast<std::uint32_t>(ranges.size()));
      ranges.push_back({t.table, t.first, t.last});
    }
    if (ours.empty()) continue;
    Task& task = tasks_.emplace_back(dead.server, master_.log());
    task.all_ranges = std::move(ranges);
    task.ours = std::move(ours);
    look_at_ = 0;
  }
}

// Once its head is the log's, what was replayed belongs to us; before, nothing of it may stay.
void RecoveryMaster::abandon(Task& task, Outbox& out) {
  if (task.phase < Phase::kCommitting) forget_replayed(task, out);
  task.dead = kNoServerId;
}

void RecoveryMaster::forget_replayed(Task& task, Outbox& out) {
  master_.store().forget(task.side.slots());
  for (const std::uint32_t slot : task.side.slots()) {
    master_.replicas().forget(slot, out);
    master_.log().release(slot);
  }
  task.side = SideLog(master_.log());
  task.removed.clear();
  task.held_back.clear();
  task.sources.clear();
}

void RecoveryMaster::on_plan(const RpcMessage& message) {
  const ServerId dead{NodeId{static_cast<std::uint16_t>(message.header.id >> 16)},
                      static_cast<std::uint16_t>(message.header.id)};
  std::vector<Source> sources;
  PlanSegment planned;
  for (ConstBytes rest = message.body; read_body(rest, planned);) {
    rest = rest.subspan(sizeof(planned));
    const std::size_t listed = (planned.sources * sizeof(std::uint16_t) + 7) / 8 * 8;
    if (planned.sources == 0 || rest.size() < listed) return;
    Source& source = sources.emplace_back();
    source.segment = planned.segment;
    source.bytes = planned.bytes;
    for (std::uint32_t i = 0; i < planned.sources; ++i) {
      source.nodes.push_back(NodeId{load<std::uint16_t>(rest.data() + i * sizeof(std::uint16_t))});
    }
    rest = rest.subspan(listed);
  }
  // The newest first: what they overwrote is then not replayed at all.
  std::sort(sources.begin(), sources.end(), [](const Source& a, const Source& b) { return a.segment > b.segment; });
  for (Task& task : tasks_) {
    if (task.dead != dead || task.phase != Phase::kPlanning || task.lost_segment != 0) continue;
    task.sources = sources;
    task.is_asked = false;
    task.phase = Phase::kReading;
    look_at_ = 0;
  }
}

void RecoveryMaster::on_reported(const RpcMessage& message, Outbox& out) {
  const ServerId dead{NodeId{static_cast<std::uint16_t>(message.header.id >> 16)},
                      static_cast<std::uint16_t>(message.header.id)};
  for (Task& task : tasks_) {
    if (task.dead != dead || task.lost_segment == 0) continue;
    // The backups are asked anew, and may have less of the head than before: what was replayed of an operation that
    // nobody acknowledged must not stay without the rest of it.
    if (!mutated(Mutant::kTwoPlansInOne)) forget_replayed(task, out);
    task.lost_segment = 0;
    task.phase = Phase::kPlanning;
    task.is_asked = false;
    task.range = 0;
    look_at_ = 0;
  }
}

void RecoveryMaster::on_down(Channel channel) {
  if (channel != kOwnNode && !peers_.owns(channel)) return;
  for (Task& task : tasks_) {
    for (Source& source : task.sources) {
      if (source.asked != kNoLink && peers_.channel(source.asked) == channel) source_failed(task, source);
    }
  }
}

void RecoveryMaster::on_data(Channel channel, const RpcMessage& message, TimeNs now, Outbox& out) {
  out.work(Work::kControlMessageIn);
  for (Task& task : tasks_) {
    for (Source& source : task.sources) {
      if (source.request != message.header.id || source.request == 0) continue;
      source.request = 0;
      source.asked = kNoLink;
      look_at_ = 0;
      RecoveryDataAnswer body;
      if (message.header.status != Status::kOk || !read_body(message.body, body) ||
          message.body.size() != sizeof(body) + body.bytes) {
        return source_failed(task, source);
      }
      source.cursor = body.next;
      source.is_done = body.next == 0;
      const ConstBytes entries = message.body.subspan(sizeof(body));
      if (now >= window_start_ns_ && now < window_end_ns_) {
        const double at =
            static_cast<double>(now - window_start_ns_) / static_cast<double>(window_end_ns_ - window_start_ns_);
        recovered_in_[static_cast<std::size_t>(at * kParts)] += entries.size();
      }
      if (!task.held_back.empty()) {
        task.held_back.insert(task.held_back.end(), entries.begin(), entries.end());
      } else if (!replay(task, entries, out)) {
        task.lost_segment = source.segment;
      }
      return;
    }
  }
  static_cast<void>(channel);
}

// False: an entry is corrupt although its batch verified; another replica may be better.
bool RecoveryMaster::replay(Task& task, ConstBytes entries, Outbox& out) {
  while (entries.size() >= kEntryHeaderBytes) {
    const auto header = load<EntryHeader>(entries.data());
    if (header.length() > entries.size() - kEntryHeaderBytes) return false;
    const ConstBytes contents = entries.subspan(kEntryHeaderBytes, header.length());
    switch (master_.store().replay(header.type(), contents, task.removed, task.side, out)) {
      case KvStore::Replayed::kCorrupt: return false;
      case KvStore::Replayed::kLogFull: task.held_back.assign(entries.begin(), entries.end()); return true;
      case KvStore::Replayed::kDone: break;
    }
    entries = entries.subspan(kEntryHeaderBytes + header.length());
  }
  return true;
}

// The log may have room again.
void RecoveryMaster::drain(Task& task, Outbox& out) {
  std::vector<std::byte> entries;
  entries.swap(task.held_back);
  if (!replay(task, entries, out)) task.lost_segment = 1;
}

void RecoveryMaster::source_failed(Task& task, Source& source) {
  source.request = 0;
  source.asked = kNoLink;
  source.next_node = (source.next_node + 1) % source.nodes.size();
  if (++source.failed >= source.nodes.size() * 2) task.lost_segment = source.segment == 0 ? 1 : source.segment;
  look_at_ = 0;
}

// Who does not answer may have much to read from a slow disk: the next one, and in the end the same, gets more time.
TimeNs RecoveryMaster::patience_with(const Source& source) const {
  return answer_timeout_ns_ << std::min<std::size_t>(source.failed, 4);
}

// ---- Decisions.

void RecoveryMaster::advance(TimeNs now, CoordinatorLink& coordinator, Outbox& out) {
  if (tasks_.empty() || now < look_at_) return;
  look_at_ = now + answer_timeout_ns_ / 4;
  for (Task& task : tasks_) {
    if (task.lost_segment != 0) {
      ask(task, coordinator, now, Opcode::kRecovered, out);
      continue;
    }
    if (task.phase == Phase::kPlanning) ask(task, coordinator, now, Opcode::kPlan, out);
    if (!task.held_back.empty()) drain(task, out);
    if (!task.held_back.empty()) look(now + 20 * kMicrosecond);
    if (task.phase == Phase::kReading && task.held_back.empty()) read(task, now, out);
    if (task.phase == Phase::kReplicating) {
      const ReplicaManager& replicas = master_.replicas();
      const bool all = std::all_of(task.side.slots().begin(), task.side.slots().end(),
                                   [&](std::uint32_t slot) { return replicas.is_closed_everywhere(slot); });
      if (mutated(Mutant::kCommitEarly)) {
        task.phase = Phase::kReporting;
        task.is_asked = false;
      } else if (all && master_.log().has_slot_for_head(true)) {
        task.side.list();
        SLIP_CHECK(master_.log().roll(out, true));
        task.committed_head = index(master_.log().head().identity.segment);
        task.phase = Phase::kCommitting;
        task.is_asked = false;
      }
    }
    if (task.phase == Phase::kCommitting && master_.replicas().digest_is_durable()) task.phase = Phase::kReporting;
    if (task.phase == Phase::kReporting) ask(task, coordinator, now, Opcode::kRecovered, out);
    // Facts of our own log, not messages, move these on: look every turn.
    if (task.phase == Phase::kReplicating || task.phase == Phase::kCommitting) look(now + 20 * kMicrosecond);
  }
}

void RecoveryMaster::ask(Task& task, CoordinatorLink& coordinator, TimeNs now, Opcode opcode, Outbox& out) {
  if (task.is_asked && now - task.asked_ns < answer_timeout_ns_) return look(task.asked_ns + answer_timeout_ns_);
  if (!coordinator.is_up()) return;
  task.is_asked = true;
  task.asked_ns = now;
  AboutServer about;
  about.node = index(task.dead.node);
  about.life = task.dead.life;
  about.lost_segment = task.lost_segment;
  std::vector<KeyRange> done;
  if (opcode == Opcode::kRecovered) {
    for (const std::uint32_t range : task.ours) done.push_back(task.all_ranges[range]);
  }
  coordinator.send(opcode, about, done, out);
}

void RecoveryMaster::read(Task& task, TimeNs now, Outbox& out) {
  std::uint32_t asked = 0;
  bool all_done = true;
  for (Source& source : task.sources) {
    if (source.is_done) continue;
    all_done = false;
    if (source.asked != kNoLink || source.request != 0) {
      if (now - source.asked_ns >= patience_with(source)) source_failed(task, source);
    }
    if (source.request == 0) {
      if (asked >= options_.recovery_requests) break;
      const NodeId node = source.nodes[source.next_node];
      const std::uint16_t link = node == self_ ? kNoLink : peers_.link_to(node);
      if (node != self_ && (link == kNoLink || !peers_.want(link, now, out))) {
        look(now + answer_timeout_ns_ / 16);
        if (source.asked_ns == 0) source.asked_ns = now;
        if (now - source.asked_ns >= patience_with(source)) source_failed(task, source);
        continue;
      }
      request(task, source, link, now, out);
    }
    ++asked;
  }
  if (!all_done || !task.held_back.empty()) return;
  if (++task.range < task.ours.size()) {
    for (Source& source : task.sources) {
      source.is_done = false;
      source.cursor = 0;
      source.asked_ns = 0;
    }
    look_at_ = 0;
    return;
  }
  task.side.close(out);
  task.phase = Phase::kReplicating;
  look_at_ = 0;
}

void RecoveryMaster::request(Task& task, Source& source, std::uint16_t link, TimeNs now, Outbox& out) {
  source.request = next_request_++;
  source.asked = link;
  source.asked_ns = now;
  RpcHeader header;
  header.opcode = Opcode::kRecoveryData;
  header.id = source.request;
  RecoveryData body;
  body.segment = source.segment;
  body.master = index(task.dead.node);
  body.ranges = static_cast<std::uint16_t>(task.all_ranges.size());
  body.range = task.ours[task.range];
  body.bytes = source.bytes;
  body.cursor = source.cursor;
  const std::size_t listed = task.all_ranges.size() * sizeof(KeyRange);
  const std::size_t bytes = sizeof(header) + sizeof(body) + listed;
  std::byte* const at = link == kNoLink ? own_requests_.emplace_back(bytes).data()
                                        : out.send(peers_.channel(link), bytes, 0, Work::kControlMessageOut);
  std::memcpy(at, &header, sizeof(header));
  std::memcpy(at + sizeof(header), &body, sizeof(body));
  std::memcpy(at + sizeof(header) + sizeof(body), task.all_ranges.data(), listed);
}

std::string RecoveryMaster::describe() const {
  std::string line;
  for (const Task& task : tasks_) {
    const auto left =
        std::count_if(task.sources.begin(), task.sources.end(), [](const Source& s) { return !s.is_done; });
    line += fmt::format(" | recovers {}.{} phase {} segments left {}/{} side {}", index(task.dead.node), task.dead.life,
                        static_cast<int>(task.phase), left, task.sources.size(), task.side.slots().size());
    for (const Source& source : task.sources) {
      if (source.is_done) continue;
      line += fmt::format("; segment {} of {} bytes from", source.segment, source.bytes);
      for (const NodeId node : source.nodes) line += fmt::format(" {}", index(node));
      if (source.failed > 0) line += fmt::format(", {} times in vain", source.failed);
      break;
    }
  }
  return line;
}

}  // namespace slipstream
