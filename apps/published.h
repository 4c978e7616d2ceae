#pragma once

#include <string>
#include <vector>

#include "apps/settings.h"

namespace fewatoms {

/// A published accuracy on the test classes, 5-way, images of 84x84 pixels.
struct Published {
  const char* dataset;
  const char* method;
  const char* backbone;
  int width;  // 0: not said
  int shots;
  double accuracy;  // fraction
  double ci95;      // fraction; 0: not published
  const char* where;
};

/// What was published for such a training, evaluated with `ways` and `shots` on the same data set: same data set and
/// split rule, method with its own scope, backbone, width, shots, and standard convolutions.
std::vector<Published> published_figures(const Settings& settings, int ways, int shots);

}  // namespace fewatoms
