#include "core/base/crc32c.h"

#include <array>
#include <cstring>

#ifdef __SSE4_2__
#include <nmmintrin.h>
#endif

namespace slipstream {
namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78;  // reflected

constexpr std::uint32_t step_bits(std::uint32_t crc, int bits) {
  for (int i = 0; i < bits; ++i) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
  return crc;
}

[[maybe_unused]] std::uint64_t load64(const std::byte* at) {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

#ifdef __SSE4_2__
// Advances a register over `kBytes` zero bytes: four tables of 256, one for each byte of the register.
template <std::size_t kBytes>
struct Shift {
  std::array<std::array<std::uint32_t, 256>, 4> table{};

  Shift() {
    // The operator is linear: tabulate it for single bits, then combine.
    std::array<std::uint32_t, 32> column{};
    for (std::size_t bit = 0; bit < 32; ++bit) column[bit] = step_bits(1u << bit, static_cast<int>(8 * kBytes));
    for (std::size_t byte = 0; byte < 4; ++byte) {
      for (std::uint32_t value = 0; value < 256; ++value) {
        std::uint32_t sum = 0;
        for (std::size_t bit = 0; bit < 8; ++bit) {
          if ((value >> bit & 1) != 0) sum ^= column[8 * byte + bit];
        }
        table[byte][value] = sum;
      }
    }
  }
  std::uint32_t operator()(std::uint32_t crc) const {
    return table[0][crc & 0xff] ^ table[1][crc >> 8 & 0xff] ^ table[2][crc >> 16 & 0xff] ^ table[3][crc >> 24];
  }
};

// Three independent streams hide the instruction's latency of three cycles. Takes as many blocks of three streams of
// `kBytes` as there are.
template <std::size_t kBytes>
void take_blocks(std::uint64_t& crc, const std::byte*& at, std::size_t& size) {
  static const Shift<kBytes> shift;
  while (size >= 3 * kBytes) {
    std::uint64_t b = 0;
    std::uint64_t c = 0;
    for (std::size_t i = 0; i < kBytes; i += 8) {
      crc = _mm_crc32_u64(crc, load64(at + i));
      b = _mm_crc32_u64(b, load64(at + kBytes + i));
      c = _mm_crc32_u64(c, load64(at + 2 * kBytes + i));
    }
    crc = shift(static_cast<std::uint32_t>(crc)) ^ b;
    crc = shift(static_cast<std::uint32_t>(crc)) ^ c;
    at += 3 * kBytes;
    size -= 3 * kBytes;
  }
}

std::uint32_t crc_hardware(std::uint32_t seed, const std::byte* at, std::size_t size) {
  std::uint64_t crc = seed;
  // Long streams where combining them should cost nothing, short ones for what is left.
  if (size >= 3 * 512) take_blocks<512>(crc, at, size);
  if (size >= 3 * 48) take_blocks<48>(crc, at, size);
  for (; size >= 8; at += 8, size -= 8) crc = _mm_crc32_u64(crc, load64(at));
  auto low = static_cast<std::uint32_t>(crc);
  for (; size > 0; ++at, --size) low = _mm_crc32_u8(low, static_cast<unsigned char>(*at));
  return low;
}
#else
constexpr std::array<std::uint32_t, 256> make_byte_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) table[i] = step_bits(i, 8);
  return table;
}
constexpr auto kByteTable = make_byte_table();
#endif

}  // namespace

std::uint32_t crc32c(std::uint32_t seed, ConstBytes bytes) {
#ifdef __SSE4_2__
  return crc_hardware(seed, bytes.data(), bytes.size());
#else
  for (const std::byte b : bytes) seed = (seed >> 8) ^ kByteTable[(seed ^ static_cast<std::uint32_t>(b)) & 0xff];
  return seed;
#endif
}

std::uint32_t crc32c_bitwise(std::uint32_t seed, ConstBytes bytes) {
  for (const std::byte b : bytes) seed = step_bits(seed ^ static_cast<std::uint32_t>(b), 8);
  return seed;
}

}  // namespace slipstream
