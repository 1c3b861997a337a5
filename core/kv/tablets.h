// Which server holds which part of a table: tablets are ranges of the key hash.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/check.h"
#include "core/base/ids.h"
#include "core/log/key_hash.h"

namespace slipstream {

struct Tablet {
  std::uint64_t table = 0;
  KeyHash first = 0;
  KeyHash last = 0;  // inclusive
  NodeId server = kNoNode;
};

class TabletMap {
 public:
  TabletMap() = default;
  // Sorted by (table, first), without overlap.
  explicit TabletMap(std::vector<Tablet> tablets) : tablets_(std::move(tablets)) {
    for (std::size_t i = 1; i < tablets_.size(); ++i) {
      const Tablet& a = tablets_[i - 1];
      const Tablet& b = tablets_[i];
      SLIP_CHECK(a.table < b.table || (a.table == b.table && a.last < b.first), "tablets {} and {} overlap", i - 1, i);
    }
  }

  // kNoNode: no tablet holds the hash.
  NodeId server_of(std::uint64_t table, KeyHash hash) const {
    if (tablets_.empty()) return kNoNode;
    // Keys are spread evenly, so a branch here would be mispredicted half the time: the steps are sums instead.
    const Tablet* at = tablets_.data();
    for (std::size_t left = tablets_.size(); left > 1;) {
      const std::size_t half = left / 2;
      at += half * static_cast<std::size_t>(starts_before(at[half], table, hash));
      left -= half;
    }
    return at->table == table && at->first <= hash && hash <= at->last ? at->server : kNoNode;
  }
  const std::vector<Tablet>& tablets() const { return tablets_; }
  bool empty() const { return tablets_.empty(); }

 private:
  static bool starts_before(const Tablet& tablet, std::uint64_t table, KeyHash hash) {
    return (tablet.table < table) | ((tablet.table == table) & (tablet.first <= hash));
  }

  std::vector<Tablet> tablets_;
};

// One table in equal ranges over the servers.
inline std::vector<Tablet> split_evenly(std::uint64_t table, std::span<const NodeId> servers) {
  std::vector<Tablet> tablets;
  const std::uint64_t width = ~std::uint64_t{0} / servers.size();
  for (std::size_t i = 0; i < servers.size(); ++i) {
    const KeyHash first = i * width;
    tablets.push_back({table, first, i + 1 == servers.size() ? ~std::uint64_t{0} : first + width - 1, servers[i]});
  }
  return tablets;
}

}  // namespace slipstream
