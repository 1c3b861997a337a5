// Finds the valid end of a segment's bytes, wherever they come from: from certificate to certificate, stopping at the
// first that does not verify. All bytes up to `valid_bytes()` are exactly those that the master certified; what lies
// behind may be torn, stale or missing. Bounds are checked before bytes are read.
//
// The walk can be taken in pieces, so that one turn stays short.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/units.h"
#include "core/log/entry.h"

namespace slipstream {

class CertificateWalk {
 public:
  explicit CertificateWalk(const SegmentIdentity& identity) : crc_(chain_start(identity)) {}

  // Goes on over `segment` (the same bytes at every call) until about `budget` more bytes are certified. False once the
  // walk has stopped: there is no further valid certificate.
  bool advance(ConstBytes segment, std::size_t budget);

  // Behind the last certificate that verified; 0 when none did.
  std::size_t valid_bytes() const { return valid_bytes_; }
  // That certificate's crc: where the chain stands.
  std::uint32_t crc() const { return crc_; }
  std::uint64_t certificates() const { return certificates_; }

 private:
  bool advance_by_headers(ConstBytes segment);

  std::size_t valid_bytes_ = 0;
  std::uint32_t crc_;
  std::uint64_t certificates_ = 0;
};

// The checksum of a mutant (core/base/mutation.h): over the headers of a batch's entries, as if that were enough.
std::uint32_t crc_of_headers(std::uint32_t crc, ConstBytes batch);

// The whole walk at once.
CertificateWalk walk_certificates(ConstBytes segment, const SegmentIdentity& identity);

// Calls visit(type, contents, offset of the header) for each entry of a valid prefix; certificates too.
template <typename Visit>
void for_each_entry(ConstBytes valid, Visit&& visit) {
  std::size_t at = 0;
  while (at + kEntryHeaderBytes <= valid.size()) {
    const auto header = load<EntryHeader>(valid.data() + at);
    visit(header.type(), valid.subspan(at + kEntryHeaderBytes, header.length()), at);
    at += kEntryHeaderBytes + header.length();
  }
}

}  // namespace slipstream
