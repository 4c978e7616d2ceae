#include "datasets/table.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "datasets/files.h"
#include "episodes/errors.h"
#include "episodes/text.h"

namespace fewatoms {
namespace {

using nlohmann::json;

constexpr std::string_view kSpaces = " \t";

/// A column's name as it is looked for: Excel and people write "Path" and " label".
std::string column_name(std::string text) {
  text.erase(0, text.find_first_not_of(kSpaces));
  text.erase(text.find_last_not_of(kSpaces) + 1);
  return lower_case(std::move(text));
}

/// What separates the header's names: the one of comma, semicolon and tab that its line has most of outside of quotes.
char separator_of(std::string_view bytes) {
  const size_t start = std::min(bytes.find_first_not_of("\r\n"), bytes.size());
  const std::string_view header = bytes.substr(start, bytes.find_first_of("\r\n", start) - start);
  int64_t best = 0;
  char result = ',';
  for (const char candidate : {',', ';', '\t'}) {
    int64_t count = 0;
    bool quoted = false;
    for (const char c : header) {
      quoted ^= c == '"';
      count += !quoted && c == candidate ? 1 : 0;
    }
    if (count > best) {
      best = count;
      result = candidate;
    }
  }
  return result;
}

std::string line_of(const std::string& name, int line) { return name + " line " + std::to_string(line); }

/// RFC 4180, and line ends of any system.
std::vector<TableRow> parse_separated(std::string_view bytes, char separator, const std::string& name) {
  std::vector<TableRow> rows;
  int line = 1;
  size_t at = 0;
  while (at < bytes.size()) {
    TableRow row{line, {}};
    for (bool more = true; more;) {
      std::string field;
      if (at < bytes.size() && bytes[at] == '"') {
        const int opened = line;
        for (++at;; ++at) {
          if (at == bytes.size()) throw DataError(line_of(name, opened) + " opens a quote that nothing closes");
          if (bytes[at] == '"') {
            if (at + 1 == bytes.size() || bytes[at + 1] != '"') break;
            ++at;
          }
          if (bytes[at] == '\n') ++line;
          field += bytes[at];
        }
        ++at;
        if (at < bytes.size() && bytes[at] != separator && bytes[at] != '\n' && bytes[at] != '\r')
          throw DataError(line_of(name, line) + " has text after a closing quote, expected '" +
                          (separator == '\t' ? "a tab" : std::string(1, separator)) + "' or the line's end");
      } else {
        const size_t end = std::min(bytes.find_first_of(std::string{separator, '\n', '\r'}, at), bytes.size());
        field = bytes.substr(at, end - at);
        at = end;
      }
      row.fields.push_back(as_utf8(field));
      more = at < bytes.size() && bytes[at] == separator;
      if (more) ++at;
    }
    if (at < bytes.size() && bytes[at] == '\r') ++at;
    if (at < bytes.size() && bytes[at] == '\n') ++at;
    ++line;
    const bool blank = row.fields.size() == 1 && row.fields[0].find_first_not_of(" \t") == std::string::npos;
    if (!blank) rows.push_back(std::move(row));
  }
  return rows;
}

std::string text_of(const json& value, const std::string& where, const std::string& key) {
  if (value.is_string()) return value;
  if (value.is_null()) return "";
  if (value.is_number()) return value.dump();
  throw DataError(where + " has " + value.dump().substr(0, 40) + " as '" + key + "', expected text or a number");
}

Table parse_json_lines(const FileTree& tree, const std::string& path) {
  Table table;
  for (const TextLine& line : read_lines(tree, path)) {
    const std::string where = place(tree, path, line);
    const json object = json::parse(line.text, nullptr, false);
    if (!object.is_object()) throw DataError(where + " is '" + line.text.substr(0, 60) + "', expected a JSON object");
    TableRow row{line.number, std::vector<std::string>(table.columns.size())};
    for (const auto& [given, value] : object.items()) {
      const std::string key = column_name(given);
      int c = table.column(key);
      if (c < 0) {
        c = static_cast<int>(table.columns.size());
        table.columns.push_back(key);
        row.fields.emplace_back();
      }
      row.fields[c] = text_of(value, where, key);
    }
    table.rows.push_back(std::move(row));
  }
  for (TableRow& row : table.rows) row.fields.resize(table.columns.size());
  return table;
}

bool ends_with_any(const std::string& path, std::initializer_list<const char*> extensions) {
  const std::string lower = lower_case(path);
  return std::any_of(extensions.begin(), extensions.end(), [&](const char* e) { return lower.ends_with(e); });
}

}  // namespace

int Table::column(const std::string& name) const {
  const auto found = std::find(columns.begin(), columns.end(), name);
  return found == columns.end() ? -1 : static_cast<int>(found - columns.begin());
}

Table read_table(const FileTree& tree, const std::string& path) {
  const FileBytes file = tree.read(path);
  std::string_view bytes = file.view;
  if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF"))
    throw DataError(tree.name(path) + " is UTF-16, expected UTF-8");
  require_not_foreign(bytes, tree.name(path), "a table");
  if (bytes.find('\0') != std::string_view::npos)
    throw DataError(tree.name(path) + " is no text, expected a table in UTF-8");
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  if (ends_with_any(path, {".jsonl", ".ndjson"})) return parse_json_lines(tree, path);

  Table table;
  table.rows =
      parse_separated(bytes, ends_with_any(path, {".tsv", ".tab"}) ? '\t' : separator_of(bytes), tree.name(path));
  if (table.rows.empty()) throw DataError(tree.name(path) + " is empty, expected a header and rows");
  table.columns = std::move(table.rows.front().fields);
  table.rows.erase(table.rows.begin());
  for (std::string& column : table.columns) column = column_name(column);
  for (size_t c = 0; c < table.columns.size(); ++c)
    if (table.column(table.columns[c]) != static_cast<int>(c))
      throw DataError(tree.name(path) + " has column '" + table.columns[c] + "' twice");
  for (const TableRow& row : table.rows)
    if (row.fields.size() != table.columns.size())
      throw DataError(line_of(tree.name(path), row.line) + " has " +
                      counted(static_cast<int64_t>(row.fields.size()), "field") + ", expected the header's " +
                      std::to_string(table.columns.size()) + ": " + joined(table.columns));
  return table;
}

std::string csv_field(const std::string& given) {
  const std::string text = as_utf8(given);
  if (text.find_first_of(",\"\r\n") == std::string::npos &&
      (text.empty() || (text.front() != ' ' && text.back() != ' ')))
    return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace fewatoms
