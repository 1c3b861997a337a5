#include "emulate/storage/file_storage.h"

#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/storage/conformance.h"

namespace slipstream::emulate {
namespace {

// A directory of its own for each test.
class TestDirectory {
 public:
  TestDirectory() {
    static std::atomic<int> serial{0};
    path_ = "/dev/shm/slipstream-storage-test-" + std::to_string(::getpid()) + "-" + std::to_string(serial++);
  }
  ~TestDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class FileBench : public StorageBench {
 public:
  explicit FileBench(bool synchronize) : options_{directory_.path(), synchronize} { restart(); }
  Storage& storage() override { return *storage_; }
  void pump() override {}
  bool restart() override {
    storage_.reset();
    storage_ = make_file_storage(options_);
    return true;
  }

 private:
  TestDirectory directory_;
  FileStorageOptions options_;
  std::unique_ptr<RealStorage> storage_;
};

std::unique_ptr<StorageBench> plain() { return std::make_unique<FileBench>(false); }
std::unique_ptr<StorageBench> synchronized() { return std::make_unique<FileBench>(true); }

INSTANTIATE_TEST_SUITE_P(File, StorageConformance, testing::ValuesIn(storage_conformance(plain)), storage_case_name);
INSTANTIATE_TEST_SUITE_P(FileSynchronized, StorageConformance, testing::ValuesIn(storage_conformance(synchronized)),
                         storage_case_name);

Event wait_for_one(RealStorage& storage) {
  WakeSource* const source = &storage;
  Event event;
  while (storage.poll({&event, 1}) == 0) sleep_until_any({&source, 1}, kSecond);
  return event;
}

void append(RealStorage& storage, FrameId frame, ConstBytes bytes) {
  StorageOp op;
  op.frame = frame;
  op.source = bytes;
  storage.post({&op, 1});
}

TEST(FileStorage, WhatACrashLeavesBehindTheLengthIsNotTakenForBytes) {
  // Given a frame whose file has bytes behind the length in its header, a file of half a header, and a foreign file,
  // expect a restarted storage to see the frame alone, with its length, and to append where the length says.
  TestDirectory directory;
  const std::vector<std::byte> bytes(1000, std::byte{7});
  {
    auto storage = make_file_storage({directory.path()});
    append(*storage, 0xabc, bytes);
    EXPECT_EQ(wait_for_one(*storage).amount, 1000u);
    EXPECT_EQ(storage->bytes_stored(), 1000u);
  }
  std::ofstream(directory.path() + "/0000000000000abc.frame", std::ios::app) << "torn";
  std::ofstream(directory.path() + "/0000000000000abd.frame") << "half a he";
  std::ofstream(directory.path() + "/notes.txt") << "foreign";
  auto storage = make_file_storage({directory.path()});
  EXPECT_EQ(storage->frames(), std::vector<FrameId>{0xabc});
  append(*storage, 0xabc, bytes);
  EXPECT_EQ(wait_for_one(*storage).amount, 2000u);
  append(*storage, 0xabd, bytes);
  EXPECT_EQ(wait_for_one(*storage).amount, 1000u);
  EXPECT_EQ(storage->frames(), (std::vector<FrameId>{0xabc, 0xabd}));
}

TEST(FileStorage, AFileUsedAgainShowsNothingOfItsOldFrame) {
  // Given frames freed and made again, shorter, under the same and other numbers, expect their own bytes and lengths,
  // also after a restart, and no file of a freed frame to be taken for one.
  TestDirectory directory;
  const std::vector<std::byte> old_bytes(9000, std::byte{1});
  const std::vector<std::byte> new_bytes(100, std::byte{2});
  auto storage = make_file_storage({directory.path()});
  for (FrameId frame = 1; frame <= 8; ++frame) {
    append(*storage, frame, old_bytes);
    wait_for_one(*storage);
    StorageOp op;
    op.kind = StorageOpKind::kFree;
    op.frame = frame;
    storage->post({&op, 1});
    EXPECT_EQ(wait_for_one(*storage).kind, EventKind::kFreed);
  }
  for (const FrameId frame : {1, 5, 9}) {
    append(*storage, frame, new_bytes);
    EXPECT_EQ(wait_for_one(*storage).amount, 100u);
  }
  storage.reset();
  storage = make_file_storage({directory.path()});
  EXPECT_EQ(storage->frames(), (std::vector<FrameId>{1, 5, 9}));
  std::vector<std::byte> back(100);
  StorageOp op;
  op.kind = StorageOpKind::kRead;
  op.frame = 5;
  op.destination = back;
  storage->post({&op, 1});
  EXPECT_EQ(wait_for_one(*storage).kind, EventKind::kStorageRead);
  EXPECT_EQ(back, new_bytes);
  std::vector<std::byte> too_much(101);
  op.destination = too_much;
  storage->post({&op, 1});
  EXPECT_EQ(wait_for_one(*storage).kind, EventKind::kStorageFailed);
}

TEST(FileStorage, AMediumThatIsFullIsTold) {
  // Given a limit on the size of files, expect kStorageFailed with the errno, the frame as it was, and others to go on.
  TestDirectory directory;
  auto storage = make_file_storage({directory.path()});
  const std::vector<std::byte> bytes(100'000, std::byte{7});
  append(*storage, 1, ConstBytes(bytes).first(10));
  EXPECT_EQ(wait_for_one(*storage).kind, EventKind::kStored);
  rlimit old = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const rlimit small{50'000, old.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  append(*storage, 1, bytes);
  const Event first = wait_for_one(*storage);
  append(*storage, 2, bytes);
  const Event second = wait_for_one(*storage);
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(first.kind, EventKind::kStorageFailed);
  EXPECT_EQ(first.amount, static_cast<std::uint64_t>(EFBIG));
  EXPECT_EQ(second.kind, EventKind::kStorageFailed);
  append(*storage, 1, ConstBytes(bytes).first(10));
  const Event third = wait_for_one(*storage);
  EXPECT_EQ(third.kind, EventKind::kStored);
  EXPECT_EQ(third.amount, 20u);
  EXPECT_EQ(storage->frames(), std::vector<FrameId>{1});
}

TEST(FileStorage, ADirectoryThatCannotBeUsedIsTold) {
  // Given a path below a file, expect an error that names it.
  TestDirectory directory;
  std::ofstream(directory.path()) << "a file";
  try {
    make_file_storage({directory.path() + "/frames"});
    FAIL() << "no error";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find(directory.path() + "/frames"), std::string::npos);
  }
}

}  // namespace
}  // namespace slipstream::emulate
