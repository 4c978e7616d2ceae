#include "apps/json_text.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "episodes/text.h"

namespace fewatoms {
namespace {

using json = nlohmann::ordered_json;

json with_utf8(const json& value) {
  if (value.is_string()) return as_utf8(value.get_ref<const std::string&>());
  json result = value;
  if (value.is_array())
    for (json& item : result) item = with_utf8(item);
  if (value.is_object()) {
    result = json::object();
    for (const auto& [key, item] : value.items()) result[as_utf8(key)] = with_utf8(item);
  }
  return result;
}

}  // namespace

std::string json_text(const json& value, int indent) { return with_utf8(value).dump(indent); }

std::vector<std::string> merged_notices(const std::vector<std::pair<std::string, Notices>>& by_split) {
  std::vector<std::pair<std::string, std::vector<std::string>>> splits_of;  // of each notice, in the order met
  for (const auto& [split, notices] : by_split)
    for (const std::string& notice : notices) {
      auto found = std::find_if(splits_of.begin(), splits_of.end(), [&](const auto& s) { return s.first == notice; });
      if (found == splits_of.end()) found = splits_of.insert(splits_of.end(), {notice, {}});
      found->second.push_back(split);
    }
  std::vector<std::string> lines;
  for (const auto& [notice, splits] : splits_of) {
    std::string names;
    for (const std::string& split : splits) names += (names.empty() ? "" : ", ") + split;
    lines.push_back((splits.size() == by_split.size() ? ": " : " (" + names + "): ") + notice);
  }
  return lines;
}

}  // namespace fewatoms
