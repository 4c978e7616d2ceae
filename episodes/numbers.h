#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "episodes/errors.h"

// The one place that turns text into numbers and numbers into text: for the command line, TOML, CSV, JSON and file
// headers. Decimal always (leading zeros have no meaning), the same in every locale of the process.

namespace fewatoms {

template <class T>
concept Number = (std::integral<T> || std::floating_point<T>)&&!std::same_as<T, bool>;

/// Shortest text that reads back to the same number: "0.05", "1e+09".
std::string number_text(double value);
/// The same with a point, exponent or name, by which languages tell real numbers from whole ones: "1.0".
std::string real_text(double value);
/// As printf's %.{digits}f.
std::string fixed_text(double value, int digits);
template <std::integral T>
std::string number_text(T value) {
  return std::to_string(value);
}

/// A tensor's shape for messages: "[64, 3, 3, 3]".
std::string shape_text(std::span<const int64_t> sides);

/// The number that the whole of `text` is. Nothing for any other text, also "+1", "0x10", "1_000", " 1", "nan" and
/// "inf", "1e3" where T is whole, and what T cannot hold.
template <Number T>
std::optional<T> parsed_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if constexpr (std::floating_point<T>)
    if (!std::isfinite(value)) return std::nullopt;
  return value;
}

/// Numbers with `separator` between. Nothing if one of them is none; there is one at least.
template <Number T>
std::optional<std::vector<T>> parsed_numbers(std::string_view text, char separator = ',') {
  std::vector<T> numbers;
  while (true) {
    const size_t end = std::min(text.find(separator), text.size());
    const auto number = parsed_number<T>(text.substr(0, end));
    if (!number) return std::nullopt;
    numbers.push_back(*number);
    if (end == text.size()) return numbers;
    text.remove_prefix(end + 1);
  }
}

/// The texts of the two below; an empty limit is none.
std::string expected_text(bool whole, const std::string& low, const std::string& high);
std::string not_expected(std::string_view given, const std::string& expected);

/// What was expected: "a whole number from 0 to 1024", "a number of at least 0", "a number".
template <Number T>
std::string expected_number(T low, T high) {
  const bool whole = std::integral<T>;
  const bool from = whole || low > std::numeric_limits<T>::lowest(), to = whole || high < std::numeric_limits<T>::max();
  return expected_text(whole, from ? number_text(low) : std::string(), to ? number_text(high) : std::string());
}

/// What is wrong with `text` as a number from low to high: "'08x' is not a whole number from 0 to 9"; empty: nothing.
template <Number T>
std::string number_error(std::string_view text, T low = std::numeric_limits<T>::lowest(),
                         T high = std::numeric_limits<T>::max()) {
  const auto value = parsed_number<T>(text);
  if (value && *value >= low && *value <= high) return {};
  return not_expected(text, expected_number(low, high));
}

/// The number from low to high that `text` is. Throws Error (UsageError; DataError for what is in a file) with
/// number_error, after `where` ("'boxes.txt' line 3: ").
template <Number T, class Error = UsageError>
T read_number(std::string_view text, T low = std::numeric_limits<T>::lowest(), T high = std::numeric_limits<T>::max(),
              const std::string& where = {}) {
  if (const std::string wrong = number_error(text, low, high); !wrong.empty()) throw Error(where + wrong);
  return *parsed_number<T>(text);
}

}  // namespace fewatoms
