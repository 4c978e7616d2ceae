#pragma once

#include <string>
#include <utility>
#include <vector>

#include "meta/trainer.h"

namespace fewatoms {

/// A method: a row of presets over the engine's options, never a copy of its loop.
struct Method {
  std::string name;
  std::string citation;
  std::string algorithm;  // in two sentences
  LearnerOptions preset;  // ways, seed, and what belongs to the data are filled in by the caller
  TrainerOptions outer;   // the meta-batch is fixed per method, never taken from the machine
  /// Options by which the name is kept, {"scope", "head"}: another value is refused. A value "!none" allows all but
  /// none.
  std::vector<std::pair<std::string, std::string>> promises;

  /// The value that the name promises for an option; empty: any.
  std::string only(const std::string& option) const;
};

/// The registry: adding a method is one row here.
const std::vector<Method>& method_registry();
std::vector<std::string> method_names();
/// Throws UsageError on an unknown name, offering the nearest.
const Method& find_method(const std::string& name);

/// Throws UsageError if options contradict what the method's name promises (`fomaml` with order second).
void require_consistent(const LearnerOptions& options);

}  // namespace fewatoms
