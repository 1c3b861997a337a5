#include "emulate/hosts/run_directory.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>

namespace slipstream::emulate {
namespace {

namespace fs = std::filesystem;

struct RunDirectoryTest : testing::Test {
  fs::path parent = fs::temp_directory_path() / fmt::format("slipstream-directory-test-{}", getpid());
  RunDirectoryTest() { fs::create_directories(parent); }
  ~RunDirectoryTest() override { fs::remove_all(parent); }
};

TEST_F(RunDirectoryTest, IsRemovedWithAllThatIsInIt) {
  const std::string path = parent / "run";
  {
    const RunDirectory directory = RunDirectory::at(path, false);
    std::ofstream(path + "/file") << "x";
    EXPECT_EQ(directory.kept(), "");
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(RunDirectoryTest, SaysWhatIsWrongWithThePath) {
  EXPECT_THROW(RunDirectory::at(parent, false), std::runtime_error);
  EXPECT_THROW(RunDirectory::at(parent / "absent/run", false), std::runtime_error);
  EXPECT_TRUE(fs::exists(parent));
}

TEST_F(RunDirectoryTest, FolderOfAKilledDriverIsRemovedThoseOfOthersAreNot) {
  const std::string killed = parent / "slipstream-run-killed";
  const std::string alive = parent / "slipstream-run-alive";
  const std::string kept = parent / "slipstream-run-kept";
  const RunDirectory living = RunDirectory::at(alive, false);
  { const RunDirectory keeps = RunDirectory::at(kept, true); }
  // given a process that made a run directory and was killed
  const pid_t child = fork();
  if (child == 0) {
    const RunDirectory directory = RunDirectory::at(killed, false);
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(fs::exists(killed));
  // expect its folder to be the only one that is taken for abandoned
  EXPECT_EQ(remove_abandoned(parent), 1);
  EXPECT_FALSE(fs::exists(killed));
  EXPECT_TRUE(fs::exists(alive));
  EXPECT_TRUE(fs::exists(kept));
}

TEST_F(RunDirectoryTest, StorageOfARunHasAFolderOfItsOwnWhereverItIs) {
  const std::string run = parent / "run";
  const std::string storage = parent / "disk";
  std::string place;
  {
    const RunDirectories inside(run, "", false);
    EXPECT_EQ(inside.storage(), run + "/storage");
  }
  {
    const RunDirectories apart(run, storage, false);
    place = apart.storage();
    EXPECT_TRUE(place.starts_with(storage + "/")) << place;
    EXPECT_TRUE(fs::exists(place));
  }
  // expect the user's folder to stay and ours to be gone
  EXPECT_TRUE(fs::exists(storage));
  EXPECT_FALSE(fs::exists(place));
}

}  // namespace
}  // namespace slipstream::emulate
