#include "core/turn/rare.h"

namespace slipstream {

std::string_view name(Rare rare) {
  static constexpr std::string_view kNames[kRares] = {
      "small-write",     "refused-open",        "early-roll",        "small-answer", "small-cache",
      "false-suspicion", "needless-compaction", "needless-cleaning", "many-pieces",  "impatience"};
  return kNames[static_cast<std::size_t>(rare)];
}

}  // namespace slipstream
