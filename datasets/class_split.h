#pragma once

#include <map>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "episodes/errors.h"

namespace fewatoms {

/// Which split each class is in, and how that was decided.
struct ClassSplit {
  std::map<std::string, std::string> split_of;  // class name -> "train", "val" or "test"
  std::string rule;                             // "seed-0", or "list-" and eight digits of a hash of classes and splits
  std::vector<std::string> notices = {};

  std::vector<std::string> splits() const;  // that have classes, in the order train, val, test
};

/// There are fewer classes than splits to make of them.
class TooFewClasses : public UsageError {
 public:
  using UsageError::UsageError;
};

/// Shares of the classes: three numbers of at least 0 that sum to 1 within 0.001, as "0.64,0.16,0.2". Throws
/// UsageError.
struct SplitFractions {
  double train = 0.64, val = 0.16, test = 0.20;
};
SplitFractions parse_fractions(const std::string& text);

/// "train", "val" or "test" for the names that people give them (training, base; valid, validation; testing, novel), in
/// any case; empty: unknown name.
std::string split_name(const std::string& text);

/// How results name a split by seed: "seed-0", or "seed-0-0.5,0.25,0.25" with other fractions than the default.
std::string seed_rule(const DatasetOptions& options);

/// For data whose classes come without splits: by options.split_file (a table with the columns label and split) if it
/// is given, else shuffled by options.split_seed and cut by options.split_fractions, with at least one class in each
/// split whose fraction is not 0; names that differ in case or composition alone come into one split. `where` names the
/// data. `class_names` are sorted. Throws TooFewClasses, and UsageError if the file does not exist; DataError on its
/// bad lines, if it names a class that is not there, or puts such names into two splits. A class that it leaves out is
/// in no split, with a notice.
ClassSplit split_classes(const std::vector<std::string>& class_names, const DatasetOptions& options,
                         const std::string& where);

}  // namespace fewatoms
