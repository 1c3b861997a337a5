#include "emulate/hosts/build_id.h"

#include <elf.h>
#include <link.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

namespace slipstream::emulate {
namespace {

constexpr std::size_t aligned(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

// A note: its header, the owner's name, the description; each at a multiple of 4 bytes.
std::string build_id_in(std::span<const std::byte> notes) {
  while (notes.size() >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) head;
    std::memcpy(&head, notes.data(), sizeof head);
    const std::size_t name = sizeof head;
    const std::size_t description = name + aligned(head.n_namesz);
    const std::size_t end = description + aligned(head.n_descsz);
    if (end > notes.size()) return {};
    const std::string_view owner(reinterpret_cast<const char*>(notes.data() + name), head.n_namesz);
    if (head.n_type == NT_GNU_BUILD_ID && owner == std::string_view("GNU", 4)) {
      std::string id;
      for (const std::byte byte : notes.subspan(description, head.n_descsz)) {
        id += fmt::format("{:02x}", static_cast<unsigned>(byte));
      }
      return id;
    }
    notes = notes.subspan(end);
  }
  return {};
}

// The first object that is told is the executable; no other is asked for.
int look(dl_phdr_info* info, std::size_t, void* found) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = info->dlpi_phdr[i];
    if (part.p_type != PT_NOTE) continue;
    const auto* const start = reinterpret_cast<const std::byte*>(info->dlpi_addr + part.p_vaddr);
    std::string id = build_id_in({start, part.p_filesz});
    if (id.empty()) continue;
    *static_cast<std::string*>(found) = std::move(id);
    break;
  }
  return 1;
}

}  // namespace

std::string build_id() {
  std::string id;
  dl_iterate_phdr(look, &id);
  return id;
}

std::string own_program() {
  std::error_code error;
  std::string program = std::filesystem::read_symlink("/proc/self/exe", error).string();
  if (error || access(program.c_str(), X_OK) != 0) {
    throw std::runtime_error("the program's file is not there any more; was it built anew meanwhile? Start it again");
  }
  return program;
}

}  // namespace slipstream::emulate
