// Runs whose nodes live elsewhere: in containers, on Mininet hosts, on other machines. Each node is an agent, a process
// `slipstream agent` that the driver starts there by a command (podman exec, mnexec, ssh) and speaks with over that
// command's standard input and output, so that nothing but the command has to reach the place.
//
// The driver tells an agent who it is (build, secret, node, address, job); the agent listens and answers with its
// port; when all have, the driver tells everyone all addresses; when all are ready, it lets them go; each ends with a
// report or with its trouble. An agent whose standard input ends stops, cleans up and is gone: no driver, no agent.
// SIGTERM, SIGHUP and SIGINT end it as well. An agent of another build is refused, before anything runs.
//
// Time 0 of a node's clock is when its agent was let go: on each machine a moment of its own, apart by what the
// driver's word takes to get there. No node compares its time with another's.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "emulate/hosts/options.h"
#include "emulate/hosts/plan.h"

namespace slipstream::emulate {

// Where one node lives, and how a program is started there.
struct Place {
  std::string name;                  // for messages: "10.0.0.7", "container slipstream-3"
  std::vector<std::string> command;  // argv that runs there the words appended to it; empty: a child on this machine
  std::string program;               // slipstream there; empty: this program
  std::string address;               // numeric IPv4 on which the node listens and the others reach it
  std::string rdma_address;          // verbs: of the RDMA port, numeric IPv4; empty: the one above
  std::string device;                // verbs; empty: found by the address
  std::vector<std::uint32_t> cores;  // its machine's nodes are pinned to these, in turn; empty: to all, if at all
  std::uint16_t sharing = 0;         // nodes that share its machine's cores, itself included; 0: all of the run
  std::uint16_t turn = 0;            // which of these it is, from 0; of all of the run: its node id
  // What a user can do when the command ended with this status before the agent said a word, with what it wrote to
  // standard error. May be empty, or answer so.
  std::function<std::string(int status, const std::string& words)> remedy;
  std::string update;  // what brings this build there, when another one is; empty: a copy of this program
};

// One place for each node, by node id. Throws std::runtime_error with cause and remedy when an agent cannot be started;
// what goes wrong later comes back as trouble. Nothing is left running in either case: not when a node fails or is
// killed, not after Ctrl-C; and when this process is killed the agents end by that. (The directory of an agent that is
// itself killed stays until the next run on that machine.) The nodes need a network: over shm nobody is run.
RunResult run_agents(const RunPlan& plan, const EmulateOptions& options, std::span<const Place> places);

// The agent's side, on standard input and output, to the end of the run; returns the exit status. `plan_of_job` reads
// the job that the driver was given (EmulateOptions::job).
struct AgentJob {
  RunPlan plan;
  EmulateOptions options;
};
int run_agent(AgentJob (*plan_of_job)(const std::string& job));

}  // namespace slipstream::emulate
