#include "core/log/log.h"

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/crc32c.h"

namespace slipstream {

Log::Log(const LogOptions& options, NodeId master, const Region& memory)
    : segment_bytes_(options.segment_bytes), master_(master), memory_(memory) {
  SLIP_CHECK(segment_bytes_ > 0 && segment_bytes_ <= 8 * kMiB, "segment of {} bytes", segment_bytes_);
  SLIP_CHECK(memory.memory.size() % segment_bytes_ == 0);
  segments_.reserve(memory.memory.size() / segment_bytes_);
}

std::size_t Log::max_append_bytes() const {
  // The digest of a full log and the opening batch's certificate lie in front, the last certificate behind.
  const std::size_t opening = kEntryHeaderBytes + sizeof(SegmentHeader) + kEntryHeaderBytes +
                              sizeof(std::uint64_t) * (memory_.memory.size() / segment_bytes_) + kCertificateEntryBytes;
  const std::size_t taken = opening + kCertificateEntryBytes;
  return taken < segment_bytes_ ? segment_bytes_ - taken : 0;
}

std::byte* Log::append(std::size_t bytes, Outbox& out) {
  SLIP_CHECK(bytes <= max_append_bytes(), "{} bytes do not fit into a segment", bytes);
  if (segments_.empty() || head().appended + bytes + kCertificateEntryBytes > segment_bytes_) {
    if (!roll(out)) return nullptr;
  }
  Segment& segment = segments_.back();
  std::byte* const at = segment.memory.data() + segment.appended;
  segment.appended += static_cast<std::uint32_t>(bytes);
  return at;
}

bool Log::roll(Outbox& out) {
  const std::size_t used = segments_.size() * segment_bytes_;
  if (used + segment_bytes_ > memory_.memory.size()) return false;
  if (!segments_.empty()) {
    certify(segments_.back(), out);
    segments_.back().closed = true;
  }
  Segment segment;
  segment.identity = {master_, SegmentId{segments_.size()}, 0};
  segment.memory = memory_.memory.subspan(used, segment_bytes_);
  segment.crc = chain_start(segment.identity);
  segments_.push_back(segment);

  Segment& head = segments_.back();
  SegmentHeader header;
  header.master = index(master_);
  header.epoch = head.identity.epoch;
  header.segment = index(head.identity.segment);
  header.capacity = static_cast<std::uint32_t>(segment_bytes_);
  std::byte* at = put_entry(head.memory.data(), EntryType::kSegmentHeader, std::as_bytes(std::span(&header, 1)));
  store(at, EntryHeader(EntryType::kDigest, segments_.size() * sizeof(std::uint64_t)));
  at += kEntryHeaderBytes;
  for (const Segment& live : segments_) {
    store(at, index(live.identity.segment));
    at += sizeof(std::uint64_t);
  }
  head.appended = static_cast<std::uint32_t>(at - head.memory.data());
  certify(head, out);
  head.opening = head.sealed;
  return true;
}

void Log::seal(Outbox& out) {
  if (!segments_.empty()) certify(segments_.back(), out);
}

void Log::certify(Segment& segment, Outbox& out) {
  if (segment.appended == segment.sealed) return;
  std::byte* const at = segment.memory.data() + segment.appended;
  store(at, EntryHeader(EntryType::kCertificate, sizeof(Certificate)));
  store(at + kEntryHeaderBytes + offsetof(Certificate, covered), segment.appended);
  const std::size_t certified = segment.appended + kCertificateCrcOffset;
  out.work(Work::kCrcBytes, certified - segment.sealed);
  segment.crc = crc32c(segment.crc, segment.memory.subspan(segment.sealed, certified - segment.sealed));
  store(at + kCertificateCrcOffset, segment.crc);
  segment.appended += static_cast<std::uint32_t>(kCertificateEntryBytes);
  segment.sealed = segment.appended;
}

LogPosition Log::appended_position() const {
  return segments_.empty() ? 0 : position_of(head().identity.segment, head().appended);
}

std::string Log::describe() const {
  if (segments_.empty()) return "log empty";
  return fmt::format("log head {} appended {} sealed {} crc {:08x}", index(head().identity.segment), head().appended,
                     head().sealed, head().crc);
}

std::byte* put_entry(std::byte* at, EntryType type, ConstBytes contents) {
  store(at, EntryHeader(type, contents.size()));
  std::memcpy(at + kEntryHeaderBytes, contents.data(), contents.size());
  return at + kEntryHeaderBytes + contents.size();
}

}  // namespace slipstream
