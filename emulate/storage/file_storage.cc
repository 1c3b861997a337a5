#include "emulate/storage/file_storage.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>

#include "core/base/ring.h"
#include "emulate/fabric/file_descriptor.h"
#include "emulate/storage/frame_files.h"

namespace slipstream::emulate {

namespace {

class FileStorage final : public RealStorage {
 public:
  explicit FileStorage(const FileStorageOptions& options)
      : files_(options.directory, options.owner, options.synchronize), wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (!wake_.valid()) {
      throw std::runtime_error(
          fmt::format("cannot make an eventfd: {}; raise the limit of open files (ulimit -n)", std::strerror(errno)));
    }
    worker_ = std::thread([this] { work(); });
  }

  // Ops that have not begun are dropped, as a crash would.
  ~FileStorage() override {
    {
      const std::lock_guard guard(mutex_);
      ending_ = true;
    }
    something_.notify_one();
    worker_.join();
  }

  void post(std::span<const StorageOp> ops) override {
    if (ops.empty()) return;
    {
      const std::lock_guard guard(mutex_);
      for (const StorageOp& op : ops) ops_.push(op);
    }
    something_.notify_one();
  }

  std::size_t poll(std::span<Event> events) override {
    if (pending_.load(std::memory_order_acquire) == 0) return 0;
    const std::lock_guard guard(mutex_);
    std::size_t n = 0;
    for (; n < events.size() && !events_.empty(); ++n) {
      events[n] = events_.front();
      events_.pop();
    }
    pending_.store(events_.size(), std::memory_order_release);
    return n;
  }

  std::vector<StoredFrame> frames() const override {
    const std::lock_guard guard(files_mutex_);
    return files_.frames();
  }

  std::vector<StorageProblem> problems() const override { return files_.problems(); }

  int wake_descriptor() const override { return wake_.get(); }
  bool arm() override {
    armed_.store(true, std::memory_order_seq_cst);
    if (pending_.load(std::memory_order_seq_cst) == 0) return true;
    disarm();
    return false;
  }
  void disarm() override {
    armed_.store(false, std::memory_order_seq_cst);
    std::uint64_t count = 0;
    while (::read(wake_.get(), &count, sizeof count) > 0) {
    }
  }
  TimeNs longest_sleep_ns() const override { return kNever; }
  std::uint64_t bytes_stored() const override { return bytes_stored_.load(std::memory_order_relaxed); }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      something_.wait(lock, [this] { return ending_ || !ops_.empty(); });
      if (ending_) return;
      const StorageOp op = ops_.front();
      ops_.pop();
      lock.unlock();
      const Event event = carry_out(op);
      lock.lock();
      events_.push(event);
      pending_.store(events_.size(), std::memory_order_seq_cst);
      const std::uint64_t one = 1;
      if (armed_.load(std::memory_order_seq_cst) && ::write(wake_.get(), &one, sizeof one) < 0)
        continue;  // full wakes too
    }
  }

  Event carry_out(const StorageOp& op) {
    const std::lock_guard guard(files_mutex_);
    Event event;
    event.tag = op.frame;
    event.ticket = op.ticket;
    int error = 0;
    switch (op.kind) {
      case StorageOpKind::kAppend:
        error = files_.append(op.frame, op.source);
        event.kind = EventKind::kStored;
        event.amount = files_.length(op.frame);
        if (error == 0) bytes_stored_.fetch_add(op.source.size(), std::memory_order_relaxed);
        break;
      case StorageOpKind::kRead:
        error = files_.read(op.frame, op.destination, op.offset);
        event.kind = EventKind::kStorageRead;
        break;
      case StorageOpKind::kFree:
        error = files_.free(op.frame);
        event.kind = EventKind::kFreed;
        break;
    }
    if (error != 0) {
      event.kind = EventKind::kStorageFailed;
      event.amount = static_cast<std::uint64_t>(error);
    }
    return event;
  }

  mutable std::mutex files_mutex_;  // held while an op is carried out; taken first
  FrameFiles files_;
  FileDescriptor wake_;

  std::mutex mutex_;
  std::condition_variable something_;
  Ring<StorageOp> ops_;
  Ring<Event> events_;
  bool ending_ = false;
  std::atomic<std::size_t> pending_{0};
  std::atomic<bool> armed_{false};
  std::atomic<std::uint64_t> bytes_stored_{0};
  std::thread worker_;
};

}  // namespace

std::unique_ptr<RealStorage> make_file_storage(const FileStorageOptions& options) {
  return std::make_unique<FileStorage>(options);
}

}  // namespace slipstream::emulate
