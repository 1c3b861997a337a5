#include "core/log/side_log.h"

namespace slipstream {

std::byte* SideLog::append(std::size_t bytes, Outbox& out) {
  if (!slots_.empty() && log_->slot(slots_.back()).appended - log_->slot(slots_.back()).sealed >= kBatchBytes) {
    log_->seal_side(slots_.back(), out);
  }
  std::byte* at = slots_.empty() ? nullptr : log_->append_side(slots_.back(), bytes);
  if (at == nullptr) {
    const std::uint32_t slot = log_->open_side(out, urgent_);
    if (slot == kNoSlot) return nullptr;
    if (!slots_.empty()) log_->close_side(slots_.back(), out);
    slots_.push_back(slot);
    at = log_->append_side(slot, bytes);
  }
  bytes_ += bytes;
  return at;
}

void SideLog::close(Outbox& out) {
  if (!slots_.empty()) log_->close_side(slots_.back(), out);
}

void SideLog::list() {
  for (const std::uint32_t slot : slots_) log_->list(slot);
}

}  // namespace slipstream
