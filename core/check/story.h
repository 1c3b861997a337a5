// Histories for tests and benchmarks: told by hand, one operation a word, or drawn at random from a store that is
// linearizable by construction, and then spoilt. Times are nanoseconds, as everywhere.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "core/base/rng.h"
#include "core/workload/history.h"

namespace slipstream::story {

// From when to when.
struct During {
  TimeNs from = 0;
  TimeNs to = 0;
};

HistoryOperation wrote(std::uint32_t client, During t, std::uint64_t stamp, std::uint64_t version);
HistoryOperation wrote_if(std::uint32_t client, During t, std::uint64_t expected, std::uint64_t stamp,
                          std::uint64_t version);
HistoryOperation refused(std::uint32_t client, During t, std::uint64_t expected, std::uint64_t stamp,
                         std::uint64_t found);
HistoryOperation removed(std::uint32_t client, During t, std::uint64_t version);
HistoryOperation removed_if(std::uint32_t client, During t, std::uint64_t expected, std::uint64_t version);
HistoryOperation added(std::uint32_t client, During t, std::uint64_t addend, std::uint64_t sum, std::uint64_t version);
HistoryOperation saw(std::uint32_t client, During t, std::uint64_t stamp, std::uint64_t version);
HistoryOperation saw_counter(std::uint32_t client, During t, std::uint64_t number, std::uint64_t version);
HistoryOperation saw_nothing(std::uint32_t client, During t);
// The same, but nobody knows how it went.
HistoryOperation unknown(HistoryOperation operation);
HistoryOperation failed(HistoryOperation operation);
HistoryOperation of_key(std::uint64_t key, HistoryOperation operation);

// Puts them into the order of a merged history, and numbers them and their clients' events. Of one client, what ended
// at a time came before what it invoked at that time.
std::vector<HistoryOperation> history(std::vector<HistoryOperation> operations);

struct RandomHistoryOptions {
  std::uint64_t seed = 1;
  std::size_t operations = 1000;
  std::uint32_t clients = 4;
  std::uint32_t outstanding = 4;  // of each client
  std::uint64_t keys = 1;
  std::uint32_t unknown_per_mille = 0;  // of mutations; they may still take effect later
  std::uint32_t failed_per_mille = 0;   // of mutations
  // Weights of read, write, cas, remove, remove-if, add.
  std::array<std::uint32_t, 6> mix{40, 30, 10, 5, 5, 10};
  bool counters = false;  // values are numbers, so that add makes sense
};
std::vector<History> random_history(const RandomHistoryOptions& options);

// Changes one operation's answer or times, so that the history may be linearizable no more.
void spoil(std::vector<HistoryOperation>& operations, Rng& rng);

}  // namespace slipstream::story
