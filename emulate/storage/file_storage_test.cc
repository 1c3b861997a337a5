#include "emulate/storage/file_storage.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/storage/conformance.h"
#include "emulate/storage/frame_files.h"

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

FileStorageOptions in(const std::string& directory, const std::string& cluster = "alpha", std::uint16_t node = 1) {
  FileStorageOptions options;
  options.directory = directory;
  options.owner = {cluster, NodeId{node}};
  return options;
}

class FileBench : public StorageBench {
 public:
  explicit FileBench(bool synchronize) : options_(in(directory_.path())) {
    options_.synchronize = synchronize;
    restart();
  }
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
INSTANTIATE_TEST_SUITE_P(FileFaulty, StorageConformance, testing::ValuesIn(faulty_storage_conformance(plain)),
                         storage_case_name);
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
    auto storage = make_file_storage(in(directory.path()));
    append(*storage, 0xabc, bytes);
    EXPECT_EQ(wait_for_one(*storage).amount, 1000u);
    EXPECT_EQ(storage->bytes_stored(), 1000u);
  }
  std::ofstream(directory.path() + "/0000000000000abc.frame", std::ios::app) << "torn";
  std::ofstream(directory.path() + "/0000000000000abd.frame") << "half a he";
  std::ofstream(directory.path() + "/notes.txt") << "foreign";
  auto storage = make_file_storage(in(directory.path()));
  EXPECT_EQ(storage->frames(), (std::vector<StoredFrame>{{0xabc, 1000}}));
  append(*storage, 0xabc, bytes);
  EXPECT_EQ(wait_for_one(*storage).amount, 2000u);
  append(*storage, 0xabd, bytes);
  EXPECT_EQ(wait_for_one(*storage).amount, 1000u);
  EXPECT_EQ(storage->frames(), (std::vector<StoredFrame>{{0xabc, 2000}, {0xabd, 1000}}));
}

TEST(FileStorage, AFileUsedAgainShowsNothingOfItsOldFrame) {
  // Given frames freed and made again, shorter, under the same and other numbers, expect their own bytes and lengths,
  // also after a restart, and no file of a freed frame to be taken for one.
  TestDirectory directory;
  const std::vector<std::byte> old_bytes(9000, std::byte{1});
  const std::vector<std::byte> new_bytes(100, std::byte{2});
  auto storage = make_file_storage(in(directory.path()));
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
  storage = make_file_storage(in(directory.path()));
  EXPECT_EQ(storage->frames(), (std::vector<StoredFrame>{{1, 100}, {5, 100}, {9, 100}}));
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
  auto storage = make_file_storage(in(directory.path()));
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
  EXPECT_EQ(storage->frames(), (std::vector<StoredFrame>{{1, 20}}));
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "no error";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(FileStorage, AFolderOfAnotherIsRefused) {
  // Given a folder of node 1 of a cluster, expect its own node to find its frames again, and another node, another
  // cluster, or whoever finds frames without an owner, to be refused with what, where and how to mend it.
  TestDirectory directory;
  const std::vector<std::byte> bytes(100, std::byte{7});
  {
    auto storage = make_file_storage(in(directory.path()));
    append(*storage, 1, bytes);
    wait_for_one(*storage);
  }
  EXPECT_EQ(make_file_storage(in(directory.path()))->frames().size(), 1u);
  const std::string other_node = error_of([&] { make_file_storage(in(directory.path(), "alpha", 2)); });
  EXPECT_TRUE(has(other_node, directory.path() + ": it belongs to cluster alpha, node 1, not to cluster alpha, node 2"))
      << other_node;
  EXPECT_TRUE(has(other_node, "; choose another directory, or remove this one")) << other_node;
  const std::string other_cluster = error_of([&] { make_file_storage(in(directory.path(), "beta", 1)); });
  EXPECT_TRUE(has(other_cluster, "not to cluster beta, node 1")) << other_cluster;
  EXPECT_EQ(std::count(other_cluster.begin(), other_cluster.end(), '\n'), 0);
  std::ofstream(owner_file(directory.path())) << "?";
  EXPECT_TRUE(has(error_of([&] { make_file_storage(in(directory.path())); }), "belongs to nobody that can be read"));
  std::filesystem::remove(owner_file(directory.path()));
  EXPECT_TRUE(has(error_of([&] { make_file_storage(in(directory.path())); }), "belongs to nobody that can be read"));
}

TEST(FileStorage, AFolderInUseIsRefusedUntilItsProcessHasEnded) {
  // Given a process that uses the folder, expect refusal; given that it was killed, expect the folder to be free.
  TestDirectory directory;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto storage = make_file_storage(in(directory.path()));
    if (::write(ready[1], "x", 1) == 1) ::pause();
    ::_exit(1);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  const std::string error = error_of([&] { make_file_storage(in(directory.path())); });
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
  EXPECT_TRUE(has(error, directory.path() + ": another process uses it; end that one")) << error;
  EXPECT_EQ(make_file_storage(in(directory.path()))->frames().size(), 0u);
}

TEST(FileStorage, DamagedFramesAreToldByName) {
  // Given frames that are sound, whose header is damaged, cut, of another frame, or missing, whose bytes are cut, and a
  // free file, expect the sound one alone among the frames, and every other told by file and fault.
  TestDirectory directory;
  const std::vector<std::byte> bytes(9000, std::byte{7});
  {
    auto storage = make_file_storage(in(directory.path()));
    for (FrameId frame = 0; frame <= 7; ++frame) {
      append(*storage, frame, bytes);
      wait_for_one(*storage);
    }
    StorageOp op;
    op.kind = StorageOpKind::kFree;
    op.frame = 7;
    storage->post({&op, 1});
    wait_for_one(*storage);
    EXPECT_TRUE(storage->problems().empty());
  }
  const auto file = [&](int frame) { return directory.path() + "/000000000000000" + std::to_string(frame) + ".frame"; };
  const auto overwrite = [&](int frame, long at, const std::string& text) {
    std::fstream(file(frame), std::ios::in | std::ios::out | std::ios::binary).seekp(at) << text;
  };
  overwrite(1, 0, "garbage!");
  overwrite(2, 16, std::string("\x01", 1));
  std::filesystem::resize_file(file(3), 10);
  std::filesystem::resize_file(file(4), 4096 + 5000);
  overwrite(5, 0, std::string(32, '\0'));
  std::filesystem::copy_file(file(0), file(6), std::filesystem::copy_options::overwrite_existing);
  const std::vector<StorageProblem> expected = {{file(1), "its header is damaged: it begins with 2165676162726167"},
                                                {file(2), "its header is damaged: the checksum does not fit"},
                                                {file(3), "its header is cut: the file has 10 bytes"},
                                                {file(4), "it is cut: of 9000 bytes there are 5000"},
                                                {file(5), "it has no header: its first append did not end"},
                                                {file(6), "it holds frame 0000000000000000, which is not its name"}};
  const FolderContents contents = look_into_storage(directory.path());
  EXPECT_EQ(contents.frames, (std::vector<StoredFrame>{{0, 9000}}));
  EXPECT_TRUE(has(contents.owner, "cluster alpha\nnode 1\n"));
  const auto storage = make_file_storage(in(directory.path()));
  EXPECT_EQ(storage->frames(), (std::vector<StoredFrame>{{0, 9000}}));
  for (const std::vector<StorageProblem>& problems : {contents.problems, storage->problems()}) {
    ASSERT_EQ(problems.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(problems[i].file, expected[i].file);
      EXPECT_EQ(problems[i].what, expected[i].what);
    }
  }
  EXPECT_TRUE(has(error_of([&] { look_into_storage(directory.path() + "/none"); }), directory.path() + "/none"));
}

// In a process of its own, with a file system of 1 MiB that nobody else sees and that goes with it.
enum Full : int { kAsItShould = 0, kNoRights = 1, kWrong = 2 };
Full fill_a_disk(const std::string& place) {
  if (::unshare(CLONE_NEWNS) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return kNoRights;
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return kNoRights;
  if (::mount("none", place.c_str(), "tmpfs", 0, "size=1m") != 0) return kNoRights;
  auto storage = make_file_storage(in(place + "/node-1"));
  const std::vector<std::byte> bytes(300'000, std::byte{7});
  FrameId frame = 1;
  Event event;
  for (; frame < 10; ++frame) {
    append(*storage, frame, bytes);
    event = wait_for_one(*storage);
    if (event.kind != EventKind::kStored) break;
  }
  if (event.kind != EventKind::kStorageFailed || event.amount != ENOSPC || frame != 4) return kWrong;
  StorageOp op;
  op.kind = StorageOpKind::kFree;
  op.frame = 1;
  storage->post({&op, 1});
  if (wait_for_one(*storage).kind != EventKind::kFreed) return kWrong;
  append(*storage, frame, bytes);
  if (wait_for_one(*storage).kind != EventKind::kStored) return kWrong;
  storage.reset();
  storage = make_file_storage(in(place + "/node-1"));
  return storage->frames().size() == 3 && storage->problems().empty() ? kAsItShould : kWrong;
}

TEST(FileStorage, AFullDiskIsToldAndCanBeMended) {
  // Given a disk on which three frames fit, expect the fourth to fail with ENOSPC, to fit once another was freed, and
  // nothing broken to be left.
  TestDirectory directory;
  std::filesystem::create_directory(directory.path());
  const pid_t child = ::fork();
  if (child == 0) ::_exit(fill_a_disk(directory.path()));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNoRights) GTEST_SKIP() << "no rights to mount a file system of its own";
  EXPECT_EQ(WEXITSTATUS(status), kAsItShould);
}

TEST(FileStorage, ADirectoryThatCannotBeUsedIsTold) {
  // Given a path below a file, expect an error that names it.
  TestDirectory directory;
  std::ofstream(directory.path()) << "a file";
  try {
    make_file_storage(in(directory.path() + "/frames"));
    FAIL() << "no error";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find(directory.path() + "/frames"), std::string::npos);
  }
}

}  // namespace
}  // namespace slipstream::emulate
