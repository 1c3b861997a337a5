// What happens in a world, told to whoever asks: a story for people, one line per event, and a Chrome trace that opens
// in Perfetto. The simulator tells it while it happens, a real run when it is over. A world without an observer tells
// nobody and pays nothing for it.
//
//   TextStory story(options, [](std::string_view line) { ... });
//   world.observe(&story);
//   world.run();
//   story.finish();
//
// Times are in picoseconds. The same simulated run gives the same story, byte for byte.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/units.h"
#include "core/fabric/fabric.h"
#include "core/node/faults.h"

namespace slipstream {

enum class TraceKind : std::uint8_t {
  kMessageSent,       // node -> peer; bytes, id, message
  kMessageDelivered,  // at node, from peer; the same id
  kWriteLanded,       // at node, from peer: all of it; bytes, offset from the start of the grant
  kWritePosted,       // node -> peer, where nobody sees it land (real runs); bytes, offset
  kTurn,              // of node on `core`, for `lasts`; it took `events`. A dispatch core's computation is its workers'
  kDied,
  kRestarted,
  kPaused,
  kResumed,
  kChannelDown,  // told to node; peer
  kFault,        // was carried out; in a real run: was due; fault
  kStorage,      // an operation of node's is done; event, bytes
};
std::string_view name(TraceKind kind);  // "sent", "delivered", ...

struct TraceEvent {
  TraceKind kind = TraceKind::kTurn;
  TimePs time = 0;  // when; not before `now`
  TimePs now = 0;   // when it was decided: never falls from event to event
  TimePs lasts = 0;
  NodeId node = kNoNode;
  NodeId peer = kNoNode;
  std::uint32_t core = 0;  // 0: the dispatch core, or the only one; then the workers
  std::uint32_t events = 0;
  std::uint64_t id = 0;
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;
  ConstBytes message;  // until saw() returns
  Event event;
  const Fault* fault = nullptr;  // until saw() returns
};

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void saw(const TraceEvent& event) = 0;
};

// What a message is: "open 17", "answer to open 17: ok"; empty when it is too short to say.
std::string message_text(ConstBytes message);

using LineSink = std::function<void(std::string_view)>;

struct StoryOptions {
  std::vector<std::string> names;  // of the nodes, by number; a node without one is "node 3"
  std::vector<NodeId> nodes;       // what concerns one of these only; empty: all
  // Kinds left out; by default the turns.
  std::uint32_t without = 1u << static_cast<std::uint32_t>(TraceKind::kTurn);
  TimePs from = 0;
  TimePs until = kPsNever;
  std::uint64_t most_lines = ~std::uint64_t{0};
};

// One line per event, in the order of their times.
class TextStory : public Observer {
 public:
  TextStory(StoryOptions options, LineSink sink) : options_(std::move(options)), sink_(std::move(sink)) {}
  void saw(const TraceEvent& event) override;
  void finish();                                        // the lines that wait for their time
  std::uint64_t left_out() const { return left_out_; }  // for most_lines

 private:
  bool wanted(const TraceEvent& event) const;
  std::string line(const TraceEvent& event) const;
  void tell(const std::string& line);

  StoryOptions options_;
  LineSink sink_;
  std::multimap<TimePs, std::string> waiting_;  // decided already, to happen later
  std::uint64_t lines_ = 0;
  std::uint64_t left_out_ = 0;
};

// A JSON array in the trace-event format: one process per node, threads for its cores, its NIC and its storage; turns
// and times of death or standing still have a length, messages are arrows, faults are marks. The sink gets pieces of
// text; all of them together are the file.
class ChromeTrace : public Observer {
 public:
  // `names` of the nodes, by number.
  ChromeTrace(std::vector<std::string> names, LineSink sink);
  void saw(const TraceEvent& event) override;
  void finish(TimePs end);  // closes the array; nothing is seen afterwards

 private:
  void thread(NodeId node, std::uint32_t number);
  void span(NodeId node, std::uint32_t thread, TimePs time, TimePs lasts, std::string_view text,
            std::string_view arguments);
  void mark(NodeId node, TimePs time, std::string_view text);
  void arrow(const TraceEvent& event, char phase);
  void open(NodeId node, TimePs time, std::string_view text);
  void close(NodeId node, TimePs time);
  void put(std::string_view object);

  struct Open {
    TimePs since = 0;
    std::string text;
  };

  std::vector<std::string> names_;
  LineSink sink_;
  bool first_ = true;
  std::map<std::pair<std::uint16_t, std::uint32_t>, bool> threads_;  // that have a name already
  std::map<std::uint16_t, Open> open_;                               // nodes that are dead or stand still
};

}  // namespace slipstream
