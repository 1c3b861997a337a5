// A fabric, a storage and a node that do what a test tells them, for the tests of the loop.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "core/turn/node.h"
#include "emulate/fabric/real_fabric.h"

namespace slipstream::emulate {

// Gives the events that were put into it, one batch per poll; another thread may put some while the loop sleeps.
class FakeSource : public WakeSource {
 public:
  FakeSource() : descriptor_(eventfd(0, EFD_NONBLOCK)) {}
  ~FakeSource() override { close(descriptor_); }
  FakeSource(const FakeSource&) = delete;
  FakeSource& operator=(const FakeSource&) = delete;

  void arrive(std::vector<Event> batch) {
    const std::lock_guard lock(mutex_);
    batches_.push_back(std::move(batch));
    const std::uint64_t one = 1;
    if (armed_ && write(descriptor_, &one, sizeof(one)) != sizeof(one)) std::abort();
  }
  std::size_t take(std::span<Event> events) {
    const std::lock_guard lock(mutex_);
    if (batches_.empty()) return 0;
    std::vector<Event>& first = batches_.front();
    const std::size_t count = std::min(first.size(), events.size());
    std::copy_n(first.begin(), count, events.begin());
    first.erase(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(count));
    if (first.empty()) batches_.pop_front();
    return count;
  }

  int wake_descriptor() const override { return descriptor_; }
  bool arm() override {
    const std::lock_guard lock(mutex_);
    armed_ = true;
    arms_.fetch_add(1);
    return batches_.empty();
  }
  void disarm() override {
    const std::lock_guard lock(mutex_);
    armed_ = false;
    std::uint64_t drained = 0;
    (void)!read(descriptor_, &drained, sizeof(drained));
  }
  TimeNs longest_sleep_ns() const override { return kNever; }
  int arms() const { return arms_.load(); }

 private:
  int descriptor_;
  std::mutex mutex_;
  std::deque<std::vector<Event>> batches_;
  bool armed_ = false;
  std::atomic<int> arms_{0};
};

class FakeFabric final : public RealFabric {
 public:
  FakeSource source;
  std::vector<Op> posted;
  int polls = 0;

  Region create_region(std::string_view, std::size_t, Access) override { return {}; }
  void post(std::span<const Op> ops) override { posted.insert(posted.end(), ops.begin(), ops.end()); }
  std::size_t poll(std::span<Event> events) override {
    ++polls;
    return source.take(events);
  }
  std::uint64_t network_bytes() const override { return 1000 * posted.size(); }
  int wake_descriptor() const override { return source.wake_descriptor(); }
  bool arm() override { return source.arm(); }
  void disarm() override { source.disarm(); }
  TimeNs longest_sleep_ns() const override { return source.longest_sleep_ns(); }
};

class FakeStorage final : public Storage, public WakeSource {
 public:
  FakeSource source;
  std::vector<StorageOp> posted;

  void post(std::span<const StorageOp> ops) override { posted.insert(posted.end(), ops.begin(), ops.end()); }
  std::size_t poll(std::span<Event> events) override { return source.take(events); }
  std::vector<StoredFrame> frames() const override { return {}; }
  int wake_descriptor() const override { return source.wake_descriptor(); }
  bool arm() override { return source.arm(); }
  void disarm() override { source.disarm(); }
  TimeNs longest_sleep_ns() const override { return source.longest_sleep_ns(); }
};

struct Turn {
  TimeNs now = 0;
  std::vector<Event> events;
};

class FakeNode final : public Node {
 public:
  std::vector<Turn> turns;
  TimeNs next_deadline = kNever;
  bool is_done = false;
  std::string its_trouble;
  // What it does in a turn; the turn is noted already.
  std::function<void(const Turn&, Outbox&)> act = [](const Turn&, Outbox&) {};

  void step(TimeNs now, std::span<const Event> events, Outbox& out) override {
    turns.push_back({now, {events.begin(), events.end()}});
    act(turns.back(), out);
  }
  TimeNs deadline() const override { return next_deadline; }
  bool done() const override { return is_done; }
  std::string trouble() const override { return its_trouble; }
  std::string describe() const override { return "a fake node"; }
  std::uint64_t state_hash() const override { return turns.size(); }
};

}  // namespace slipstream::emulate
