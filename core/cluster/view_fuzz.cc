// Arbitrary bytes as a view and as the coordinator's state: what is taken for a view encodes to the same bytes again,
// and routing can be made of it.
#include <cstdint>

#include "core/base/check.h"
#include "core/base/crc32c.h"
#include "core/base/fuzz_input.h"
#include "core/cluster/state_log.h"

using namespace slipstream;

namespace {

void check_view(ConstBytes bytes) {
  const std::optional<View> view = decode_view(bytes);
  if (!view) return;
  std::vector<std::byte> again;
  encode(*view, again);
  const std::optional<View> same = decode_view(again);
  SLIP_CHECK(again.size() == bytes.size() && same && same->epoch == view->epoch);
  const TabletMap map = view->tablet_map();
  for (const Tablet& tablet : map.tablets()) map.server_of(tablet.table, tablet.last);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput in(data, size);
  const bool is_mended = in.byte() % 2 == 0;
  std::vector<std::byte> bytes = in.rest();
  check_view(bytes);
  // A snapshot: its header's length and checksum are made right, so that the view in it is read.
  constexpr std::size_t kHeader = 24;
  if (is_mended && bytes.size() >= kHeader) {
    const ConstBytes body = ConstBytes(bytes).subspan(kHeader);
    const auto length = static_cast<std::uint32_t>(body.size());
    std::uint64_t epoch = 0;
    std::memcpy(bytes.data() + 4, &length, sizeof length);
    std::memcpy(&epoch, bytes.data() + 8, sizeof epoch);
    const std::uint32_t crc = crc32c(static_cast<std::uint32_t>(epoch), body);
    std::memcpy(bytes.data() + 16, &crc, sizeof crc);
  }
  is_state_frame(bytes);
  const Snapshots found = snapshots_in(bytes);
  SLIP_CHECK(found.valid_bytes <= bytes.size() && found.stop.empty() == (found.valid_bytes == bytes.size()));
  return 0;
}
