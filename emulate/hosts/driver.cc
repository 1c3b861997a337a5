#include "emulate/hosts/driver.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "emulate/hosts/run_directory.h"

namespace slipstream::emulate {
namespace {

constexpr TimeNs kGrace = 3 * kSecond;        // for a child to end by itself once the run is over
constexpr TimeNs kTelling = 60 * kSecond;     // and to write what may be hundreds of megabytes of history
constexpr TimeNs kLook = 100 * kMillisecond;  // how often signals and limits are looked at

TimeNs end_of_span(const Fault& fault) {
  return fault.lasts_ns >= kNever - fault.at_ns ? kNever : fault.at_ns + fault.lasts_ns;
}

bool died_as_planned(const Child& child) {
  return child.killed_by != nullptr && WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGKILL;
}

bool has_retired(const Child& child) { return WIFEXITED(child.status) && WEXITSTATUS(child.status) == kChildRetired; }

}  // namespace

Driver::Driver(const RunPlan& plan, const EmulateOptions& options, const RunDirectories& directories,
               Children& children)
    : plan_(plan), options_(options), directories_(directories), children_(children) {
  for (const Fault& fault : options.faults.faults) {
    if (fault.kind == FaultKind::kCrash) plan_act({fault.at_ns, Act::Kind::kKill, fault.node, &fault, 0});
    if (fault.kind == FaultKind::kPause) plan_act({fault.at_ns, Act::Kind::kPause, fault.node, &fault, 0});
  }
}

void Driver::plan_act(const Act& act) {
  if (act.at_ns == kNever) return;
  const auto later = [](const Act& a, const Act& b) { return a.at_ns < b.at_ns; };
  acts_.insert(std::upper_bound(acts_.begin(), acts_.end(), act, later), act);
}

bool Driver::has_ended(const std::vector<Child*>& ended) {
  for (const Child* const child : ended) over_.push_back(child->id);
  return !ended.empty();
}

void Driver::run(const Clock& clock, const std::atomic<bool>& stop) {
  while (over_.empty() && !stop.load() && clock.now() < options_.time_limit_ns) {
    const TimeNs next = carry_out_due(clock);
    const TimeNs now = clock.now();
    take_in(children_.collect(next == kNever ? kLook : std::min(kLook, next - now)), clock.now());
  }
}

// In the order of the plan, however late: a node that is dying has ended before what comes next happens to it.
TimeNs Driver::carry_out_due(const Clock& clock) {
  while (!acts_.empty() && acts_.front().at_ns <= clock.now()) {
    const Act act = acts_.front();
    if (const Child& child = children_[act.node]; child.running && child.killed_by != nullptr) return kNever;
    acts_.erase(acts_.begin());
    carry_out(act, clock);
  }
  return acts_.empty() ? kNever : acts_.front().at_ns;
}

void Driver::carry_out(const Act& act, const Clock& clock) {
  Child& child = children_[act.node];
  if (act.kind == Act::Kind::kStart) {
    if (child.running) return;
    children_.start(act.node, clock);
    marks_.push_back(trace_mark(TraceKind::kRestarted, act.node, clock.now()));
    return;
  }
  if (!child.running) return;  // a node that is away has nothing to lose
  switch (act.kind) {
    case Act::Kind::kKill:
      child.killed_by = act.fault;
      children_.signal(act.node, SIGKILL);
      marks_.push_back(trace_mark(TraceKind::kDied, act.node, clock.now()));
      break;
    case Act::Kind::kPause:
      children_.signal(act.node, SIGSTOP);
      marks_.push_back(trace_mark(TraceKind::kPaused, act.node, clock.now()));
      plan_act({end_of_span(*act.fault), Act::Kind::kContinue, act.node, nullptr, child.life});
      break;
    case Act::Kind::kContinue:
      if (child.life != act.life) break;
      children_.signal(act.node, SIGCONT);
      marks_.push_back(trace_mark(TraceKind::kResumed, act.node, clock.now()));
      break;
    case Act::Kind::kStart: break;
  }
}

void Driver::take_in(const std::vector<Child*>& ended, TimeNs now) {
  for (const Child* const child : ended) {
    if (died_as_planned(*child)) {
      ++crashes_;
      wipe(*child);
      plan_act({end_of_span(*child->killed_by), Act::Kind::kStart, child->id, nullptr, 0});
    } else if (has_retired(*child)) {
      marks_.push_back(trace_mark(TraceKind::kDied, child->id, now));
      const TimeNs after = options_.restart_retired_ns;
      plan_act({after == kNever ? kNever : now + after, Act::Kind::kStart, child->id, nullptr, 0});
    } else {
      over_.push_back(child->id);
    }
  }
}

// Its processes have ended: what the crash does not keep is lost before anybody can look.
void Driver::wipe(const Child& child) {
  if (options_.fabric == FabricKind::kShm) end_shm_life(directories_.run(), child.id);
  if (!child.killed_by->keeps_memory) remove_regions(directories_.run(), child.id);
  if (!child.killed_by->keeps_storage) {
    std::error_code ignored;
    std::filesystem::remove_all(storage_of(directories_, child.id), ignored);
  }
}

void Driver::end_all(const Clock& clock, std::atomic<bool>& stop) {
  stop.store(true);
  for (std::uint16_t i = 0; i < plan_.nodes; ++i) children_.signal(NodeId{i}, SIGCONT);
  const auto collect = [&] {
    for (const Child* const child : children_.collect(kLook)) {
      if (!is_away(*child)) over_.push_back(child->id);
    }
  };
  const TimeNs latest = clock.now() + (plan_.record ? kTelling : kGrace);
  while (children_.count_running() != 0 && clock.now() < latest) collect();
  children_.put_down_all();
  while (children_.count_running() != 0) collect();
}

bool Driver::is_away(const Child& child) const {
  return child.life != 0 && !child.running && (died_as_planned(child) || has_retired(child));
}

std::vector<NodeEnd> Driver::ends() {
  std::vector<NodeEnd> ends;
  for (const NodeId node : over_) ends.push_back(end_of(children_[node]));
  for (std::uint16_t i = 0; i < plan_.nodes; ++i) {
    if (is_away(children_[NodeId{i}])) ends.push_back(end_of(children_[NodeId{i}]));
  }
  return ends;
}

NodeEnd Driver::end_of(const Child& child) const {
  using How = NodeEnd::How;
  const ChildFiles files = child_files(directories_.run(), child.id);
  NodeEnd end;
  end.id = child.id;
  end.who = fmt::format("{} (process {})", plan_.name(child.id), child.pid);
  end.text = read_file(files.state);
  end.words = read_file(files.errors);
  if (is_away(child)) {
    end.how = How::kAway;
    end.text = has_retired(child) ? "is retired: " + end.text : "is away, after a planned crash";
    return end;
  }
  if (WIFSIGNALED(child.status)) {
    end.how = child.put_down ? How::kPutDown : How::kLost;
    if (!child.put_down) end.text = fmt::format("was killed by {}", signal_name(WTERMSIG(child.status)));
    return end;
  }
  switch (WEXITSTATUS(child.status)) {
    case kChildReported: end.how = How::kReported; break;
    case kChildEndedRun: end.how = How::kEndedRun; break;
    case kChildStopped: end.how = end.text.empty() ? How::kStopped : How::kTrouble; break;
    default: end.how = How::kTrouble;
  }
  if (end.how == How::kTrouble && end.text.empty()) {
    end.text = fmt::format("ended with status {}", WEXITSTATUS(child.status));
  }
  return end;
}

}  // namespace slipstream::emulate
