#include "apps/run_folder.h"

#include "meta/checkpoint.h"

namespace fewatoms {

Run read_run(const std::filesystem::path& folder, const std::string& checkpoint) {
  Run run;
  run.settings = read_run_settings(folder);
  ParameterSet initial;
  run.learner = std::make_shared<const Learner>(run.settings.learner, initial);
  const RunPaths paths(folder);
  const bool best = checkpoint == "best" || (checkpoint.empty() && std::filesystem::exists(paths.best()));
  run.checkpoint = best ? "best" : "last";
  run.state = load_checkpoint(best ? paths.best() : paths.last(), initial);
  return run;
}

}  // namespace fewatoms
