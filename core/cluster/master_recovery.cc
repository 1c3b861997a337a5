#include "core/cluster/master_recovery.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "core/base/mutation.h"

namespace slipstream {

bool MasterRecovery::must_ask(ServerId server) {
  Answer& answer = answers_[index(server.node)];
  if (answer.server == server) return false;
  answer = Answer{};
  answer.server = server;
  return true;
}

void MasterRecovery::forget(ServerId server) {
  const auto it = answers_.find(index(server.node));
  if (it != answers_.end() && it->second.server == server && !it->second.is_in) answers_.erase(it);
}

void MasterRecovery::ask_again() {
  answers_.clear();
  decided_ = false;
  missing_.clear();
}

void MasterRecovery::on_replicas(ServerId from, ConstBytes body) {
  const auto it = answers_.find(index(from.node));
  if (it == answers_.end() || it->second.server != from || it->second.is_in) return;
  ReplicasAnswer told;
  if (!read_body(body, told)) return;
  body = body.subspan(sizeof(told));
  if (body.size() != told.replicas * sizeof(ReplicaInfo) + told.digest * sizeof(std::uint64_t)) return;
  Answer& answer = it->second;
  answer.is_in = true;
  answer.head = told.head;
  answer.replicas.resize(told.replicas);
  answer.digest.resize(told.digest);
  const std::size_t listed = told.replicas * sizeof(ReplicaInfo);
  if (listed > 0) std::memcpy(answer.replicas.data(), body.data(), listed);
  if (told.digest > 0) std::memcpy(answer.digest.data(), body.data() + listed, told.digest * sizeof(std::uint64_t));
}

bool MasterRecovery::has_answers_of(std::span<const ServerId> alive) const {
  return std::all_of(alive.begin(), alive.end(), [this](ServerId server) {
    const auto it = answers_.find(index(server.node));
    return it != answers_.end() && it->second.server == server && it->second.is_in;
  });
}

// An open replica of a segment that went on without it is stale, however well it verifies.
bool MasterRecovery::counts(const ReplicaInfo& replica) const {
  if ((replica.flags & kReplicaClosed) != 0) return true;
  if ((replica.flags & kReplicaCopy) != 0) return mutated(Mutant::kCopyAsGood);
  if (mutated(Mutant::kStaleEpoch)) return true;
  for (const SegmentEpoch& recorded : dead_.epochs) {
    if (recorded.segment == replica.segment && replica.epoch < recorded.epoch) return false;
  }
  return true;
}

void MasterRecovery::decide() {
  decided_ = true;
  plan_.clear();
  missing_.clear();
  std::vector<Found> found;
  std::vector<Found> stale;
  const Answer* newest = nullptr;
  for (const auto& [node, answer] : answers_) {
    for (const ReplicaInfo& info : answer.replicas) {
      (counts(info) ? found : stale).push_back({info, NodeId{node}});
    }
    // Its head must count itself.
    const bool has_head = std::any_of(
        answer.replicas.begin(), answer.replicas.end(),
        [&, &answer = answer](const ReplicaInfo& info) { return info.segment == answer.head && counts(info); });
    if (!answer.digest.empty() && has_head && (newest == nullptr || answer.head > newest->head)) newest = &answer;
  }
  if (dead_.epochs.empty()) return;  // its log never began: nothing of it was ever acknowledged
  if (found.empty() && newest == nullptr) {
    missing_ = fmt::format("every replica of the log of node {}", index(dead_.server.node));
    return;
  }
  if (newest == nullptr) {
    missing_ = fmt::format("every replica of the head of the log of node {}, which tells what belongs to it",
                           index(dead_.server.node));
    return;
  }
  // A head is closed only once its successor is open on all its backups.
  const bool head_is_closed = std::any_of(found.begin(), found.end(), [&](const Found& f) {
    return f.info.segment == newest->head && (f.info.flags & kReplicaClosed) != 0;
  });
  if (head_is_closed) {
    missing_ =
        fmt::format("every replica of the head behind segment {} of node {}", newest->head, index(dead_.server.node));
    return;
  }
  for (const std::uint64_t segment : newest->digest) plan_segment(segment, found, stale);
}

void MasterRecovery::plan_segment(std::uint64_t segment, const std::vector<Found>& found,
                                  const std::vector<Found>& stale) {
  std::uint32_t closed = 0;
  std::uint32_t longest = 0;
  std::uint32_t crc = 0;  // of the closed one
  for (const Found& f : found) {
    if (f.info.segment != segment) continue;
    longest = mutated(Mutant::kShortestReplica) && longest != 0 ? std::min(longest, f.info.bytes)
                                                                : std::max(longest, f.info.bytes);
    if ((f.info.flags & kReplicaClosed) == 0) continue;
    closed = std::max(closed, f.info.bytes);
    crc = f.info.crc;
  }
  const std::uint32_t bytes = closed != 0 ? closed : longest;
  SegmentPlan planned{segment, bytes, {}};
  for (const Found& f : found) {
    if (f.info.segment == segment && f.info.bytes >= bytes) planned.sources.push_back(f.server);
  }
  // One that would not count for itself, but verifies to the very end of the closed one, is the same: it may serve when
  // the others turn out to have rotted.
  for (const Found& f : stale) {
    if (closed != 0 && f.info.segment == segment && f.info.bytes == closed && f.info.crc == crc) {
      planned.sources.push_back(f.server);
    }
  }
  if (bytes == 0) {
    missing_ += fmt::format("{}all bytes of segment {} of node {}", missing_.empty() ? "" : "; ", segment,
                            index(dead_.server.node));
    return;
  }
  // The load is spread: segments begin with different sources.
  std::rotate(planned.sources.begin(),
              planned.sources.begin() + static_cast<std::ptrdiff_t>(segment % planned.sources.size()),
              planned.sources.end());
  plan_.push_back(std::move(planned));
}

std::uint64_t MasterRecovery::bytes() const {
  std::uint64_t sum = 0;
  for (const SegmentPlan& segment : plan_) sum += segment.bytes;
  return sum;
}

}  // namespace slipstream
