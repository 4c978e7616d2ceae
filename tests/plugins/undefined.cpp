// A plugin that was linked without a function it calls.
#include "episodes/plugin.h"

void missing_from_every_library();

namespace {
std::vector<std::string> splits(const fewatoms::PluginOptions&) {
  missing_from_every_library();
  return {};
}
std::shared_ptr<const fewatoms::ImageSource> open(const fewatoms::PluginOptions&, const std::string&) {
  return nullptr;
}
}  // namespace

FEWATOMS_PLUGIN(splits, open);
