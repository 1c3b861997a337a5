// A storage that fails on purpose, around any other: appends that are acknowledged and lost or cut, appends that fail,
// a stored bit that is inverted. With no fault asked for it is transparent.
//
// - A lost or cut append: of the frame no more is kept from there on, in this life of the node, though all is said to
// be
//   durable, as by a device that lies. frames() tells what is kept; a read beyond it fails.
// - A failed append changes nothing and raises kStorageFailed with the errno asked for.
// - A bit is inverted as soon as there is one, in every read of its byte, and in this life of the node alone.
//
// The same seed and the same calls give the same faults. The wrapper has no clock: who asks for faults at times calls
// advance() before each poll.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "core/base/ids.h"
#include "core/base/ring.h"
#include "core/base/rng.h"
#include "core/storage/storage.h"

namespace slipstream {

enum class StorageFault : std::uint8_t { kLost, kShort, kFailed, kBitFlip };

struct FaultyStorageOptions {
  // At the n-th append posted to this storage, counted from 1. Not kBitFlip.
  struct At {
    std::uint64_t append = 0;
    StorageFault fault = StorageFault::kLost;
  };
  // The next append from then on; a bit flip: as soon as a frame is there.
  struct Timed {
    TimeNs at_ns = 0;
    StorageFault fault = StorageFault::kLost;
    std::uint64_t salt = 0;
  };

  std::uint64_t seed = 1;
  std::vector<At> schedule;  // rising
  std::vector<Timed> timed;  // rising
  int error = 28;            // of failed appends; ENOSPC
};

class FaultyStorage final : public Storage {
 public:
  // `node` keeps the draws of several nodes' storages apart.
  FaultyStorage(Storage& inner, const FaultyStorageOptions& options, NodeId node);

  void post(std::span<const StorageOp> ops) override;
  std::size_t poll(std::span<Event> events) override;
  std::vector<StoredFrame> frames() const override { return inner_.frames(); }

  // What is due at this time happens: now, or to the next append.
  void advance(TimeNs now);
  // When the next call of advance() has something to do; kNever: it has not.
  TimeNs next_due() const;
  // A poll would bring something that does not come from the medium.
  bool holds_events() const { return !own_events_.empty(); }
  std::uint64_t faults() const { return faults_; }

 private:
  struct Frame {
    std::uint64_t told = 0;    // its length, as its node believes
    std::uint64_t kept = 0;    // as it will be when all that was posted is done
    std::uint64_t stored = 0;  // as it was told to be last
    bool lies = false;
    bool freed = false;  // posted
  };
  struct Flip {
    FrameId frame = 0;
    std::uint64_t at = 0;
    std::byte bit{};
  };

  bool transparent() const { return options_.schedule.empty() && options_.timed.empty(); }
  void append(const StorageOp& op);
  void free(const StorageOp& op);
  bool draw(StorageFault& fault, Rng& rng);
  bool flip_bit(const FaultyStorageOptions::Timed& timed);  // false: there is none
  void tell(EventKind kind, FrameId id, std::uint64_t amount);
  void falsify(Event& event);
  void end_read(const Event& event);

  Storage& inner_;
  const FaultyStorageOptions options_;
  const NodeId node_;
  Rng rng_;
  std::map<FrameId, Frame> frames_;
  std::vector<StorageOp> passing_;
  std::vector<StorageOp> reading_;  // under way
  std::vector<Flip> flips_;
  std::vector<FaultyStorageOptions::Timed> armed_;
  std::vector<FaultyStorageOptions::Timed> flips_due_;
  Ring<Event> own_events_;
  std::size_t timed_ = 0;  // of options_.timed that were due
  std::size_t scheduled_ = 0;
  std::uint64_t appends_ = 0;
  std::uint64_t faults_ = 0;
};

}  // namespace slipstream
