// A node that does what a test says, and a world of them. Each puppet dials the peers it is given, grants its memory to
// whoever dials it, and tells that peer the key; everything else is scripted. What it sees is noted outside of it, so
// that the notes outlive it.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/rng.h"
#include "sim/test_hardware.h"
#include "sim/world.h"

namespace slipstream::sim {

// What a node was told, and in which of its lives.
struct Seen {
  TimeNs time = 0;
  int life = 0;
  EventKind kind = EventKind::kMessage;
  Channel channel = 0;
  Ticket ticket = 0;
  std::uint64_t tag = 0;
  std::uint64_t amount = 0;
  std::string text;  // of a message
};

// Kept by the test for each node, over its lives.
struct Notes {
  std::vector<NodeId> dials;  // with channel 1, 2, ...
  int lives = 0;
  std::vector<Seen> seen;
  std::map<Channel, RemoteKey> keys;  // told by the dialled
  std::multimap<TimeNs, std::function<void(Outbox&)>> script;
  std::vector<StoredFrame> found;  // by the last life, in its storage
  bool retired = false;

  std::size_t count(EventKind kind, int life = 0) const {
    return static_cast<std::size_t>(std::count_if(
        seen.begin(), seen.end(), [&](const Seen& s) { return s.kind == kind && (life == 0 || s.life == life); }));
  }
  TimeNs last(EventKind kind) const {
    TimeNs time = -1;
    for (const Seen& s : seen) time = s.kind == kind ? s.time : time;
    return time;
  }
  Ticket acked() const {
    Ticket ticket = 0;
    for (const Seen& s : seen) ticket = s.kind == EventKind::kAcked ? s.ticket : ticket;
    return ticket;
  }
  std::size_t texts(const std::string& text) const {
    return static_cast<std::size_t>(
        std::count_if(seen.begin(), seen.end(), [&](const Seen& s) { return s.text == text; }));
  }
};

class Puppet : public Node {
 public:
  static constexpr std::size_t kBytes = 64 * kKiB;
  static constexpr Ticket kOwnTicket = 1'000'000;

  // What the source is filled with: never 0.
  static std::byte source_byte(std::size_t i) { return static_cast<std::byte>((mix64(i) & 0xff) | 1); }

  Puppet(Notes& notes, Fabric& fabric, const Storage& storage)
      : notes_(notes),
        source_(fabric.create_region("source", kBytes, Access::kLocal)),
        memory_(fabric.create_region("replicas", kBytes, Access::kDurable)) {
    ++notes.lives;
    notes.found = storage.frames();
    notes.retired = false;
    for (std::size_t i = 0; i < kBytes; ++i) source_.memory[i] = source_byte(i);
  }

  void step(TimeNs now, std::span<const Event> events, Outbox& out) override {
    out.enter(Role::kPrimary);
    if (!dialled_) {
      for (std::size_t i = 0; i < notes_.dials.size(); ++i) out.connect(static_cast<Channel>(i + 1), notes_.dials[i]);
    }
    dialled_ = true;
    for (const Event& event : events) take(now, event, out);
    while (!notes_.script.empty() && notes_.script.begin()->first <= now) {
      const auto act = std::move(notes_.script.begin()->second);
      notes_.script.erase(notes_.script.begin());
      act(out);
    }
  }
  TimeNs deadline() const override { return notes_.script.empty() ? kNever : notes_.script.begin()->first; }
  bool done() const override { return false; }
  bool retired() const override { return notes_.retired; }
  std::string describe() const override { return "puppet"; }
  std::uint64_t state_hash() const override {
    std::uint64_t hash = notes_.seen.size();
    for (const std::byte b : memory_.memory) hash = mix64(hash ^ static_cast<std::uint64_t>(b));
    return hash;
  }

  Bytes source() { return source_.memory; }
  Bytes memory() { return memory_.memory; }

 private:
  void take(TimeNs now, const Event& event, Outbox& out) {
    Seen& seen = notes_.seen.emplace_back();
    seen.time = now;
    seen.life = notes_.lives;
    seen.kind = event.kind;
    seen.channel = event.channel;
    seen.ticket = event.ticket;
    seen.tag = event.tag;
    seen.amount = event.amount;
    if (event.kind == EventKind::kMessage) {
      seen.text.assign(reinterpret_cast<const char*>(event.bytes.data()), event.bytes.size());
      if (event.bytes.size() == sizeof(RemoteKey) && !notes_.keys.contains(event.channel)) {
        std::memcpy(&notes_.keys[event.channel], event.bytes.data(), sizeof(RemoteKey));
      }
    }
    if (event.kind == EventKind::kConnected && event.channel >= kFirstAccepted) {
      out.grant(event.channel, memory_.memory, kOwnTicket);
    }
    if (event.kind == EventKind::kGranted && event.ticket == kOwnTicket) {
      std::memcpy(out.send(event.channel, sizeof(RemoteKey)), &event.key, sizeof(RemoteKey));
    }
  }

  Notes& notes_;
  Region source_;
  Region memory_;
  bool dialled_ = false;
};

// Some puppets, each able to live more than once; they are servers.
class PuppetWorld {
 public:
  explicit PuppetWorld(std::vector<std::vector<std::uint16_t>> dials, const SimOptions& options = {},
                       std::uint64_t seed = 1)
      : notes(dials.size()), world(plain_hardware(), options, seed) {
    for (std::uint16_t i = 0; i < dials.size(); ++i) {
      for (const std::uint16_t peer : dials[i]) notes[i].dials.push_back(NodeId{peer});
      world.add(NodeKind::kServer);
      world.place(NodeId{i}, [this](NodeId id, Fabric& fabric, const Storage& storage) {
        return std::make_unique<Puppet>(notes[index(id)], fabric, storage);
      });
    }
  }

  Puppet& puppet(std::uint16_t node) { return dynamic_cast<Puppet&>(world.node(NodeId{node})); }
  void at(TimeNs time, std::uint16_t node, std::function<void(Outbox&)> act) {
    notes[node].script.emplace(time, std::move(act));
  }
  void say(TimeNs time, std::uint16_t node, Channel channel, const std::string& text, Ticket ticket = 0) {
    at(time, node, [=](Outbox& out) {
      std::memcpy(out.send(channel, text.size(), 0, Work::kMessageOut, {}, ticket), text.data(), text.size());
    });
  }
  // The first bytes of the source to an offset of the peer's memory.
  void write(TimeNs time, std::uint16_t node, Channel channel, std::size_t size, std::uint64_t offset, Ticket ticket) {
    at(time, node, [=, this](Outbox& out) {
      out.write(channel, {puppet(node).source().data(), size}, notes[node].keys.at(channel), offset, ticket);
    });
  }
  void fault(TimeNs time, std::function<void(World&)> act) {
    world.at(time * kPsPerNs, [this, act = std::move(act)] { act(world); });
  }
  Ending run() { return world.run(); }
  // Until just before this time.
  void run_until(TimeNs time) {
    bool reached = false;
    world.at(time * kPsPerNs, [&reached] { reached = true; });
    world.run([&reached] { return reached; });
  }

  std::vector<Notes> notes;
  World world;
};

}  // namespace slipstream::sim
