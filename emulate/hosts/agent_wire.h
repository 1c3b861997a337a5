// What a driver and an agent say to each other over the agent's standard input and output: frames of a size, a kind and
// bytes. Both are of the same build on machines of the same byte order, and the first frame shows it: Hello alone is
// laid out alike in every build.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/units.h"
#include "emulate/fabric/run_secret.h"

namespace slipstream::emulate::wire {

// Bytes that are not what they should be.
struct Misunderstanding : std::runtime_error {
  Misunderstanding() : std::runtime_error("an agent and its driver do not understand each other") {}
};

enum class Kind : std::uint8_t {
  kHello = 1,  // agent: Hello
  kStart,      // driver: Start
  kListening,  // agent: its address
  kPeers,      // driver: all addresses, by node id
  kReady,      // agent: its node is made
  kGo,         // driver: time 0 is now
  kTrouble,    // agent: why its node came to nothing
  kStop,       // driver
  kReport,     // agent: Report
};

struct Frame {
  Kind kind = Kind::kHello;
  std::vector<std::byte> bytes;
};

struct Hello {
  std::uint32_t process = 0;
  std::string build;
};

struct Start {
  RunSecret secret{};
  NodeId node = kNoNode;
  std::uint16_t nodes = 0;
  std::uint16_t sharing = 0;  // nodes on this machine, itself included
  std::uint16_t turn = 0;     // which of these it is
  std::string address;
  std::string rdma_address;
  std::string device;
  std::vector<std::uint32_t> cores;
  std::string job;
};

struct Report {
  bool ends_run = false;  // the run is over because this node is done
  std::string state;
  std::vector<std::byte> report;  // encode(NodeReport)
};

std::vector<std::byte> encode(const Hello& hello);
std::vector<std::byte> encode(const Start& start);
std::vector<std::byte> encode(const std::vector<std::string>& addresses);
std::vector<std::byte> encode(const Report& report);
std::vector<std::byte> encode(const std::string& text);

// All throw Misunderstanding.
Hello decode_hello(ConstBytes bytes);
Start decode_start(ConstBytes bytes);
std::vector<std::string> decode_peers(ConstBytes bytes);
Report decode_report(ConstBytes bytes);
std::string decode_text(ConstBytes bytes);

// A frame as it is sent.
std::vector<std::byte> framed(Kind kind, ConstBytes bytes);

// Takes a stream of bytes apart. What does not begin with a Hello is no agent's speech, but say a login message.
class Frames {
 public:
  explicit Frames(bool begins_with_hello) : greeted_(!begins_with_hello) {}
  void take_in(ConstBytes bytes);
  std::optional<Frame> next();
  bool has_next() const;
  // What came instead of a Hello; empty: nothing did.
  std::string gibberish() const;

 private:
  std::vector<std::byte> bytes_;
  std::size_t begin_ = 0;
  bool greeted_;
};

}  // namespace slipstream::emulate::wire
