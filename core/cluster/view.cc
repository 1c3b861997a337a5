#include "core/cluster/view.h"

#include <cstring>
#include <type_traits>

namespace slipstream {
namespace {

struct Counts {
  std::uint64_t epoch = 0;
  TimeNs window_start_ns = 0;
  TimeNs window_end_ns = 0;
  std::uint32_t latest_client = 0;
  std::uint32_t phase = 0;
  std::uint32_t servers = 0;
  std::uint32_t dead = 0;
  std::uint32_t tablets = 0;
  std::uint32_t clients = 0;
  std::uint32_t epochs = 0;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(Counts) == 56);

struct ServerOnWire {
  std::uint16_t node = 0;
  std::uint16_t life = 0;
  std::uint32_t is_up = 0;
};
struct DeadOnWire {
  std::uint16_t node = 0;
  std::uint16_t life = 0;
  std::uint32_t is_split = 0;
  std::uint64_t epochs = 0;
  TimeNs declared_ns = 0;
};
struct TabletOnWire {
  std::uint64_t table = 0;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint16_t owner = 0;
  std::uint16_t owner_life = 0;
  std::uint16_t recoverer = 0;
  std::uint16_t recoverer_life = 0;
};
static_assert(sizeof(ServerOnWire) == 8 && sizeof(DeadOnWire) == 24 && sizeof(TabletOnWire) == 32);

template <typename T>
void put(std::vector<std::byte>& bytes, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto raw = std::as_bytes(std::span(&value, 1));
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

// Takes values off the front; once the bytes are too short, nothing more is there.
class Reader {
 public:
  explicit Reader(ConstBytes bytes) : rest_(bytes) {}
  template <typename T>
  bool take(T& value) {
    if (rest_.size() < sizeof(T)) return false;
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_ = rest_.subspan(sizeof(T));
    return true;
  }
  bool has_room_for(std::uint64_t count, std::size_t each) const { return count <= rest_.size() / each; }
  bool is_at_end() const { return rest_.empty(); }

 private:
  ConstBytes rest_;
};

bool take_servers(Reader& in, std::uint32_t count, View& view) {
  if (!in.has_room_for(count, sizeof(ServerOnWire))) return false;
  for (std::uint32_t i = 0; i < count; ++i) {
    ServerOnWire s;
    if (!in.take(s)) return false;
    view.servers.push_back({{NodeId{s.node}, s.life}, s.is_up != 0});
  }
  return true;
}

bool take_dead(Reader& in, std::uint32_t count, View& view) {
  for (std::uint32_t i = 0; i < count; ++i) {
    DeadOnWire d;
    if (!in.take(d) || !in.has_room_for(d.epochs, sizeof(SegmentEpoch))) return false;
    DeadMaster& dead = view.dead.emplace_back(DeadMaster{{NodeId{d.node}, d.life}, d.declared_ns, d.is_split != 0, {}});
    dead.epochs.resize(d.epochs);
    for (SegmentEpoch& epoch : dead.epochs) {
      if (!in.take(epoch)) return false;
    }
  }
  return true;
}

bool take_tablets(Reader& in, std::uint32_t count, View& view) {
  if (!in.has_room_for(count, sizeof(TabletOnWire))) return false;
  for (std::uint32_t i = 0; i < count; ++i) {
    TabletOnWire t;
    if (!in.take(t) || t.first > t.last) return false;
    if (i > 0) {
      const TabletState& before = view.tablets.back();
      if (t.table < before.table || (t.table == before.table && t.first <= before.last)) return false;
    }
    view.tablets.push_back(
        {t.table, t.first, t.last, {NodeId{t.owner}, t.owner_life}, {NodeId{t.recoverer}, t.recoverer_life}});
  }
  return true;
}

}  // namespace

const MemberState* View::member(NodeId node) const {
  for (const MemberState& state : servers) {
    if (state.server.node == node) return &state;
  }
  return nullptr;
}

bool View::is_alive(ServerId server) const {
  const MemberState* const state = member(server.node);
  return state != nullptr && state->is_up && state->server == server;
}

TabletMap View::tablet_map() const {
  std::vector<Tablet> map;
  for (const TabletState& t : tablets) {
    map.push_back({t.table, t.first, t.last, is_alive(t.owner) ? t.owner.node : kNoNode});
  }
  return TabletMap(std::move(map));
}

void encode(const View& view, std::vector<std::byte>& bytes) {
  Counts counts;
  counts.epoch = view.epoch;
  counts.window_start_ns = view.window_start_ns;
  counts.window_end_ns = view.window_end_ns;
  counts.latest_client = view.latest_client;
  counts.phase = view.phase;
  counts.servers = static_cast<std::uint32_t>(view.servers.size());
  counts.dead = static_cast<std::uint32_t>(view.dead.size());
  counts.tablets = static_cast<std::uint32_t>(view.tablets.size());
  counts.clients = static_cast<std::uint32_t>(view.clients.size());
  counts.epochs = static_cast<std::uint32_t>(view.epochs_of_living.size());
  put(bytes, counts);
  for (const MemberState& s : view.servers) {
    put(bytes, ServerOnWire{index(s.server.node), s.server.life, s.is_up ? 1u : 0u});
  }
  for (const DeadMaster& d : view.dead) {
    put(bytes, DeadOnWire{index(d.server.node), d.server.life, d.is_split ? 1u : 0u, d.epochs.size(), d.declared_ns});
    for (const SegmentEpoch& epoch : d.epochs) put(bytes, epoch);
  }
  for (const TabletState& t : view.tablets) {
    put(bytes, TabletOnWire{t.table, t.first, t.last, index(t.owner.node), t.owner.life, index(t.recoverer.node),
                            t.recoverer.life});
  }
  for (const std::uint32_t client : view.clients) put(bytes, client);
  for (const SegmentEpoch& epoch : view.epochs_of_living) put(bytes, epoch);
}

std::optional<View> decode_view(ConstBytes bytes) {
  Reader in(bytes);
  Counts counts;
  if (!in.take(counts)) return std::nullopt;
  View view;
  view.epoch = counts.epoch;
  view.window_start_ns = counts.window_start_ns;
  view.window_end_ns = counts.window_end_ns;
  view.latest_client = counts.latest_client;
  view.phase = counts.phase;
  if (!take_servers(in, counts.servers, view) || !take_dead(in, counts.dead, view) ||
      !take_tablets(in, counts.tablets, view) || !in.has_room_for(counts.clients, sizeof(std::uint32_t))) {
    return std::nullopt;
  }
  view.clients.resize(counts.clients);
  for (std::uint32_t& client : view.clients) {
    if (!in.take(client)) return std::nullopt;
  }
  if (!in.has_room_for(counts.epochs, sizeof(SegmentEpoch))) return std::nullopt;
  view.epochs_of_living.resize(counts.epochs);
  for (SegmentEpoch& epoch : view.epochs_of_living) {
    if (!in.take(epoch)) return std::nullopt;
  }
  if (!in.is_at_end()) return std::nullopt;
  return view;
}

}  // namespace slipstream
