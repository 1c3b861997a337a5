#include "core/log/inspect.h"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "core/base/crc32c.h"

namespace slipstream {
namespace {

// A flipped bit is looked for in so long a batch, behind so many certificates that might end it.
constexpr std::size_t kLongestBatch = 1 * kMiB;
constexpr int kMostCandidates = 8;

bool are_zero(ConstBytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

SegmentStop find_stop(ConstBytes segment, std::size_t from, std::uint32_t crc) {
  if (from == segment.size()) return {StopCause::kEnd, from, 0, 0};
  if (are_zero(segment.subspan(from))) return {StopCause::kZeroes, from, 0, 0};
  for (std::size_t at = from; at < segment.size();) {
    if (segment.size() - at < kEntryHeaderBytes) return {StopCause::kCut, at, kEntryHeaderBytes, segment.size() - at};
    const auto header = load<EntryHeader>(segment.data() + at);
    const std::size_t left = segment.size() - at - kEntryHeaderBytes;
    if (!is_known(header.type())) return {StopCause::kUnknownType, at, 0, static_cast<std::uint64_t>(header.type())};
    if (header.length() > left) return {StopCause::kLeadsOutside, at, left, header.length()};
    if (header.type() != EntryType::kCertificate) {
      at += kEntryHeaderBytes + header.length();
      continue;
    }
    if (header.length() != sizeof(Certificate)) {
      return {StopCause::kBadCertificate, at, sizeof(Certificate), header.length()};
    }
    const auto certificate = load<Certificate>(segment.data() + at + kEntryHeaderBytes);
    if (certificate.covered != at) return {StopCause::kWrongCovered, at, at, certificate.covered};
    const std::size_t certified = at + kCertificateCrcOffset;
    return {StopCause::kWrongCrc, at, crc32c(crc, segment.subspan(from, certified - from)), certificate.crc};
  }
  return {StopCause::kNoCertificate, segment.size(), 0, 0};
}

// Which single bit of `bytes` bytes changes their crc by `difference`: (bytes behind it, bit). A crc is linear, so what
// a bit changes depends on its distance from the end alone.
std::optional<std::pair<std::size_t, unsigned>> find_bit(std::uint32_t difference, std::size_t bytes) {
  constexpr std::byte kZero{0};
  std::array<std::uint32_t, 8> changes;
  for (unsigned bit = 0; bit < 8; ++bit) {
    const std::byte flipped{static_cast<std::uint8_t>(1u << bit)};
    changes[bit] = crc32c(0, {&flipped, 1});
  }
  for (std::size_t behind = 0; behind < bytes; ++behind) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      if (changes[bit] == difference) return std::pair{behind, bit};
      changes[bit] = crc32c(changes[bit], {&kZero, 1});
    }
  }
  return std::nullopt;
}

// Whether a certificate may be here, one of whose bits may be wrong.
bool may_be_certificate(ConstBytes segment, std::size_t at) {
  const auto header = load<EntryHeader>(segment.data() + at);
  const int wrong = std::popcount(header.word ^ EntryHeader(EntryType::kCertificate, sizeof(Certificate)).word);
  if (wrong > 1) return false;
  const auto certificate = load<Certificate>(segment.data() + at + kEntryHeaderBytes);
  return wrong + std::popcount(certificate.covered ^ static_cast<std::uint32_t>(at)) <= 1;
}

// The chain, begun at a certificate's end with its crc.
std::size_t chain_until(ConstBytes segment, std::size_t from, std::uint32_t crc) {
  while (true) {
    const SegmentStop stop = find_stop(segment, from, crc);
    if (stop.cause != StopCause::kWrongCrc || stop.expected != stop.found) return from;
    from = stop.offset + kCertificateEntryBytes;
    crc = static_cast<std::uint32_t>(stop.found);
  }
}

std::optional<FlippedBit> find_flipped(ConstBytes segment, std::size_t from, std::uint32_t crc) {
  int candidates = 0;
  const std::size_t limit = std::min(segment.size(), from + kLongestBatch);
  for (std::size_t at = from; at + kCertificateEntryBytes <= limit && candidates < kMostCandidates; ++at) {
    if (!may_be_certificate(segment, at)) continue;
    ++candidates;
    const std::size_t certified = at + kCertificateCrcOffset;
    const std::uint32_t computed = crc32c(crc, segment.subspan(from, certified - from));
    const auto told = load<std::uint32_t>(segment.data() + certified);
    const std::uint32_t difference = computed ^ told;
    FlippedBit found;
    found.batch_end = at + kCertificateEntryBytes;
    std::uint32_t right = told;
    if (std::popcount(difference) == 1) {
      const auto bit = static_cast<unsigned>(std::countr_zero(difference));
      found.byte = certified + bit / 8;
      found.bit = bit % 8;
      right = computed;
    } else if (const auto bit = find_bit(difference, certified - from); bit && difference != 0) {
      found.byte = certified - 1 - bit->first;
      found.bit = bit->second;
    } else {
      continue;
    }
    found.whole_until = chain_until(segment, found.batch_end, right);
    return found;
  }
  return std::nullopt;
}

template <typename Header>
bool take(ConstBytes contents, Header& header) {
  if (contents.size() < sizeof(Header)) return false;
  header = load<Header>(contents.data());
  return true;
}

void check_crc(EntryInspection& entry, std::uint32_t crc, ConstBytes contents) {
  entry.has_crc = true;
  entry.is_intact = crc == crc32c(0xffffffff, contents.subspan(sizeof(crc)));
}

}  // namespace

std::string text(const SegmentStop& stop) {
  const std::string where = fmt::format("at byte {}: ", stop.offset);
  switch (stop.cause) {
    case StopCause::kEnd: return where + "the bytes end, with a certificate";
    case StopCause::kZeroes: return where + "nothing but zeroes follows";
    case StopCause::kCut: return where + fmt::format("the bytes end {} bytes into an entry's header", stop.found);
    case StopCause::kUnknownType: return where + fmt::format("expected an entry, found type {}", stop.found);
    case StopCause::kLeadsOutside:
      return where + fmt::format("an entry's header says {} bytes, only {} are left", stop.found, stop.expected);
    case StopCause::kNoCertificate: return where + "the bytes end, before the certificate of the last batch";
    case StopCause::kBadCertificate:
      return where + fmt::format("expected a certificate of {} bytes, found one of {}", stop.expected, stop.found);
    case StopCause::kWrongCovered:
      return where + fmt::format("the certificate says that it stands at byte {}", stop.found);
    case StopCause::kWrongCrc:
      return where + fmt::format("the certificate says crc {:08x}, its batch has {:08x}", stop.found, stop.expected);
  }
  return where;
}

std::optional<SegmentHeader> header_in(ConstBytes segment) {
  if (segment.size() < kEntryHeaderBytes + sizeof(SegmentHeader)) return std::nullopt;
  if (load<EntryHeader>(segment.data()).word != EntryHeader(EntryType::kSegmentHeader, sizeof(SegmentHeader)).word) {
    return std::nullopt;
  }
  const auto header = load<SegmentHeader>(segment.data() + kEntryHeaderBytes);
  if (header.format != SegmentHeader{}.format) return std::nullopt;
  return header;
}

SegmentIdentity identity_of(const SegmentHeader& header) {
  return {NodeId{header.master}, SegmentId{header.segment}, header.epoch};
}

SegmentInspection inspect_segment(ConstBytes segment, const SegmentIdentity& identity) {
  SegmentInspection found;
  found.identity = identity;
  found.bytes = segment.size();
  found.header = header_in(segment);
  const CertificateWalk walk = walk_certificates(segment, identity);
  found.valid_bytes = walk.valid_bytes();
  found.crc = walk.crc();
  found.certificates = walk.certificates();
  for_each_entry(segment.first(found.valid_bytes), [&](EntryType type, ConstBytes contents, std::size_t offset) {
    const auto number = static_cast<std::size_t>(type);
    if (number < kEntryTypes) ++found.entries[number];
    const EntryInspection entry = inspect_entry(type, contents, offset);
    if (!entry.is_well_formed || (entry.has_crc && !entry.is_intact)) found.rotten.push_back(offset);
    if (type != EntryType::kDigest) return;
    found.digest.resize(contents.size() / sizeof(std::uint64_t));
    for (std::size_t i = 0; i < found.digest.size(); ++i) {
      found.digest[i] = load<std::uint64_t>(contents.data() + i * sizeof(std::uint64_t));
    }
  });
  found.stop = find_stop(segment, found.valid_bytes, found.crc);
  if (found.stop.cause > StopCause::kZeroes) found.flipped = find_flipped(segment, found.valid_bytes, found.crc);
  return found;
}

EntryInspection inspect_entry(EntryType type, ConstBytes contents, std::size_t offset) {
  EntryInspection entry;
  entry.type = type;
  entry.offset = offset;
  entry.bytes = kEntryHeaderBytes + contents.size();
  const auto take_keyed = [&](auto header) {
    if (!take(contents, header) || contents.size() < sizeof(header) + header.key_bytes) return false;
    entry.table = header.table;
    entry.version = header.version;
    entry.key = contents.subspan(sizeof(header), header.key_bytes);
    entry.value = contents.subspan(sizeof(header) + header.key_bytes);
    check_crc(entry, header.crc, contents);
    return true;
  };
  switch (type) {
    case EntryType::kSegmentHeader: entry.is_well_formed = contents.size() == sizeof(SegmentHeader); break;
    case EntryType::kDigest: entry.is_well_formed = contents.size() % sizeof(std::uint64_t) == 0; break;
    case EntryType::kObject: entry.is_well_formed = take_keyed(ObjectHeader{}); break;
    case EntryType::kTombstone:
      entry.is_well_formed = take_keyed(TombstoneHeader{});
      if (entry.is_well_formed) entry.segment = load<TombstoneHeader>(contents.data()).segment;
      break;
    case EntryType::kCompletion:
      entry.is_well_formed = contents.size() == sizeof(CompletionRecord) && take(contents, entry.completion);
      if (!entry.is_well_formed) break;
      entry.table = entry.completion.table;
      entry.version = entry.completion.version;
      check_crc(entry, entry.completion.crc, contents);
      break;
    case EntryType::kCertificate:
      entry.is_well_formed = contents.size() == sizeof(Certificate) && take(contents, entry.certificate);
      break;
    default: entry.is_well_formed = true;  // of a kind that this code does not know
  }
  return entry;
}

}  // namespace slipstream
