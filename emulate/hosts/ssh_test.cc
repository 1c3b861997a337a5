// Where nodes go and by which command. Real machines (namespaces with an sshd each) are in ssh_test.py.
#include "emulate/hosts/ssh.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <tuple>

#include <fmt/format.h>

#include "emulate/hosts/build_id.h"

namespace slipstream::emulate {
namespace {

struct Ssh : testing::Test {
  ClusterOptions cluster;
  EmulateOptions options;

  Ssh() {
    cluster.servers = 3;
    cluster.clients = 2;
    options.machines.resize(3);
    for (std::size_t i = 0; i < options.machines.size(); ++i) {
      options.machines[i].address = "10.0.0." + std::to_string(i + 1);
    }
  }
  std::vector<Place> places() const { return ssh_places(plan_of(cluster), options, {"ssh"}); }
  // Coordinator, servers, clients.
  std::string hosts() const {
    std::string text;
    for (const Place& place : places()) text += place.address.back();
    return text;
  }
};

TEST_F(Ssh, ServersAreApartThenClientsThenTheCoordinator) {
  EXPECT_EQ(hosts(),
            "3"
            "123"
            "12");
  cluster.servers = 5;
  EXPECT_EQ(hosts(),
            "2"
            "12312"
            "31");
  cluster.servers = 1;
  cluster.clients = 1;
  EXPECT_EQ(hosts(),
            "3"
            "1"
            "2");
  options.machines.resize(1);
  EXPECT_EQ(hosts(),
            "1"
            "1"
            "1");
  options.machines.clear();
  EXPECT_THROW(places(), std::runtime_error);
}

TEST_F(Ssh, NodesShareTheCoresOfTheirMachineInTurn) {
  // given four servers, two clients and a coordinator, and one machine that is there by two addresses
  cluster.servers = 4;
  options.machines[1].ssh = "10.0.0.1";
  options.machines[2].cores = {4, 6};
  std::vector<std::string> found;
  for (const Place& place : places()) {
    found.push_back(fmt::format("{}: {} of {}", place.address, place.turn, place.sharing));
    EXPECT_EQ(place.cores.size(), place.address == "10.0.0.3" ? 2u : 0u);
  }
  EXPECT_EQ(found,
            (std::vector<std::string>{"10.0.0.1: 4 of 5", "10.0.0.1: 0 of 5", "10.0.0.2: 1 of 5", "10.0.0.3: 0 of 2",
                                      "10.0.0.1: 2 of 5", "10.0.0.2: 3 of 5", "10.0.0.3: 1 of 2"}));
}

TEST_F(Ssh, TheCommandAsksNobodyAndIsQuotedForTheShellThere) {
  options.machines[0].ssh = "ada@node1";
  options.machines[0].port = 2222;
  options.machines[0].device = "mlx5_1";
  options.machines[0].program = "it's/slipstream";
  const std::vector<Place> made = ssh_places(plan_of(cluster), options, {"ssh", "-J", "gateway"});
  const Place& server = made[1];
  // expect the user's words, then ours, then where to
  ASSERT_GT(server.command.size(), 6u);
  EXPECT_EQ(std::vector<std::string>(server.command.begin(), server.command.begin() + 3),
            (std::vector<std::string>{"ssh", "-J", "gateway"}));
  EXPECT_NE(std::find(server.command.begin(), server.command.end(), "BatchMode=yes"), server.command.end());
  EXPECT_EQ(std::vector<std::string>(server.command.end() - 3, server.command.end()),
            (std::vector<std::string>{"-p", "2222", "ada@node1"}));
  EXPECT_EQ(server.program, R"('it'\''s/slipstream')");
  EXPECT_EQ(server.device, "mlx5_1");
  EXPECT_EQ(made[2].command.back(), "10.0.0.2");
  EXPECT_EQ(made[2].program, own_program());
}

TEST_F(Ssh, WhatSshSaysHasARemedy) {
  options.machines[0].ssh = "ada@node1";
  const Place server = places()[1];
  const std::vector<std::tuple<int, std::string, std::string>> cases = {
      {255, "ssh: Could not resolve hostname node1: Name or service not known", "correct /emulate/machines/0/ssh"},
      {255, "ssh: connect to host node1 port 22: Connection timed out", "ssh ada@node1 true"},
      {255, "ada@node1: Permission denied (publickey).", "ssh-copy-id ada@node1"},
      {255, "Host key verification failed.", "log in by hand and compare it: ssh ada@node1 true"},
      {127, "slipstream: error while loading shared libraries: libfmt.so.9: cannot open", "library is missing there"},
      {127, "sh: 1: slipstream: not found", "say in /emulate/machines/0/program where it is"},
      {126, "sh: 1: slipstream: Exec format error", "a processor like this one's"},
      {3, "", ""}};
  for (const auto& [status, words, told] : cases) {
    const std::string remedy = server.remedy(status, words);
    EXPECT_NE(remedy.find(told), std::string::npos) << remedy;
    EXPECT_EQ(remedy.empty(), told.empty()) << remedy;
  }
}

}  // namespace
}  // namespace slipstream::emulate
