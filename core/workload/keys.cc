#include <algorithm>
#include <cstring>

#include "core/base/check.h"
#include "core/workload/workload.h"

namespace slipstream {

namespace {

constexpr std::size_t kWord = sizeof(std::uint64_t);
constexpr std::size_t kLeastKey = 16;
constexpr std::uint64_t kEightDigits = 100'000'000;
constexpr std::uint64_t kZeros = 0x3030303030303030ULL;  // eight '0'
constexpr std::uint64_t kStride = 0x9e3779b97f4a7c15ULL;

void store(std::byte* at, std::uint64_t word) { std::memcpy(at, &word, kWord); }

std::uint64_t load(const std::byte* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, kWord);
  return word;
}

// The eight decimal digits of a number below 10^8, the first in the lowest byte: halves, quarters and eighths are split
// off side by side in one word, each division a multiplication by a rounded reciprocal that is exact in its range.
std::uint64_t eight_digits(std::uint64_t number) {
  const std::uint64_t high = number / 10'000;
  const std::uint64_t fours = high | ((number - high * 10'000) << 32);
  const std::uint64_t hundreds = ((fours * 10486) >> 20) & 0x0000007f0000007fULL;
  const std::uint64_t twos = hundreds | ((fours - hundreds * 100) << 16);
  const std::uint64_t tens = ((twos * 103) >> 10) & 0x000f000f000f000fULL;
  return (tens | ((twos - tens * 10) << 8)) + kZeros;
}

// What the words of a value count up from. For one key, versions have different seeds, and for one version, keys.
std::uint64_t value_seed(std::uint64_t number, std::uint64_t version) {
  return mix64(version * kStride + mix64(number + kStride));
}

// Whether the pattern that starts after `word` fills `value` from `from` to its end.
bool continues(ConstBytes value, std::size_t from, std::uint64_t word) {
  std::uint64_t difference = 0;
  std::size_t at = from;
  for (; at + kWord <= value.size(); at += kWord) {
    word += kStride;
    difference |= load(value.data() + at) ^ word;
  }
  word += kStride;
  return difference == 0 && std::memcmp(value.data() + at, &word, value.size() - at) == 0;
}

}  // namespace

void write_key(std::uint64_t number, Bytes key) {
  SLIP_CHECK(key.size() >= kLeastKey, "a key of {} bytes", key.size());
  std::byte* const end = key.data() + key.size();
  for (std::byte* at = key.data(); at < end - kLeastKey; at += kWord) store(at, kZeros);
  const std::uint64_t upper = number / kEightDigits;
  store(end - kWord, eight_digits(number - upper * kEightDigits));
  if (upper < 10'000) {
    store(end - 2 * kWord, eight_digits(upper));
  } else {
    const std::uint64_t top = upper / kEightDigits;
    store(end - 2 * kWord, eight_digits(upper - top * kEightDigits));
    const std::uint64_t digits = eight_digits(top);
    const std::size_t kept = std::min(kWord, key.size() - kLeastKey);
    const std::size_t dropped = kWord - kept;
    std::memcpy(end - 2 * kWord - kept, reinterpret_cast<const std::byte*>(&digits) + dropped, kept);
    // What was dropped, and what "user" takes the place of, must be zeros.
    SLIP_CHECK(std::memcmp(&digits, &kZeros, dropped) == 0 && std::memcmp(key.data(), &kZeros, 4) == 0,
               "a key of {} bytes is too short for number {}", key.size(), number);
  }
  std::memcpy(key.data(), "user", 4);
}

void write_value(std::uint64_t number, std::uint64_t version, Bytes value) {
  std::size_t at = 0;
  std::uint64_t word = value_seed(number, 0);
  if (value.size() >= 2 * kWord) {
    store(value.data(), version);
    at = kWord;
    word = value_seed(number, version);
  }
  for (; at + kWord <= value.size(); at += kWord) {
    word += kStride;
    store(value.data() + at, word);
  }
  word += kStride;
  std::memcpy(value.data() + at, &word, value.size() - at);
}

bool is_value_of(std::uint64_t number, ConstBytes value) {
  if (value.size() < 2 * kWord) return continues(value, 0, value_seed(number, 0));
  return continues(value, kWord, value_seed(number, load(value.data())));
}

}  // namespace slipstream
