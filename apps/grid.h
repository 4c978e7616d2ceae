#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "apps/evaluation_choice.h"
#include "apps/settings.h"

namespace fewatoms {

/// Options by name as configuration files have them, resolved; those that say nothing for the convolutions in use are
/// left out.
using OptionTexts = std::map<std::string, std::string>;
OptionTexts option_texts(const Settings& settings);

/// A training of a grid.
struct GridRun {
  std::string name;  // of its folder: the row, the keys that are lists, and the seed
  Settings settings;
};

/// A line of the comparison: what differs in nothing but the seed.
struct GridPoint {
  std::string row;    // name; empty in a grid without rows
  std::string label;  // the row and the keys that are lists, "acdc head sharing=net atoms=3"
  OptionTexts keys;   // of its first run
  std::vector<GridRun> runs;
};

/// What every run is evaluated on, as `eval` is told.
struct GridTarget {
  std::string name;
  EvaluationChoice choice;
  std::string steps, checkpoint;       // --eval-inner-steps, --checkpoint; empty: as the run has it
  std::vector<std::string> arguments;  // all of that, {"--dataset=cub", ...}
};

/// A comparison: the product of all keys that are lists, for each row; duplicates dropped.
struct Grid {
  std::vector<GridPoint> points;
  std::vector<GridTarget> targets;  // one at least
  std::vector<std::string> axes;    // keys that are a list somewhere, but for seed, in the order of the file
  OptionTexts reference;  // keys of the points that others are compared with, "row" among them; empty: there is none
  std::string reference_name;
  int threads = 0;  // of all runs together; 0: all cores
  std::vector<std::string> notices;
};

/// What a command line changes.
struct GridOverrides {
  std::vector<std::string> settings;      // {"--width=8", ...}: instead of the key, everywhere
  std::vector<std::string> target_roots;  // {"cub=DIR", ...}: data roots of targets by name
};

/// Reads a grid: the keys of `train` with a value or a list, `[[row]]` tables of such keys with a `name`, `[[target]]`
/// tables of `eval`'s keys with a `name`, and `reference`, the name of a row or a table of keys (docs/compare.md). A
/// width "weights of 32" is the one whose convolution weights come nearest to those of the standard network of
/// width 32. Throws UsageError naming file, line or combination: unknown keys, values of the wrong type, lists without
/// a value, combinations that cannot work.
Grid read_grid(const std::filesystem::path& path, const GridOverrides& overrides);

/// The points that others are compared with.
bool is_reference(const Grid& grid, const GridPoint& point);

}  // namespace fewatoms
