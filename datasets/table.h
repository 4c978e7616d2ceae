#pragma once

#include <string>
#include <vector>

#include "datasets/file_tree.h"

namespace fewatoms {

/// A row of a table file, with the number of its first line (from 1).
struct TableRow {
  int line = 0;
  std::vector<std::string> fields;  // as many as the header has
};

/// A table with a header: comma- or tab-separated values, or JSON Lines.
struct Table {
  std::vector<std::string> columns;
  std::vector<TableRow> rows;  // blank lines left out

  /// Index of a column, -1 if there is none.
  int column(const std::string& name) const;
};

/// Reads .tsv and .tab as tab-separated, .jsonl and .ndjson as JSON Lines (an object per line; its columns are all the
/// keys met, numbers as they are written, null as empty), anything else as separated by what separates its header:
/// commas, semicolons or tabs. Columns are called in lower case, without spaces around their names. Fields in double
/// quotes may hold separators, line ends and doubled quotes. UTF-8 with or without a byte order mark, other bytes are
/// escaped (as_utf8); line ends of any system. Throws DataError naming file and line: UTF-16, an unclosed quote, a row
/// of more or fewer fields than the header, a column twice, a line that is no JSON object, a value that is no text or
/// number; an empty file.
Table read_table(const FileTree& tree, const std::string& path);

/// A field as comma-separated values hold it: in quotes where it needs them.
std::string csv_field(const std::string& given);

}  // namespace fewatoms
