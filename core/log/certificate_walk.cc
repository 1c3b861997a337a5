#include "core/log/certificate_walk.h"

#include "core/base/crc32c.h"

namespace slipstream {
namespace {

// How far ahead of the walk lines are fetched: its next step depends on the header it reads, and must not wait for it.
constexpr std::size_t kFetchAhead = 1024;

// Offset of the first certificate entry at or behind `at`; segment.size() when there is none within bounds.
std::size_t next_certificate(ConstBytes segment, std::size_t at) {
  while (at + kEntryHeaderBytes <= segment.size()) {
    const auto header = load<EntryHeader>(segment.data() + at);
    if (!is_known(header.type()) || header.length() > segment.size() - at - kEntryHeaderBytes) break;
    __builtin_prefetch(segment.data() + at + kFetchAhead);
    if (header.type() == EntryType::kCertificate) {
      return header.length() == sizeof(Certificate) ? at : segment.size();
    }
    at += kEntryHeaderBytes + header.length();
  }
  return segment.size();
}

}  // namespace

bool CertificateWalk::advance(ConstBytes segment, std::size_t budget) {
  const std::size_t stop_at = valid_bytes_ + budget;
  while (valid_bytes_ < stop_at) {
    const std::size_t at = next_certificate(segment, valid_bytes_);
    if (at == segment.size()) return false;
    const auto certificate = load<Certificate>(segment.data() + at + kEntryHeaderBytes);
    if (certificate.covered != at) return false;
    const std::size_t certified = at + kCertificateCrcOffset;
    const std::uint32_t crc = crc32c(crc_, segment.subspan(valid_bytes_, certified - valid_bytes_));
    if (crc != certificate.crc) return false;
    crc_ = crc;
    valid_bytes_ = at + kCertificateEntryBytes;
    ++certificates_;
  }
  return true;
}

CertificateWalk walk_certificates(ConstBytes segment, const SegmentIdentity& identity) {
  CertificateWalk walk(identity);
  while (walk.advance(segment, segment.size() + 1)) {
  }
  return walk;
}

}  // namespace slipstream
