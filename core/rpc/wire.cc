#include "core/rpc/wire.h"

namespace slipstream {

std::string_view name(Status status) {
  switch (status) {
    case Status::kOk: return "ok";
    case Status::kNotFound: return "not found";
    case Status::kVersionMismatch: return "version mismatch";
    case Status::kNotANumber: return "not a number";
    case Status::kWrongServer: return "wrong server";
    case Status::kLogFull: return "log full";
    case Status::kNoRoom: return "no room";
    case Status::kStale: return "stale";
    case Status::kRejected: return "rejected";
    case Status::kDead: return "declared dead";
    case Status::kLost: return "lost";
    case Status::kBadRequest: return "bad request";
  }
  return "unknown";
}

}  // namespace slipstream
