#include "core/log/log.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/crc32c.h"
#include "core/base/mutation.h"
#include "core/log/certificate_walk.h"

namespace slipstream {
namespace {

// Entries of a compacted slot begin here: no entry is ever at offset 0 of slot 0, which means none.
constexpr std::uint32_t kFirstCompacted = 8;

}  // namespace

Log::Log(const LogOptions& options, NodeId master, const Region& memory)
    : segment_bytes_(options.segment_bytes),
      usable_bytes_(options.segment_bytes - options.trailer_bytes),
      master_(master),
      memory_(memory),
      max_named_(options.max_named()) {
  SLIP_CHECK(segment_bytes_ > 0 && segment_bytes_ <= 8 * kMiB, "segment of {} bytes", segment_bytes_);
  SLIP_CHECK(memory.memory.size() % segment_bytes_ == 0);
  slots_.resize(memory.memory.size() / segment_bytes_);
  for (std::uint32_t i = slots(); i > 0; --i) free_.push_back(i - 1);
}

std::size_t Log::max_append_bytes() const {
  // The digest of a full log and the opening batch's certificate lie in front, the last certificate behind.
  const std::size_t opening = kEntryHeaderBytes + sizeof(SegmentHeader) + kEntryHeaderBytes +
                              sizeof(std::uint64_t) * max_named_ + kCertificateEntryBytes;
  const std::size_t taken = opening + kCertificateEntryBytes;
  return taken < usable_bytes_ ? usable_bytes_ - taken : 0;
}

std::byte* Log::append(std::size_t bytes, Outbox& out) {
  SLIP_CHECK(bytes <= max_append_bytes(), "{} bytes do not fit into a segment", bytes);
  if (head_ == kNoSlot || head().appended + bytes + kCertificateEntryBytes > usable_bytes_) {
    if (!roll(out)) return nullptr;
  } else if (free_.size() > slots_.size() / 2 && out.rare(Rare::kEarlyRoll)) {
    roll(out);
  }
  Segment& segment = slots_[head_];
  std::byte* const at = segment.memory.data() + segment.appended;
  segment.appended += static_cast<std::uint32_t>(bytes);
  return at;
}

std::uint32_t Log::take_slot(SegmentUse use) {
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  Segment& segment = slots_[slot];
  segment = Segment{};
  segment.use = use;
  segment.memory = memory_.memory.subspan(slot * segment_bytes_, segment_bytes_);
  return slot;
}

std::uint32_t Log::open(SegmentUse use) {
  const std::uint32_t slot = take_slot(use);
  Segment& segment = slots_[slot];
  segment.identity = {master_, next_id_, 0};
  segment.crc = chain_start(segment.identity);
  next_id_ = SegmentId{index(next_id_) + 1};
  SegmentHeader header;
  header.master = index(master_);
  header.epoch = segment.identity.epoch;
  header.segment = index(segment.identity.segment);
  header.capacity = static_cast<std::uint32_t>(segment_bytes_);
  header.safe_version = safe_version_;
  const std::byte* const at =
      put_entry(segment.memory.data(), EntryType::kSegmentHeader, std::as_bytes(std::span(&header, 1)));
  segment.appended = static_cast<std::uint32_t>(at - segment.memory.data());
  opened_.push(slot);
  return slot;
}

bool Log::roll(Outbox& out, bool urgent) {
  if (!has_slot_for_head(urgent)) return false;
  const std::uint32_t slot = open(SegmentUse::kHead);
  if (head_ != kNoSlot) {
    certify(slots_[head_], out);
    slots_[head_].closed = true;
  }
  head_ = slot;
  Segment& head = slots_[slot];
  set_listed(head.listed, true);
  std::vector<std::uint64_t> named;
  named.reserve(named_);
  for (const Segment& segment : slots_) {
    if (!segment.listed) continue;
    if (mutated(Mutant::kDigestWithoutSides) && segment.use == SegmentUse::kSide) continue;
    named.push_back(index(segment.identity.segment));
  }
  for (const Detached& segment : detached_) {
    if (segment.listed) named.push_back(segment.segment);
  }
  SLIP_CHECK(named.size() <= max_named_, "a digest of {} segments, of {} at the most", named.size(), max_named_);
  std::sort(named.begin(), named.end());
  std::byte* const digest = head.memory.data() + head.appended;
  std::byte* at = digest + kEntryHeaderBytes;
  std::memcpy(at, named.data(), named.size() * sizeof(std::uint64_t));
  at += named.size() * sizeof(std::uint64_t);
  store(digest, EntryHeader(EntryType::kDigest, static_cast<std::size_t>(at - digest) - kEntryHeaderBytes));
  head.appended = static_cast<std::uint32_t>(at - head.memory.data());
  certify(head, out);
  head.opening = head.sealed;
  return true;
}

std::uint32_t Log::open_side(Outbox& out, bool urgent) {
  if (!has_slot_for_side(urgent)) return kNoSlot;
  const std::uint32_t slot = open(SegmentUse::kSide);
  certify(slots_[slot], out);
  slots_[slot].opening = slots_[slot].sealed;
  return slot;
}

std::byte* Log::append_side(std::uint32_t slot, std::size_t bytes) {
  Segment& segment = slots_[slot];
  SLIP_CHECK(segment.use == SegmentUse::kSide && !segment.closed);
  if (segment.appended + bytes + kCertificateEntryBytes > usable_bytes_) return nullptr;
  std::byte* const at = segment.memory.data() + segment.appended;
  segment.appended += static_cast<std::uint32_t>(bytes);
  return at;
}

void Log::close_side(std::uint32_t slot, Outbox& out) {
  certify(slots_[slot], out);
  slots_[slot].closed = true;
}

void Log::list(std::uint32_t slot) {
  SLIP_CHECK(slots_[slot].use == SegmentUse::kSide && slots_[slot].closed);
  set_listed(slots_[slot].listed, true);
}

void Log::set_listed(bool& listed, bool to) {
  if (listed == to) return;
  listed = to;
  named_ += to ? 1 : 0;
  named_ -= to ? 0 : 1;
}

void Log::retire(std::uint32_t slot) {
  SLIP_CHECK(slots_[slot].closed && slot != head_);
  slots_[slot].use = SegmentUse::kRetired;
  set_listed(slots_[slot].listed, false);
}

void Log::release(std::uint32_t slot) {
  SLIP_CHECK(slots_[slot].use != SegmentUse::kFree && slot != head_ && !slots_[slot].listed);
  slots_[slot] = Segment{};
  free_.push_back(slot);
}

std::uint32_t Log::open_compacted() {
  if (free_.empty()) return kNoSlot;
  const std::uint32_t slot = take_slot(SegmentUse::kCompacted);
  slots_[slot].appended = kFirstCompacted;
  return slot;
}

std::byte* Log::append_compacted(std::uint32_t slot, std::uint64_t segment, std::size_t bytes) {
  Segment& to = slots_[slot];
  if (to.appended + bytes > segment_bytes_) return nullptr;
  if (to.parts.empty() || to.parts.back().segment != segment) to.parts.push_back({segment, to.appended, {}});
  std::byte* const at = to.memory.data() + to.appended;
  to.appended += static_cast<std::uint32_t>(bytes);
  return at;
}

void Log::detach(std::uint32_t slot) {
  Segment& segment = slots_[slot];
  SLIP_CHECK(segment.closed && segment.listed && slot != head_);
  const std::uint64_t id = index(segment.identity.segment);
  const auto behind = std::lower_bound(detached_.begin(), detached_.end(), id,
                                       [](const Detached& a, std::uint64_t b) { return a.segment < b; });
  detached_.insert(behind, {id, true});  // it stays among the named
  segment.listed = false;
  release(slot);
}

std::vector<Detached>::iterator Log::find_detached(std::uint64_t segment) {
  const auto found = std::lower_bound(detached_.begin(), detached_.end(), segment,
                                      [](const Detached& a, std::uint64_t b) { return a.segment < b; });
  SLIP_CHECK(found != detached_.end() && found->segment == segment, "segment {} is not detached", segment);
  return found;
}

void Log::retire_detached(std::uint64_t segment) { set_listed(find_detached(segment)->listed, false); }

void Log::release_detached(std::uint64_t segment) {
  const auto found = find_detached(segment);
  SLIP_CHECK(!found->listed);
  detached_.erase(found);
}

void Log::add_tombstone(EntryRef at, std::size_t bytes, std::uint64_t until) {
  Usage& usage = usage_at(at);
  usage.tombstones += static_cast<std::uint32_t>(bytes);
  usage.needed_until = std::max(usage.needed_until, until);
}

std::size_t Log::part_of(const Segment& segment, std::uint32_t offset) {
  const auto behind = std::upper_bound(segment.parts.begin(), segment.parts.end(), offset,
                                       [](std::uint32_t at, const Part& part) { return at < part.from; });
  return static_cast<std::size_t>(behind - segment.parts.begin()) - 1;
}

std::uint64_t Log::segment_at(EntryRef at) const {
  const Segment& segment = slots_[slot_of(at)];
  if (segment.use != SegmentUse::kCompacted) return index(segment.identity.segment);
  return segment.parts[part_of(segment, offset_of(at))].segment;
}

std::uint64_t Log::live_bytes() const {
  std::uint64_t live = 0;
  for (const Segment& segment : slots_) {
    live += segment.usage.live;
    for (const Part& part : segment.parts) live += part.usage.live;
  }
  return live;
}

std::uint32_t Log::find(std::uint64_t segment) const {
  for (std::uint32_t i = 0; i < slots(); ++i) {
    const SegmentUse use = slots_[i].use;
    if (use == SegmentUse::kFree || use == SegmentUse::kCompacted) continue;
    if (index(slots_[i].identity.segment) == segment) return i;
  }
  return kNoSlot;
}

void Log::seal(Outbox& out) {
  if (head_ != kNoSlot) certify(slots_[head_], out);
}

void Log::certify(Segment& segment, Outbox& out) {
  if (segment.appended == segment.sealed) return;
  std::byte* const at = segment.memory.data() + segment.appended;
  store(at, EntryHeader(EntryType::kCertificate, sizeof(Certificate)));
  store(at + kEntryHeaderBytes + offsetof(Certificate, covered), segment.appended);
  const std::size_t certified = segment.appended + kCertificateCrcOffset;
  out.work(Work::kCrcBytes, certified - segment.sealed);
  const ConstBytes batch = segment.memory.subspan(segment.sealed, certified - segment.sealed);
  segment.crc = mutated(Mutant::kHeadersOnly) ? crc_of_headers(segment.crc, batch) : crc32c(segment.crc, batch);
  store(at + kCertificateCrcOffset, segment.crc);
  segment.appended += static_cast<std::uint32_t>(kCertificateEntryBytes);
  segment.sealed = segment.appended;
}

LogPosition Log::appended_position() const {
  return head_ == kNoSlot ? 0 : position_of(head().identity.segment, head().appended);
}

std::vector<std::uint32_t> Log::segments() const {
  std::vector<std::uint32_t> used;
  for (std::uint32_t i = 0; i < slots(); ++i) {
    if (slots_[i].use != SegmentUse::kFree && slots_[i].use != SegmentUse::kCompacted) used.push_back(i);
  }
  std::sort(used.begin(), used.end(), [this](std::uint32_t a, std::uint32_t b) {
    return slots_[a].identity.segment < slots_[b].identity.segment;
  });
  return used;
}

std::string Log::describe() const {
  if (head_ == kNoSlot) return "log empty";
  return fmt::format("log head {} appended {} sealed {} crc {:08x} free {}", index(head().identity.segment),
                     head().appended, head().sealed, head().crc, free_.size());
}

std::byte* put_entry(std::byte* at, EntryType type, ConstBytes contents) {
  store(at, EntryHeader(type, contents.size()));
  std::memcpy(at + kEntryHeaderBytes, contents.data(), contents.size());
  return at + kEntryHeaderBytes + contents.size();
}

}  // namespace slipstream
