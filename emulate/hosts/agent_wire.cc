#include "emulate/hosts/agent_wire.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>

#include <fmt/format.h>

namespace slipstream::emulate::wire {
namespace {

constexpr std::string_view kMagic = "slipstream-agent";
constexpr std::size_t kHeader = sizeof(std::uint32_t) + sizeof(Kind);
constexpr std::uint32_t kMostBytes = 64 * kMiB;  // more is no frame

class Packer {
 public:
  template <typename T>
    requires std::is_trivially_copyable_v<T>
  Packer& value(const T& it) {
    return raw(std::as_bytes(std::span(&it, 1)));
  }
  Packer& bytes(ConstBytes it) { return value(static_cast<std::uint32_t>(it.size())).raw(it); }
  Packer& text(const std::string& it) { return bytes(std::as_bytes(std::span(it))); }
  Packer& raw(ConstBytes it) {
    bytes_.insert(bytes_.end(), it.begin(), it.end());
    return *this;
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

class Unpacker {
 public:
  explicit Unpacker(ConstBytes bytes) : left_(bytes) {}

  template <typename T>
    requires std::is_trivially_copyable_v<T>
  T value() {
    T it;
    std::memcpy(&it, raw(sizeof it).data(), sizeof it);
    return it;
  }
  ConstBytes bytes() { return raw(value<std::uint32_t>()); }
  std::string text() { return as_text(bytes()); }
  static std::string as_text(ConstBytes it) { return {reinterpret_cast<const char*>(it.data()), it.size()}; }
  ConstBytes raw(std::size_t size) {
    if (size > left_.size()) throw Misunderstanding();
    const ConstBytes it = left_.first(size);
    left_ = left_.subspan(size);
    return it;
  }

 private:
  ConstBytes left_;
};

}  // namespace

std::vector<std::byte> encode(const Hello& hello) {
  return Packer().raw(std::as_bytes(std::span(kMagic))).value(hello.process).text(hello.build).take();
}

Hello decode_hello(ConstBytes bytes) {
  Unpacker in(bytes);
  in.raw(kMagic.size());  // seen by Frames
  Hello hello;
  hello.process = in.value<std::uint32_t>();
  hello.build = in.text();
  return hello;
}

std::vector<std::byte> encode(const Start& start) {
  Packer out;
  out.value(start.secret).value(start.node).value(start.nodes).value(start.sharing).value(start.turn);
  out.text(start.address).text(start.rdma_address).text(start.device);
  out.bytes(std::as_bytes(std::span(start.cores))).text(start.job);
  return out.take();
}

Start decode_start(ConstBytes bytes) {
  Unpacker in(bytes);
  Start start;
  start.secret = in.value<RunSecret>();
  start.node = in.value<NodeId>();
  start.nodes = in.value<std::uint16_t>();
  start.sharing = in.value<std::uint16_t>();
  start.turn = in.value<std::uint16_t>();
  start.address = in.text();
  start.rdma_address = in.text();
  start.device = in.text();
  const ConstBytes cores = in.bytes();
  start.cores.resize(cores.size() / sizeof(std::uint32_t));
  if (!start.cores.empty()) std::memcpy(start.cores.data(), cores.data(), start.cores.size() * sizeof(std::uint32_t));
  start.job = in.text();
  return start;
}

std::vector<std::byte> encode(const std::vector<std::string>& addresses) {
  Packer out;
  out.value(static_cast<std::uint32_t>(addresses.size()));
  for (const std::string& address : addresses) out.text(address);
  return out.take();
}

std::vector<std::string> decode_peers(ConstBytes bytes) {
  Unpacker in(bytes);
  std::vector<std::string> addresses;
  for (auto left = in.value<std::uint32_t>(); left > 0; --left) addresses.push_back(in.text());
  return addresses;
}

std::vector<std::byte> encode(const Report& report) {
  return Packer().value(report.ends_run).text(report.state).bytes(report.report).take();
}

Report decode_report(ConstBytes bytes) {
  Unpacker in(bytes);
  Report report;
  report.ends_run = in.value<std::uint8_t>() != 0;
  report.state = in.text();
  const ConstBytes encoded = in.bytes();
  report.report.assign(encoded.begin(), encoded.end());
  return report;
}

std::vector<std::byte> encode(const std::string& text) { return Packer().text(text).take(); }

std::string decode_text(ConstBytes bytes) { return Unpacker(bytes).text(); }

std::vector<std::byte> framed(Kind kind, ConstBytes bytes) {
  return Packer().value(static_cast<std::uint32_t>(bytes.size())).value(kind).raw(bytes).take();
}

void Frames::take_in(ConstBytes bytes) {
  bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(begin_));
  begin_ = 0;
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

bool Frames::has_next() const {
  const ConstBytes left = ConstBytes(bytes_).subspan(begin_);
  if (left.size() < kHeader || !gibberish().empty()) return false;
  const auto size = Unpacker(left).value<std::uint32_t>();
  if (size > kMostBytes) throw Misunderstanding();
  return left.size() - kHeader >= size;
}

std::optional<Frame> Frames::next() {
  if (!has_next()) return std::nullopt;
  Unpacker in(ConstBytes(bytes_).subspan(begin_));
  const auto size = in.value<std::uint32_t>();
  Frame frame;
  frame.kind = in.value<Kind>();
  const ConstBytes bytes = in.raw(size);
  frame.bytes.assign(bytes.begin(), bytes.end());
  begin_ += kHeader + size;
  greeted_ = true;
  return frame;
}

std::string Frames::gibberish() const {
  if (greeted_ || bytes_.empty()) return {};
  // As much of a Hello as has come; its size may be anything that is small.
  constexpr std::size_t kSizeBytes = sizeof(std::uint32_t);
  constexpr std::uint32_t kMostOfHello = 256;
  std::uint32_t size = 0;
  bool fits = true;
  if (bytes_.size() >= kSizeBytes) {
    std::memcpy(&size, bytes_.data(), sizeof size);
    fits = size <= kMostOfHello;
  }
  if (bytes_.size() >= kHeader) fits = fits && bytes_[kSizeBytes] == std::byte{static_cast<std::uint8_t>(Kind::kHello)};
  if (bytes_.size() > kHeader) {
    const std::string_view said(reinterpret_cast<const char*>(bytes_.data()) + kHeader, bytes_.size() - kHeader);
    fits = fits && said.substr(0, kMagic.size()) == kMagic.substr(0, said.size());
  }
  if (fits) return {};
  std::string text(reinterpret_cast<const char*>(bytes_.data()), std::min<std::size_t>(bytes_.size(), 200));
  std::replace_if(text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, ' ');
  return text;
}

}  // namespace slipstream::emulate::wire
