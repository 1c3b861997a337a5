// What the engine is told and what its answers become, with scripts in the place of podman and docker. That containers
// really run is shown by containers_test.py.
#include "emulate/hosts/container_engine.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace slipstream::emulate {
namespace {

constexpr const char* kEngine = "SLIPSTREAM_CONTAINER_ENGINE";

// A folder with an engine of its own in it, which is the one that is found.
class ContainerEngineTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string made = (std::filesystem::temp_directory_path() / "slipstream-engine-XXXXXX").string();
    ASSERT_NE(mkdtemp(made.data()), nullptr);
    folder_ = made;
  }
  void TearDown() override {
    unsetenv(kEngine);
    std::filesystem::remove_all(folder_);
  }

  // `body` is shell; "$*" is the command line. What was asked is in the file "asked".
  ContainerEngine engine(const std::string& version, const std::string& body) {
    const std::string path = folder_ + "/engine";
    std::ofstream(path) << "#!/bin/sh\n[ \"$1\" = --version ] && echo '" << version << "' && exit\necho \"$*\" >>'"
                        << folder_ << "/asked'\n"
                        << body << "\n";
    chmod(path.c_str(), 0755);
    setenv(kEngine, path.c_str(), 1);
    return ContainerEngine::find();
  }
  ContainerEngine podman(const std::string& body) { return engine("podman version 4.3.1", body); }
  ContainerEngine docker(const std::string& body) { return engine("Docker version 28.2.2, build e6534b4", body); }

  std::string asked() const {
    std::ifstream file(folder_ + "/asked");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string folder_;
};

std::string trouble_of(const auto& action) {
  try {
    action();
  } catch (const std::runtime_error& trouble) {
    return trouble.what();
  }
  return {};
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
bool has(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

TEST_F(ContainerEngineTest, NoEngineIsToldWithWhatToInstall) {
  // given: a machine whose PATH leads to nothing
  const std::string path = std::getenv("PATH");
  setenv("PATH", folder_.c_str(), 1);
  const std::string trouble = trouble_of([] { ContainerEngine::find(); });
  setenv("PATH", path.c_str(), 1);
  // expect: both names, and the remedy
  EXPECT_TRUE(has(trouble, "neither podman nor docker")) << trouble;
  EXPECT_TRUE(has(trouble, "apt-get install")) << trouble;
  // given: an engine that is named and absent
  setenv(kEngine, "no-such-engine", 1);
  EXPECT_TRUE(has(trouble_of([] { ContainerEngine::find(); }), "SLIPSTREAM_CONTAINER_ENGINE names no-such-engine"));
}

TEST_F(ContainerEngineTest, AMissingImageIsToldWithHowToMakeIt) {
  // given: podman's words and docker's
  for (const char* words : {"Error: inspecting object: slipstream:1: image not known",
                            "Error response from daemon: No such image: slipstream:1"}) {
    const ContainerEngine engine = podman(fmt::format("echo '{}' >&2; exit 125", words));
    const std::string trouble = trouble_of([&] { engine.require_image("slipstream:1"); });
    // expect: the image, and the command that makes it
    EXPECT_TRUE(has(trouble, "no image slipstream:1; `./slipstream image`")) << trouble;
  }
}

TEST_F(ContainerEngineTest, AnEngineThatDoesNotWorkIsNotAMissingImage) {
  const ContainerEngine engine =
      docker("echo 'Cannot connect to the Docker daemon at unix:///run/x.sock. Is it running?' >&2; exit 1");
  const std::string trouble = trouble_of([&] { engine.require_image("slipstream:1"); });
  EXPECT_TRUE(has(trouble, "does not work here: Cannot connect")) << trouble;
  EXPECT_TRUE(has(trouble, "start its daemon")) << trouble;
}

TEST_F(ContainerEngineTest, ANetworkThatCannotBeMadeIsToldOnOneLine) {
  const ContainerEngine engine = podman("printf 'Error: netavark:\\nexec failed\\n' >&2; exit 125");
  const std::string trouble = trouble_of([&] { engine.make_network("slipstream-1-2-3"); });
  EXPECT_TRUE(has(trouble, "cannot make a network: Error: netavark: exec failed; on Debian: apt-get install"))
      << trouble;
}

TEST_F(ContainerEngineTest, TakenAddressesAreNotTheEnd) {
  // given: the first two ranges are in use
  const ContainerEngine engine = podman("[ \"$(wc -l <'" + folder_ + "/asked')\" -ge 3 ] && exit 0\n" +
                                        "echo 'Error: subnet is already used on the host' >&2; exit 125");
  // expect: the third is taken
  const std::string prefix = engine.make_network("slipstream-1-2-3");
  EXPECT_EQ(prefix, fmt::format("10.213.{}", (getpid() + 2) % 256));
  const std::string words = asked();
  EXPECT_EQ(std::count(words.begin(), words.end(), '\n'), 3);
  EXPECT_TRUE(has(words, "--internal")) << words;
  EXPECT_TRUE(has(words, "--label slipstream.run=slipstream-1-2-3")) << words;
}

TEST_F(ContainerEngineTest, AContainerIsStartedInTheForegroundAndRemovedAtItsEnd) {
  const ContainerEngine::Container container{.name = "slipstream-1-2-3-server-0",
                                             .run = "slipstream-1-2-3",
                                             .address = "10.213.7.2",
                                             .image = "slipstream:1",
                                             .devices = {"/dev/infiniband/uverbs0"}};
  for (const ContainerEngine& engine : {podman("exit 0"), docker("exit 0")}) {
    const std::vector<std::string> words = engine.command(container);
    for (const char* word : {"run", "--rm", "--interactive", "10.213.7.2", "slipstream-1-2-3-server-0",
                             "/dev/infiniband/uverbs0", "IPC_LOCK", "slipstream.run=slipstream-1-2-3"}) {
      EXPECT_TRUE(has(words, word)) << word;
    }
    EXPECT_EQ(words.back(), "slipstream:1");  // what follows runs in it
  }
  // expect: options that only podman has are not for docker
  EXPECT_FALSE(has(docker("exit 0").command(container), "--cgroup-manager=cgroupfs"));
}

TEST_F(ContainerEngineTest, WhyAContainerDidNotStartIsToldWithARemedy) {
  const ContainerEngine engine = podman("exit 0");
  EXPECT_TRUE(has(engine.remedy(127, "exec: \"slipstream\": executable file not found", "i:1"), "i:1 holds no"));
  EXPECT_TRUE(has(engine.remedy(125, "Error: netavark: No such file or directory", "i:1"), "iptables"));
  EXPECT_TRUE(has(engine.remedy(125, "netavark: IPAM error: address already allocated", "i:1"), "run again"));
  EXPECT_TRUE(has(engine.remedy(126, "write /proc/1/x: Permission denied", "i:1"), "holds no slipstream that runs"));
  EXPECT_TRUE(has(engine.remedy(125, "mount: permission denied", "i:1"), "as root"));
  EXPECT_EQ(engine.remedy(125, "something new", "i:1"), "");
}

TEST_F(ContainerEngineTest, OnlyRunsOfDeadDriversAreAbandoned) {
  // given: networks of a driver that lives (this process), of one that does not, of one whose number another process
  // has got, and one that is not ours
  const std::string own = ContainerEngine::name_run();
  const std::string reused = fmt::format("slipstream-{}-1-1", getpid());
  const ContainerEngine engine =
      podman(fmt::format("printf '%s\\n' {} slipstream-999999999-5-1 {} theirs slipstream-odd", own, reused));
  const std::vector<std::string> expected = {"slipstream-999999999-5-1", reused, "slipstream-odd"};
  EXPECT_EQ(engine.abandoned(), expected);
  // expect: no two runs of a process have the same name
  EXPECT_NE(ContainerEngine::name_run(), own);
}

TEST_F(ContainerEngineTest, WhatCouldNotBeRemovedIsTold) {
  EXPECT_EQ(podman("exit 0").remove("slipstream-1-2-3"), "");
  EXPECT_EQ(podman("echo 'Error: network not found' >&2; exit 1").remove("slipstream-1-2-3"), "");
  const std::string left = podman("echo 'Error: network is being used' >&2; exit 2").remove("slipstream-1-2-3");
  EXPECT_TRUE(has(left, "network rm slipstream-1-2-3")) << left;
}

TEST(CommandTest, StatusAndBothOutputsAreKept) {
  const CommandOutcome outcome = run_command({"sh", "-c", "echo out; echo err >&2; exit 3"});
  EXPECT_EQ(outcome.status, 3);
  EXPECT_EQ(outcome.output, "out");
  EXPECT_EQ(outcome.errors, "err");
  EXPECT_EQ(run_command({"no-such-program"}).status, 127);
}

TEST(CommandTest, ACommandThatHangsIsEndedWithItsChildren) {
  const CommandOutcome outcome = run_command({"sh", "-c", "sleep 1000 & sleep 1000"}, 20 * kMillisecond);
  EXPECT_EQ(outcome.status, 124);
  EXPECT_TRUE(has(outcome.errors, "did not end")) << outcome.errors;
}

}  // namespace
}  // namespace slipstream::emulate
