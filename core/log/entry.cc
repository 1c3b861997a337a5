#include "core/log/entry.h"

#include <array>

#include "core/base/crc32c.h"
#include "core/base/mutation.h"

namespace slipstream {

std::string_view name(EntryType type) {
  switch (type) {
    case EntryType::kSegmentHeader: return "segment-header";
    case EntryType::kDigest: return "digest";
    case EntryType::kObject: return "object";
    case EntryType::kTombstone: return "tombstone";
    case EntryType::kCompletion: return "completion";
    case EntryType::kCertificate: return "certificate";
  }
  return "unknown";
}

std::uint32_t chain_start(const SegmentIdentity& identity) {
  std::array<std::byte, 14> bytes;
  if (mutated(Mutant::kChainWithoutIdentity)) return crc32c(0xffffffff, {});
  store(bytes.data(), index(identity.master));
  store(bytes.data() + 2, identity.epoch);
  store(bytes.data() + 6, index(identity.segment));
  return crc32c(0xffffffff, bytes);
}

}  // namespace slipstream
