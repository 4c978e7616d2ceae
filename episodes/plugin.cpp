#include "episodes/plugin.h"

#include <algorithm>

#include "episodes/errors.h"
#include "episodes/numbers.h"

namespace fewatoms {

void PluginOptions::require_known(const std::vector<std::string>& keys) const {
  for (const auto& [key, value] : values)
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      throw UsageError(unknown_name("plugin option", key, keys));
}

int64_t PluginOptions::number(const std::string& key, int64_t otherwise, int64_t low, int64_t high) const {
  const auto given = values.find(key);
  if (given == values.end()) return otherwise;
  const auto value = parsed_number<int64_t>(given->second);
  if (!value || *value < low || *value > high)
    throw UsageError("plugin option '" + key + "' is '" + given->second + "', expected " + expected_number(low, high));
  return *value;
}

std::string PluginOptions::text(const std::string& key, const std::string& otherwise) const {
  const auto given = values.find(key);
  return given == values.end() ? otherwise : given->second;
}

}  // namespace fewatoms
