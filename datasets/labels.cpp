#include "datasets/labels.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "datasets/files.h"
#include "episodes/errors.h"
#include "episodes/text.h"

namespace fewatoms {
namespace {

// Spaces of ASCII, and those that spreadsheets and East Asian keyboards make.
constexpr std::string_view kSpaces[] = {" ", "\t", "\r", "\n", "\v", "\f", "\xC2\xA0", "\xE3\x80\x80", "\xEF\xBB\xBF"};

std::string mapped(const std::string& text, int options) {
  utf8proc_uint8_t* result = nullptr;
  const auto length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &result, static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(result, std::free);
  return length < 0 ? text : std::string(reinterpret_cast<const char*>(result), static_cast<size_t>(length));
}

std::string composed(const std::string& text) { return mapped(text, UTF8PROC_STABLE | UTF8PROC_COMPOSE); }

}  // namespace

std::string clean_label(const std::string& given) {
  std::string_view text = given;
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view space : kSpaces) {
      if (text.starts_with(space)) {
        text.remove_prefix(space.size());
        again = true;
      }
      if (text.ends_with(space)) {
        text.remove_suffix(space.size());
        again = true;
      }
    }
  }
  return as_line(text);
}

std::string label_key(const std::string& label) {
  const bool plain =
      std::all_of(label.begin(), label.end(), [](char c) { return static_cast<unsigned char>(c) < 128; });
  if (!plain) return mapped(label, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD);
  std::string key = label;
  for (char& c : key)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return key;
}

std::string label_difference(const std::string& a, const std::string& b) {
  return composed(a) == composed(b) ? "in how letters are composed" : "in case";
}

std::vector<std::string> twin_notices(const std::vector<std::string>& names) {
  std::map<std::string, std::string> first;  // key -> name
  int64_t twins = 0;
  std::string example;
  for (const std::string& name : names) {
    const auto [earlier, is_new] = first.emplace(label_key(name), name);
    if (is_new || earlier->second == name) continue;
    if (twins++ == 0)
      example = "'" + earlier->second + "' and '" + name + "' differ " + label_difference(earlier->second, name);
  }
  if (twins == 0) return {};
  return {"classes " + example + " alone: one name would make them one class" +
          (twins > 1 ? " (" + std::to_string(twins) + " such pairs)" : "")};
}

void require_twins_together(const std::map<std::string, std::string>& split_of, const std::string& where) {
  std::map<std::string, const std::pair<const std::string, std::string>*> first;
  for (const auto& entry : split_of) {
    const auto [earlier, is_new] = first.emplace(label_key(entry.first), &entry);
    if (is_new || earlier->second->second == entry.second) continue;
    const auto& [name, split] = *earlier->second;
    throw DataError(where + " has class '" + name + "' in " + split + " and '" + entry.first + "' in " + entry.second +
                    ", which differ " + label_difference(name, entry.first) +
                    " alone: expected both in one split, or other names");
  }
}

}  // namespace fewatoms
