// Conformance: messages arrive whole, once, in order, as views that hold until the next poll; acknowledgements are
// cumulative.
#include <algorithm>
#include <set>

#include "core/fabric/conformance_stage.h"

namespace slipstream::conformance {

namespace {

void messages_arrive_whole_once_in_order(const MakeFabricBench& make) {
  // Given 500 messages of mixed sizes each way, expect all of them, whole, once, in order.
  Stage stage(make, 2);
  const Link link = stage.connect(stage[0], stage[1]);
  Rng rng(1, "conformance");
  std::vector<std::string> there;
  std::vector<std::string> back;
  for (std::uint64_t i = 0; i < 500; ++i) {
    there.push_back(pattern(i, rng.below(i % 50 == 0 ? 20000 : 300)));
    back.push_back(pattern(1000 + i, rng.below(300)));
    stage[0].send(link.near, there.back());
    stage[1].send(link.far, back.back());
  }
  ASSERT_TRUE(stage.until([&] {
    return stage[1].count(EventKind::kMessage, link.far) >= 500 &&
           stage[0].count(EventKind::kMessage, link.near) >= 500;
  }));
  stage.settle();
  EXPECT_EQ(stage[1].messages(link.far), there);
  EXPECT_EQ(stage[0].messages(link.near), back);
}

void empty_messages_and_parts(const MakeFabricBench& make) {
  // Given heads and bodies of no bytes, expect messages of what is left, down to none.
  Stage stage(make, 2);
  const Link link = stage.connect(stage[0], stage[1]);
  const Bytes memory = stage[0].region(4096);
  fill(memory, 1);
  const Slice body[] = {{memory.data(), 10}, {memory.data(), 0}, {memory.data() + 20, 3}};
  const Slice nothing[] = {{memory.data(), 0}};
  stage[0].send(link.near, "");
  stage[0].send(link.near, "head", 1, nothing);
  stage[0].send(link.near, "", 2, body);
  stage[0].send(link.near, "", 3, nothing);
  stage[0].send(link.near, "end", 4);
  ASSERT_TRUE(stage.until(
      [&] { return stage[1].count(EventKind::kMessage, link.far) == 5 && stage[0].acked(link.near) == 4; }));
  const std::string rest = text(memory.first(10)) + text(memory.subspan(20, 3));
  EXPECT_EQ(stage[1].messages(link.far), (std::vector<std::string>{"", "head", rest, "", "end"}));
}

void bodies_are_gathered(const MakeFabricBench& make) {
  // Given a body of kMaxSlices slices, overlapping and out of order, expect them behind the head as listed.
  Stage stage(make, 2);
  const Link link = stage.connect(stage[0], stage[1]);
  const Bytes memory = stage[0].region(64 * kKiB);
  fill(memory, 2);
  Rng rng(2, "conformance");
  std::vector<std::string> expected;
  for (Ticket i = 1; i <= 50; ++i) {
    Slice slices[kMaxSlices];
    std::string whole = "head " + std::to_string(i);
    const std::string head = whole;
    for (Slice& slice : slices) {
      const std::size_t at = rng.below(60000);
      slice = {memory.data() + at, rng.below(1000)};
      whole += text({slice.data, slice.size});
    }
    expected.push_back(whole);
    stage[0].send(link.near, head, i, slices);
  }
  ASSERT_TRUE(stage.until([&] { return stage[0].acked(link.near) == 50; }));
  ASSERT_TRUE(stage.until([&] { return stage[1].count(EventKind::kMessage, link.far) == 50; }));
  EXPECT_EQ(stage[1].messages(link.far), expected);
}

void largest_messages(const MakeFabricBench& make) {
  // Given messages up to kMaxMessage among small ones, both ways at once, expect them whole and in order.
  Stage stage(make, 2);
  const Link link = stage.connect(stage[0], stage[1]);
  const Bytes memory = stage[0].region(kMaxMessage);
  const Bytes other = stage[1].region(kMaxMessage);
  fill(memory, 5);
  fill(other, 6);
  std::vector<std::string> there;
  std::vector<std::string> back;
  Ticket ticket = 0;
  for (const std::size_t size : {kMaxMessage, std::size_t{100}, kMaxMessage - 1, 256 * kKiB, 64 * kKiB, kMaxMessage}) {
    const std::string head = pattern(size, 24);
    const Slice here{memory.data(), size - head.size()};
    const Slice far{other.data(), size - head.size()};
    there.push_back(head + text({here.data, here.size}));
    back.push_back(head + text({far.data, far.size}));
    stage[0].send(link.near, head, ++ticket, {&here, 1});
    stage[1].send(link.far, head, ticket, {&far, 1});
  }
  ASSERT_TRUE(stage.until([&] {
    return stage[1].count(EventKind::kMessage, link.far) == there.size() &&
           stage[0].count(EventKind::kMessage, link.near) == back.size();
  }));
  EXPECT_TRUE(stage[1].messages(link.far) == there);
  EXPECT_TRUE(stage[0].messages(link.near) == back);
  EXPECT_TRUE(stage.until([&] { return stage[0].acked(link.near) == ticket && stage[1].acked(link.far) == ticket; }));
}

void views_hold_until_the_next_poll(const MakeFabricBench& make) {
  // Given views of one poll, expect them to keep their bytes while more messages arrive, and while their holder posts.
  Stage stage(make, 2);
  const Link link = stage.connect(stage[0], stage[1]);
  for (std::uint64_t round = 0; round < 40; ++round) {
    for (std::uint64_t i = 0; i < 50; ++i) stage[0].send(link.near, pattern(round * 100 + i, 10 + i * 17));
    Event events[8];
    std::size_t got = 0;
    std::uint64_t expected = 0;
    ASSERT_TRUE(stage.until_without(stage[1], [&] {
      got = stage[1].fabric().poll(events);
      return got > 0;
    }));
    while (expected < 50) {
      for (std::uint64_t i = 0; i < 5; ++i) {
        stage[1].send(link.far, pattern(i, 2000));
        stage[0].poll();
        stage.bench().pump();
      }
      for (std::size_t i = 0; i < got; ++i) {
        ASSERT_EQ(events[i].kind, EventKind::kMessage);
        ASSERT_EQ(text(events[i].bytes), pattern(round * 100 + expected, 10 + expected * 17));
        ++expected;
      }
      if (expected == 50) break;
      ASSERT_TRUE(stage.until_without(stage[1], [&] {
        got = stage[1].fabric().poll(events);
        return got > 0;
      }));
    }
  }
}

void answers_and_tags(const MakeFabricBench& make) {
  // Given requests over several channels, expect tags that are never 0 nor the same twice, and answers marked as such.
  Stage stage(make, 3);
  const Link links[] = {stage.connect(stage[0], stage[1]), stage.connect(stage[2], stage[1]),
                        stage.connect(stage[0], stage[1])};
  for (int n = 0; n < 30; ++n) {
    stage[0].send(links[0].near, "request");
    stage[2].send(links[1].near, "request");
    stage[0].send(links[2].near, "request");
  }
  ASSERT_TRUE(stage.until([&] {
    return std::all_of(std::begin(links), std::end(links),
                       [&](const Link& l) { return stage[1].count(EventKind::kMessage, l.far) == 30; });
  }));
  std::set<std::uint64_t> tags;
  const std::vector<Seen> requests = stage[1].seen;
  for (const Seen& s : requests) {
    if (s.kind != EventKind::kMessage) continue;
    EXPECT_FALSE(s.is_answer);
    EXPECT_NE(s.tag, 0u);
    EXPECT_TRUE(tags.insert(s.tag).second);
    stage[1].send(s.channel, "answer", 0, {}, s.tag);
  }
  ASSERT_TRUE(stage.until([&] {
    return stage[0].count(EventKind::kMessage, links[0].near) == 30 &&
           stage[0].count(EventKind::kMessage, links[2].near) == 30 &&
           stage[2].count(EventKind::kMessage, links[1].near) == 30;
  }));
  for (const Seen& s : stage[0].seen) {
    if (s.kind == EventKind::kMessage) {
      EXPECT_TRUE(s.is_answer);
    }
  }
}

void a_poll_of_one_event_loses_nothing(const MakeFabricBench& make) {
  // Given a node that takes one event at a time, expect everything in order all the same.
  Stage stage(make, 3);
  const Link a = stage.connect(stage[0], stage[2]);
  const Link b = stage.connect(stage[1], stage[2]);
  std::vector<std::string> expected;
  for (std::uint64_t i = 0; i < 200; ++i) {
    expected.push_back(pattern(i, 40));
    stage[0].send(a.near, expected.back(), i + 1);
    stage[1].send(b.near, expected.back(), i + 1);
  }
  ASSERT_TRUE(stage.until_without(stage[2], [&] {
    stage[2].poll(1);
    return stage[2].count(EventKind::kMessage, a.far) == 200 && stage[2].count(EventKind::kMessage, b.far) == 200;
  }));
  EXPECT_EQ(stage[2].messages(a.far), expected);
  EXPECT_EQ(stage[2].messages(b.far), expected);
  // A poll of no events takes none.
  stage[0].send(a.near, "kept");
  for (int i = 0; i < 100; ++i) {
    stage[2].poll(0);
    stage.bench().pump();
  }
  EXPECT_EQ(stage[2].count(EventKind::kMessage, a.far), 200u);
  EXPECT_TRUE(stage.until([&] { return stage[2].count(EventKind::kMessage, a.far) == 201; }));
}

void a_whole_window_to_a_peer_that_does_not_poll(const MakeFabricBench& make) {
  // Given a peer that polls nothing, expect a window of messages to be taken by post() and to arrive once it polls;
  // heads may go as soon as post() returns.
  Stage stage(make, 2);
  const Link link = stage.connect(stage[0], stage[1]);
  std::vector<std::string> expected;
  for (Ticket i = 1; i <= kWindowOps; ++i) {
    std::string head = pattern(i, 100 + i % 900);
    expected.push_back(head);
    stage[0].send(link.near, head, i);
    head.assign(head.size(), 'x');
  }
  for (int i = 0; i < 300; ++i) {
    stage[0].poll();
    stage.bench().pump();
  }
  ASSERT_TRUE(stage.until([&] { return stage[1].count(EventKind::kMessage, link.far) == kWindowOps; }));
  ASSERT_TRUE(stage.until([&] { return stage[0].acked(link.near) == kWindowOps; }));
  EXPECT_TRUE(stage[1].messages(link.far) == expected);
}

void acknowledgements_are_cumulative(const MakeFabricBench& make) {
  // Given ops with and without tickets, sends and writes mixed, window after window: expect only tickets that were
  // given, rising, and the last one at last.
  Stage stage(make, 2);
  const Link link = stage.connect(stage[0], stage[1]);
  const Bytes source = stage[0].region(4096);
  const RemoteKey key = stage.grant(stage[1], link.far, stage[1].region(4096));
  Rng rng(3, "conformance");
  std::set<Ticket> given;
  Ticket next = 10;
  for (int window = 0; window < 6; ++window) {
    for (std::size_t i = 0; i < kWindowOps; ++i) {
      const bool wanted = rng.chance(1, 3) || i + 1 == kWindowOps;
      const Ticket ticket = wanted ? next += 1 + rng.below(5) : 0;
      if (wanted) given.insert(ticket);
      if (rng.chance(1, 2)) {
        stage[0].send(link.near, "message", ticket);
      } else {
        stage[0].write(link.near, ConstBytes(source).first(rng.below(500)), key, rng.below(3000), ticket);
      }
    }
    ASSERT_TRUE(stage.until([&] { return stage[0].acked(link.near) == next; }));
  }
  Ticket before = 0;
  for (const Seen& s : stage[0].seen) {
    if (s.kind != EventKind::kAcked) continue;
    EXPECT_EQ(s.channel, link.near);
    EXPECT_TRUE(given.count(s.ticket)) << "ticket " << s.ticket << " was never given";
    EXPECT_GT(s.ticket, before);
    before = s.ticket;
  }
}

}  // namespace

const CaseList& message_cases() {
  static const CaseList kCases = {
      {"messages_arrive_whole_once_in_order", messages_arrive_whole_once_in_order},
      {"empty_messages_and_parts", empty_messages_and_parts},
      {"bodies_are_gathered", bodies_are_gathered},
      {"largest_messages", largest_messages},
      {"views_hold_until_the_next_poll", views_hold_until_the_next_poll},
      {"answers_and_tags", answers_and_tags},
      {"a_poll_of_one_event_loses_nothing", a_poll_of_one_event_loses_nothing},
      {"a_whole_window_to_a_peer_that_does_not_poll", a_whole_window_to_a_peer_that_does_not_poll},
      {"acknowledgements_are_cumulative", acknowledgements_are_cumulative},
  };
  return kCases;
}

}  // namespace slipstream::conformance
