#include <algorithm>
#include <cstdio>
#include <iostream>

#include <nlohmann/json.hpp>

#include "apps/evaluation_choice.h"
#include "apps/json_text.h"
#include "apps/predictions.h"
#include "apps/run_results.h"
#include "backbones/safetensors.h"
#include "episodes/errors.h"
#include "meta/methods.h"
#include "meta/transfer.h"

namespace fewatoms {
namespace {

using json = nlohmann::ordered_json;

struct EvalCommand {
  std::string run, checkpoint, steps, json_file, method, predictions_file, confusion_file;
  EvaluationChoice choice;
  int threads = 0;
};

/// What the result says about the network and how it was tested: names as in docs/results.md.
json result_json(const Settings& settings, const Learner& learner, const EvaluationData& data,
                 const std::vector<std::string>& notices, const EvaluationOptions& options,
                 const Evaluation& evaluation, const std::string& checkpoint, const TrainState& state) {
  json by_steps = json::array();
  for (const StepAccuracy& step : evaluation.by_steps) by_steps.push_back(step_json(step));
  const SourceInfo& info = data.source->info();
  const NetworkOptions& network = settings.learner.network;
  const StepAccuracy& last = evaluation.by_steps.back();
  json result = {{"version", kResultVersion},
                 {"accuracy", last.accuracy},
                 {"ci95", number_or_null(last.ci95)},
                 {"inner_steps", last.inner_steps},
                 {"episodes", options.episodes}};
  result.update(describe_spec(options.spec));
  const json tested = {{"dataset", info.dataset},
                       {"split", info.split},
                       {"split_rule", info.split_rule},
                       {"crop", info.crop},
                       {"classes_hash", hash_of(data.classes)},
                       {"notices", notices},
                       {"skipped_images", info.skipped},
                       {"image_size", network.image_size},
                       {"channels", network.channels},
                       {"trained_on", settings.data.name},
                       {"iteration", state.iteration},
                       {"train_seconds", state.seconds}};
  result.update(tested);
  result.update(describe_network(settings, learner, state.parameters));
  const json more = {{"by_steps", by_steps},
                     {"norm", settings.learner.norm},
                     {"transductive", learner.transductive()},
                     {"seed", settings.trainer.seed},
                     {"eval_seed", options.seed},
                     {"checkpoint", checkpoint},
                     {"seconds", evaluation.seconds},
                     {"accuracy_by_episode", evaluation.accuracies}};
  result.update(more);
  return result;
}

/// Has new tasks learned by another method on the run's body: its presets, with the run's network, norm and seed.
void learn_by(const std::string& method, Run& run, const EvalCommand& command) {
  LearnerOptions options = find_method(method).preset;
  const LearnerOptions& own = run.settings.learner;
  options.network = own.network;
  if (options.norm != "per-step" || own.norm == "per-step") options.norm = own.norm;
  options.ways = own.ways;
  options.seed = own.seed;
  options.inner_lr_learned = "none";  // what is learned is the other run's
  options.inner_lr_per_step = "no";
  options.head_learned = "no";
  options.classes = 2;  // of a head that evaluation does not use
  ParameterSet initial;
  run.learner = std::make_shared<const Learner>(options, initial);
  if (run.learner->fixed_ways() || run.learner->head() == HeadKind::kRelation)
    throw UsageError("method '" + method + "' needs a trained head, and that of a run of '" + own.method +
                     "' is not one; methods without are " +
                     "protonet, proto-maml, r2d2, matching, baseline, baseline++ and simpleshot");
  run.state.parameters = with_body(initial, run.state.parameters, "the run");
  if (!run.learner->feature_mean()) return;
  Settings training = run.settings;
  training.val_every = 0;   // its training images alone are needed
  EvaluationChoice choice;  // the mean is that of the classes that the run was trained on
  choice.split = "train";
  choice.split_given = true;
  choice.allow_class_overlap = command.choice.allow_class_overlap;
  if (read_run_classes(command.run)) open_evaluation_data(command.run, training, choice);
  run.state.parameters = with_feature_mean(*run.learner, run.state.parameters, *open_training_sources(training).train,
                                           training.trainer.pixel_norm);
}

int run_eval(const EvalCommand& command) {
  Run run = read_run(command.run, command.checkpoint);
  const Settings& settings = run.settings;
  if (!command.method.empty() && command.method != settings.learner.method) learn_by(command.method, run, command);
  const Learner& learner = *run.learner;
  const TrainState& state = run.state;

  const EvaluationData data = open_evaluation_data(command.run, settings, command.choice);
  const auto& source = data.source;
  std::vector<std::string> notices = source->info().notices;
  notices.insert(notices.end(), data.notices.begin(), data.notices.end());
  EvaluationOptions options = chosen_evaluation(settings, command.choice);
  if (!command.method.empty()) options.inner_steps = {learner.options().inner_steps};
  if (!command.steps.empty()) options.inner_steps = parse_steps("--eval-inner-steps", command.steps);
  choose_episodes(command.choice, *source, options);
  Evaluation evaluation;
  options.keep_predictions = !command.predictions_file.empty() || !command.confusion_file.empty();
  options.keep_probabilities = !command.predictions_file.empty();
  with_threads(command.threads, [&] { evaluation = evaluate(learner, state.parameters, *source, options); });

  if (!command.json_file.empty()) {
    json result = result_json(settings, learner, data, notices, options, evaluation, run.checkpoint, state);
    result.update(describe_episodes(command.choice));
    write_file_atomically(command.json_file, json_text(result) + "\n");
  }
  if (!command.predictions_file.empty())
    write_file_atomically(command.predictions_file, predictions_csv(*source, options, evaluation));
  if (!command.confusion_file.empty())
    write_file_atomically(command.confusion_file, confusion_csv(*source, options, evaluation));
  for (const std::string& notice : notices) std::cerr << "note: " << notice << std::endl;
  const std::string as = command.method.empty() ? "" : " by " + command.method;
  std::printf("%s (%s, iteration %lld) on %s %s: %s, %d episodes, norm %s%s\n", command.run.c_str(),
              (run.checkpoint + as).c_str(), static_cast<long long>(state.iteration), source->info().dataset.c_str(),
              source->info().split.c_str(), spec_text(options.spec).c_str(), options.episodes,
              settings.learner.norm.c_str(), learner.transductive() ? " (transductive)" : "");
  std::printf("  inner steps   accuracy %%\n");
  for (const StepAccuracy& step : evaluation.by_steps)
    std::printf("  %11d   %6.2f%s\n", step.inner_steps, 100 * step.accuracy, interval_text(step.ci95, 2).c_str());
  return 0;
}

}  // namespace

Command setup_eval(CLI::App& program) {
  auto command = std::make_shared<EvalCommand>();
  CLI::App* app =
      program.add_subcommand("eval", "Measure the accuracy of a run on unseen classes, by the number of inner steps.");
  EvalCommand& c = *command;
  app->add_option("RUN", c.run, "The run is in this folder, which `fewatoms train` wrote.")->required();
  add_choice_options(*app, c.choice);
  app->add_option("--shots", c.choice.shots,
                  "Each class of an episode has this many support images, or a number from a range such as 1..10; by "
                  "default the run's own.");
  app->add_option(
      "--eval-inner-steps", c.steps,
      "The accuracy is reported after these numbers of inner steps, as in 0,1,2,5,10; by default the run's own.");
  app->add_option("--checkpoint", c.checkpoint,
                  "The weights are those of the best or the last checkpoint; by default the best if there is one.")
      ->check(CLI::IsMember({"best", "last"}));
  add_number(*app, "--threads", c.threads,
             "The program uses this many threads, 0 for all cores; results do not depend on it.", 0, 1024);
  app->add_option(
         "--method", c.method,
         "New tasks are learned by this method on the run's body, for instance simpleshot; by default the run's own.")
      ->check([](const std::string& given) {
        const auto names = method_names();
        return std::find(names.begin(), names.end(), given) != names.end() ? std::string()
                                                                           : unknown_name("method", given, names);
      });
  app->add_option("--json", c.json_file, "The result is written to this JSON file.");
  app->add_option(
         "--predictions", c.predictions_file,
         "This CSV file gets what each query image was taken for, with probabilities, at the last number of steps.")
      ->type_name("FILE");
  app->add_option(
         "--confusion", c.confusion_file,
         "This CSV file gets how often each class was taken for each other class, at the last number of steps.")
      ->type_name("FILE");
  last_one_counts(*app);
  return [command] { return run_eval(*command); };
}

}  // namespace fewatoms
