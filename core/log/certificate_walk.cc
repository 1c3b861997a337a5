#include "core/log/certificate_walk.h"

#include "core/base/crc32c.h"
#include "core/base/mutation.h"

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

std::uint32_t crc_of_headers(std::uint32_t crc, ConstBytes batch) {
  for (std::size_t at = 0; at + kEntryHeaderBytes <= batch.size();) {
    crc = crc32c(crc, batch.subspan(at, kEntryHeaderBytes));
    at += kEntryHeaderBytes + load<EntryHeader>(batch.data() + at).length();
  }
  return crc;
}

bool CertificateWalk::advance(ConstBytes segment, std::size_t budget) {
  if (mutated(Mutant::kNoCertificates)) return advance_by_headers(segment);
  const std::size_t stop_at = valid_bytes_ + budget;
  while (valid_bytes_ < stop_at) {
    const std::size_t at = next_certificate(segment, valid_bytes_);
    if (at == segment.size()) return false;
    const auto certificate = load<Certificate>(segment.data() + at + kEntryHeaderBytes);
    if (certificate.covered != at) return false;
    const std::size_t certified = at + kCertificateCrcOffset;
    const ConstBytes batch = segment.subspan(valid_bytes_, certified - valid_bytes_);
    const std::uint32_t crc = mutated(Mutant::kHeadersOnly) ? crc_of_headers(crc_, batch) : crc32c(crc_, batch);
    const bool is_trusted = mutated(Mutant::kWalkTakesAnyCertificate);
    if (crc != certificate.crc && !is_trusted) return false;
    crc_ = is_trusted ? certificate.crc : crc;
    valid_bytes_ = at + kCertificateEntryBytes;
    ++certificates_;
  }
  return true;
}

// As a log without certificates would be read: whatever looks like an entry is one.
bool CertificateWalk::advance_by_headers(ConstBytes segment) {
  while (valid_bytes_ + kEntryHeaderBytes <= segment.size()) {
    const auto header = load<EntryHeader>(segment.data() + valid_bytes_);
    if (!is_known(header.type()) || header.length() > segment.size() - valid_bytes_ - kEntryHeaderBytes) break;
    valid_bytes_ += kEntryHeaderBytes + header.length();
  }
  return false;
}

CertificateWalk walk_certificates(ConstBytes segment, const SegmentIdentity& identity) {
  CertificateWalk walk(identity);
  while (walk.advance(segment, segment.size() + 1)) {
  }
  return walk;
}

}  // namespace slipstream
