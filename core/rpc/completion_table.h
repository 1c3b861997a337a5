// What a server remembers so that each mutation takes effect exactly once (RIFL, Lee et al., SOSP'15, section 3): for
// each client, the answers that the client may still ask for again.
//
// A client numbers its mutations from 1, across all servers, and tells with every request below which number it has all
// answers. It has at most kMutationWindow mutations without an answer, so a number's place in the table is fixed.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "core/rpc/wire.h"

namespace slipstream {

inline constexpr std::uint64_t kMutationWindow = 1024;

struct MutationResult {
  Status status = Status::kOk;
  std::uint64_t version = 0;
  std::uint64_t counter = 0;  // increments: the value after it
};

class CompletionTable {
 public:
  enum class Verdict : std::uint8_t {
    kNew,       // not executed yet
    kRepeat,    // executed: answer with the result
    kAnswered,  // the client had the answer: drop it
    kTooFar,    // more mutations without an answer than a client may have
  };
  class Client {
   public:
    Client() : slots_(kMutationWindow) {}
    // Also notes `acked_below`, which never falls.
    Verdict look_up(std::uint64_t sequence, std::uint64_t acked_below, MutationResult& result);
    void record(std::uint64_t sequence, const MutationResult& result);
    std::uint64_t acked_below() const { return acked_below_; }

   private:
    struct Slot {
      std::uint64_t sequence = 0;
      MutationResult result;
    };
    std::uint64_t acked_below_ = 1;
    std::vector<Slot> slots_;
  };

  // Looked up by key only, never walked.
  Client& client(std::uint32_t id) {
    if (id == last_id_ && last_ != nullptr) return *last_;
    last_id_ = id;
    last_ = &clients_[id];
    return *last_;
  }

 private:
  std::unordered_map<std::uint32_t, Client> clients_;
  std::uint32_t last_id_ = 0;
  Client* last_ = nullptr;
};

}  // namespace slipstream
