#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <iostream>

#include "apps/command_line.h"
#include "apps/config_file.h"
#include "apps/progress.h"
#include "apps/run_folder.h"
#include "backbones/safetensors.h"
#include "episodes/errors.h"
#include "meta/checkpoint.h"
#include "meta/memory.h"
#include "meta/transfer.h"

namespace fewatoms {
namespace {

volatile std::sig_atomic_t g_signal = 0;

void on_signal(int number) {
  g_signal = number;
  std::signal(number, SIG_DFL);  // a second one ends the program at once
}

std::string percent(double fraction) {
  char text[16];
  std::snprintf(text, sizeof text, "%.2f %%", 100 * fraction);
  return text;
}

/// Refuses text that is not one of the choices, offering the nearest, and numbers outside of the range, NaN included.
template <class T>
void add_checks(CLI::Option* option, const OptionText& text) {
  if (!text.choices.empty())
    option->check([text](const std::string& given) {
      const bool known = std::find(text.choices.begin(), text.choices.end(), given) != text.choices.end();
      return known ? std::string() : unknown_name(text.name, given, text.choices);
    });
  if constexpr (std::is_same_v<T, bool>) {
    option->expected(0, 1)->type_name("")->default_str("");  // the name alone says yes
    option->check([](const std::string& given) {
      const bool good = given == "true" || given == "false" || given == "1" || given == "0";
      return good ? std::string() : "'" + given + "' is not true or false";
    });
  } else if constexpr (std::is_arithmetic_v<T>) {
    const auto number = [](double x) {
      char digits[32];
      std::snprintf(digits, sizeof digits, "%g", x);
      return std::string(digits);
    };
    std::string range = std::is_integral_v<T> ? "a whole number" : "a number";
    if (text.low > -1e300) range += text.high < 1e300 ? " from " + number(text.low) + " to " + number(text.high) : " of at least " + number(text.low);
    option->check([text, range](const std::string& given) {
      double value = 0;
      const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
      const bool whole = !std::is_integral_v<T> || given.find_first_not_of("0123456789-") == std::string::npos;
      const bool good = error == std::errc() && end == given.data() + given.size() && whole && value >= text.low && value <= text.high;
      return good ? std::string() : "'" + given + "' is not " + range;
    });
    option->type_name(std::is_integral_v<T> ? "INT" : "NUMBER");
  }
}

struct TrainCommand {
  std::string config, out;
  bool resume = false, quiet = false;
  Settings shown;  // what the help text shows as defaults
};

std::string describe(const Learner& learner, const ParameterSet& parameters) {
  std::string text = "convolution weights " + std::to_string(convolution_weights(parameters)) + ", adapted";
  const auto adapted = learner.adapted_count(parameters);
  if (adapted.empty()) return text + " none";
  int64_t sum = 0;
  std::string parts;
  for (const auto& [role, count] : adapted) {
    sum += count;
    parts += (parts.empty() ? "" : ", ") + std::to_string(count) + " " + to_string(role);
  }
  return text + " " + std::to_string(sum) + " (" + parts + ")";
}

int run_train(const CLI::App& app, const TrainCommand& command) {
  std::vector<std::string> arguments;
  const auto append = [&](const std::vector<std::string>& more) { arguments.insert(arguments.end(), more.begin(), more.end()); };
  const RunPaths paths(command.out);
  const bool exists = std::filesystem::exists(paths.config()) || std::filesystem::exists(paths.last());
  if (exists && !command.resume)
    throw UsageError("'" + command.out + "' holds a run already: --resume continues it, another --out starts a new one");
  if (command.resume && !exists) throw UsageError("--resume: there is no run in '" + command.out + "'");

  if (command.resume) append(arguments_from_config(paths.config()));
  if (!command.config.empty()) append(arguments_from_config(command.config));
  append(setting_arguments(app));
  Settings settings = settings_from_arguments(arguments);
  if (command.resume) {
    const std::string changes = forbidden_changes(read_run_settings(command.out), settings);
    if (!changes.empty()) throw UsageError("--resume cannot change the run in '" + command.out + "': " + changes);
  }

  TrainingSources sources;
  if (settings.learner.train_on == "classes" && settings.learner.classes == 0) {  // the data say how many
    settings.learner.classes = 2;
    ParameterSet any;
    Learner(settings.learner, any);  // what else is wrong is refused before they are loaded
    sources = open_training_sources(settings);
    settings.learner.classes = sources.train->classes();
  }
  TrainState state;
  const Learner learner(settings.learner, state.parameters);
  if (command.resume && std::filesystem::exists(paths.last())) state = load_checkpoint(paths.last(), state.parameters);
  else if (!settings.init.empty())
    state.parameters = with_body(state.parameters, read_run(settings.init).state.parameters, "--init: run '" + settings.init.string() + "'");
  const auto say = [&](const std::string& line) {
    if (!command.quiet) std::cerr << line << std::endl;
  };
  if (state.iteration >= settings.trainer.iterations && !validation_due(settings.val_every, state.iteration, state.last_validation)) {
    say("'" + command.out + "' is finished: " + std::to_string(state.iteration) + " iterations; a larger --iterations continues it");
    return 0;
  }

  if (!sources.train) sources = open_training_sources(settings);
  require_trainable(learner, state.parameters, *sources.train, settings.trainer);
  require_memory(learner, state.parameters, settings.trainer.spec, settings.trainer.meta_batch, tasks_in_flight(settings));
  if (settings.val_every > 0) require_evaluable(learner, *sources.validation, evaluation_options(settings));
  // Everything that can be refused has been checked; only now does the folder come to be.
  std::error_code error;
  std::filesystem::create_directories(command.out, error);
  if (error) throw UsageError("cannot make folder '" + command.out + "': " + error.message());
  write_file_atomically(paths.config(), config_text(settings));
  for (const std::string& notice : sources.train->info().notices) say("note: " + notice);
  say(settings.learner.method + " on " + settings.data.name + ": " + describe(learner, state.parameters) +
      (learner.transductive() ? "; transductive" : ""));

  TrainingRunOptions options;
  options.trainer = settings.trainer;
  options.validation = evaluation_options(settings);
  options.val_every = settings.val_every;
  options.checkpoint_every = settings.checkpoint_every;
  Progress progress(state.iteration, settings.trainer.iterations, command.quiet);
  options.on_iteration = [&](const IterationReport& report) { progress.update(report.iteration, report.loss, report.accuracy); };
  options.on_validation = [&](const ValidationReport& report) {
    progress.note("validation at " + std::to_string(report.iteration) + ": " + percent(report.result.accuracy) + " ± " +
                  percent(report.result.ci95) + (report.best ? " (best)" : ""));
  };
  options.stop_requested = [] { return g_signal != 0; };
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);

  with_threads(settings.threads, [&] {
    state = run_training(learner, *sources.train, sources.validation.get(), options, std::move(state), paths);
  });
  if (g_signal != 0) {
    progress.note("stopped after iteration " + std::to_string(state.iteration) + "; --resume continues");
    return 128 + g_signal;
  }
  return 0;
}

}  // namespace

void add_setting_options(CLI::App& app, Settings& settings) {
  app.add_option("--method", settings.learner.method, "how tasks are learned; sets the defaults of other options")
      ->group("Method")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->check([](const std::string& given) {
        const auto names = method_names();
        return std::find(names.begin(), names.end(), given) != names.end() ? std::string() : unknown_name("method", given, names);
      })
      ->capture_default_str();
  for_each_option(settings, [&](const OptionText& text, auto& value) {
    using Value = std::decay_t<decltype(value)>;
    std::string help = text.help;
    if (!text.choices.empty()) {
      help += ":";
      for (const std::string& choice : text.choices) help += " " + choice;
    }
    CLI::Option* option = nullptr;
    if constexpr (std::is_same_v<Value, NumberRange>)
      option = app.add_option_function<std::string>(std::string("--") + text.name, [range = value, text](const std::string& v) {
                    set_range(range, v, text.low, text.high);
                  }, help)
                   ->default_str(range_text(*value.fewest, *value.most))
                   ->check([text](const std::string& given) {
                     int fewest = 0, most = 0;
                     try {
                       set_range({&fewest, &most}, given, text.low, text.high);
                     } catch (const UsageError& e) {
                       return std::string(e.what());
                     }
                     return std::string();
                   });
    else if constexpr (std::is_same_v<Value, std::filesystem::path>)
      option = app.add_option_function<std::string>(std::string("--") + text.name, [&value](const std::string& v) { value = v; }, help);
    else
      option = app.add_option(std::string("--") + text.name, value, help)->capture_default_str();
    option->group(text.group);
    if constexpr (std::is_same_v<Value, std::vector<std::string>>)
      option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->default_str("");
    else
      option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    add_checks<Value>(option, text);
  });
}

std::vector<std::string> setting_arguments(const CLI::App& app) {
  std::vector<std::string> arguments;
  Settings any;
  const auto take = [&](const std::string& name) {
    const CLI::Option* option = app.get_option("--" + name);
    return option->count() > 0 ? option->results() : std::vector<std::string>();
  };
  const auto add = [&](const std::string& name, const std::string& value) { arguments.push_back("--" + name + "=" + value); };
  if (const auto given = take("method"); !given.empty()) add("method", given.back());
  for_each_option(any, [&](const OptionText& text, auto& value) {
    const auto given = take(text.name);
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::vector<std::string>>)
      for (const std::string& one : given) add(text.name, one);
    else if (!given.empty())
      add(text.name, std::is_same_v<std::decay_t<decltype(value)>, bool> && given.back().empty() ? "true" : given.back());  // the name alone
  });
  return arguments;
}

Settings settings_from_arguments(const std::vector<std::string>& arguments) {
  const auto parse = [&](Settings& settings) {
    CLI::App app;
    add_setting_options(app, settings);
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 wants them
    try {
      app.parse(reversed);
    } catch (const CLI::ParseError& e) {
      throw UsageError(e.what());
    }
    if (settings.learner.network.conv.kind != "acdc")
      for (const char* name : {"--sharing", "--atoms", "--compute"})
        if (app.get_option(name)->count() > 0)
          throw UsageError(std::string(name) + " goes with --conv acdc, but the convolutions are '" + settings.learner.network.conv.kind + "'");
  };
  // Which method and data set decides the defaults: a first look finds them.
  Settings first;
  first.learner.network.conv.kind = "acdc";  // lets --sharing pass here
  {
    CLI::App app;
    add_setting_options(app, first);
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    try {
      app.parse(reversed);
    } catch (const CLI::ParseError& e) {
      throw UsageError(e.what());
    }
  }
  Settings settings = default_settings(first.learner.method, first.data.name);
  parse(settings);
  complete(settings);
  return settings;
}

Command setup_train(CLI::App& program) {
  auto command = std::make_shared<TrainCommand>();
  CLI::App* app = program.add_subcommand("train", "meta-train a network and keep it in a run folder");
  command->shown = default_settings("maml", "strokes");
  app->add_option("--out", command->out, "run folder to make")->required()->group("Run")->type_name("DIR");
  app->add_flag("--resume", command->resume, "continue the run in --out, to the same weights as without the interruption; only --iterations "
                "may change, and only grow")->group("Run");
  app->add_option("--config", command->config, "TOML file whose keys are option names; options given here count more")->group("Run")->type_name("FILE");
  app->add_flag("--quiet", command->quiet, "print errors only")->group("Run");
  add_setting_options(*app, command->shown);
  return [app, command] { return run_train(*app, *command); };
}

}  // namespace fewatoms
