// The coordinator's durable state: snapshots of the view, each with a checksum, appended to a frame; a new frame is
// begun when one has grown, and at the start of each life. The last snapshot that verifies is the state; a torn one
// behind it was never told to anyone.
//
// A frame: {magic u32, bytes u32, epoch u64, crc u32, 0 u32}, the view (view.h), and so on. Units: bytes.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "core/cluster/view.h"
#include "core/storage/storage.h"
#include "core/turn/outbox.h"

namespace slipstream {

// What a frame's bytes hold; for forensics, too.
struct Snapshots {
  std::optional<View> last;  // the last whole view
  std::size_t count = 0;
  std::size_t valid_bytes = 0;
  std::string stop;  // why no more of them is valid; empty: all is
};
Snapshots snapshots_in(ConstBytes frame);
// Whether bytes begin as such a frame does.
bool is_state_frame(ConstBytes frame);

class StateLog {
 public:
  // What an earlier life left is read by start().
  explicit StateLog(std::vector<StoredFrame> found) : found_(std::move(found)) {}
  void start(Outbox& out);
  bool is_loaded() const { return started_ && reading_ == 0; }
  // After loading: what was found, if anything.
  const std::optional<View>& loaded() const { return loaded_; }

  void save(const View& view, Outbox& out);
  // The epoch of the newest view that is durable.
  std::uint64_t durable_epoch() const { return durable_epoch_; }

  void on_stored(FrameId frame, std::uint64_t bytes, Outbox& out);
  void on_read(FrameId frame, Ticket ticket);
  void on_failed(FrameId frame, Ticket ticket, std::uint64_t error);
  std::string trouble() const { return trouble_; }

 private:
  struct Saving {
    std::uint64_t epoch = 0;
    std::uint64_t end = 0;  // in its frame
    FrameId frame = 0;
    std::vector<std::byte> bytes;
  };

  std::vector<StoredFrame> found_;
  std::vector<std::vector<std::byte>> contents_;  // of found_
  std::size_t reading_ = 0;
  bool started_ = false;
  std::optional<View> loaded_;
  FrameId frame_ = 0;  // that is appended to; 0: none yet
  std::uint64_t size_ = 0;
  std::deque<Saving> saving_;  // oldest first
  std::vector<FrameId> old_;   // freed when the current frame has a durable snapshot
  std::uint64_t durable_epoch_ = 0;
  std::string trouble_;
};

}  // namespace slipstream
