#pragma once

#include <cstdlib>
#include <string>
#include <vector>

namespace fewatoms::test {

/// The command of a Python 3 that has `modules` ("h5py, numpy"), empty if there is none.
inline std::string python_with(const std::string& modules) {
  // Debian's own first: another Python in the PATH need not see Debian's packages.
  for (const char* python : {"/usr/bin/python3", "python3"})
    if (std::system((std::string(python) + " -c 'import " + modules + "' >/dev/null 2>&1").c_str()) == 0) return python;
  return "";
}

}  // namespace fewatoms::test
