#include "datasets/class_split.h"

#include <algorithm>
#include <cmath>

#include "datasets/files.h"
#include "datasets/known_splits.h"
#include "datasets/labels.h"
#include "datasets/reading_notes.h"
#include "datasets/table.h"
#include "episodes/errors.h"
#include "episodes/numbers.h"
#include "episodes/random.h"
#include "episodes/text.h"

namespace fewatoms {
namespace {

ClassSplit by_list(const std::vector<std::string>& names, const DatasetOptions& options) {
  const FileTreePtr tree = open_anywhere();
  const std::string path = escaped(options.split_file.string());
  if (!tree->is_file(path)) throw UsageError("split file " + in_quotes(options.split_file) + " does not exist");
  const Table table = read_table(*tree, path);
  const int label = table.column("label"), split = table.column("split");
  if (label < 0 || split < 0)
    throw DataError(tree->name(path) + " has the columns " + joined(table.columns) + ", expected label and split");
  ClassSplit result;
  ReadingNotes notes;
  for (const TableRow& row : table.rows) {
    const std::string where = tree->name(path) + " line " + std::to_string(row.line);
    const std::string name = notes.label(row.fields[label]);
    const std::string known = split_name(row.fields[split]);
    if (known.empty())
      throw DataError(where + " has the split '" + row.fields[split] + "', expected train, val or test");
    if (!std::binary_search(names.begin(), names.end(), name)) {
      const auto twin = std::find_if(names.begin(), names.end(),
                                     [&](const std::string& other) { return label_key(other) == label_key(name); });
      throw DataError(where + " names class '" + name + "', which the data do not have" +
                      (twin == names.end()
                           ? ""
                           : ": they have '" + *twin + "', which differs " + label_difference(name, *twin) + " alone"));
    }
    const auto [at, is_new] = result.split_of.emplace(name, known);
    if (!is_new && at->second != known)
      throw DataError(where + " puts class '" + name + "' in " + known + ", an earlier line in " + at->second +
                      ": expected each class in one split");
  }
  require_twins_together(result.split_of, tree->name(path));
  result.notices = notes.lines();
  const auto left_out = static_cast<int64_t>(names.size() - result.split_of.size());
  if (left_out > 0)
    result.notices.push_back(std::to_string(left_out) + " of the " + std::to_string(names.size()) +
                             " classes are not in " + tree->name(path) + " and not used");
  std::string text;
  for (const auto& [name, in] : result.split_of) text += name + "\t" + in + "\n";
  result.rule = "list-" + md5(text).substr(0, 8);
  return result;
}

/// The names in their order, those that differ in case or composition alone as one: a class is in one split.
std::vector<std::vector<std::string>> twins_together(const std::vector<std::string>& names) {
  std::vector<std::vector<std::string>> groups;
  std::map<std::string, size_t> group_of;
  for (const std::string& name : names) {
    const auto [found, is_new] = group_of.emplace(label_key(name), groups.size());
    if (is_new) groups.emplace_back();
    groups[found->second].push_back(name);
  }
  return groups;
}

ClassSplit by_seed(const std::vector<std::string>& names, const DatasetOptions& options, const std::string& where) {
  const SplitFractions fractions = parse_fractions(options.split_fractions);
  const auto n = static_cast<int>(names.size());
  const auto share = [&](double fraction) {
    return fraction == 0 ? 0 : std::max(1, static_cast<int>(std::lround(fraction * n)));
  };
  const int val = share(fractions.val), test = share(fractions.test), train = n - val - test;
  const int parts = (fractions.train > 0) + (fractions.val > 0) + (fractions.test > 0);
  if (n < parts || train < (fractions.train > 0 ? 1 : 0))
    throw TooFewClasses(where + " has " + counted(n, "class", "classes") + ", at least " + std::to_string(parts) +
                        " are needed to make the splits (--split-fractions 0,0,1 makes one, test, of all)");
  std::vector<std::vector<std::string>> order = twins_together(names);
  Random{options.split_seed, stream(Stream::kSplit)}.shuffle(order);
  ClassSplit result;
  result.rule = seed_rule(options);
  // With no share for training, rounding may leave a class over: it goes to the last part that has one.
  const char* rest = fractions.train > 0 ? "train" : fractions.test > 0 ? "test" : "val";
  int i = 0;
  for (const auto& twins : order) {
    const char* split = i < train ? rest : i < train + val ? "val" : "test";
    for (const std::string& name : twins) result.split_of[name] = split;
    i += static_cast<int>(twins.size());
  }
  return result;
}

}  // namespace

std::vector<std::string> ClassSplit::splits() const {
  std::vector<std::string> present;
  for (const char* split : {"train", "val", "test"})
    if (std::any_of(split_of.begin(), split_of.end(), [&](const auto& entry) { return entry.second == split; }))
      present.emplace_back(split);
  return present;
}

SplitFractions parse_fractions(const std::string& text) {
  const auto parts = parsed_numbers<double>(text);
  const bool good = parts && parts->size() == 3 && *std::min_element(parts->begin(), parts->end()) >= 0 &&
                    std::abs(parts->at(0) + parts->at(1) + parts->at(2) - 1) <= 0.001;
  if (!good)
    throw UsageError("split fractions are '" + text +
                     "', expected shares of train, val and test that sum to 1, as 0.64,0.16,0.2");
  return {parts->at(0), parts->at(1), parts->at(2)};
}

std::string split_name(const std::string& text) {
  static const std::map<std::string, std::string> kNames{
      {"train", "train"},    {"training", "train"}, {"base", "train"},   {"val", "val"},   {"valid", "val"},
      {"validation", "val"}, {"test", "test"},      {"testing", "test"}, {"novel", "test"}};
  const auto found = kNames.find(label_key(text));
  return found == kNames.end() ? "" : found->second;
}

std::string seed_rule(const DatasetOptions& options) {
  std::string rule = "seed-" + std::to_string(options.split_seed);
  if (options.split_fractions != DatasetOptions{}.split_fractions) rule += "-" + options.split_fractions;
  return rule;
}

ClassSplit split_classes(const std::vector<std::string>& names, const DatasetOptions& options,
                         const std::string& where) {
  return options.split_file.empty() ? by_seed(names, options, where) : by_list(names, options);
}

}  // namespace fewatoms
