#include "episodes/errors.h"

#include <algorithm>
#include <numeric>

namespace fewatoms {
namespace {

/// Levenshtein distance.
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({substituted, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

const std::string& nearest_name(const std::string& given, const std::vector<std::string>& valid) {
  return *std::min_element(valid.begin(), valid.end(), [&](const auto& a, const auto& b) {
    return edit_distance(given, a) < edit_distance(given, b);
  });
}

std::string unknown_name(const std::string& what, const std::string& given, const std::vector<std::string>& valid) {
  std::string text = "unknown " + what + " '" + given + "', did you mean '" + nearest_name(given, valid) + "'? (one of";
  for (size_t i = 0; i < valid.size(); ++i) text += (i == 0 ? " " : ", ") + valid[i];
  return text + ")";
}

}  // namespace fewatoms
