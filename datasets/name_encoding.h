#pragma once

#include <optional>
#include <string>

namespace fewatoms {

/// Throws UsageError if iconv does not know the encoding. Empty is none, and known.
void require_known_encoding(const std::string& encoding);

/// The bytes, which are in this encoding, as UTF-8; nothing if they are not.
std::optional<std::string> utf8_from(const std::string& bytes, const std::string& encoding);

}  // namespace fewatoms
