// What many files say together: on which nodes each segment has replicas, which segments the newest digest of each
// master names, and what of these is not there any more.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "experiments/cli/inspect_file.h"

namespace slipstream::cli {

struct ReplicaPlace {
  std::string where;  // "node 2 (stored)"
  bool is_closed = false;
  bool is_stored = false;
  bool is_copy = false;  // open, and not yet of use for recovery
  std::uint32_t replica_epoch = 0;
  std::uint32_t should_be = 0;  // bytes of a closed one
  std::uint32_t valid = 0;      // bytes
};

struct SegmentTotal {
  std::uint16_t master = 0;
  std::uint64_t segment = 0;
  std::vector<ReplicaPlace> replicas;

  std::uint32_t known() const;     // bytes that there must be: as closed, else the longest that verifies
  std::uint32_t readable() const;  // bytes that some replica has
};

struct DigestTotal {
  std::uint16_t master = 0;
  std::uint16_t life = 0;
  std::uint64_t head = 0;  // the newest segment that has a digest
  std::vector<std::uint64_t> named;
  std::vector<std::string> missing;  // which bytes of which segment, each on one line
  // The master lives, or is dead and not recovered yet, and every server's files are here: what is missing is lost.
  bool is_loss = false;
};

class Totals {
 public:
  void add(const InspectedFile& file);
  // After all files.
  void finish();

  const std::vector<SegmentTotal>& segments() const { return segments_; }
  const std::vector<DigestTotal>& digests() const { return digests_; }
  // Why it cannot be said whether what is missing is lost; empty: it can.
  const std::string& doubt() const { return doubt_; }
  std::size_t lost() const;

 private:
  using Key = std::pair<std::uint16_t, std::uint64_t>;  // master, segment

  std::map<Key, SegmentTotal> by_segment_;
  std::map<Key, std::vector<std::uint64_t>> digest_of_;
  std::set<std::uint16_t> nodes_;  // with replica memory
  std::optional<View> view_;
  std::vector<SegmentTotal> segments_;
  std::vector<DigestTotal> digests_;
  std::string doubt_;
};

}  // namespace slipstream::cli
