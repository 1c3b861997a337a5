#include "core/cluster/state_log.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "core/base/crc32c.h"

namespace slipstream {
namespace {

constexpr std::uint64_t kFrameBytes = 256 * kKiB;
constexpr std::uint32_t kMagic = 0x77656976;  // "view"

struct SnapshotHeader {
  std::uint32_t magic = kMagic;
  std::uint32_t bytes = 0;
  std::uint64_t epoch = 0;
  std::uint32_t crc = 0;  // of the view
  std::uint32_t reserved = 0;
};
static_assert(sizeof(SnapshotHeader) == 24);

}  // namespace

Snapshots snapshots_in(ConstBytes frame) {
  Snapshots found;
  SnapshotHeader header;
  const auto rest = [&] { return frame.subspan(found.valid_bytes); };
  while (rest().size() >= sizeof(header)) {
    std::memcpy(&header, rest().data(), sizeof(header));
    const std::size_t there = rest().size() - sizeof(header);
    if (header.magic != kMagic) {
      found.stop = fmt::format("expected a view, found {:08x}", header.magic);
    } else if (header.bytes > there) {
      found.stop = fmt::format("a view of {} bytes begins, of which {} are there", header.bytes, there);
    } else if (crc32c(static_cast<std::uint32_t>(header.epoch), rest().subspan(sizeof(header), header.bytes)) !=
               header.crc) {
      found.stop = fmt::format("the view of epoch {} does not fit its checksum", header.epoch);
    }
    if (!found.stop.empty()) return found;
    if (std::optional<View> view = decode_view(rest().subspan(sizeof(header), header.bytes))) {
      found.last = std::move(view);
    }
    ++found.count;
    found.valid_bytes += sizeof(header) + header.bytes;
  }
  if (!rest().empty()) found.stop = fmt::format("a view's header is cut after {} bytes", rest().size());
  return found;
}

bool is_state_frame(ConstBytes frame) {
  std::uint32_t magic = 0;
  if (frame.size() < sizeof(magic)) return false;
  std::memcpy(&magic, frame.data(), sizeof(magic));
  return magic == kMagic;
}

void StateLog::start(Outbox& out) {
  if (started_) return;
  started_ = true;
  contents_.resize(found_.size());
  reading_ = found_.size();
  for (std::size_t i = 0; i < found_.size(); ++i) {
    frame_ = std::max(frame_, found_[i].id);
    contents_[i].resize(found_[i].bytes);
    StorageOp op;
    op.kind = StorageOpKind::kRead;
    op.frame = found_[i].id;
    op.destination = contents_[i];
    op.ticket = i + 1;
    out.store(op);
    old_.push_back(found_[i].id);
  }
  size_ = kFrameBytes;  // a frame of this life's own comes next
}

void StateLog::on_read(FrameId, Ticket ticket) {
  if (ticket == 0 || ticket > contents_.size() || reading_ == 0) return;
  std::optional<View> view = snapshots_in(contents_[ticket - 1]).last;
  contents_[ticket - 1].clear();
  if (view && (!loaded_ || view->epoch > loaded_->epoch)) loaded_ = std::move(view);
  if (--reading_ > 0) return;
  const bool had_bytes =
      std::any_of(found_.begin(), found_.end(), [](const StoredFrame& frame) { return frame.bytes > 0; });
  if (had_bytes && !loaded_) {
    trouble_ = "the coordinator's storage holds no state that verifies: restore it, or begin with an empty one";
  }
}

void StateLog::on_failed(FrameId frame, Ticket ticket, std::uint64_t error) {
  if (ticket != 0 && reading_ > 0) return on_read(frame, ticket);  // nothing was read: nothing verifies
  if (error == ENOENT) return;
  trouble_ = fmt::format("the coordinator cannot store its state: {}", std::strerror(static_cast<int>(error)));
}

void StateLog::save(const View& view, Outbox& out) {
  if (size_ >= kFrameBytes) {
    if (frame_ != 0 && std::find(old_.begin(), old_.end(), frame_) == old_.end()) old_.push_back(frame_);
    ++frame_;
    size_ = 0;
  }
  Saving& saving = saving_.emplace_back();
  saving.epoch = view.epoch;
  saving.frame = frame_;
  saving.bytes.resize(sizeof(SnapshotHeader));
  encode(view, saving.bytes);
  SnapshotHeader header;
  header.epoch = view.epoch;
  const ConstBytes body = ConstBytes(saving.bytes).subspan(sizeof(header));
  header.bytes = static_cast<std::uint32_t>(body.size());
  header.crc = crc32c(static_cast<std::uint32_t>(header.epoch), body);
  std::memcpy(saving.bytes.data(), &header, sizeof(header));
  size_ += saving.bytes.size();
  saving.end = size_;
  StorageOp op;
  op.kind = StorageOpKind::kAppend;
  op.frame = frame_;
  op.source = saving.bytes;
  out.store(op);
}

void StateLog::on_stored(FrameId frame, std::uint64_t bytes, Outbox& out) {
  while (!saving_.empty() &&
         (saving_.front().frame < frame || (saving_.front().frame == frame && saving_.front().end <= bytes))) {
    durable_epoch_ = saving_.front().epoch;
    saving_.pop_front();
  }
  if (frame != frame_ || bytes == 0) return;
  for (const FrameId old : old_) {
    StorageOp op;
    op.kind = StorageOpKind::kFree;
    op.frame = old;
    out.store(op);
  }
  old_.clear();
}

}  // namespace slipstream
