#include "core/node/trace.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/rpc/wire.h"

namespace slipstream {

namespace {

constexpr std::array<std::string_view, 12> kKinds = {"sent",      "delivered", "landed",  "posted", "turn",  "died",
                                                     "restarted", "paused",    "resumed", "down",   "fault", "storage"};

std::string_view name_of(Opcode opcode) {
  switch (opcode) {
    case Opcode::kKeyValue: return "key-value";
    case Opcode::kBackupOpen: return "backup-open";
    case Opcode::kBackupWrite: return "backup-write";
    case Opcode::kBackupClose: return "backup-close";
    case Opcode::kBackupFree: return "backup-free";
    case Opcode::kBackupInventory: return "backup-inventory";
    case Opcode::kBackupLost: return "backup-lost";
    case Opcode::kReplicasOf: return "replicas-of";
    case Opcode::kRecoveryData: return "recovery-data";
    case Opcode::kEnlist: return "enlist";
    case Opcode::kReady: return "ready";
    case Opcode::kFinished: return "finished";
    case Opcode::kWindow: return "window";
    case Opcode::kHeartbeat: return "heartbeat";
    case Opcode::kView: return "view";
    case Opcode::kSuspect: return "suspect";
    case Opcode::kEpochs: return "epochs";
    case Opcode::kPlan: return "plan";
    case Opcode::kRecovered: return "recovered";
    case Opcode::kPing: return "ping";
  }
  return {};
}

// Microseconds with all their digits, as both formats want them.
std::string micros(TimePs time) { return fmt::format("{}.{:06}", time / 1'000'000, time % 1'000'000); }

std::string name_of(const std::vector<std::string>& names, NodeId node) {
  if (node == kNoNode) return {};
  return index(node) < names.size() ? names[index(node)] : fmt::format("node {}", index(node));
}

}  // namespace

std::string_view name(TraceKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

std::string message_text(ConstBytes message) {
  RpcMessage parsed;
  if (!parse(message, parsed)) return {};
  const RpcHeader& header = parsed.header;
  const std::string_view known = name_of(header.opcode);
  if (known.empty() || header.is_answer > 1) return {};
  if (header.is_answer == 0) return fmt::format("{} {}", known, header.id);
  return fmt::format("answer to {} {}: {}", known, header.id, name(header.status));
}

// The story.

bool TextStory::wanted(const TraceEvent& event) const {
  if ((options_.without >> static_cast<std::uint32_t>(event.kind) & 1) != 0) return false;
  if (event.time < options_.from || event.time > options_.until) return false;
  const auto is_one = [&](NodeId node) {
    return std::find(options_.nodes.begin(), options_.nodes.end(), node) != options_.nodes.end();
  };
  return options_.nodes.empty() || is_one(event.node) || is_one(event.peer);
}

void TextStory::saw(const TraceEvent& event) {
  while (!waiting_.empty() && waiting_.begin()->first <= event.now) {
    tell(waiting_.begin()->second);
    waiting_.erase(waiting_.begin());
  }
  if (!wanted(event)) return;
  if (event.time <= event.now) return tell(line(event));
  waiting_.emplace(event.time, line(event));
}

void TextStory::finish() {
  for (const auto& [time, line] : waiting_) tell(line);
  waiting_.clear();
}

void TextStory::tell(const std::string& line) {
  if (lines_ == options_.most_lines) {
    ++left_out_;
    return;
  }
  ++lines_;
  sink_(line);
}

std::string TextStory::line(const TraceEvent& event) const {
  const std::string node = name_of(options_.names, event.node);
  const std::string peer = name_of(options_.names, event.peer);
  const std::string text = message_text(event.message);
  const std::string what = text.empty() ? std::string("message") : text;
  std::string told;
  switch (event.kind) {
    case TraceKind::kMessageSent: told = fmt::format("{} -> {}: {}, {} B", node, peer, what, event.bytes); break;
    case TraceKind::kMessageDelivered: told = fmt::format("{} <- {}: {}, {} B", node, peer, what, event.bytes); break;
    case TraceKind::kWriteLanded:
      told = fmt::format("{} <= {}: {} B written at {}", node, peer, event.bytes, event.offset);
      break;
    case TraceKind::kWritePosted:
      told = fmt::format("{} => {}: {} B to be written at {}", node, peer, event.bytes, event.offset);
      break;
    case TraceKind::kTurn:
      told = fmt::format("{}: turn on core {}, {} events, {} us", node, event.core, event.events, micros(event.lasts));
      break;
    case TraceKind::kDied: told = fmt::format("{} dies", node); break;
    case TraceKind::kRestarted: told = fmt::format("{} starts anew", node); break;
    case TraceKind::kPaused: told = fmt::format("{} stands still", node); break;
    case TraceKind::kResumed: told = fmt::format("{} goes on", node); break;
    case TraceKind::kChannelDown:
      told = fmt::format("{}: channel {} to {} is down", node, event.event.channel, peer);
      break;
    case TraceKind::kFault: told = "fault " + describe(*event.fault, node, peer); break;
    case TraceKind::kStorage:
      told = fmt::format("{}: storage {} of frame {}, {} B", node, slipstream::name(event.event.kind), event.event.tag,
                         event.bytes);
      break;
  }
  return fmt::format("{:>16} us  {}", micros(event.time), told);
}

// The Chrome trace.

namespace {

constexpr std::uint32_t kNicThread = 1000;
constexpr std::uint32_t kStorageThread = 1001;

// As the inside of a JSON string.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out;
}

}  // namespace

ChromeTrace::ChromeTrace(std::vector<std::string> names, LineSink sink)
    : names_(std::move(names)), sink_(std::move(sink)) {
  sink_("[");
  for (std::size_t i = 0; i < names_.size(); ++i) {
    put(fmt::format(R"({{"ph":"M","name":"process_name","pid":{},"args":{{"name":"{}"}}}})", i, escaped(names_[i])));
    put(fmt::format(R"({{"ph":"M","name":"process_sort_index","pid":{},"args":{{"sort_index":{}}}}})", i, i));
  }
}

void ChromeTrace::put(std::string_view object) {
  sink_(first_ ? "\n" : ",\n");
  first_ = false;
  sink_(object);
}

void ChromeTrace::thread(NodeId node, std::uint32_t number) {
  bool& named = threads_[{index(node), number}];
  if (named) return;
  named = true;
  const std::string text = number == kNicThread       ? std::string("NIC")
                           : number == kStorageThread ? std::string("storage")
                           : number == 0              ? std::string("core")
                                                      : fmt::format("worker {}", number);
  put(fmt::format(R"({{"ph":"M","name":"thread_name","pid":{},"tid":{},"args":{{"name":"{}"}}}})", index(node), number,
                  text));
  put(fmt::format(R"({{"ph":"M","name":"thread_sort_index","pid":{},"tid":{},"args":{{"sort_index":{}}}}})",
                  index(node), number, number));
}

void ChromeTrace::span(NodeId node, std::uint32_t number, TimePs time, TimePs lasts, std::string_view text,
                       std::string_view arguments) {
  thread(node, number);
  put(fmt::format(R"({{"ph":"X","name":"{}","pid":{},"tid":{},"ts":{},"dur":{},"args":{{{}}}}})", escaped(text),
                  index(node), number, micros(time), micros(lasts), arguments));
}

void ChromeTrace::mark(NodeId node, TimePs time, std::string_view text) {
  thread(node, 0);
  put(fmt::format(R"({{"ph":"i","s":"p","name":"{}","pid":{},"tid":0,"ts":{}}})", escaped(text), index(node),
                  micros(time)));
}

// An arrow goes from one span to another: each end has one without length.
void ChromeTrace::arrow(const TraceEvent& event, char phase) {
  const std::string known = message_text(event.message);
  const std::string text = known.empty() ? std::string("message") : known;
  span(event.node, kNicThread, event.time, 0, text,
       fmt::format(R"("peer":"{}","bytes":{})", escaped(name_of(names_, event.peer)), event.bytes));
  put(fmt::format(R"({{"ph":"{}","cat":"message","name":"message","id":"{:x}","pid":{},"tid":{},"ts":{}{}}})", phase,
                  event.id, index(event.node), kNicThread, micros(event.time), phase == 'f' ? R"(,"bp":"e")" : ""));
}

void ChromeTrace::open(NodeId node, TimePs time, std::string_view text) {
  close(node, time);
  open_[index(node)] = {time, std::string(text)};
}

void ChromeTrace::close(NodeId node, TimePs time) {
  const auto found = open_.find(index(node));
  if (found == open_.end()) return;
  span(node, 0, found->second.since, time - found->second.since, found->second.text, "");
  open_.erase(found);
}

void ChromeTrace::saw(const TraceEvent& event) {
  switch (event.kind) {
    case TraceKind::kMessageSent: return arrow(event, 's');
    case TraceKind::kMessageDelivered: return arrow(event, 'f');
    case TraceKind::kWriteLanded:
    case TraceKind::kWritePosted:
      return span(event.node, kNicThread, event.time, 0,
                  event.kind == TraceKind::kWriteLanded ? "write landed" : "write posted",
                  fmt::format(R"("peer":"{}","bytes":{},"offset":{})", escaped(name_of(names_, event.peer)),
                              event.bytes, event.offset));
    case TraceKind::kTurn:
      return span(event.node, event.core, event.time, event.lasts, "turn", fmt::format(R"("events":{})", event.events));
    case TraceKind::kDied: return open(event.node, event.time, "dead");
    case TraceKind::kPaused: return open(event.node, event.time, "paused");
    case TraceKind::kRestarted:
    case TraceKind::kResumed: return close(event.node, event.time);
    case TraceKind::kChannelDown:
      return mark(event.node, event.time,
                  fmt::format("channel {} to {} down", event.event.channel, name_of(names_, event.peer)));
    case TraceKind::kFault:
      return mark(event.node, event.time,
                  describe(*event.fault, name_of(names_, event.node), name_of(names_, event.peer)));
    case TraceKind::kStorage:
      return span(event.node, kStorageThread, event.time, 0, slipstream::name(event.event.kind),
                  fmt::format(R"("frame":"{}","bytes":{})", event.event.tag, event.bytes));
  }
}

void ChromeTrace::finish(TimePs end) {
  while (!open_.empty()) close(NodeId{open_.begin()->first}, end);
  sink_("\n]\n");
}

}  // namespace slipstream
