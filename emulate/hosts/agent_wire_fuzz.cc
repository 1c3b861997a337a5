// Arbitrary bytes as what an agent, or its driver, says: either they are understood, or it is a Misunderstanding.
#include <cstdint>
#include <stdexcept>

#include "core/base/check.h"
#include "core/base/fuzz_input.h"
#include "core/node/report.h"
#include "emulate/hosts/agent_wire.h"

using namespace slipstream;
using namespace slipstream::emulate;

namespace {

template <typename Decode>
void attempt(Decode&& decode) {
  try {
    decode();
  } catch (const std::runtime_error&) {  // wire::Misunderstanding, and what a report says of itself
  }
}

void decode_as_every_kind(ConstBytes bytes) {
  attempt([&] { wire::decode_text(bytes); });
  attempt([&] { wire::decode_peers(bytes); });
  attempt([&] {
    const wire::Hello hello = wire::decode_hello(bytes);
    SLIP_CHECK(wire::decode_hello(wire::encode(hello)).build == hello.build);
  });
  attempt([&] {
    const wire::Start start = wire::decode_start(bytes);
    SLIP_CHECK(wire::decode_start(wire::encode(start)).job == start.job);
  });
  attempt([&] {
    const wire::Report report = wire::decode_report(bytes);
    decode_report(report.report);
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput in(data, size);
  wire::Frames frames(in.byte() % 2 == 0);
  decode_as_every_kind(FuzzInput(in).rest());
  attempt([&] {
    while (!in.empty()) {
      frames.take_in(in.bytes(in.byte()));
      while (const auto frame = frames.next()) decode_as_every_kind(frame->bytes);
      frames.gibberish();
    }
  });
  return 0;
}
