#include "experiments/cli/inspect_totals.h"

#include <algorithm>

#include <fmt/format.h>

namespace slipstream::cli {
namespace {

std::string place_of(const InspectedFile& file) {
  const std::string who = file.node ? fmt::format("node {}", *file.node) : file.path.filename().string();
  return file.kind == FileKind::kStoredReplica ? who + " (stored)" : who;
}

// Whether this life of the master still matters to the cluster.
bool matters(const View& view, std::uint16_t master, std::uint16_t life) {
  const ServerId server{NodeId{master}, life};
  return view.is_alive(server) || std::any_of(view.dead.begin(), view.dead.end(),
                                              [server](const DeadMaster& dead) { return dead.server == server; });
}

}  // namespace

std::uint32_t SegmentTotal::known() const {
  std::uint32_t closed = 0;
  for (const ReplicaPlace& replica : replicas) closed = std::max(closed, replica.should_be);
  return closed != 0 ? closed : readable();
}

std::uint32_t SegmentTotal::readable() const {
  std::uint32_t longest = 0;
  for (const ReplicaPlace& replica : replicas) {
    if (!replica.is_copy) longest = std::max(longest, replica.valid);
  }
  return longest;
}

void Totals::add(const InspectedFile& file) {
  const bool is_memory = file.kind == FileKind::kReplicaMemory;
  if (file.node && (is_memory || file.path.extension() == ".replicas")) nodes_.insert(*file.node);
  if (file.state && file.state->last && (!view_ || view_->epoch < file.state->last->epoch)) view_ = file.state->last;
  if (!is_memory && file.kind != FileKind::kStoredReplica) return;
  for (const InspectedReplica& found : file.replicas) {
    const Key key{index(found.segment.identity.master), index(found.segment.identity.segment)};
    SegmentTotal& total = by_segment_[key];
    total.master = key.first;
    total.segment = key.second;
    ReplicaPlace place;
    place.where = place_of(file);
    place.is_stored = !is_memory;
    place.is_closed = found.is_closed();
    place.is_copy = found.has_record && found.record.copy != 0;
    place.replica_epoch = found.record.replica_epoch;
    place.should_be = place.is_closed ? found.record.closed_bytes : 0;
    place.valid = static_cast<std::uint32_t>(found.segment.valid_bytes);
    total.replicas.push_back(std::move(place));
    if (found.segment.valid_bytes > 0 && !found.segment.digest.empty() && !total.replicas.back().is_copy) {
      digest_of_[key] = found.segment.digest;
    }
  }
}

void Totals::finish() {
  for (const auto& [key, total] : by_segment_) segments_.push_back(total);
  if (!view_) {
    doubt_ = "the coordinator's state is not among these files";
  } else {
    for (const MemberState& server : view_->servers) {
      if (nodes_.contains(index(server.server.node))) continue;
      doubt_ +=
          fmt::format("{}{}", doubt_.empty() ? "no replica memory is here of node " : ", ", index(server.server.node));
    }
  }
  for (const auto& [key, digest] : digest_of_) {
    const std::uint16_t life = life_of(SegmentId{key.second});
    const bool is_next = digests_.empty() || digests_.back().master != key.first || digests_.back().life != life;
    DigestTotal& total = is_next ? digests_.emplace_back() : digests_.back();  // rising: the last is the newest
    total.master = key.first;
    total.life = life;
    total.head = key.second;
    total.named = digest;
  }
  for (DigestTotal& digest : digests_) {
    digest.is_loss = doubt_.empty() && matters(*view_, digest.master, digest.life);
    for (const std::uint64_t segment : digest.named) {
      const auto found = by_segment_.find({digest.master, segment});
      if (found == by_segment_.end() || found->second.readable() == 0) {
        digest.missing.push_back(fmt::format("all bytes of segment {}", segment));
      } else if (found->second.readable() < found->second.known()) {
        digest.missing.push_back(
            fmt::format("bytes {} to {} of segment {}", found->second.readable(), found->second.known(), segment));
      }
    }
  }
}

std::size_t Totals::lost() const {
  std::size_t count = 0;
  for (const DigestTotal& digest : digests_) count += digest.is_loss ? digest.missing.size() : 0;
  return count;
}

}  // namespace slipstream::cli
