#include "emulate/fabric/shm_fabric.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include <fmt/format.h>

#include "core/base/check.h"
#include "emulate/fabric/real_clock.h"

namespace slipstream::emulate {

namespace {

constexpr TimeNs kLookEvery = 5 * kMillisecond;  // for dead peers
constexpr TimeNs kKnockEvery = kMillisecond;
constexpr std::uint32_t kPollsPerClock = 256;

Event event_of(EventKind kind, const ShmChannel& channel, Ticket ticket = 0) {
  Event event;
  event.kind = kind;
  event.channel = channel.number;
  event.peer = channel.peer_node;
  event.ticket = ticket;
  return event;
}

void mark_over(const SharedFile& control) {
  if (control.memory().size() != sizeof(shm::Control)) return;
  reinterpret_cast<shm::Control*>(control.memory().data())->over.store(1, std::memory_order_seq_cst);
}

}  // namespace

void end_shm_life(const std::string& run_directory, NodeId node) {
  const auto control = SharedFile::open(fmt::format("{}/node-{}", run_directory, index(node)));
  if (control != nullptr && !control->owner_is_alive()) mark_over(*control);
}

std::unique_ptr<RealFabric> make_shm_fabric(const ShmOptions& options) { return std::make_unique<ShmFabric>(options); }

ShmFabric::ShmFabric(const ShmOptions& options)
    : directory_(options.run_directory),
      node_(options.node),
      ring_bytes_(options.ring_bytes),
      patience_ns_(options.connect_patience_ns),
      next_serial_(static_cast<std::uint64_t>(wall_clock_ns())) {
  SLIP_CHECK(ring_bytes_ >= 64 * kKiB && ring_bytes_ % shm::kPage == 0, "a ring of {} bytes", ring_bytes_);
  if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) {
    throw std::runtime_error(
        fmt::format("cannot make the run directory {}: {}; choose another", directory_, std::strerror(errno)));
  }
  const std::string name = path(fmt::format("node-{}", index(node_)));
  if (const auto old = SharedFile::open(name); old != nullptr) take_over_from(*old);
  control_file_ = SharedFile::create(name, sizeof(shm::Control));
  owner_lock_ = take_owner_lock(name);
  control_ = reinterpret_cast<shm::Control*>(control_file_->memory().data());
  control_->life = next_serial_;
  const std::string pipe = name + ".wake";
  ::unlink(pipe.c_str());
  if (::mkfifo(pipe.c_str(), 0600) == 0) {
    wake_ = FileDescriptor(::open(pipe.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  }
  if (!wake_.valid()) {
    throw std::runtime_error(
        fmt::format("cannot make the pipe {}: {}; choose another run directory", pipe, std::strerror(errno)));
  }
  by_bell_.push_back(nullptr);  // bell 0 is nobody's: what a link says before its end is known
  std::atomic_ref(control_->magic).store(shm::kMagic, std::memory_order_release);
}

// Peers that have not noticed the end of the life before still write to its memory. What they were acknowledged is
// there before `over` is, so this life finds it; what comes later goes to files that nobody reads, and is not
// acknowledged.
void ShmFabric::take_over_from(const SharedFile& old) {
  if (old.owner_is_alive()) {
    throw std::runtime_error(fmt::format(
        "node {} is already running in {}; end that run or choose another run directory", index(node_), directory_));
  }
  mark_over(old);
  const std::string links = fmt::format("link-{}-", index(node_));  // that nobody took
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, ignored)) {
    if (entry.path().filename().string().starts_with(links)) ::unlink(entry.path().c_str());
  }
}

ShmFabric::~ShmFabric() {
  for (const Knock& knock : knocks_) ::unlink(link_path(index(node_), knock.serial).c_str());
  control_->over.store(1, std::memory_order_seq_cst);
  const std::string name = path(fmt::format("node-{}", index(node_)));
  ::unlink((name + ".wake").c_str());
  ::unlink(name.c_str());
}

std::string ShmFabric::path(std::string_view name) const { return fmt::format("{}/{}", directory_, name); }

std::string ShmFabric::link_path(std::uint16_t from, std::uint64_t serial) const {
  return fmt::format("{}/link-{}-{}", directory_, from, serial);
}

Region ShmFabric::create_region(std::string_view name, std::size_t bytes, Access access) {
  if (access == Access::kLocal) {
    private_.emplace_back(name, bytes);
    return {static_cast<std::uint32_t>(shm::kMaxRegions + private_.size() - 1), private_.back().memory()};
  }
  const std::string file_name = fmt::format("node-{}.{}", index(node_), name);
  if (regions_.size() == shm::kMaxRegions || file_name.size() >= shm::kRegionName) {
    throw std::runtime_error(
        fmt::format("cannot register region {}: more than {} regions, or a name of more than {} "
                    "characters; use fewer or shorter ones",
                    file_name, shm::kMaxRegions, shm::kRegionName - 1));
  }
  const std::size_t size = std::max<std::size_t>(bytes, 1);
  auto file = access == Access::kDurable ? SharedFile::successor(path(file_name), size)
                                         : SharedFile::create(path(file_name), size);
  file->close_descriptor();
  shm::RegionEntry& entry = control_->regions[regions_.size()];
  std::memcpy(entry.name, file_name.c_str(), file_name.size() + 1);
  entry.bytes = bytes;
  const Bytes memory = file->memory().first(bytes);
  regions_.push_back({std::move(file), memory});
  return {static_cast<std::uint32_t>(regions_.size() - 1), memory};
}

// --- channels ---

ShmFabric::ChannelPtr& ShmFabric::slot(Channel number) {
  auto& table = number < kFirstAccepted ? near_ : far_;
  const std::size_t i = number % kFirstAccepted;
  if (table.size() <= i) table.resize(i + 1);
  return table[i];
}

ShmChannel* ShmFabric::find(Channel number) {
  const auto& table = number < kFirstAccepted ? near_ : far_;
  const std::size_t i = number % kFirstAccepted;
  ShmChannel* const channel = i < table.size() ? table[i].get() : nullptr;
  return channel == nullptr || channel->state == ShmChannel::State::kDead ? nullptr : channel;
}

std::shared_ptr<ShmPeer> ShmFabric::peer(NodeId node) {
  const std::size_t i = index(node);
  if (peers_.size() <= i) peers_.resize(i + 1);
  std::shared_ptr<ShmPeer>& known = peers_[i];
  if (known != nullptr && !known->dead && known->file->owner_is_alive()) return known;
  if (known != nullptr) bury(*known);
  auto file = SharedFile::open(path(fmt::format("node-{}", i)));
  if (file == nullptr || file->memory().size() < sizeof(shm::Control) || !file->owner_is_alive()) return nullptr;
  auto* const control = reinterpret_cast<shm::Control*>(file->memory().data());
  if (std::atomic_ref(control->magic).load(std::memory_order_acquire) != shm::kMagic) return nullptr;
  known = std::make_shared<ShmPeer>();
  known->node = node;
  known->file = std::move(file);
  known->control = control;
  return known;
}

// Gives the channel its bell; from now on it can be found.
void ShmFabric::add(const ChannelPtr& channel) {
  if (free_bells_.empty()) {
    SLIP_CHECK(by_bell_.size() < shm::kBells, "more than {} live channels at node {}", shm::kBells, index(node_));
    channel->bell = static_cast<std::uint32_t>(by_bell_.size());
    by_bell_.push_back(nullptr);
  } else {
    channel->bell = free_bells_.back();
    free_bells_.pop_back();
  }
  by_bell_[channel->bell] = channel.get();
  channel->mine().bell = channel->bell;
  channel->mine().attached.store(1, std::memory_order_seq_cst);
  ChannelPtr& place = slot(channel->number);
  if (place != nullptr) retired_.push_back(std::move(place));
  place = channel;
}

void ShmFabric::connect(const Op& op) {
  SLIP_CHECK(op.channel < kFirstAccepted && find(op.channel) == nullptr, "channel {} is in use", op.channel);
  const std::uint64_t serial = next_serial_++;
  const std::string name = link_path(index(node_), serial);
  auto file = SharedFile::create(name, shm::kRingsAt + 2 * ring_bytes_);
  file->close_descriptor();
  auto* const link = reinterpret_cast<shm::Link*>(file->memory().data());
  link->magic = shm::kMagic;
  link->ring_bytes = static_cast<std::uint32_t>(ring_bytes_);
  link->life = control_->life;
  auto channel = std::make_shared<ShmChannel>(op.channel, op.peer, 0, std::move(file));
  channel->serial = serial;
  add(channel);
  if (knock(*channel, serial)) return;
  const bool full = channel->peer != nullptr;  // too many knock at once: it will come to an end or die
  if (full || patience_ns_ > 0) {
    knocks_.push_back({op.channel, serial, full ? kNever : monotonic_ns() + patience_ns_});
    return;
  }
  down(*channel);
}

bool ShmFabric::knock(ShmChannel& channel, std::uint64_t serial) {
  if (channel.peer == nullptr || channel.peer->dead) channel.peer = peer(channel.peer_node);
  if (channel.peer == nullptr) return false;
  shm::Control& there = *channel.peer->control;
  for (shm::Mail& mail : there.mail) {
    std::uint32_t expected = shm::Mail::kFree;
    if (!mail.state.compare_exchange_strong(expected, shm::Mail::kClaimed, std::memory_order_acquire)) continue;
    mail.from = index(node_);
    mail.serial = serial;
    mail.state.store(shm::Mail::kFull, std::memory_order_release);
    there.mail_bell.store(1, std::memory_order_seq_cst);
    wake(*channel.peer);
    return true;
  }
  return false;
}

void ShmFabric::knock_again(TimeNs now) {
  std::erase_if(knocks_, [&](const Knock& k) {
    ShmChannel* const channel = find(k.channel);
    if (channel != nullptr) {
      if (knock(*channel, k.serial)) return true;
      if (k.give_up_at == kNever ? channel->peer != nullptr : now < k.give_up_at) return false;
    }
    if (channel != nullptr) down(*channel);
    return true;
  });
}

void ShmFabric::answer_knocks() {
  control_->mail_bell.store(0, std::memory_order_seq_cst);
  for (shm::Mail& mail : control_->mail) {
    if (mail.state.load(std::memory_order_acquire) != shm::Mail::kFull) continue;
    accept(mail);
    mail.state.store(shm::Mail::kFree, std::memory_order_release);
  }
}

void ShmFabric::accept(const shm::Mail& mail) {
  const std::string name = link_path(static_cast<std::uint16_t>(mail.from), mail.serial);
  auto file = SharedFile::open(name);
  if (file == nullptr) return;  // given up
  ::unlink(name.c_str());
  file->close_descriptor();
  const NodeId from{static_cast<std::uint16_t>(mail.from)};
  const std::shared_ptr<ShmPeer> who = peer(from);
  if (who == nullptr) return;
  SLIP_CHECK(far_.size() < kFirstAccepted, "node {} has accepted {} channels", index(node_), far_.size());
  const auto number = static_cast<Channel>(kFirstAccepted + far_.size());
  auto channel = std::make_shared<ShmChannel>(number, from, 1, std::move(file));
  if (channel->closed_by_peer() || channel->life() != who->control->life) return;
  channel->peer = who;
  channel->state = ShmChannel::State::kUp;
  add(channel);
  local_.push(event_of(EventKind::kConnected, *channel));
  ring(*channel);
  mark_ready(*channel);
}

void ShmFabric::end(ShmChannel& channel) {
  channel.publish();
  channel.close();
  if (channel.state == ShmChannel::State::kConnecting) ::unlink(link_path(index(node_), channel.serial).c_str());
  channel.state = ShmChannel::State::kDead;
  channel.backlog.clear();
  channel.ack = 0;
  ring(channel);
  by_bell_[channel.bell] = nullptr;
  free_bells_.push_back(channel.bell);
  retired_.push_back(slot(channel.number));
}

void ShmFabric::down(ShmChannel& channel) {
  if (channel.state == ShmChannel::State::kDead) return;
  end(channel);
  local_.push(event_of(EventKind::kDown, channel));
}

// Views of the last poll have ended: rings of dead channels can go, and channels whose number was given to another.
void ShmFabric::forget_retired() {
  for (ChannelPtr& channel : retired_) {
    for (auto* list : {&acks_, &ready_, &held_, &touched_, &backlogs_}) std::erase(*list, channel.get());
    channel->ack_listed = channel->ready = channel->held = channel->backlog_listed = false;
    channel->drop_ring();
    bytes_of_dead_ += channel->take_bytes_sent();
  }
  retired_.clear();
}

void ShmFabric::revoke(Channel number) {
  if (ShmChannel* const channel = find(number); channel != nullptr) end(*channel);
  endings_.push_back({slot(number), number, 0, 0, 0});
}

void ShmFabric::finish_endings() {
  std::erase_if(endings_, [&](Ending& e) {
    const bool peer_gone = e.channel == nullptr || e.channel->peer == nullptr || e.channel->peer->dead;
    if (e.key == 0) {
      if (!peer_gone && !e.channel->quiet()) return false;
      Event event;
      event.kind = EventKind::kRevoked;
      event.channel = e.number;
      local_.push(event);
      return true;
    }
    if (!peer_gone && !e.channel->copies_ended(e.mark)) return false;
    e.channel->forget_grant(e.key);
    if (e.channel->state != ShmChannel::State::kDead) {
      local_.push(event_of(EventKind::kWithdrawn, *e.channel, e.ticket));
    }
    return true;
  });
}

void ShmFabric::housekeeping() {
  const TimeNs now = monotonic_ns();
  if (!knocks_.empty()) knock_again(now);
  if (now - looked_at_ < kLookEvery) return;
  looked_at_ = now;
  for (const auto& who : peers_) {
    if (who == nullptr || who->dead || who->file->owner_is_alive()) continue;
    bury(*who);
  }
}

// Its channels are taken down by the next poll, behind what they still hold.
void ShmFabric::bury(ShmPeer& who) {
  who.dead = true;
  for (ShmChannel* const channel : by_bell_) {
    if (channel != nullptr && channel->peer.get() == &who) mark_ready(*channel);
  }
}

// Before anything done through the channel is told to have been done.
bool ShmFabric::buried(ShmChannel& channel) {
  if (channel.peer == nullptr || !channel.peer_is_over()) return false;
  channel.ack = 0;
  bury(*channel.peer);
  return true;
}

// --- ops ---

void ShmFabric::post(std::span<const Op> ops) {
  for (const Op& op : ops) {
    switch (op.kind) {
      case OpKind::kSend:
      case OpKind::kWrite:
      case OpKind::kRead: carry_out(op); break;
      case OpKind::kConnect: connect(op); break;
      case OpKind::kRevoke: revoke(op.channel); break;
      case OpKind::kGrant: grant(op); break;
      case OpKind::kWithdraw: withdraw(op); break;
    }
  }
  publish_touched();
}

void ShmFabric::carry_out(const Op& op) {
  ShmChannel* const channel = find(op.channel);
  if (channel == nullptr) return;
  Progress progress = Progress::kNoRoom;
  if (channel->backlog.empty()) {
    const bool was_touched = channel->touched;
    progress = op.kind == OpKind::kSend   ? channel->send(op)
               : channel->peer == nullptr ? Progress::kNoRoom  // not told of yet: its memory is not known
                                          : channel->copy(op, directory_);
    if (!was_touched && channel->touched) touched_.push_back(channel);
  }
  if (progress != Progress::kNoRoom) {
    settle(*channel, op.kind, op.ticket, progress);
    return;
  }
  channel->backlog.push(op);
  if (channel->backlog_listed) return;
  channel->backlog_listed = true;
  backlogs_.push_back(channel);
}

void ShmFabric::settle(ShmChannel& channel, OpKind kind, Ticket ticket, Progress progress) {
  if (progress == Progress::kRefused) {
    down(channel);
  } else if (kind == OpKind::kRead) {
    channel.end_copies();
    if (buried(channel)) return;
    flush_ack(channel);
    local_.push(event_of(EventKind::kReadDone, channel, ticket));
  } else if (ticket != 0) {
    channel.ack = ticket;
    if (channel.ack_listed) return;
    channel.ack_listed = true;
    acks_.push_back(&channel);
  }
}

void ShmFabric::flush_ack(ShmChannel& channel) {
  if (channel.ack == 0) return;
  local_.push(event_of(EventKind::kAcked, channel, channel.ack));
  channel.ack = 0;
}

void ShmFabric::work_off_backlogs() {
  std::erase_if(backlogs_, [&](ShmChannel* channel) {
    while (!channel->backlog.empty()) {
      const Backlog::Entry& entry = channel->backlog.front();
      if (entry.kind != OpKind::kSend && channel->peer == nullptr) break;
      const bool was_touched = channel->touched;
      const Progress progress = channel->carry_out_front(directory_);
      if (!was_touched && channel->touched) touched_.push_back(channel);
      if (progress == Progress::kNoRoom) break;
      const OpKind kind = entry.kind;
      const Ticket ticket = entry.ticket;
      channel->backlog.pop();
      settle(*channel, kind, ticket, progress);
    }
    channel->backlog_listed = !channel->backlog.empty();
    return !channel->backlog_listed;
  });
  publish_touched();
}

void ShmFabric::publish_touched() {
  for (ShmChannel* const channel : touched_) {
    if (channel->state == ShmChannel::State::kDead) continue;  // published when it ended
    if (channel->publish()) ring(*channel);
  }
  touched_.clear();
}

void ShmFabric::wake(ShmPeer& who) {
  std::atomic<std::uint32_t>& sleeping = who.control->sleeping;
  if (sleeping.load(std::memory_order_relaxed) == 0 || sleeping.exchange(0, std::memory_order_seq_cst) == 0) return;
  if (!who.wake.valid()) {
    const std::string pipe = path(fmt::format("node-{}.wake", index(who.node)));
    // For reading too: then a write to the pipe of a peer that has died raises no signal.
    who.wake = FileDescriptor(::open(pipe.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  }
  const char byte = 0;
  if (!who.wake.valid()) return;
  while (::write(who.wake.get(), &byte, 1) < 0 && errno == EINTR) {  // a full pipe wakes as well
  }
}

// The bell is a locked instruction: whatever was stored before it is seen by the peer that finds the bit.
void ShmFabric::ring(ShmChannel& channel) {
  if (channel.peer == nullptr) return;
  // The peer that attaches looks for messages afterwards: either it finds these, or this end finds it attached.
  if (channel.state == ShmChannel::State::kConnecting) channel.mine().attached.exchange(1, std::memory_order_seq_cst);
  if (channel.theirs().attached.load(std::memory_order_seq_cst) == 0) return;
  const std::uint32_t bell = channel.theirs().bell;
  channel.peer->control->bells[bell / 64].fetch_or(std::uint64_t{1} << bell % 64, std::memory_order_seq_cst);
  wake(*channel.peer);
}

void ShmFabric::grant(const Op& op) {
  ShmChannel* const channel = find(op.channel);
  if (channel == nullptr) return;
  for (std::size_t i = 0; i < regions_.size(); ++i) {
    const Bytes memory = regions_[i].memory;
    if (op.local.data() < memory.data() || op.local.data() > memory.data() + memory.size()) continue;
    const auto offset = static_cast<std::size_t>(op.local.data() - memory.data());
    if (op.local.size() > memory.size() - offset) continue;
    Event event = event_of(EventKind::kGranted, *channel, op.ticket);
    event.key = channel->grant(next_grant_++, static_cast<std::uint32_t>(i), offset, op.local.size());
    local_.push(event);
    return;
  }
  SLIP_CHECK(false, "node {} grants memory that is not in a grantable region of its own", index(node_));
}

void ShmFabric::withdraw(const Op& op) {
  ShmChannel* const channel = find(op.channel);
  if (channel == nullptr) return;
  SLIP_CHECK(channel->withdraw(op.key), "node {} withdraws key {} that it has not granted", index(node_), op.key);
  endings_.push_back({slot(op.channel), op.channel, op.key, op.ticket, channel->copy_mark()});
}

// --- poll ---

std::size_t ShmFabric::poll(std::span<Event> events) {
  release_views();
  if (++polls_ % kPollsPerClock == 0 || look_now_) {
    look_now_ = false;
    housekeeping();
  }
  if (!backlogs_.empty()) work_off_backlogs();
  if (!endings_.empty()) finish_endings();
  listen();
  std::size_t n = local_.empty() ? 0 : take_local(events);
  if (!acks_.empty()) n += take_acks(events.subspan(n));
  if (!ready_.empty()) n += take_messages(events.subspan(n));
  return n;
}

void ShmFabric::release_views() {
  for (ShmChannel* const channel : held_) {
    channel->held = false;
    channel->release();
  }
  held_.clear();
  if (!retired_.empty()) forget_retired();
}

void ShmFabric::mark_ready(ShmChannel& channel) {
  if (channel.ready) return;
  channel.ready = true;
  ready_.push_back(&channel);
}

void ShmFabric::listen() {
  if (control_->mail_bell.load(std::memory_order_relaxed) != 0) answer_knocks();
  const std::size_t words = (by_bell_.size() + 63) / 64;
  for (std::size_t w = 0; w < words; ++w) {
    if (control_->bells[w].load(std::memory_order_relaxed) == 0) continue;
    std::uint64_t bits = control_->bells[w].exchange(0, std::memory_order_seq_cst);
    for (; bits != 0; bits &= bits - 1) {
      const std::size_t bell = w * 64 + static_cast<std::size_t>(std::countr_zero(bits));
      ShmChannel* const channel = bell < by_bell_.size() ? by_bell_[bell] : nullptr;
      if (channel == nullptr) continue;
      if (channel->state == ShmChannel::State::kConnecting && channel->theirs().attached.load() != 0) {
        channel->state = ShmChannel::State::kUp;
        local_.push(event_of(EventKind::kConnected, *channel));
      }
      mark_ready(*channel);
    }
  }
}

std::size_t ShmFabric::take_local(std::span<Event> events) {
  std::size_t n = 0;
  for (; n < events.size() && !local_.empty(); ++n) {
    events[n] = local_.front();
    local_.pop();
  }
  return n;
}

std::size_t ShmFabric::take_acks(std::span<Event> events) {
  if (!local_.empty()) return 0;  // older ones first
  std::size_t n = 0;
  std::size_t taken = 0;
  for (; taken < acks_.size() && n < events.size(); ++taken) {
    ShmChannel& channel = *acks_[taken];
    channel.ack_listed = false;
    if (channel.ack == 0 || buried(channel)) continue;
    events[n++] = event_of(EventKind::kAcked, channel, channel.ack);
    channel.ack = 0;
  }
  acks_.erase(acks_.begin(), acks_.begin() + static_cast<std::ptrdiff_t>(taken));
  return n;
}

// Channels take turns: one that was cut off for want of room goes to the end of the list.
std::size_t ShmFabric::take_messages(std::span<Event> events) {
  if (!local_.empty()) return 0;
  std::size_t n = 0;
  std::size_t taken = 0;
  const std::size_t listed = ready_.size();
  for (; taken < listed && n < events.size(); ++taken) {
    ShmChannel* const channel = ready_[taken];
    bool more = false;
    channel->ready = false;
    if (channel->state == ShmChannel::State::kDead) continue;
    n += take_from(*channel, events.subspan(n), more);
    if (more) mark_ready(*channel);
  }
  ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(taken));
  return n;
}

std::size_t ShmFabric::take_from(ShmChannel& channel, std::span<Event> events, bool& more) {
  const bool closing = channel.closed_by_peer() || (channel.peer != nullptr && channel.peer->dead);
  if (!channel.held) {
    channel.held = true;
    held_.push_back(&channel);
  }
  std::size_t n = 0;
  ConstBytes bytes;
  bool is_answer = false;
  bool whole = false;
  while (true) {
    if (n == events.size() || channel.assembled()) {
      more = true;
      return n;
    }
    if (!channel.receive(bytes, is_answer, whole)) break;
    if (!whole) continue;
    Event& event = events[n++];
    event = event_of(EventKind::kMessage, channel);
    event.is_answer = is_answer;
    event.bytes = bytes;
    event.tag = next_tag_++;
  }
  if (closing) {
    end(channel);
    events[n++] = event_of(EventKind::kDown, channel);
  }
  return n;
}

// --- sleeping ---

bool ShmFabric::arm() {
  if (!local_.empty() || !acks_.empty() || !ready_.empty() || !held_.empty() || !backlogs_.empty() ||
      !endings_.empty() || !retired_.empty()) {
    return false;
  }
  control_->sleeping.store(1, std::memory_order_seq_cst);
  bool quiet = control_->mail_bell.load(std::memory_order_seq_cst) == 0;
  const std::size_t words = (by_bell_.size() + 63) / 64;
  for (std::size_t w = 0; w < words; ++w) quiet = quiet && control_->bells[w].load(std::memory_order_seq_cst) == 0;
  if (!quiet) disarm();
  return quiet;
}

void ShmFabric::disarm() {
  look_now_ = true;
  if (control_->sleeping.exchange(0, std::memory_order_seq_cst) != 0) return;
  char bytes[64];
  while (::read(wake_.get(), bytes, sizeof bytes) == sizeof bytes) {
  }
}

TimeNs ShmFabric::longest_sleep_ns() const {
  if (!knocks_.empty()) return kKnockEvery;
  return by_bell_.size() - 1 > free_bells_.size() ? kLookEvery : kNever;
}

std::uint64_t ShmFabric::network_bytes() const {
  std::uint64_t bytes = bytes_of_dead_;
  for (const auto* table : {&near_, &far_}) {
    for (const ChannelPtr& channel : *table) bytes += channel == nullptr ? 0 : channel->bytes_sent();
  }
  return bytes;
}

}  // namespace slipstream::emulate
