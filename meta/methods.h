#pragma once

#include <optional>
#include <string>
#include <vector>

#include "meta/learner.h"

namespace fewatoms {

/// A method: a row of presets over the engine's options, never a copy of its loop.
struct Method {
  std::string name;
  std::string citation;
  std::string algorithm;  // in two sentences
  LearnerOptions preset;  // ways, seed, and what belongs to the data are filled in by the caller
  std::string outer_lr = "0.001";
  int meta_batch = 4;     // tasks per outer step; fixed per method, never taken from the machine
  std::optional<std::string> only_order;  // what the name promises
  std::optional<std::string> only_scope;
  std::optional<std::string> only_head;
  std::optional<std::string> only_conv;
};

/// The registry: adding a method is one row here.
const std::vector<Method>& method_registry();
std::vector<std::string> method_names();
/// Throws UsageError on an unknown name, offering the nearest.
const Method& find_method(const std::string& name);

/// Throws UsageError if options contradict what the method's name promises (`fomaml` with order second).
void require_consistent(const LearnerOptions& options);

}  // namespace fewatoms
