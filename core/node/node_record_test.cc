#include "core/node/node_record.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "core/base/rng.h"

namespace slipstream {
namespace {

std::string text_of(const NodeRecord& record) {
  std::string text = std::to_string(record.deaths);
  std::size_t i = 0;
  for (const HistoryOperation& op : record.operations) {
    text += describe(op);
    for (const bool ends : {false, true}) append_json_line(text, i++, op, ends);
    for (const std::uint64_t n : {std::uint64_t{op.client}, std::uint64_t{op.number}, std::uint64_t{op.process},
                                  std::uint64_t{op.invoked_event}, std::uint64_t{op.ended_event},
                                  static_cast<std::uint64_t>(op.ended_ns), std::uint64_t{op.answers}}) {
      text += " " + std::to_string(n);
    }
  }
  for (const CheckedClient::Final& final : record.finals) {
    text += std::to_string(final.key) + std::string(name(final.outcome)) + std::to_string(final.version) +
            describe(final.value) + std::to_string(final.invoked_ns);
  }
  return text;
}

NodeRecord random_record(std::uint64_t seed) {
  Rng rng(seed, "record");
  History history(static_cast<std::uint32_t>(rng.below(3)), 3);
  NodeRecord record;
  record.deaths = rng.below(1000);
  TimeNs now = 0;
  for (std::uint32_t i = 0; i < 200; ++i) {
    now += static_cast<TimeNs>(rng.below(1'000'000));
    const auto action = static_cast<Action>(rng.below(6));
    const auto operation = history.invoke(now, action, rng.below(50), rng.next() >> rng.below(64),
                                          is_write(action) ? stamp_value(rng.next()) : HistoryValue{}, i % 7);
    if (rng.chance(1, 20)) continue;  // still open
    now += static_cast<TimeNs>(rng.below(1000));
    if (rng.chance(1, 10)) {
      history.unknown(operation, now);
    } else {
      history.complete(operation, now, Outcome::kOk, rng.next() >> rng.below(64), counter_value(rng.next()));
    }
  }
  record.operations.assign(history.operations().begin(), history.operations().end());
  for (std::uint64_t key = 0; key < 20; ++key) {
    record.finals.push_back({key, static_cast<Outcome>(rng.below(7)), rng.next(), stamp_value(key), now});
  }
  return record;
}

TEST(NodeRecord, ComesBackAsItWas) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const NodeRecord record = random_record(seed);
    EXPECT_EQ(text_of(decode_record(encode(record))), text_of(record)) << seed;
  }
  EXPECT_EQ(text_of(decode_record(encode(NodeRecord{}))), text_of(NodeRecord{}));
}

TEST(NodeRecord, IsRefusedWhenItIsNotWhole) {
  // given any byte that differs, and any end that is missing
  const std::vector<std::byte> whole = encode(random_record(1));
  for (std::size_t i = 0; i < whole.size(); i += 37) {
    std::vector<std::byte> spoilt = whole;
    spoilt[i] ^= std::byte{4};
    EXPECT_THROW(decode_record(spoilt), std::runtime_error) << i;
    EXPECT_THROW(decode_record(ConstBytes(whole).first(i)), std::runtime_error) << i;
  }
}

}  // namespace
}  // namespace slipstream
