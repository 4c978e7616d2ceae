#include "apps/run_folder.h"

#include "backbones/safetensors.h"
#include "episodes/errors.h"
#include "meta/checkpoint.h"

namespace fewatoms {

Run read_run(const std::filesystem::path& folder, const std::string& checkpoint) {
  Run run;
  run.settings = read_run_settings(folder);
  run.learner = std::make_shared<const Learner>(run.settings.learner);
  const RunPaths paths(folder);
  const bool best = checkpoint == "best" || (checkpoint.empty() && std::filesystem::exists(paths.best()));
  run.checkpoint = best ? "best" : "last";
  run.state = load_checkpoint(best ? paths.best() : paths.last(), run.learner->schema());
  return run;
}

Run read_run_of(const Adapter& adapter, const std::string& where, const std::filesystem::path& folder,
                const std::string& checkpoint) {
  const std::string name = checkpoint.empty() ? adapter.checkpoint : checkpoint;
  const RunPaths paths(folder);
  if (checkpoint.empty() && name == "best" && std::filesystem::exists(paths.last()) &&
      !std::filesystem::exists(paths.best()))
    throw UsageError(where + " belongs to another run" +
                     (adapter.run_name.empty() ? "" : ", '" + adapter.run_name + "'") +
                     ": it was made from a checkpoint 'best', and '" + folder.string() + "' has none; name its run");
  return read_run(folder, name);
}

void require_no_run(const std::filesystem::path& folder) {
  const RunPaths paths(folder);
  if (std::filesystem::exists(paths.config()) || std::filesystem::exists(paths.last()))
    throw UsageError("'" + folder.string() + "' holds a run already; another --out was expected");
}

void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw UsageError("cannot make folder '" + folder.string() + "': " + error.message());
}

void make_run_folder(const std::filesystem::path& folder, const Settings& settings) {
  make_folder(folder);
  write_file_atomically(RunPaths(folder).config(), config_text(settings));
}

}  // namespace fewatoms
