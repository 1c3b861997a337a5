// Small nodes for tests and benchmarks of the simulated world, without any of core's protocols.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "core/base/rng.h"
#include "core/turn/node.h"

namespace slipstream::sim {

// What the asking side wants of one run.
struct AskOptions {
  NodeId server{0};
  std::uint32_t outstanding = 1;
  std::uint64_t requests = 1000;  // the node is done when all are answered
  std::size_t bytes = 64;         // of a request
};

// Sends requests, `outstanding` at a time, to one server, and notes each round trip.
class Asker : public Node {
 public:
  explicit Asker(const AskOptions& options) : options_(options) {}

  void step(TimeNs now, std::span<const Event> events, Outbox& out) override {
    out.enter(Role::kClient);
    if (!dialled_) out.connect(kChannel, options_.server);
    dialled_ = true;
    for (const Event& event : events) {
      if (event.kind == EventKind::kConnected) {
        for (std::uint32_t i = 0; i < options_.outstanding; ++i) ask(now, out);
      }
      if (event.kind != EventKind::kMessage || event.bytes.size() != sizeof(TimeNs)) continue;
      out.work(Work::kMessageIn);
      TimeNs sent = 0;
      std::memcpy(&sent, event.bytes.data(), sizeof sent);
      round_trips.push_back(now - sent);
      in_order &= sent >= last_sent_;
      last_sent_ = sent;
      hash_ = mix64(hash_ ^ static_cast<std::uint64_t>(now));
      ask(now, out);
    }
  }
  TimeNs deadline() const override { return kNever; }
  bool done() const override { return round_trips.size() >= options_.requests; }
  std::string describe() const override { return "asker"; }
  std::uint64_t state_hash() const override { return hash_; }

  std::vector<TimeNs> round_trips;
  bool in_order = true;  // answers came in the order of their requests

 private:
  static constexpr Channel kChannel = 1;

  void ask(TimeNs now, Outbox& out) {
    if (asked_ == options_.requests) return;
    ++asked_;
    std::byte* const head = out.send(kChannel, options_.bytes);
    std::memset(head, 0, options_.bytes);
    std::memcpy(head, &now, sizeof now);
  }

  AskOptions options_;
  bool dialled_ = false;
  std::uint64_t asked_ = 0;
  TimeNs last_sent_ = 0;
  std::uint64_t hash_ = 0;
};

struct AnswerOptions {
  std::vector<NodeId> replicas;     // each request is first written there, one-sided; then answered
  std::size_t write_bytes = 0;      // of one such write; at most kReplicaBytes
  std::uint32_t requests_work = 1;  // Work::kRequest entered per request
};
inline constexpr std::size_t kReplicaBytes = 1 << 20;

// Answers each request with its first bytes; with replicas, when all have acknowledged the write that belongs to it.
// Also the replica of others: grants memory to every server that connects.
class Answerer : public Node {
 public:
  Answerer(const AnswerOptions& options, Fabric& fabric)
      : options_(options),
        source_(fabric.create_region("source", kReplicaBytes, Access::kLocal)),
        replica_(fabric.create_region("replica", kReplicaBytes, Access::kGrantable)),
        keys_(options.replicas.size()),
        acked_(options.replicas.size()) {
    for (std::size_t i = 0; i < source_.memory.size(); ++i) source_.memory[i] = static_cast<std::byte>(mix64(i));
  }

  void step(TimeNs, std::span<const Event> events, Outbox& out) override {
    out.enter(Role::kPrimary);
    if (!dialled_) {
      for (std::size_t i = 0; i < options_.replicas.size(); ++i) {
        out.connect(static_cast<Channel>(i + 1), options_.replicas[i]);
      }
    }
    dialled_ = true;
    for (const Event& event : events) take(event, out);
    for (; ready() && issued_ < requests_.size(); ++issued_) replicate(issued_ + 1, out);
    for (; answered_ < requests_.size() && replicated() > answered_; ++answered_) answer(requests_[answered_], out);
  }
  TimeNs deadline() const override { return kNever; }
  bool done() const override { return true; }
  std::string describe() const override { return "answerer"; }
  std::uint64_t state_hash() const override { return mix64(answered_ * 31 + grants_); }

  ConstBytes source() const { return source_.memory; }
  ConstBytes replica() const { return replica_.memory; }
  bool ready() const { return ready_ == options_.replicas.size(); }

 private:
  struct Request {
    Channel channel = 0;
    std::uint64_t tag = 0;
    std::uint64_t stamp = 0;
  };

  void take(const Event& event, Outbox& out) {
    switch (event.kind) {
      case EventKind::kConnected:
        if (event.channel >= kFirstAccepted) out.grant(event.channel, replica_.memory, 1);
        break;
      case EventKind::kGranted: {
        ++grants_;
        const RemoteKey note[2] = {event.key, 0};
        std::memcpy(out.send(event.channel, sizeof note, 1), note, sizeof note);
        break;
      }
      case EventKind::kAcked:
        out.work(Work::kCompletion);
        acked_[event.channel - 1u] = event.ticket;
        break;
      case EventKind::kMessage:
        out.work(Work::kMessageIn);
        if (event.channel < kFirstAccepted) {
          std::memcpy(&keys_[event.channel - 1u], event.bytes.data(), sizeof(RemoteKey));
          ++ready_;
        } else if (event.is_answer) {
          break;
        } else {
          request(event, out);
        }
        break;
      default: break;
    }
  }

  void request(const Event& event, Outbox& out) {
    out.work(Work::kRequest, options_.requests_work);
    Request& request = requests_.emplace_back();
    request.channel = event.channel;
    request.tag = event.tag;
    std::memcpy(&request.stamp, event.bytes.data(), sizeof request.stamp);
  }

  // Requests that came before the replicas were ready wait for them.
  void replicate(std::uint64_t ticket, Outbox& out) {
    for (std::size_t i = 0; i < options_.replicas.size(); ++i) {
      const std::size_t at = ticket * options_.write_bytes % (kReplicaBytes - options_.write_bytes + 1);
      out.write(static_cast<Channel>(i + 1), {source_.memory.data() + at, options_.write_bytes}, keys_[i], at, ticket);
    }
  }

  std::uint64_t replicated() const {
    std::uint64_t least = issued_;
    for (const Ticket ticket : acked_) least = std::min<std::uint64_t>(least, ticket);
    return least;
  }

  void answer(const Request& request, Outbox& out) {
    std::byte* const head = out.send(request.channel, sizeof request.stamp, request.tag);
    std::memcpy(head, &request.stamp, sizeof request.stamp);
  }

  AnswerOptions options_;
  Region source_;
  Region replica_;
  std::vector<RemoteKey> keys_;
  std::vector<Ticket> acked_;
  std::vector<Request> requests_;
  std::uint64_t issued_ = 0;
  std::uint64_t answered_ = 0;
  std::uint64_t grants_ = 0;
  std::size_t ready_ = 0;
  bool dialled_ = false;
};

}  // namespace slipstream::sim
