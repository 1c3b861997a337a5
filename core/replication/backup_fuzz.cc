// A backup that is told arbitrary things: messages of any bytes, on channels of any node, between channels that come
// and go, bytes that land in its buffers, turns, and a storage that answers. It must stand whatever comes, and its
// records must stay true.
#include <cstdint>
#include <map>

#include "core/base/check.h"
#include "core/base/fuzz_input.h"
#include "core/replication/backup.h"

using namespace slipstream;

namespace {

constexpr std::size_t kSegmentBytes = 4 * kKiB;
constexpr std::uint32_t kBuffers = 3;
constexpr std::size_t kMostSteps = 300;

class World {
 public:
  explicit World(FuzzInput& in) : in_(in), region_(replica_region_bytes(kBuffers, kSegmentBytes)) {
    // What an earlier life left.
    const std::vector<std::byte> left = in.block();
    std::copy(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(std::min(left.size(), region_.size())),
              region_.begin());
    const std::uint8_t choice = in.byte();
    for (std::size_t i = choice % 4; i > 0; --i) mend(i - 1);
    ReplicationOptions options;
    options.buffers = kBuffers;
    if (choice / 4 % 2 != 0) options.policy = Policy::kOneSidedUnsafe;  // trusts in bytes that do not verify
    backup_.emplace(options, LogOptions{.segment_bytes = kSegmentBytes, .memory_bytes = 4 * kSegmentBytes},
                    Region{0, region_});
    std::vector<StoredFrame> frames;
    for (std::size_t i = in.byte() % 3; i > 0; --i) {
      const std::uint64_t frame = frame_of(1, index(first_segment(1)) + i);
      frames_[frame] = in.block();
      frames.push_back({frame, frames_[frame].size()});
    }
    backup_->adopt(frames, out_);
    settle();
  }

  void run() {
    for (std::size_t i = 0; i < kMostSteps && !in_.empty(); ++i) {
      step();
      settle();
    }
    for (int i = 0; i < 100 && backup_->needs_turn(); ++i) {
      backup_->advance(out_);
      settle();
    }
    backup_->replicas();
    backup_->describe();
  }

 private:
  void mend(std::size_t i) {
    auto record = load<ReplicaRecord>(region_.data() + i * kReplicaRecordBytes);
    record.crc = record_crc(record);
    store(region_.data() + i * kReplicaRecordBytes, record);
  }

  void step() {
    const std::uint8_t what = in_.byte();
    const auto channel = static_cast<Channel>(kFirstAccepted + what / 16);
    switch (what % 16) {
      case 0: return backup_->on_connected(channel, NodeId{in_.byte()});
      case 1: return backup_->on_channel_down(channel, out_);
      case 2: return backup_->on_revoked(channel, out_);
      case 3: {
        const Bytes buffer = replica_buffer(region_, kBuffers, kSegmentBytes, in_.byte() % kBuffers);
        const std::vector<std::byte> landed = in_.block();
        std::copy_n(landed.begin(), std::min(landed.size(), buffer.size()), buffer.begin());
        return;
      }
      case 4: {
        Backup::MasterLife life;
        life.node = in_.byte();
        life.latest = in_.byte();
        life.is_alive = what >= 128;
        life.matters.push_back(in_.byte());
        return backup_->set_masters({&life, 1}, out_);
      }
      case 5: return backup_->advance(out_);
      default: break;
    }
    const std::vector<std::byte> bytes = in_.block();
    RpcMessage message;
    if (!parse(bytes, message)) return;
    if (what % 16 == 6) return backup_->on_own_request(message, out_);
    backup_->on_request(channel, ++tag_, message, out_);
  }

  // Carries out what the backup wished for.
  void settle() {
    const std::vector<Op> ops(out_.ops().begin(), out_.ops().end());
    const std::vector<StorageOp> storage(out_.storage_ops().begin(), out_.storage_ops().end());
    out_.clear();
    for (const Op& op : ops) {
      if (op.kind == OpKind::kGrant) backup_->on_granted(op.channel, op.ticket, op.ticket * 7, out_);
      if (op.kind == OpKind::kWithdraw) backup_->on_withdrawn(op.channel, op.ticket, out_);
      if (op.kind == OpKind::kRevoke) backup_->on_revoked(op.channel, out_);
    }
    for (const StorageOp& op : storage) store_op(op);
    backup_->own_answers().clear();
    if (!out_.ops().empty() || !out_.storage_ops().empty()) settle();
  }

  void store_op(const StorageOp& op) {
    std::vector<std::byte>& frame = frames_[op.frame];
    switch (op.kind) {
      case StorageOpKind::kAppend:
        frame.insert(frame.end(), op.source.begin(), op.source.end());
        return backup_->on_stored(op.frame, frame.size(), out_);
      case StorageOpKind::kFree: frames_.erase(op.frame); return;
      case StorageOpKind::kRead: break;
    }
    const bool is_there = op.offset <= frame.size() && op.destination.size() <= frame.size() - op.offset;
    if (!is_there) return backup_->on_storage_failed(op.frame, EIO, op.ticket, out_);
    std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(op.offset), op.destination.size(), op.destination.begin());
    backup_->on_storage_read(op.frame, op.ticket, out_);
  }

  FuzzInput& in_;
  std::vector<std::byte> region_;
  Outbox out_;
  std::optional<Backup> backup_;
  std::map<std::uint64_t, std::vector<std::byte>> frames_;
  std::uint64_t tag_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput in(data, size);
  World(in).run();
  return 0;
}
