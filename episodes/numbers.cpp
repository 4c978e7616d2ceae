#include "episodes/numbers.h"

namespace fewatoms {

std::string number_text(double value) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  return {text, end};
}

std::string real_text(double value) {
  const std::string text = number_text(value);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

std::string fixed_text(double value, int digits) {
  std::string text(400 + static_cast<size_t>(digits), '\0');  // the largest double has 309 digits before the point
  const auto [end, error] =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed, digits);
  text.resize(static_cast<size_t>(end - text.data()));
  return text;
}

std::string expected_text(bool whole, const std::string& low, const std::string& high) {
  const std::string number = whole ? "a whole number" : "a number";
  if (low.empty()) return high.empty() ? number : number + " of at most " + high;
  return high.empty() ? number + " of at least " + low : number + " from " + low + " to " + high;
}

std::string not_expected(std::string_view given, const std::string& expected) {
  std::string text = "'";
  text.append(given).append("' is not ").append(expected);
  return text;
}

std::string shape_text(std::span<const int64_t> sides) {
  std::string text;
  for (const int64_t n : sides) text += (text.empty() ? "[" : ", ") + number_text(n);
  return text.empty() ? "[]" : text + "]";
}

}  // namespace fewatoms
