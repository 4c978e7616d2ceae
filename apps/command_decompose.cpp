#include <algorithm>
#include <cstdio>
#include <iostream>

#include <nlohmann/json.hpp>

#include "apps/command_line.h"
#include "apps/folder_lock.h"
#include "apps/json_text.h"
#include "apps/progress.h"
#include "apps/run_classes.h"
#include "apps/run_folder.h"
#include "apps/stop_signal.h"
#include "backbones/decomposition.h"
#include "backbones/safetensors.h"
#include "episodes/errors.h"
#include "meta/checkpoint.h"

namespace fewatoms {
namespace {

using json = nlohmann::ordered_json;

struct DecomposeCommand {
  std::string run, out, checkpoint, split = "val", data_root, outer_lr, json_file;
  ConvOptions conv{.kind = "acdc"};
  int finetune = 0, episodes = 600, threads = 0;
  bool allow_class_overlap = false;
};

int run_decompose(const DecomposeCommand& c) {
  const Run standard = read_run(c.run, c.checkpoint);
  if (standard.settings.learner.network.conv.kind != "standard")
    throw UsageError("run '" + c.run + "' has convolutions '" + standard.settings.learner.network.conv.kind +
                     "', standard ones were expected");
  const RunPaths paths(c.out);
  require_no_run(c.out);
  Settings settings = standard.settings;
  settings.learner.network.conv = c.conv;
  settings.init.clear();
  if (!c.data_root.empty()) settings.data.root = std::filesystem::absolute(c.data_root).lexically_normal();
  settings.trainer.iterations = std::max(1, c.finetune);
  if (!c.outer_lr.empty()) settings.trainer.outer_lr = c.outer_lr;
  settings.val_every = 0;
  ParameterSet initial;
  const Learner learner(settings.learner, initial);
  std::optional<RunClasses> trained = read_run_classes(c.run);
  std::vector<std::string> notices;
  const auto source = open_dataset(settings.data, c.split);
  if (trained)
    notices = check_tested(c.run, *trained, classes_of(*source, settings.data), true, c.allow_class_overlap);
  else
    notices.push_back(unknown_classes_notice(c.run));
  std::shared_ptr<const ImageSource> train;
  if (c.finetune > 0) {
    const TrainingSources sources = open_training_sources(settings);
    train = sources.train;
    require_trainable(learner, *train, settings.trainer);
    RunClasses now = classes_of(settings, sources);
    look_at_images(now, *train, settings.data);
    if (trained) {  // trained on other images too, from then on
      for (const std::string& notice : check_resumed(c.run, *trained, now, false, c.allow_class_overlap))
        if (std::find(notices.begin(), notices.end(), notice) == notices.end()) notices.push_back(notice);
      trained = with_history(now, *trained);
    }
  }

  std::vector<LayerError> errors;
  TrainState state;
  state.parameters = decomposed(initial, standard.state.parameters, learner.backbone(), c.conv, errors);
  EvaluationOptions options = evaluation_options(settings);
  options.episodes = c.episodes;
  options.stop_requested = [] {
    obey_stop();
    return false;
  };
  const auto accuracy_of = [&](const Learner& of, const ParameterSet& parameters) {
    Evaluation evaluation;
    with_threads(c.threads, [&] { evaluation = evaluate(of, parameters, *source, options); });
    return evaluation.by_steps.back();
  };
  const StepAccuracy before = accuracy_of(*standard.learner, standard.state.parameters),
                     after = accuracy_of(learner, state.parameters);
  const int64_t weights = convolution_weights(*learner.schema()),
                all = convolution_weights(*standard.learner->schema());

  remember_signals();
  make_folder(c.out);
  const FolderLock lock(c.out, "training");
  if (!lock.notice().empty()) notices.push_back(lock.notice());
  require_no_run(c.out);
  make_run_folder(c.out, settings);
  if (trained) write_run_classes(c.out, *trained);
  for (const std::string& notice : notices) std::cerr << "note: " << notice << std::endl;
  save_checkpoint(paths.last(), state);

  std::printf("%-32s error %%\n", "layer");
  json layers = json::array();
  for (const LayerError& e : errors) {
    std::printf("%-32s %7.2f\n", e.layer.c_str(), 100 * e.relative);
    layers.push_back({{"layer", e.layer}, {"relative_error", e.relative}});
  }
  std::printf("convolution weights: %lld, %.1f %% of %lld\n", static_cast<long long>(weights),
              100.0 * static_cast<double>(weights) / static_cast<double>(all), static_cast<long long>(all));
  std::printf("%s %s, %d episodes, %d inner steps:\n", source->info().dataset.c_str(), c.split.c_str(), c.episodes,
              before.inner_steps);
  const auto say = [](const char* what, const StepAccuracy& a) {
    std::printf("  %-20s %5.2f%s\n", what, 100 * a.accuracy, interval_text(a.ci95, 2).c_str());
  };
  say("standard", before);
  say("decomposed", after);
  std::fflush(stdout);
  const auto as_json = [](const StepAccuracy& a) {
    return json{{"accuracy", a.accuracy}, {"ci95", number_or_null(a.ci95)}};
  };
  json result = {{"version", kResultVersion},
                 {"run", c.run},
                 {"sharing", c.conv.sharing},
                 {"atoms", c.conv.atoms},
                 {"group", c.conv.group},
                 {"layers", layers},
                 {"convolution_weights", weights},
                 {"standard_convolution_weights", all},
                 {"split", c.split},
                 {"episodes", c.episodes},
                 {"inner_steps", before.inner_steps},
                 {"standard", as_json(before)},
                 {"decomposed", as_json(after)}};
  if (c.finetune > 0) {
    TrainingRunOptions training;
    training.trainer = settings.trainer;
    training.val_every = 0;
    training.checkpoint_every = settings.checkpoint_every;
    Progress progress(0, c.finetune, false);
    training.on_iteration = [&](const IterationReport& report) {
      progress.update(report.iteration, report.loss, report.accuracy);
    };
    training.stop_requested = [] { return stop_signal() != 0; };
    with_threads(c.threads, [&] { state = run_training(learner, *train, nullptr, training, std::move(state), paths); });
    if (stop_signal() != 0) {
      progress.note("stopped after iteration " + std::to_string(state.iteration) + "; train --resume --out '" + c.out +
                    "' continues");
      return 128 + stop_signal();
    }
    const StepAccuracy tuned = accuracy_of(learner, state.parameters);
    say(("after " + std::to_string(c.finetune) + " iterations").c_str(), tuned);
    result["finetuned"] = as_json(tuned);
    result["finetune_iterations"] = c.finetune;
  }
  if (!c.json_file.empty()) write_file_atomically(c.json_file, json_text(result) + "\n");
  return 0;
}

}  // namespace

Command setup_decompose(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "decompose", "Turn a run of standard convolutions into one of atoms and coefficients, by least squares.");
  auto command = std::make_shared<DecomposeCommand>();
  DecomposeCommand& c = *command;
  c.conv.sharing = default_sharing("acdc");
  app->add_option("RUN", c.run, "The run with the standard network is in this folder.")->required();
  app->add_option("--out", c.out, "The new run is written to this folder.")->required()->type_name("DIR");
  app->add_option("--sharing", c.conv.sharing,
                  "Coefficients belong to each layer, or are shared within a block, a stage or the net, whose layers "
                  "are then fitted jointly.")
      ->check(CLI::IsMember(sharing_rules()))
      ->capture_default_str();
  add_number(*app, "--atoms", c.conv.atoms, "Each layer has this many atoms.", 1, 121)->capture_default_str();
  add_number(*app, "--group", c.conv.group,
             "Channels are cut into groups of this size, and each pair of groups has its own atoms; 0 makes no groups.",
             0, 1024)
      ->capture_default_str();
  app->add_flag("--decompose-stem", c.conv.decompose_stem, "The first convolution is decomposed too.");
  app->add_flag("--decompose-pointwise", c.conv.decompose_pointwise, "1x1 convolutions are decomposed too.");
  add_number(*app, "--finetune", c.finetune,
             "The new run is then trained for this many iterations, as RUN was trained.", 0, 1'000'000'000)
      ->capture_default_str();
  app->add_option(
         "--outer-lr", c.outer_lr,
         "With --finetune, outer steps have this size: one number or one by role; by default as RUN was trained.")
      ->needs("--finetune");
  app->add_option("--split", c.split, "Both networks are compared on this split: train, val or test.")
      ->check(CLI::IsMember({"train", "val", "test"}))
      ->capture_default_str();
  add_number(*app, "--episodes", c.episodes, "Both networks are compared on this many episodes.", 1, 1'000'000)
      ->capture_default_str();
  app->add_option("--data-root", c.data_root,
                  "The data set's files are in this folder; by default where the run found them.")
      ->type_name("DIR");
  app->add_flag("--allow-class-overlap", c.allow_class_overlap,
                "The command goes on although classes have changed their splits since RUN was trained.");
  app->add_option("--checkpoint", c.checkpoint,
                  "The weights are those of the best or the last checkpoint; by default the best if there is one.")
      ->check(CLI::IsMember({"best", "last"}));
  add_number(*app, "--threads", c.threads,
             "The program uses this many threads, 0 for all cores; results do not depend on it.", 0, 1024);
  app->add_option("--json", c.json_file, "The result is written to this JSON file.")->type_name("FILE");
  last_one_counts(*app);
  return [command] { return run_decompose(*command); };
}

}  // namespace fewatoms
