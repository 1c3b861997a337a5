// The one place that names the JSON library. Objects keep the order in which their keys were written, so what a person
// wrote or we print stays readable; numbers print in the shortest form that reads back the same.
#pragma once

#include <nlohmann/json.hpp>

namespace slipstream::cli {

using Json = nlohmann::ordered_json;

}  // namespace slipstream::cli
