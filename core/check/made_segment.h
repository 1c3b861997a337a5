// A segment's bytes made by hand, after core/log/FORMAT.md alone, for tests of the checkers: header, digest, objects of
// arbitrary contents, certificates.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/crc32c.h"
#include "core/base/rng.h"
#include "core/base/units.h"
#include "core/log/entry.h"

namespace slipstream {

class MadeSegment {
 public:
  // `digest`: the ids that it names. Opened with a first certificate.
  MadeSegment(const SegmentIdentity& identity, std::vector<std::uint64_t> digest, std::size_t capacity = 4 * kKiB)
      : identity_(identity), memory_(capacity), crc_(chain_start(identity)) {
    SegmentHeader header;
    header.master = index(identity.master);
    header.epoch = identity.epoch;
    header.segment = index(identity.segment);
    header.capacity = static_cast<std::uint32_t>(capacity);
    put(EntryType::kSegmentHeader, std::as_bytes(std::span(&header, 1)));
    put(EntryType::kDigest, std::as_bytes(std::span(digest)));
    seal();
  }

  void append(std::size_t bytes, Rng& rng) {
    std::vector<std::byte> contents(bytes);
    for (std::byte& b : contents) b = static_cast<std::byte>(rng.next());
    put(EntryType::kObject, contents);
  }

  void seal() {
    store(memory_.data() + appended_, EntryHeader(EntryType::kCertificate, sizeof(Certificate)));
    store(memory_.data() + appended_ + kEntryHeaderBytes, appended_);
    const std::size_t certified = appended_ + kCertificateCrcOffset;
    crc_ = crc32c(crc_, ConstBytes(memory_).subspan(sealed_, certified - sealed_));
    store(memory_.data() + certified, crc_);
    appended_ += static_cast<std::uint32_t>(kCertificateEntryBytes);
    sealed_ = appended_;
  }

  const SegmentIdentity& identity() const { return identity_; }
  ConstBytes bytes() const { return memory_; }
  std::vector<std::byte> copy() const { return memory_; }
  Bytes memory() { return memory_; }
  std::uint32_t appended() const { return appended_; }
  std::uint32_t sealed() const { return sealed_; }
  std::uint32_t crc() const { return crc_; }

 private:
  void put(EntryType type, ConstBytes contents) {
    store(memory_.data() + appended_, EntryHeader(type, contents.size()));
    std::copy(contents.begin(), contents.end(), memory_.begin() + appended_ + kEntryHeaderBytes);
    appended_ += static_cast<std::uint32_t>(kEntryHeaderBytes + contents.size());
  }

  SegmentIdentity identity_;
  std::vector<std::byte> memory_;
  std::uint32_t appended_ = 0;
  std::uint32_t sealed_ = 0;
  std::uint32_t crc_;
};

}  // namespace slipstream
