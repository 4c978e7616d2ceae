#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

namespace fewatoms {

/// JSON as text, indented unless `indent` is negative. Bytes that are no UTF-8, as paths given on the command line may
/// have, are escaped (as_utf8).
std::string json_text(const nlohmann::ordered_json& value, int indent = 2);

using Notices = std::vector<std::string>;

/// Notices of several splits, each once, as they come after the word "note": ": ..." if all splits have it, else
/// " (train, val): ...".
std::vector<std::string> merged_notices(const std::vector<std::pair<std::string, Notices>>& by_split);

}  // namespace fewatoms
