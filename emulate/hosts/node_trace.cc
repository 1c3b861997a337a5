#include "emulate/hosts/node_trace.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>

#include "core/base/rng.h"

namespace slipstream::emulate {
namespace {

constexpr std::uint64_t kGrowth = 4096;  // records

// At the start of the file; the records follow.
struct TraceFileHead {
  std::uint64_t records = 0;
  std::uint64_t full = 0;
};

constexpr std::size_t bytes_for(std::uint64_t records) { return sizeof(TraceFileHead) + records * sizeof(TraceRecord); }

// The same at both ends. Repeats, and later lives, have it again: tell_trace() counts them.
std::uint64_t id_of(NodeId from, NodeId to, ConstBytes message) {
  RpcMessage parsed;
  if (!parse(message, parsed)) return 0;
  const RpcHeader& header = parsed.header;
  const auto ends = static_cast<std::uint64_t>(index(from)) << 16 | index(to);
  const auto what = static_cast<std::uint64_t>(header.opcode) << 1 | header.is_answer;
  return mix64(mix64(ends << 32 | what) ^ header.id);
}

void take_header(TraceRecord& record, ConstBytes message) {
  const std::size_t n = std::min(message.size(), record.header.size());
  std::copy_n(message.begin(), n, record.header.begin());
  record.header_bytes = static_cast<std::uint8_t>(n);
}

}  // namespace

NodeTrace::NodeTrace(const std::string& file, NodeId node, std::uint64_t most) : node_(node), most_(most) {
  const auto fail = [&] {
    throw std::runtime_error(fmt::format("cannot trace to {}: {}", file, std::strerror(errno)));
  };
  descriptor_ = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  struct stat found {};
  if (descriptor_ < 0 || fstat(descriptor_, &found) != 0) fail();
  // The mapping is larger than the file: pages behind its end are not touched before it has grown.
  void* const memory = mmap(nullptr, bytes_for(most), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, 0);
  if (memory == MAP_FAILED) fail();
  memory_ = static_cast<std::byte*>(memory);
  const auto size = static_cast<std::size_t>(found.st_size);
  if (size >= bytes_for(1)) room_ = (size - sizeof(TraceFileHead)) / sizeof(TraceRecord);
  if (room_ == 0 && !grow()) fail();
}

NodeTrace::~NodeTrace() {
  munmap(memory_, bytes_for(most_));
  close(descriptor_);
}

// Blocks are taken before they are written: a full file system then says no, and does not kill.
bool NodeTrace::grow() {
  const std::uint64_t room = std::min(room_ + kGrowth, most_);
  if (room == room_) return false;
  const std::size_t from = room_ == 0 ? 0 : bytes_for(room_);
  do {
    errno = posix_fallocate(descriptor_, static_cast<off_t>(from), static_cast<off_t>(bytes_for(room) - from));
  } while (errno == EINTR);
  if (errno != 0) return false;
  room_ = room;
  return true;
}

void NodeTrace::put(const TraceRecord& record) {
  if (full_) return;
  auto& head = *reinterpret_cast<TraceFileHead*>(memory_);
  if (head.full != 0 || (head.records == room_ && !grow())) {
    full_ = true;
    head.full = 1;
    return;
  }
  std::memcpy(memory_ + bytes_for(head.records), &record, sizeof(record));
  ++head.records;
}

TraceRecord NodeTrace::record(TraceKind kind, TimeNs time, NodeId peer) const {
  TraceRecord record;
  record.kind = kind;
  record.node = index(node_);
  record.peer = index(peer);
  record.time_ns = time;
  return record;
}

void NodeTrace::saw(const TurnView& turn) {
  for (const Event& event : turn.events) see(event, turn);
  TraceRecord whole = record(TraceKind::kTurn, turn.polled_ns, kNoNode);
  whole.lasts_ns = turn.posted_ns - turn.polled_ns;
  whole.events = static_cast<std::uint32_t>(turn.events.size());
  put(whole);
  for (const Op& op : turn.ops) see(op, turn);
}

void NodeTrace::see(const Event& event, const TurnView& turn) {
  if (event.kind >= EventKind::kStored) {
    TraceRecord stored = record(TraceKind::kStorage, turn.polled_ns, kNoNode);
    stored.event = event.kind;
    stored.id = event.tag;
    stored.bytes = event.amount;
    return put(stored);
  }
  if (event.kind == EventKind::kConnected) peers_[event.channel] = event.peer;
  const auto found = peers_.find(event.channel);
  const NodeId peer = found == peers_.end() ? kNoNode : found->second;
  if (event.kind == EventKind::kMessage) {
    TraceRecord message = record(TraceKind::kMessageDelivered, turn.polled_ns, peer);
    message.id = id_of(peer, node_, event.bytes);
    message.bytes = event.bytes.size();
    take_header(message, event.bytes);
    put(message);
  } else if (event.kind == EventKind::kDown) {
    TraceRecord down = record(TraceKind::kChannelDown, turn.polled_ns, peer);
    down.channel = event.channel;
    put(down);
  }
}

void NodeTrace::see(const Op& op, const TurnView& turn) {
  if (op.kind == OpKind::kConnect) peers_[op.channel] = op.peer;
  if (op.kind != OpKind::kSend && op.kind != OpKind::kWrite) return;
  const auto found = peers_.find(op.channel);
  const NodeId peer = found == peers_.end() ? kNoNode : found->second;
  const bool is_message = op.kind == OpKind::kSend;
  TraceRecord sent = record(is_message ? TraceKind::kMessageSent : TraceKind::kWritePosted, turn.stepped_ns, peer);
  sent.bytes = op.head.size();
  for (const Slice& slice : op.body) sent.bytes += slice.size;
  sent.offset = op.offset;
  if (is_message) sent.id = id_of(node_, peer, op.head);
  take_header(sent, op.head);
  put(sent);
}

std::vector<TraceRecord> read_trace(const std::string& file, bool& full) {
  full = false;
  std::ifstream in(file, std::ios::binary);
  TraceFileHead head;
  if (!in.read(reinterpret_cast<char*>(&head), sizeof(head))) return {};
  std::vector<TraceRecord> records(head.records);
  in.read(reinterpret_cast<char*>(records.data()), static_cast<std::streamsize>(records.size() * sizeof(TraceRecord)));
  records.resize(static_cast<std::size_t>(in.gcount()) / sizeof(TraceRecord));
  full = head.full != 0;
  return records;
}

void tell_trace(std::vector<TraceRecord> records, const std::vector<Fault>& faults, Observer& observer) {
  std::stable_sort(records.begin(), records.end(),
                   [](const TraceRecord& a, const TraceRecord& b) { return a.time_ns < b.time_ns; });
  // The n-th that arrives with a number is the n-th that left with it.
  std::array<std::map<std::uint64_t, std::uint64_t>, 2> times;
  for (const TraceRecord& record : records) {
    TraceEvent event;
    event.kind = record.kind;
    event.time = event.now = record.time_ns * kPsPerNs;
    event.lasts = record.lasts_ns * kPsPerNs;
    event.node = NodeId{record.node};
    event.peer = NodeId{record.peer};
    event.events = record.events;
    event.id = record.id;
    if (record.kind == TraceKind::kMessageSent) event.id = mix64(record.id + ++times[0][record.id]);
    if (record.kind == TraceKind::kMessageDelivered) event.id = mix64(record.id + ++times[1][record.id]);
    event.bytes = record.bytes;
    event.offset = record.offset;
    event.message = ConstBytes(record.header).first(record.header_bytes);
    event.event.kind = record.event;
    event.event.channel = static_cast<Channel>(record.channel);
    if (record.kind == TraceKind::kStorage) event.event.tag = record.id;
    if (record.kind == TraceKind::kFault) event.fault = &faults.at(record.id);
    observer.saw(event);
  }
}

}  // namespace slipstream::emulate
