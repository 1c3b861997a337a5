// What an observer is told, and the two tellings of it.
#include "core/node/trace.h"

#include <cctype>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/rpc/wire.h"
#include "sim/faults.h"
#include "sim/puppet.h"

namespace slipstream::sim {
namespace {

constexpr TimeNs kSoon = 20 * kMicrosecond;

SimOptions threaded(Threading threading) {
  SimOptions options;
  options.threading = threading;
  options.waiting = Waiting::kYield;
  options.keep_stored_bytes = true;
  return options;
}

// Everything, as it was told; messages' bytes copied.
struct Recorder : Observer {
  void saw(const TraceEvent& event) override {
    events.push_back(event);
    texts.emplace_back(reinterpret_cast<const char*>(event.message.data()), event.message.size());
  }
  std::vector<TraceEvent> of(TraceKind kind) const {
    std::vector<TraceEvent> found;
    for (const TraceEvent& event : events) {
      if (event.kind == kind) found.push_back(event);
    }
    return found;
  }
  std::vector<TraceEvent> events;
  std::vector<std::string> texts;
};

// Node 0 has a channel to node 1: a message, a write, an append, a pause of 1, the death and restart of 1.
void busy_plan(PuppetWorld& w) {
  w.say(kSoon, 0, 1, "hello");
  w.write(kSoon + 5000, 0, 1, 3000, 700, 9);
  w.at(kSoon, 0, [&w](Outbox& out) {
    StorageOp op;
    op.frame = 77;
    op.source = w.puppet(0).source().first(500);
    out.store(op);
  });
}
FaultPlan busy_faults() {
  FaultPlan plan;
  plan.faults = {{.kind = FaultKind::kPause, .at_ns = 2 * kSoon, .node = NodeId{1}, .lasts_ns = 5000},
                 {.kind = FaultKind::kCrash, .at_ns = 3 * kSoon, .node = NodeId{1}, .lasts_ns = 10'000}};
  return plan;
}

class Traces : public testing::TestWithParam<Threading> {};

INSTANTIATE_TEST_SUITE_P(Models, Traces, testing::Values(Threading::kRunToCompletion, Threading::kDispatchWorkers),
                         [](const auto& param) {
                           return param.param == Threading::kRunToCompletion ? "RunToCompletion" : "DispatchWorkers";
                         });

TEST_P(Traces, AnObserverIsToldWhatHappens) {
  // Given a message, a write, a storage append, a pause, a death and a restart. Expect each to be told, with its time
  // and measures; sent and delivered messages of one id; and times of decision that never fall.
  PuppetWorld w({{1}, {}}, threaded(GetParam()));
  busy_plan(w);
  Faults faults(w.world, busy_faults(), 1);
  Recorder told;
  w.world.observe(&told);
  w.run();
  std::uint64_t id = 0;
  for (std::size_t i = 0; i < told.events.size(); ++i) {
    const TraceEvent& event = told.events[i];
    if (i > 0) {
      EXPECT_GE(event.now, told.events[i - 1].now);
    }
    EXPECT_GE(event.time, event.now);
    if (told.texts[i] != "hello") continue;
    const bool sent = event.kind == TraceKind::kMessageSent;
    EXPECT_EQ(index(event.node), sent ? 0 : 1);
    EXPECT_EQ(index(event.peer), sent ? 1 : 0);
    EXPECT_EQ(event.bytes, 5u);
    EXPECT_TRUE(sent || event.id == id);
    id = event.id;
  }
  EXPECT_EQ(told.of(TraceKind::kMessageSent).size(), 2u);  // and the key
  EXPECT_EQ(told.of(TraceKind::kMessageDelivered).size(), 2u);
  const std::vector<TraceEvent> writes = told.of(TraceKind::kWriteLanded);
  ASSERT_EQ(writes.size(), 1u);
  EXPECT_EQ(writes[0].bytes, 3000u);
  EXPECT_EQ(writes[0].offset, 700u);
  const std::vector<TraceEvent> stored = told.of(TraceKind::kStorage);
  ASSERT_EQ(stored.size(), 1u);
  EXPECT_EQ(stored[0].bytes, 500u);
  EXPECT_EQ(stored[0].event.kind, EventKind::kStored);
  ASSERT_EQ(told.of(TraceKind::kPaused).size(), 1u);
  EXPECT_EQ(told.of(TraceKind::kPaused)[0].time, 2 * kSoon * kPsPerNs);
  EXPECT_EQ(told.of(TraceKind::kResumed)[0].time, (2 * kSoon + 5000) * kPsPerNs);
  EXPECT_EQ(told.of(TraceKind::kDied)[0].time, 3 * kSoon * kPsPerNs);
  EXPECT_EQ(told.of(TraceKind::kRestarted)[0].time, (3 * kSoon + 10'000) * kPsPerNs);
  EXPECT_EQ(told.of(TraceKind::kChannelDown).size(), 1u);
  EXPECT_EQ(told.of(TraceKind::kFault).size(), 2u);
  std::uint64_t turns = 0;
  for (const std::uint16_t node : {std::uint16_t{0}, std::uint16_t{1}}) {
    turns += w.world.core_report(NodeId{node}).turns;
  }
  EXPECT_EQ(told.of(TraceKind::kTurn).size(), turns);
}

TEST_P(Traces, ObservingChangesNothing) {
  // Given the same run with and without an observer. Expect the same state.
  std::uint64_t hashes[2] = {0, 0};
  for (const int observed : {0, 1}) {
    PuppetWorld w({{1}, {}}, threaded(GetParam()));
    busy_plan(w);
    Faults faults(w.world, busy_faults(), 1);
    Recorder told;
    if (observed == 1) w.world.observe(&told);
    w.run();
    hashes[observed] = w.world.state_hash();
  }
  EXPECT_EQ(hashes[0], hashes[1]);
}

TEST(TextStories, AMessageIsNamedByItsHeader) {
  // Given a request, an answer, and bytes that are neither. Expect words for the first two.
  RpcHeader header;
  header.opcode = Opcode::kBackupOpen;
  header.id = 17;
  const ConstBytes bytes = std::as_bytes(std::span(&header, 1));
  EXPECT_EQ(message_text(bytes), "backup-open 17");
  header.is_answer = 1;
  header.status = Status::kRejected;
  EXPECT_EQ(message_text(bytes), "answer to backup-open 17: " + std::string(name(Status::kRejected)));
  header.opcode = static_cast<Opcode>(9999);
  EXPECT_EQ(message_text(bytes), "");
  EXPECT_EQ(message_text(bytes.first(10)), "");
}

std::vector<std::string> story(StoryOptions options, std::uint64_t* left_out = nullptr) {
  PuppetWorld w({{1}, {}, {1}}, threaded(Threading::kRunToCompletion));
  busy_plan(w);
  Faults faults(w.world, busy_faults(), 1);
  std::vector<std::string> lines;
  options.names = {"alice", "bob"};
  TextStory story(options, [&lines](std::string_view line) { lines.emplace_back(line); });
  w.world.observe(&story);
  w.run();
  story.finish();
  if (left_out != nullptr) *left_out = story.left_out();
  return lines;
}

TEST(TextStories, OneLineForEachEventInTheOrderOfTime) {
  // Given a story of all. Expect lines with rising times, and among them what happened, in words.
  const std::vector<std::string> lines = story({});
  double before = 0;
  std::string all;
  for (const std::string& line : lines) {
    const double time = std::stod(line);
    EXPECT_GE(time, before) << line;
    before = time;
    all += line + "\n";
  }
  for (const char* const expected :
       {"20.200000 us  alice -> bob: message, 5 B", "bob <- alice: message, 5 B", "bob <= alice: 3000 B written at 700",
        "alice: storage stored of frame 77, 500 B", "40.000000 us  bob stands still", "45.000000 us  bob goes on",
        "60.000000 us  bob dies", "70.000000 us  bob starts anew", "alice: channel 1 to bob is down",
        "node 2: channel 1 to bob is down", "fault at 60 us bob: crash; it is back after 10 us"}) {
    EXPECT_NE(all.find(expected), std::string::npos) << expected << "\n" << all;
  }
  EXPECT_EQ(all.find("turn"), std::string::npos);
}

TEST(TextStories, AFilterLimitsIt) {
  // Given a story of one node, of some kinds, of some time, or of so many lines. Expect the others left out.
  StoryOptions one;
  one.nodes = {NodeId{2}};
  for (const std::string& line : story(one)) EXPECT_NE(line.find("node 2"), std::string::npos);
  StoryOptions turns;
  turns.without = ~(1u << static_cast<std::uint32_t>(TraceKind::kTurn));
  const std::vector<std::string> only_turns = story(turns);
  EXPECT_GT(only_turns.size(), 5u);
  for (const std::string& line : only_turns) EXPECT_NE(line.find("turn on core 0"), std::string::npos);
  StoryOptions some;
  some.from = 50'000'000;
  some.until = 65'000'000;
  for (const std::string& line : story(some)) EXPECT_NE(line.find("bob"), std::string::npos);
  std::uint64_t left_out = 0;
  const std::size_t all = story({}).size();
  StoryOptions few;
  few.most_lines = 4;
  EXPECT_EQ(story(few, &left_out).size(), 4u);
  EXPECT_EQ(left_out, all - 4);
}

// Whether a text is one JSON value: a checker of syntax alone.
class Json {
 public:
  explicit Json(std::string_view text) : text_(text) {}
  bool valid() { return value() && (space(), at_ == text_.size()); }
  std::size_t objects = 0;

 private:
  void space() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }
  bool take(char c) {
    space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool string() {
    if (!take('"')) return false;
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\') ++at_;
      if (static_cast<unsigned char>(text_[at_]) < 0x20) return false;
    }
    return take('"');
  }
  bool number() {
    const std::size_t start = at_;
    while (at_ < text_.size() && (std::isdigit(static_cast<unsigned char>(text_[at_])) != 0 || text_[at_] == '.'))
      ++at_;
    return at_ > start;
  }
  bool list(char end, bool keys) {
    if (take(end)) return true;
    do {
      if (keys && !(string() && take(':'))) return false;
      if (!value()) return false;
    } while (take(','));
    return take(end);
  }
  bool value() {
    space();
    if (at_ >= text_.size()) return false;
    if (text_[at_] == '"') return string();
    if (take('[')) return list(']', false);
    if (take('{')) {
      ++objects;
      return list('}', true);
    }
    return number();
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST_P(Traces, AChromeTraceIsValidAndSaysAll) {
  // Given a trace of a busy run whose second node's name needs escaping. Expect valid JSON that is the same each time,
  // a process per node, arrows from each message sent to the same one delivered, turns with lengths that do not overlap
  // on a core, marks for the faults, and the spans of standing still and of death.
  std::string first;
  for (const int run : {0, 1}) {
    PuppetWorld w({{1}, {}}, threaded(GetParam()));
    busy_plan(w);
    Faults faults(w.world, busy_faults(), 1);
    std::string text;
    Recorder told;
    ChromeTrace trace({"alice", "bob \"b\\\""}, [&text](std::string_view piece) { text += piece; });
    w.world.observe(&trace);
    w.run();
    trace.finish(w.world.now_ps());
    if (run == 0) first = text;
    EXPECT_EQ(text, first);
    Json json(text);
    EXPECT_TRUE(json.valid());
    EXPECT_EQ(count(text, "process_name"), 2u);
    EXPECT_EQ(count(text, R"("ph":"s")"), 2u);
    EXPECT_EQ(count(text, R"("ph":"f")"), 2u);
    EXPECT_EQ(count(text, R"("name":"paused","pid":1,"tid":0,"ts":40.000000,"dur":5.000000)"), 1u);
    EXPECT_EQ(count(text, R"("name":"dead","pid":1,"tid":0,"ts":60.000000,"dur":10.000000)"), 1u);
    EXPECT_EQ(count(text, R"("ph":"i")"), 3u);  // two faults, one channel down
    EXPECT_GT(count(text, R"("name":"turn")"), 5u);
    EXPECT_EQ(count(text, R"("name":"NIC")"), 2u);
    EXPECT_EQ(count(text, R"("name":"storage")"), 1u);
  }
}

TEST_P(Traces, TurnsOfACoreDoNotOverlap) {
  // Given many messages with work to take. Expect each turn of a core to begin when its last one has ended.
  PuppetWorld w({{1}, {}}, threaded(GetParam()));
  for (int i = 0; i < 50; ++i) {
    w.at(kSoon + i * 150, 0, [](Outbox& out) {
      out.work(Work::kRequest);
      std::memcpy(out.send(1, 4), "word", 4);
    });
  }
  Recorder told;
  w.world.observe(&told);
  w.run();
  std::map<std::pair<std::uint16_t, std::uint32_t>, TimePs> busy;
  for (const TraceEvent& turn : told.of(TraceKind::kTurn)) {
    TimePs& until = busy[{index(turn.node), turn.core}];
    EXPECT_GE(turn.time, until);
    until = turn.time + turn.lasts;
  }
}

}  // namespace
}  // namespace slipstream::sim
