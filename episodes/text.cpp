#include "episodes/text.h"

#include <cstdint>
#include <optional>

namespace fewatoms {
namespace {

/// Bytes of the character that starts at `at`: 1 to 4, or 0 if there is no valid one (RFC 3629).
size_t character_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return at + i < text.size() ? static_cast<uint8_t>(text[at + i]) : uint8_t{0}; };
  const auto goes_on = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const uint8_t first = byte(0), second = byte(1);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return goes_on(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool overlong = first == 0xE0 && second < 0xA0, surrogate = first == 0xED && second > 0x9F;
    return goes_on(1) && goes_on(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool overlong = first == 0xF0 && second < 0x90, too_large = first == 0xF4 && second > 0x8F;
    return goes_on(1) && goes_on(2) && goes_on(3) && !overlong && !too_large ? 4 : 0;
  }
  return 0;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The byte that an escape at `at` stands for; nothing if there is none. No name has a byte 0.
std::optional<char> escape_at(std::string_view text, size_t at) {
  if (at + 4 > text.size() || text[at] != '\\' || text[at + 1] != 'x') return std::nullopt;
  const int high = hex_value(text[at + 2]), low = hex_value(text[at + 3]);
  if (high < 0 || low < 0 || high + low == 0) return std::nullopt;
  return static_cast<char>(high * 16 + low);
}

void append_escape(std::string& result, char c) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  const auto byte = static_cast<uint8_t>(c);
  result += "\\x";
  result += kDigits[byte >> 4];
  result += kDigits[byte & 15];
}

std::string with_escapes(std::string_view text, bool controls, bool backslashes) {
  std::string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t length = character_at(text, at);
    const auto byte = static_cast<uint8_t>(text[at]);
    const bool is_control = byte < 0x20 || byte == 0x7F;
    if (length == 0 || (controls && is_control) || (backslashes && escape_at(text, at))) {
      append_escape(result, text[at]);
      ++at;
    } else {
      result += text.substr(at, length);
      at += length;
    }
  }
  return result;
}

}  // namespace

bool is_utf8(std::string_view bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = character_at(bytes, at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

std::string as_utf8(std::string_view bytes) { return with_escapes(bytes, false, false); }
std::string as_line(std::string_view bytes) { return with_escapes(bytes, true, false); }
std::string escaped(std::string_view bytes) { return with_escapes(bytes, true, true); }

std::string unescaped(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const auto byte = escape_at(text, at);
    bytes += byte ? *byte : text[at];
    at += byte ? 4 : 1;
  }
  return escaped(bytes) == text ? bytes : std::string(text);
}

}  // namespace fewatoms
