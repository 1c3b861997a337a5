// Arbitrary bytes as a segment: what the walk says of them is the same in pieces, of a copy, and of the valid part
// alone; whatever is looked at lies inside.
#include <cstdint>

#include "core/base/check.h"
#include "core/base/fuzz_input.h"
#include "core/log/inspect.h"

using namespace slipstream;

namespace {

void check_segment(ConstBytes segment, const SegmentIdentity& identity, std::size_t budget) {
  const CertificateWalk whole = walk_certificates(segment, identity);
  SLIP_CHECK(whole.valid_bytes() <= segment.size());
  CertificateWalk pieces(identity);
  while (pieces.advance(segment, budget + 1)) {
  }
  SLIP_CHECK(pieces.valid_bytes() == whole.valid_bytes() && pieces.crc() == whole.crc());
  const ConstBytes valid = segment.first(whole.valid_bytes());
  SLIP_CHECK(walk_certificates(valid, identity).valid_bytes() == valid.size());
  std::size_t seen = 0;
  for_each_entry(valid, [&](EntryType type, ConstBytes contents, std::size_t offset) {
    SLIP_CHECK(offset == seen);
    seen += inspect_entry(type, contents, offset).bytes;
  });
  SLIP_CHECK(seen == valid.size());
  const SegmentInspection found = inspect_segment(segment, identity);
  SLIP_CHECK(found.valid_bytes == valid.size() && found.certificates == whole.certificates());
  SLIP_CHECK(found.stop.offset <= segment.size() && !text(found.stop).empty());
  if (found.flipped) SLIP_CHECK(found.flipped->byte < segment.size() && found.flipped->whole_until <= segment.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput in(data, size);
  const std::size_t budget = in.byte();
  const bool as_it_says = in.byte() % 2 == 0;
  const std::vector<std::byte> segment = in.rest();
  const std::optional<SegmentHeader> header = header_in(segment);
  check_segment(segment, header && as_it_says ? identity_of(*header) : SegmentIdentity{}, budget);
  inspect_entry(static_cast<EntryType>(budget), segment, 0);
  return 0;
}
