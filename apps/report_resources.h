#pragma once

#include <string_view>

namespace fewatoms {

/// A file of apps/report, or Chart.js ("chart.min.js"), as it was when the program was built (cmake/EmbedText.cmake
/// writes the function). Throws std::logic_error on another name.
std::string_view report_resource(std::string_view name);

}  // namespace fewatoms
