#include "apps/toml_file.h"

#include <sstream>

#include "episodes/numbers.h"
#include "episodes/text.h"

namespace fewatoms {

toml::table read_toml(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error))
    throw UsageError("there is no configuration file '" + path.string() + "'");
  try {
    return toml::parse_file(path.string());
  } catch (const toml::parse_error& e) {
    throw UsageError("'" + path.string() + "' line " + number_text(e.source().begin.line) + ": " +
                     std::string(e.description()));
  }
}

std::optional<std::string> scalar_text(const toml::node& node) {
  if (const auto* text = node.as_string()) return unescaped(text->get());
  if (const auto* yes = node.as_boolean()) return yes->get() ? "true" : "false";
  if (const auto* integer = node.as_integer()) return std::to_string(integer->get());
  if (const auto* number = node.as_floating_point()) return number_text(number->get());
  return std::nullopt;
}

}  // namespace fewatoms
