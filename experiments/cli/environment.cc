#include "experiments/cli/environment.h"

#include <cstdio>
#include <ctime>
#include <fstream>
#include <sstream>

#include <sys/utsname.h>
#include <unistd.h>

#include <fmt/format.h>

#include "experiments/cli/paths.h"

namespace slipstream::cli {
namespace {

// What a command prints, without the last newline; empty when it fails.
std::string output_of(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "re");
  if (pipe == nullptr) return {};
  std::string text;
  char buffer[256];
  while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, n);
  if (::pclose(pipe) != 0) return {};
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(std::min(line.size(), line.find(':') + 2));
  }
  return "unknown";
}

std::string quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

Json environment_of(const Experiment& experiment) {
  Json environment;
  const std::string git = fmt::format("git -C {} ", quoted(repository_root().string()));
  const std::string commit = output_of(git + "rev-parse HEAD 2>/dev/null");
  environment["commit"] = commit.empty() ? Json("unknown") : Json(commit);
  environment["dirty"] = commit.empty() ? Json() : Json(!output_of(git + "status --porcelain 2>/dev/null").empty());
  const double memory = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  environment["machine"] = {{"cpu", cpu_model()},
                            {"cores", ::sysconf(_SC_NPROCESSORS_ONLN)},
                            {"memory", fmt::format("{:.1f} GiB", memory / (1024.0 * 1024 * 1024))}};
  utsname system{};
  ::uname(&system);
  environment["kernel"] = fmt::format("{} {} {}", system.sysname, system.release, system.machine);
  environment["compiler"] = fmt::format("GCC {}", __VERSION__);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  environment["build"] = "sanitizers: timings mean nothing";
#elif defined(__OPTIMIZE__)
  environment["build"] = "release";
#else
  environment["build"] = "debug: timings mean nothing";
#endif
  for (const World world : experiment.worlds) {
    if (world == World::kSim) continue;
    environment["fabric"] = std::string(emulate::name(experiment.emulate.fabric));
    environment["hosts"] = std::string(emulate::name(experiment.emulate.hosts));
  }
  double load = 0;
  if (::getloadavg(&load, 1) == 1) environment["load_before"] = load;
  char now[32];
  const std::time_t seconds = std::time(nullptr);
  std::strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&seconds));
  environment["started"] = now;
  return environment;
}

std::string busy_note(const Json& environment) {
  const double load = environment.value("load_before", 0.0);
  const auto cores = environment.at("machine").at("cores").get<double>();
  if (load < 0.5 * cores) return {};
  return fmt::format(
      "note: the machine is busy (load {:.1f} on {:.0f} cores); figures measured on it will be too low and noisy", load,
      cores);
}

}  // namespace slipstream::cli
