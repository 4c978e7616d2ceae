#include "datasets/name_encoding.h"

#include <iconv.h>

#include <memory>

#include "episodes/errors.h"

namespace fewatoms {
namespace {

using Converter = std::unique_ptr<void, int (*)(iconv_t)>;

/// Null: unknown. What iconv takes after a '/' ("//IGNORE") would make two names one.
Converter converter_from(const std::string& encoding) {
  iconv_t opened = reinterpret_cast<iconv_t>(-1);
  if (!encoding.empty() && encoding.find('/') == std::string::npos) opened = iconv_open("UTF-8", encoding.c_str());
  return {opened == reinterpret_cast<iconv_t>(-1) ? nullptr : opened, iconv_close};
}

}  // namespace

void require_known_encoding(const std::string& encoding) {
  if (!encoding.empty() && !converter_from(encoding))
    throw UsageError("name encoding is '" + encoding +
                     "', which iconv does not know: expected one such as GBK, SHIFT_JIS, EUC-KR, CP850 or UTF-8");
}

std::optional<std::string> utf8_from(const std::string& bytes, const std::string& encoding) {
  const Converter converter = converter_from(encoding);
  if (!converter) return std::nullopt;
  std::string result(4 * bytes.size() + 16, '\0');
  char *from = const_cast<char*>(bytes.data()), *to = result.data();
  size_t left = bytes.size(), room = result.size();
  const auto failed = static_cast<size_t>(-1);
  if (iconv(converter.get(), &from, &left, &to, &room) == failed) return std::nullopt;
  if (iconv(converter.get(), nullptr, nullptr, &to, &room) == failed) return std::nullopt;
  result.resize(result.size() - room);
  return result;
}

}  // namespace fewatoms
