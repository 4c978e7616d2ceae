#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <toml++/toml.h>

namespace fewatoms {

/// A TOML file. Throws UsageError if it is not there or is not TOML, with the line of the mistake.
toml::table read_toml(const std::filesystem::path& path);

/// A number, text or truth value as the command line has it ("0.05", "true", the bytes of an escaped path); nothing for
/// lists, tables and dates.
std::optional<std::string> scalar_text(const toml::node& node);

}  // namespace fewatoms
