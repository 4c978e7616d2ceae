#include "apps/run_results.h"

#include <nlohmann/json.hpp>

#include "apps/evaluation_choice.h"
#include "episodes/text.h"

namespace fewatoms {

std::string run_name(const std::filesystem::path& folder) {
  std::filesystem::path path = folder.lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return as_line(path.filename().string());
}

int own_steps(const Run& run) {
  return run.learner->adapted().empty() ? 0 : evaluation_options(run.settings).inner_steps.back();
}

int64_t adapted_numbers(const Run& run) {
  int64_t sum = 0;
  for (const auto& [role, count] : run.learner->adapted_count()) sum += count;
  return sum;
}

nlohmann::ordered_json step_json(const StepAccuracy& step) {
  return {{"inner_steps", step.inner_steps},
          {"accuracy", step.accuracy},
          {"ci95", number_or_null(step.ci95)},
          {"loss", step.loss}};
}

nlohmann::ordered_json run_json(const std::string& folder, const Run& run) {
  nlohmann::ordered_json result = {{"run", folder},
                                   {"checkpoint", run.checkpoint},
                                   {"iteration", run.state.iteration},
                                   {"trained_on", run.settings.data.name},
                                   {"seed", run.settings.trainer.seed},
                                   {"image_size", run.settings.learner.network.image_size},
                                   {"norm", run.settings.learner.norm},
                                   {"transductive", run.learner->transductive()}};
  result.update(describe_network(run.settings, *run.learner, run.state.parameters));
  result["adapted_bytes"] = 4 * adapted_numbers(run);
  return result;
}

}  // namespace fewatoms
