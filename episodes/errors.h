#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace fewatoms {

/// The caller's mistake: a bad option, value or path. The program exits with 2.
/// Says what was wrong, where, and what was expected, in one line.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Bad data in a file, or a file missing that another file names. The program exits with 1.
/// Says what was wrong, in which file, and what was expected, in one line.
class DataError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The name of `valid` with the smallest edit distance to `given`. `valid` must not be empty.
const std::string& nearest_name(const std::string& given, const std::vector<std::string>& valid);

/// One line about a name that is not among `valid`, offering the nearest by edit distance:
/// "unknown method 'mamml', did you mean 'maml'? (one of maml, fomaml, anil)".
std::string unknown_name(const std::string& what, const std::string& given, const std::vector<std::string>& valid);

}  // namespace fewatoms
