#include <algorithm>
#include <cstdio>
#include <iostream>
#include <set>

#include "apps/command_line.h"
#include "apps/config_file.h"
#include "apps/dry_run.h"
#include "apps/folder_lock.h"
#include "apps/json_text.h"
#include "apps/progress.h"
#include "apps/run_classes.h"
#include "apps/run_folder.h"
#include "apps/stop_signal.h"
#include "apps/training_log.h"
#include "backbones/safetensors.h"
#include "datasets/remarks.h"
#include "episodes/numbers.h"
#include "meta/checkpoint.h"
#include "meta/memory.h"
#include "meta/transfer.h"

namespace fewatoms {
namespace {

std::string percent(const StepAccuracy& result) {
  return fixed_text(100 * result.accuracy, 2) + " %" + interval_text(result.ci95, 2) + (result.ci95 ? " %" : "");
}

struct TrainCommand {
  std::string config, out, picture;
  bool resume = false, quiet = false, dry_run = false, allow_class_overlap = false;
  Settings shown;  // what the help text shows as defaults
};

std::string describe(const Learner& learner) {
  std::string text = "convolution weights " + std::to_string(convolution_weights(*learner.schema())) + ", adapted";
  const auto adapted = learner.adapted_count();
  if (adapted.empty()) return text + " none";
  int64_t sum = 0;
  std::string parts;
  for (const auto& [role, count] : adapted) {
    sum += count;
    parts += (parts.empty() ? "" : ", ") + std::to_string(count) + " " + to_string(role);
  }
  return text + " " + std::to_string(sum) + " (" + parts + ")";
}

/// What classes.json is to hold; nothing where it stays as it is. Throws UsageError if the data of a run that goes on
/// are no longer those that it was trained on.
std::optional<RunClasses> classes_to_keep(const TrainCommand& command, const Settings& settings,
                                          const TrainingSources& sources, bool goes_on, bool moved,
                                          std::vector<std::string>& notices) {
  RunClasses now = classes_of(settings, sources);
  const std::optional<RunClasses> before = goes_on ? read_run_classes(command.out) : std::nullopt;
  if (!before || moved) look_at_images(now, *sources.train, settings.data);
  const auto add = [&](const std::vector<std::string>& more) {
    notices.insert(notices.end(), more.begin(), more.end());
  };
  if (goes_on && !before) add({unknown_classes_notice(command.out) + "; from here on it remembers them"});
  if (!settings.init.empty()) {
    const std::optional<RunClasses> start = read_run_classes(settings.init);
    if (!goes_on && !start) add({unknown_classes_notice(settings.init)});
    if (start) now = with_history(now, *start);
  }
  if (!before) return now;
  add(check_resumed(command.out, *before, now, moved, command.allow_class_overlap));
  now = with_history(now, *before);
  return same_classes(now, *before) ? std::nullopt : std::optional(now);
}

int run_train(const CLI::App& app, const TrainCommand& command) {
  std::vector<std::string> arguments;
  const auto append = [&](const std::vector<std::string>& more) {
    arguments.insert(arguments.end(), more.begin(), more.end());
  };
  if (command.out.empty() && !command.dry_run)
    throw UsageError("--out is required: the run folder to make (--dry-run makes none)");
  if (command.out.empty() && command.resume) throw UsageError("--resume continues the run in --out, which is missing");
  if (!command.picture.empty() && !command.dry_run) throw UsageError("--picture goes with --dry-run");
  const RunPaths paths(command.out);
  const bool exists =
      !command.out.empty() && (std::filesystem::exists(paths.config()) || std::filesystem::exists(paths.last()));
  if (exists && !command.resume)
    throw UsageError("'" + command.out +
                     "' holds a run already: --resume continues it, another --out starts a new one");
  if (command.resume && !exists) throw UsageError("--resume: there is no run in '" + command.out + "'");

  std::optional<FolderLock> lock;  // before anything is read that another training may change
  if (command.resume && !command.dry_run) lock.emplace(command.out, "training");
  if (command.resume) append(arguments_from_config(paths.config()));
  if (!command.config.empty()) append(arguments_from_config(command.config));
  append(setting_arguments(app));
  Settings settings = settings_from_arguments(arguments);
  bool moved = false;  // whether the data lie elsewhere now
  if (command.resume) {
    const Settings stored = read_run_settings(command.out);
    const std::string changes = forbidden_changes(stored, settings);
    if (!changes.empty())
      throw UsageError("--resume cannot change the run in '" + command.out + "': " + changes +
                       (only_training_changes(stored, settings)
                            ? "; --init '" + command.out + "' starts a new run in another --out from its weights"
                            : ""));
    moved = stored.data.root != settings.data.root || stored.data.plugin != settings.data.plugin;
  }

  TrainingSources sources;
  if (settings.learner.train_on == "classes" && settings.learner.classes == 0) {  // the data say how many
    settings.learner.classes = 2;
    Learner check(settings.learner);  // what else is wrong is refused before they are loaded
    sources = open_training_sources(settings);
    settings.learner.classes = sources.train->classes();
  }
  TrainState state;
  const Learner learner(settings.learner, state.parameters);
  const bool goes_on = command.resume && std::filesystem::exists(paths.last());
  if (goes_on)
    state = load_checkpoint(paths.last(), learner.schema());
  else if (!settings.init.empty())
    state.parameters = with_body(state.parameters, read_run(settings.init).state.parameters,
                                 "--init: run '" + settings.init.string() + "'");
  const auto say = [&](const std::string& line) {
    if (!command.quiet) std::cerr << line << std::endl;
  };
  if (state.iteration >= settings.trainer.iterations &&
      !validation_due(settings.val_every, state.iteration, state.last_validation)) {
    say("'" + command.out + "' is finished: " + std::to_string(state.iteration) +
        " iterations; a larger --iterations continues it");
    return 0;
  }

  if (!sources.train) sources = open_training_sources(settings);
  require_trainable(learner, *sources.train, settings.trainer);
  require_memory(learner, settings.trainer.spec, settings.trainer.meta_batch, tasks_in_flight(settings));
  if (settings.val_every > 0) require_evaluable(learner, *sources.validation, evaluation_options(settings));
  std::vector<std::string> notices;  // beside those of the sources
  const std::optional<RunClasses> classes = classes_to_keep(command, settings, sources, goes_on, moved, notices);
  if (command.dry_run) {  // which prints the source's own notices
    for (const std::string& notice : notices) say("note: " + notice);
    const std::string picture = command.picture.empty() ? "first-episode.png" : command.picture;
    with_threads(settings.threads, [&] { dry_run(settings, learner, state, sources, picture); });
    return 0;
  }
  // Everything that can be refused has been checked; only now does the folder come to be.
  remember_signals();
  if (!lock) {
    make_folder(command.out);
    lock.emplace(command.out, "training");
    require_no_run(command.out);  // one that has come and gone meanwhile
  }
  if (!lock->notice().empty()) notices.push_back(lock->notice());
  make_run_folder(command.out, settings);
  if (classes) write_run_classes(command.out, *classes);
  TrainingLog log(paths, settings.log_level, state);
  if (state.iteration == 0) log.first_episode(*sources.train, settings);
  std::vector<std::pair<std::string, Notices>> of_sources{{"train", sources.train->info().notices}};
  if (sources.validation) of_sources.emplace_back(sources.validation->info().split, sources.validation->info().notices);
  for (const std::string& notice : merged_notices(of_sources)) say("note" + notice);
  for (const std::string& notice : notices) say("note: " + notice);
  say(settings.learner.method + " on " + settings.data.name + ": " + describe(learner) +
      (learner.transductive() ? "; transductive" : ""));

  TrainingRunOptions options;
  options.trainer = settings.trainer;
  options.validation = evaluation_options(settings);
  options.val_every = settings.val_every;
  options.checkpoint_every = settings.checkpoint_every;
  Progress progress(state.iteration, settings.trainer.iterations, command.quiet);
  std::set<RemarkKind> remarked;
  const auto tell_remarks = [&] {  // each kind once in a training
    for (const Remark& remark : take_remarks())
      if (remarked.insert(remark.kind).second && !command.quiet) progress.note("note: " + remark.text);
  };
  options.on_iteration = [&](const IterationReport& report) {
    log.iteration(report);
    progress.update(report.iteration, report.loss, report.accuracy);
  };
  options.on_checkpoint = [&](int64_t iteration, const ParameterSet& parameters) {
    log.checkpoint(iteration, parameters);
  };
  options.on_validation = [&](const ValidationReport& report) {
    log.validation(report);
    progress.note("validation at " + std::to_string(report.iteration) + ": " + percent(report.result) +
                  (report.best ? " (best)" : ""));
    tell_remarks();
  };
  options.stop_requested = [] { return stop_signal() != 0; };

  with_threads(settings.threads, [&] {
    state = run_training(learner, *sources.train, sources.validation.get(), options, std::move(state), paths);
  });
  tell_remarks();
  if (stop_signal() != 0) {
    progress.note("stopped after iteration " + std::to_string(state.iteration) + "; --resume continues");
    return 128 + stop_signal();
  }
  return 0;
}

}  // namespace

Command setup_train(CLI::App& program) {
  auto command = std::make_shared<TrainCommand>();
  CLI::App* app = program.add_subcommand("train", "Meta-train a network and keep it in a run folder.");
  command->shown = default_settings("maml", "strokes");
  app->add_option("--out", command->out, "The run is written to this folder, which only --dry-run does not need.")
      ->group("Run")
      ->type_name("DIR");
  app->add_flag("--resume", command->resume,
                "The run in --out is continued, to the same weights as without the interruption; only --iterations may "
                "change, and only grow.")
      ->group("Run");
  app->add_flag("--allow-class-overlap", command->allow_class_overlap,
                "With --resume, training goes on although classes have changed their splits since the run was started.")
      ->group("Run");
  app->add_option(
         "--config", command->config,
         "Options are read from this TOML file, whose keys are option names; options on the command line count more.")
      ->group("Run")
      ->type_name("FILE");
  app->add_flag("--dry-run", command->dry_run,
                "Nothing is trained and no folder is made; configuration, parameters, memory and time are printed, and "
                "the first episode is drawn.")
      ->group("Run");
  app->add_option("--picture", command->picture,
                  "With --dry-run, the first episode is drawn into this PNG file; by default into first-episode.png.")
      ->group("Run")
      ->type_name("FILE");
  app->add_flag("--quiet", command->quiet, "Only errors are printed.")->group("Run");
  add_setting_options(*app, command->shown);
  return [app, command] { return run_train(*app, *command); };
}

}  // namespace fewatoms
