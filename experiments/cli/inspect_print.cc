#include "experiments/cli/inspect_print.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "experiments/cli/units.h"

namespace slipstream::cli {
namespace {

std::string size_text(std::size_t bytes) { return format_quantity(static_cast<double>(bytes), Dimension::kSize); }

std::string state_text(const InspectedReplica& replica) {
  if (!replica.has_record) return "no record";
  if (replica.is_closed()) return fmt::format("closed with {} bytes", replica.record.closed_bytes);
  return replica.record.copy != 0 ? "open, a copy that is not complete yet" : "open";
}

// "1 segment-header, 1 digest, 400 objects".
std::string entries_text(const SegmentInspection& segment) {
  std::vector<std::string> parts;
  for (std::size_t type = 0; type < kEntryTypes; ++type) {
    const std::uint64_t count = segment.entries[type];
    if (count == 0) continue;
    parts.push_back(fmt::format("{} {}{}", count, name(static_cast<EntryType>(type)), count == 1 ? "" : "s"));
  }
  return parts.empty() ? "none" : fmt::format("{}", fmt::join(parts, ", "));
}

std::string digest_text(const std::vector<std::uint64_t>& ids) {
  constexpr std::size_t kMost = 12;
  const std::vector<std::uint64_t> first(ids.begin(),
                                         ids.begin() + static_cast<std::ptrdiff_t>(std::min(ids.size(), kMost)));
  return fmt::format("{}{}", fmt::join(first, ", "),
                     ids.size() > kMost ? fmt::format(", ... ({} in all)", ids.size()) : "");
}

// Printable as it is, else in hexadecimal; long ones are cut.
std::string value_text(ConstBytes bytes) {
  constexpr std::size_t kMost = 48;
  const ConstBytes first = bytes.first(std::min(bytes.size(), kMost));
  const bool printable = std::all_of(first.begin(), first.end(), [](std::byte b) {
    return std::to_integer<int>(b) >= ' ' && std::to_integer<int>(b) <= '~';
  });
  std::string text;
  for (const std::byte b : first) {
    text += printable ? std::string(1, static_cast<char>(b)) : fmt::format("{:02x}", std::to_integer<unsigned>(b));
  }
  if (bytes.size() > kMost) text += fmt::format("... ({} bytes)", bytes.size());
  return bytes.empty() ? "-" : text;
}

std::string about_entry(const EntryInspection& entry) {
  switch (entry.type) {
    case EntryType::kObject:
      return fmt::format("table {} key {} version {} value {}", entry.table, value_text(entry.key), entry.version,
                         value_text(entry.value));
    case EntryType::kTombstone:
      return fmt::format("table {} key {} version {}, of an object in segment {}", entry.table, value_text(entry.key),
                         entry.version, entry.segment);
    case EntryType::kCompletion:
      return fmt::format("client {} sequence {} (acknowledged below {}) version {} status {}", entry.completion.client,
                         entry.completion.sequence, entry.completion.acked_below, entry.version,
                         slipstream::name(static_cast<Status>(entry.completion.status)));
    case EntryType::kCertificate:
      return fmt::format("covers {} bytes, crc {:08x}", entry.certificate.covered, entry.certificate.crc);
    default: return {};
  }
}

std::string crc_text(const EntryInspection& entry) {
  if (!entry.is_well_formed) return "malformed";
  return !entry.has_crc ? "-" : entry.is_intact ? "ok" : "WRONG";
}

// Every entry of the bytes that are certified, then of those behind as far as headers lead: what a damaged batch held,
// or what the buffer held before.
template <typename Visit>
void for_each_entry_there(ConstBytes bytes, std::size_t valid_bytes, Visit&& visit) {
  for_each_entry(bytes.first(valid_bytes), visit);
  for (std::size_t at = valid_bytes; bytes.size() - at >= kEntryHeaderBytes;) {
    const auto header = load<EntryHeader>(bytes.data() + at);
    if (!is_known(header.type()) || header.length() > bytes.size() - at - kEntryHeaderBytes) break;
    visit(header.type(), bytes.subspan(at + kEntryHeaderBytes, header.length()), at);
    at += kEntryHeaderBytes + header.length();
  }
}

std::string entry_lines(ConstBytes bytes, std::size_t valid_bytes) {
  std::string lines = fmt::format("    {:>8} {:>8}  {:<14} {:<9}\n", "offset", "bytes", "type", "crc");
  bool is_behind = false;
  for_each_entry_there(bytes, valid_bytes, [&](EntryType type, ConstBytes contents, std::size_t offset) {
    if (offset >= valid_bytes && !std::exchange(is_behind, true)) {
      lines += "    --- what follows is not certified: damaged, torn, or of what was here before\n";
    }
    const EntryInspection entry = inspect_entry(type, contents, offset);
    lines += fmt::format("    {:>8} {:>8}  {:<14} {:<9} {}\n", entry.offset, entry.bytes, slipstream::name(type),
                         crc_text(entry), about_entry(entry));
  });
  return lines;
}

// The replica's bytes, as far as the file has them.
ConstBytes bytes_of(const InspectedFile& file, const InspectedReplica& replica, ConstBytes bytes) {
  return bytes.subspan(file.contents_at + replica.at, replica.segment.bytes);
}

std::string replica_text(const InspectedFile& file, const InspectedReplica& replica, ConstBytes bytes,
                         bool with_entries) {
  const SegmentInspection& segment = replica.segment;
  std::string text = fmt::format(
      "  segment {} of master {} (life {}), {}\n", index(segment.identity.segment), index(segment.identity.master),
      life_of(segment.identity.segment),
      file.kind == FileKind::kSegments ? fmt::format("epoch {}", segment.identity.epoch) : state_text(replica));
  const std::size_t at = file.contents_at + replica.at;
  if (file.kind == FileKind::kReplicaMemory) {
    text += fmt::format("    buffer {}, bytes {} to {} of the file; epoch {}, of the replica {}\n", replica.buffer, at,
                        at + segment.bytes, segment.identity.epoch, replica.record.replica_epoch);
  } else if (at != 0) {
    text += fmt::format("    from byte {} of the file\n", at);
  }
  text += fmt::format("    valid up to byte {}: {} certificate{}", segment.valid_bytes, segment.certificates,
                      segment.certificates == 1 ? "" : "s");
  text += segment.certificates == 0 ? "\n" : fmt::format(", the last with crc {:08x}\n", segment.crc);
  if (segment.stop.cause == StopCause::kZeroes || replica.problems.empty()) {
    text +=
        fmt::format("    there the walk ends, {}{}\n", slipstream::text(segment.stop),
                    segment.stop.cause > StopCause::kZeroes ? ": no data (buffers are used again as they are)" : "");
  }
  text += fmt::format("    entries: {}\n", entries_text(segment));
  if (!segment.digest.empty()) text += fmt::format("    its digest names {}\n", digest_text(segment.digest));
  for (const std::string& problem : replica.problems) text += fmt::format("    WRONG: {}\n", problem);
  if (with_entries) text += entry_lines(bytes_of(file, replica, bytes), segment.valid_bytes);
  return text;
}

std::string server_text(ServerId server) {
  return server == kNoServerId ? "nobody" : fmt::format("{} (life {})", index(server.node), server.life);
}

std::string view_text(const View& view) {
  std::string text =
      fmt::format("  epoch {}, phase {} of the run, latest client id {}\n", view.epoch, view.phase, view.latest_client);
  for (const MemberState& server : view.servers) {
    text += server.server.life == 0 ? fmt::format("  server {}: has not come yet\n", index(server.server.node))
                                    : fmt::format("  server {}: life {}, {}\n", index(server.server.node),
                                                  server.server.life, server.is_up ? "up" : "down");
  }
  for (const DeadMaster& dead : view.dead) {
    text += fmt::format("  dead master {}: declared at {:.3f} s of the run's clock, tablets {}\n",
                        server_text(dead.server), static_cast<double>(dead.declared_ns) / 1e9,
                        dead.is_split ? "split for recovery" : "not split yet");
    for (const SegmentEpoch& epoch : dead.epochs) {
      text += fmt::format("    segment {}: replicas below epoch {} are stale\n", epoch.segment, epoch.epoch);
    }
  }
  for (const TabletState& tablet : view.tablets) {
    text += fmt::format("  tablet of table {}, hashes {:016x} to {:016x}: server {}", tablet.table, tablet.first,
                        tablet.last, server_text(tablet.owner));
    text += tablet.recoverer == kNoServerId ? "\n" : fmt::format(", recovered by {}\n", server_text(tablet.recoverer));
  }
  for (const SegmentEpoch& epoch : view.epochs_of_living) {
    text += fmt::format("  open segment {} of server {}: epoch {}{}\n", segment_of_frame(epoch.segment),
                        master_of_frame(epoch.segment), epoch.epoch,
                        epoch.epoch == 0 ? "" : ", replicas of lower ones are stale");
  }
  return text + fmt::format("  clients: {}\n",
                            view.clients.empty() ? "none" : fmt::format("{}", fmt::join(view.clients, ", ")));
}

// What the file is, in half a line.
std::string summary(const InspectedFile& file) {
  switch (file.kind) {
    case FileKind::kReplicaMemory: {
      if (!file.memory) return "replica memory";
      const auto open = std::count_if(file.replicas.begin(), file.replicas.end(),
                                      [](const InspectedReplica& r) { return !r.is_closed(); });
      const ReplicaFileInspection& memory = *file.memory;
      const std::string buffers =
          memory.segment_bytes == 0 ? "buffers"
          : memory.buffers == 0     ? fmt::format("buffers of {}", size_text(memory.segment_bytes))
                                    : fmt::format("{} buffers of {}", memory.buffers, size_text(memory.segment_bytes));
      return fmt::format("replica memory, {}: {} open, {} closed, {} free", buffers, open,
                         file.replicas.size() - static_cast<std::size_t>(open), memory.free + memory.unused);
    }
    case FileKind::kStoredReplica: {
      if (file.replicas.empty()) return "a stored frame";
      const SegmentInspection& segment = file.replicas[0].segment;
      return fmt::format("stored replica of segment {} of master {}, {} bytes", index(segment.identity.segment),
                         index(segment.identity.master), segment.bytes);
    }
    case FileKind::kState:
      return fmt::format("the coordinator's state: {} views{}", file.state->count,
                         file.state->last ? fmt::format(", the last of epoch {}", file.state->last->epoch) : "");
    case FileKind::kSegments:
      return file.replicas.size() == 1 ? "a segment" : fmt::format("log memory: {} segments", file.replicas.size());
    case FileKind::kUnused: return "memory that holds nothing yet, or any more";
    case FileKind::kNone: break;
  }
  return "none of Slipstream's";
}

std::string verdict(std::size_t problems) {
  if (problems == 0) return "all verifies";
  return fmt::format("{} thing{} WRONG", problems, problems == 1 ? "" : "s");
}

Json entry_json(const EntryInspection& entry) {
  Json json = {{"offset", entry.offset}, {"bytes", entry.bytes}, {"type", slipstream::name(entry.type)}};
  if (entry.has_crc) json["crc_ok"] = entry.is_intact;
  if (!entry.is_well_formed) json["malformed"] = true;
  if (entry.type == EntryType::kObject || entry.type == EntryType::kTombstone) {
    json["table"] = entry.table;
    json["key"] = value_text(entry.key);
    json["version"] = entry.version;
  }
  if (entry.type == EntryType::kObject) json["value"] = value_text(entry.value);
  if (entry.type == EntryType::kCompletion) {
    json["client"] = entry.completion.client;
    json["sequence"] = entry.completion.sequence;
    json["version"] = entry.version;
  }
  return json;
}

Json replica_json(const InspectedFile& file, const InspectedReplica& replica, ConstBytes bytes, bool with_entries) {
  const SegmentInspection& segment = replica.segment;
  Json counts = Json::object();
  for (std::size_t type = 0; type < kEntryTypes; ++type) {
    if (segment.entries[type] > 0)
      counts[std::string(slipstream::name(static_cast<EntryType>(type)))] = segment.entries[type];
  }
  Json json = {{"master", index(segment.identity.master)},
               {"life", life_of(segment.identity.segment)},
               {"segment", index(segment.identity.segment)},
               {"epoch", segment.identity.epoch},
               {"at", file.contents_at + replica.at},
               {"bytes", segment.bytes},
               {"valid_bytes", segment.valid_bytes},
               {"certificates", segment.certificates},
               {"crc", segment.crc},
               {"stops", slipstream::text(segment.stop)},
               {"stops_at", segment.stop.offset},
               {"entries_by_type", counts},
               {"digest", segment.digest},
               {"problems", replica.problems}};
  if (replica.has_record) {
    json["state"] = replica.is_closed() ? "closed" : "open";
    json["copy"] = replica.record.copy != 0;
    json["replica_epoch"] = replica.record.replica_epoch;
    json["closed_bytes"] = replica.record.closed_bytes;
    json["closed_crc"] = replica.record.closed_crc;
    json["buffer"] = replica.buffer;
  }
  if (segment.flipped) json["flipped"] = {{"byte", segment.flipped->byte}, {"bit", segment.flipped->bit}};
  if (!with_entries) return json;
  json["entries"] = Json::array();
  for_each_entry_there(bytes_of(file, replica, bytes), segment.valid_bytes,
                       [&](EntryType type, ConstBytes contents, std::size_t offset) {
                         json["entries"].push_back(entry_json(inspect_entry(type, contents, offset)));
                         json["entries"].back()["certified"] = offset < segment.valid_bytes;
                       });
  return json;
}

Json view_json(const View& view) {
  const auto epochs = [](const std::vector<SegmentEpoch>& list) {
    Json json = Json::array();
    for (const SegmentEpoch& epoch : list) json.push_back({{"segment", epoch.segment}, {"epoch", epoch.epoch}});
    return json;
  };
  const auto server = [](ServerId id) { return Json{{"node", index(id.node)}, {"life", id.life}}; };
  Json json = {
      {"epoch", view.epoch}, {"phase", view.phase}, {"latest_client", view.latest_client}, {"clients", view.clients}};
  json["servers"] = json["dead"] = json["tablets"] = Json::array();
  for (const MemberState& state : view.servers) {
    json["servers"].push_back({{"node", index(state.server.node)}, {"life", state.server.life}, {"up", state.is_up}});
  }
  for (const DeadMaster& dead : view.dead) {
    json["dead"].push_back({{"server", server(dead.server)},
                            {"declared_ns", dead.declared_ns},
                            {"split", dead.is_split},
                            {"epochs", epochs(dead.epochs)}});
  }
  for (const TabletState& tablet : view.tablets) {
    json["tablets"].push_back({{"table", tablet.table},
                               {"first", tablet.first},
                               {"last", tablet.last},
                               {"owner", server(tablet.owner)},
                               {"recoverer", tablet.recoverer == kNoServerId ? Json() : server(tablet.recoverer)}});
  }
  json["epochs_of_living"] = epochs(view.epochs_of_living);
  return json;
}

}  // namespace

std::string file_text(const InspectedFile& file, ConstBytes bytes, bool with_entries) {
  std::string text = fmt::format("{}: {}\n  {} bytes, written last {}; {}\n", file.path.string(), summary(file),
                                 file.bytes, file.written, verdict(file.problem_count()));
  if (file.is_frame) text += fmt::format("  frame {:016x}\n", file.frame);
  for (const std::string& problem : file.problems) text += fmt::format("  WRONG: {}\n", problem);
  if (file.state && file.state->last) text += "\n" + view_text(*file.state->last);
  for (const InspectedReplica& replica : file.replicas) text += "\n" + replica_text(file, replica, bytes, with_entries);
  return text;
}

std::string file_line(const InspectedFile& file, const std::filesystem::path& root) {
  const std::string path = file.path.lexically_relative(root).string();
  std::string lines = fmt::format("  {:<38} {}; {}\n", path, summary(file), verdict(file.problem_count()));
  for (const std::string& problem : file.problems) lines += fmt::format("    WRONG: {}\n", problem);
  for (const InspectedReplica& replica : file.replicas) {
    for (const std::string& problem : replica.problems) {
      lines += fmt::format("    WRONG: segment {} of master {}: {}\n", index(replica.segment.identity.segment),
                           index(replica.segment.identity.master), problem);
    }
  }
  if (file.problem_count() > 0) lines += fmt::format("    written last {}\n", file.written);
  return lines;
}

Json file_json(const InspectedFile& file, ConstBytes bytes, bool with_entries) {
  Json json = {{"file", file.path.string()},
               {"kind", name(file.kind)},
               {"bytes", file.bytes},
               {"written", file.written},
               {"problems", file.problems}};
  if (file.node) json["node"] = *file.node;
  if (file.is_frame) json["frame"] = fmt::format("{:016x}", file.frame);
  if (file.memory) {
    json["segment_bytes"] = file.memory->segment_bytes;
    json["buffers"] = file.memory->buffers;
    json["free"] = file.memory->free + file.memory->unused;
  }
  if (file.state) json["views"] = file.state->count;
  if (file.state && file.state->last) json["view"] = view_json(*file.state->last);
  json["replicas"] = Json::array();
  for (const InspectedReplica& replica : file.replicas) {
    json["replicas"].push_back(replica_json(file, replica, bytes, with_entries));
  }
  return json;
}

std::string totals_text(const Totals& totals) {
  std::string text = "\nReplicas by master and segment\n";
  text += fmt::format("  {:>6} {:>5} {:>12} {:>9}  {}\n", "master", "life", "segment", "bytes", "where");
  for (const SegmentTotal& total : totals.segments()) {
    std::vector<std::string> places;
    for (const ReplicaPlace& replica : total.replicas) {
      std::string place = fmt::format("{}{}", replica.where,
                                      replica.is_stored   ? ""
                                      : replica.is_closed ? " (closed)"
                                      : replica.is_copy   ? " (open copy)"
                                                          : " (open)");
      if (replica.valid != total.known()) place += fmt::format(" (valid to {})", replica.valid);
      places.push_back(std::move(place));
    }
    text += fmt::format("  {:>6} {:>5} {:>12} {:>9}  {}\n", total.master, life_of(SegmentId{total.segment}),
                        total.segment, total.known(), fmt::join(places, "; "));
  }
  if (totals.segments().empty()) text += "  none\n";
  if (totals.digests().empty()) return text;
  text += "\nWhat the newest digest of each master names\n";
  for (const DigestTotal& digest : totals.digests()) {
    text += fmt::format("  master {} (life {}), segment {}: {} segment{}, {}\n", digest.master, digest.life,
                        digest.head, digest.named.size(), digest.named.size() == 1 ? "" : "s",
                        digest.missing.empty() ? "all here to the length that is known" : "not all here:");
    for (const std::string& missing : digest.missing) {
      text += fmt::format("    {}: {}\n", digest.is_loss ? "LOST" : "not here", missing);
    }
  }
  if (!totals.doubt().empty()) text += fmt::format("  (what is not here may be elsewhere: {})\n", totals.doubt());
  return text;
}

Json totals_json(const Totals& totals) {
  Json segments = Json::array();
  for (const SegmentTotal& total : totals.segments()) {
    Json replicas = Json::array();
    for (const ReplicaPlace& replica : total.replicas) {
      replicas.push_back({{"where", replica.where},
                          {"closed", replica.is_closed},
                          {"stored", replica.is_stored},
                          {"copy", replica.is_copy},
                          {"replica_epoch", replica.replica_epoch},
                          {"valid_bytes", replica.valid}});
    }
    segments.push_back({{"master", total.master},
                        {"segment", total.segment},
                        {"known_bytes", total.known()},
                        {"readable_bytes", total.readable()},
                        {"replicas", replicas}});
  }
  Json digests = Json::array();
  for (const DigestTotal& digest : totals.digests()) {
    digests.push_back({{"master", digest.master},
                       {"life", digest.life},
                       {"head", digest.head},
                       {"segments", digest.named},
                       {"missing", digest.missing},
                       {"is_loss", digest.is_loss}});
  }
  return {{"segments", segments}, {"digests", digests}, {"doubt", totals.doubt()}};
}

}  // namespace slipstream::cli
