#include "core/kv/master.h"

#include <cstring>

#include <fmt/format.h>

#include "core/base/check.h"

namespace slipstream {

Master::Master(const LogOptions& log, const ReplicationOptions& replication, NodeId self, std::uint64_t seed,
               const Region& log_memory, PeerLinks& peers)
    : log_(log, self, log_memory),
      store_(log_, self),
      replicas_(replication, self, log_, peers, seed),
      cleaner_(log, log_, store_, replicas_) {
  if (replication.policy == Policy::kOneSidedUnsafe) store_.trust();
}

void Master::execute(std::span<Request> requests, Outbox& out) {
  // Two looks ahead, so that the cache misses of a turn's requests overlap.
  for (Request& request : requests) {
    out.work(Work::kMessageIn);
    ConstBytes rest = request.message.body;
    if (rest.size() < sizeof(KvRequest)) continue;
    rest = rest.subspan(sizeof(KvRequest));
    KvItemHeader item;
    ConstBytes key;
    ConstBytes value;
    if (!next_item(rest, item, key, value)) continue;
    request.first_hash = key_hash(item.table, key);
    store_.touch_bucket(request.first_hash);
  }
  if (requests.size() > 1) {
    for (const Request& request : requests) store_.touch_entry(request.first_hash);
  }
  for (const Request& request : requests) execute_one(request, out);
}

bool Master::well_formed(ConstBytes body) const {
  KvRequest kv;
  if (!read_body(body, kv) || kv.items > kMaxItems) return false;
  ConstBytes rest = body.subspan(sizeof(KvRequest));
  for (std::uint32_t i = 0; i < kv.items; ++i) {
    KvItemHeader item;
    ConstBytes key;
    ConstBytes value;
    if (!next_item(rest, item, key, value) || item.kind > KvKind::kIncrement) return false;
    // Its entries must fit into one append, and a value that can be written into an answer.
    if (key.size() + value.size() + 256 > log_.max_append_bytes()) return false;
    if (is_mutation(item.kind) && item.sequence == 0) return false;
  }
  return true;
}

void Master::execute_one(const Request& request, Outbox& out) {
  out.work(Work::kRequest);
  RpcHeader header = request.message.header;
  header.is_answer = 1;
  header.status = Status::kOk;
  answer_.resize(sizeof(RpcHeader));
  bool durable = true;
  bool drop = false;
  if (well_formed(request.message.body)) {
    KvRequest kv;
    read_body(request.message.body, kv);
    ConstBytes rest = request.message.body.subspan(sizeof(KvRequest));
    for (std::uint32_t i = 0; i < kv.items; ++i) {
      KvItemHeader item;
      ConstBytes key;
      ConstBytes value;
      next_item(rest, item, key, value);
      const KeyHash hash = i == 0 ? request.first_hash : key_hash(item.table, key);
      ItemResult result = store_.execute(kv.client, kv.acked_below, item, key, value, hash, out);
      is_starved_ = is_starved_ || result.status == Status::kLogFull;
      drop = drop || result.drop;
      durable = durable && rests_on_durable(item, result);
      // The answers of the items behind this one, which may all be mutations, must fit, too.
      const std::size_t behind = (kv.items - i) * (sizeof(KvItemAnswer) + sizeof(std::uint64_t));
      if (!is_mutation(item.kind) && answer_.size() + result.value.size() + behind > kMaxMessage) {
        result = ItemResult{};
        result.status = Status::kNoRoom;
      }
      append_answer(result);
    }
  } else {
    header.status = Status::kBadRequest;
  }
  if (drop) return out.dismiss(request.tag);  // the client had the answer already: it waits for none
  std::memcpy(answer_.data(), &header, sizeof(header));
  out.work(Work::kCopyBytes, 2 * answer_.size());  // into the answer, and from there into the message
  if (durable && may_answer_) {
    std::memcpy(out.send(request.channel, answer_.size(), request.tag), answer_.data(), answer_.size());
    return;
  }
  waiting_.push({log_.appended_position(), request.tag, request.channel});
  std::memcpy(answers_.push(answer_.size()), answer_.data(), answer_.size());
}

bool Master::rests_on_durable(const KvItemHeader& item, const ItemResult& result) const {
  if (result.status == Status::kWrongServer || result.status == Status::kLogFull || result.status == Status::kDead)
    return true;
  if (log_.appended_position() <= durable_) return true;
  if (is_mutation(item.kind) || result.seen == 0) return false;
  // What lies beside the heads was durable before it came there. An entry's bytes end before the position of whatever
  // is certified behind it.
  const Segment& segment = log_.slot(slot_of(result.seen));
  return segment.use != SegmentUse::kHead || position_of(segment.identity.segment, offset_of(result.seen)) < durable_;
}

void Master::append_answer(const ItemResult& result) {
  KvItemAnswer answer;
  answer.status = result.status;
  answer.version = result.version;
  answer.value_bytes = static_cast<std::uint32_t>(result.has_counter ? sizeof(result.counter) : result.value.size());
  const std::size_t at = answer_.size();
  answer_.resize(at + sizeof(answer) + answer.value_bytes);
  std::memcpy(answer_.data() + at, &answer, sizeof(answer));
  if (result.has_counter) {
    std::memcpy(answer_.data() + at + sizeof(answer), &result.counter, sizeof(result.counter));
  } else if (!result.value.empty()) {
    std::memcpy(answer_.data() + at + sizeof(answer), result.value.data(), result.value.size());
  }
}

void Master::advance(TimeNs now, Outbox& out) {
  cleaner_.advance(is_starved_, out);
  is_starved_ = false;
  replicas_.advance(now, out);
  durable_ = replicas_.durable_position();
  while (may_answer_ && !waiting_.empty() && waiting_.front().position <= durable_) {
    const Waiting& waiting = waiting_.front();
    const ConstBytes answer = answers_.front();
    std::memcpy(out.send(waiting.channel, answer.size(), waiting.tag), answer.data(), answer.size());
    answers_.pop();
    waiting_.pop();
  }
}

std::string Master::trouble() const {
  if (cleaner_.is_stuck()) {
    return fmt::format("the log memory of {} MiB is used up ({}): raise cluster.log_memory, or write less",
                       log_.slots() * log_.segment_bytes() / kMiB, cleaner_.utilization());
  }
  return replicas_.trouble();
}

std::string Master::describe() const {
  return fmt::format("{} objects {} waiting {} {} {}", log_.describe(), store_.objects(), waiting_.size(),
                     cleaner_.describe(), replicas_.describe());
}

}  // namespace slipstream
