#include <algorithm>
#include <cstdio>
#include <iostream>

#include <nlohmann/json.hpp>

#include "apps/evaluation_choice.h"
#include "apps/json_text.h"
#include "apps/run_results.h"
#include "backbones/safetensors.h"
#include "datasets/table.h"
#include "episodes/numbers.h"
#include "meta/adaptation_curve.h"
#include "meta/corruption.h"

namespace fewatoms {
namespace {

using json = nlohmann::ordered_json;

struct SpeedCommand {
  std::vector<std::string> runs;
  EvaluationChoice choice;
  std::string steps = "0,1,2,3,5,10,20,50,100", checkpoint, rates, shots, corrupt, label_noise, json_file, csv_file;
  int timed_tasks = 5, threads = 0;
};

/// Accuracy under one condition, as "corrupt noise 3".
struct Point {
  std::string condition, kind;  // rate, shots, corrupt or label-noise; the corruption
  double value = 0;
  StepAccuracy result;
};

/// A run with all that was found about it.
struct Subject {
  std::string folder, name;  // name: the last part of the folder
  Run run;
  EvaluationData data;
  std::shared_ptr<const ImageSource> source;
  EvaluationOptions options;  // its curve's
  Evaluation curve;
  std::vector<double> seconds;  // to each number of steps
  CurveSummary summary;
  std::vector<Point> points;

  const Learner& learner() const { return *run.learner; }
};

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    parts.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return parts;
}

/// What is looked at besides the curve.
struct Sweeps {
  std::vector<double> rates, label_noise;
  std::vector<int> shots;
  std::vector<std::string> corrupt;
};

Sweeps parse_sweeps(const SpeedCommand& c) {
  Sweeps sweeps;
  if (!c.rates.empty()) sweeps.rates = parse_numbers("--rates", c.rates, 1e-3, 1e3);
  if (!c.label_noise.empty()) sweeps.label_noise = parse_numbers("--label-noise", c.label_noise, 0, 1);
  if (!c.shots.empty()) sweeps.shots = parse_steps("--shots", c.shots);
  if (std::any_of(sweeps.shots.begin(), sweeps.shots.end(), [](int s) { return s < 1; }))
    throw UsageError("--shots is '" + c.shots + "', numbers from 1 were expected");
  if (!c.corrupt.empty()) sweeps.corrupt = words(c.corrupt);
  for (const std::string& kind : sweeps.corrupt) corruption_from_string(kind);
  return sweeps;
}

/// A sweep's numbers of shots are plain ones, whatever range the run was trained with.
void set_shots(EvaluationOptions& options, int shots) {
  options.spec.shots = shots;
  options.spec.fewest_shots = 0;
  options.spec.imbalanced = false;
}

/// Reads the runs and their images; everything that can be refused is refused here.
std::vector<Subject> open_subjects(const SpeedCommand& command, const Sweeps& sweeps) {
  std::vector<Subject> subjects;
  const std::vector<int> steps = parse_steps("--steps", command.steps);
  for (const std::string& folder : command.runs) {
    Subject s{.folder = folder,
              .name = run_name(folder),
              .run = read_run(folder, command.checkpoint),
              .data = {},
              .source = {},
              .options = {},
              .curve = {},
              .seconds = {},
              .summary = {},
              .points = {}};
    s.data = open_evaluation_data(folder, s.run.settings, command.choice);
    if (!subjects.empty()) {
      const EvaluationData& first = subjects[0].data;
      if (!same_episodes(first.options, s.data.options) || first.split != s.data.split)
        throw UsageError(
            "runs '" + subjects[0].folder + "' (" + first.options.name + ") and '" + folder + "' (" +
            s.data.options.name +
            ") have different images: --dataset, --data-root, --split-rule, --split-file, --crop and --min-images "
            "choose the same for all");
    }
    s.source = s.data.source;
    s.options = chosen_evaluation(s.run.settings, command.choice);
    s.options.inner_steps = s.learner().adapted().empty() ? std::vector<int>{0} : steps;
    if (subjects.empty()) {
      choose_episodes(command.choice, *s.source, s.options);
      if (!s.options.given.empty() && !sweeps.shots.empty())
        throw UsageError("--shots draws episodes of its own: it does not go with --episodes-file and --unique-classes");
    } else {  // the same episodes for all
      s.options.spec = subjects[0].options.spec;
      s.options.given = subjects[0].options.given;
      s.options.episodes = subjects[0].options.episodes;
    }
    try {
      require_evaluable(s.learner(), *s.source, s.options);
      EvaluationOptions most = s.options;
      for (const int shots : sweeps.shots) {
        set_shots(most, shots);
        require_evaluable(s.learner(), *s.source, most);
      }
    } catch (const UsageError& e) {
      throw UsageError("run '" + folder + "': " + e.what());
    }
    subjects.push_back(std::move(s));
  }
  return subjects;
}

/// One evaluation at the run's own number of steps, changed by `change`.
template <class Change>
void add_point(Subject& s, const std::string& condition, const std::string& kind, double value, Change&& change) {
  EvaluationOptions options = s.options;
  options.inner_steps = {own_steps(s.run)};
  change(options);
  s.points.push_back(
      {condition, kind, value, evaluate(s.learner(), s.run.state.parameters, *s.source, options).by_steps.front()});
}

void measure(Subject& s, const Sweeps& sweeps, int timed_tasks) {
  const auto say = [&](const char* what) { std::fprintf(stderr, "%s: %s\n", s.folder.c_str(), what); };
  const ParameterSet& parameters = s.run.state.parameters;
  say("accuracy by inner steps");
  s.curve = evaluate(s.learner(), parameters, *s.source, s.options);
  s.seconds = adaptation_seconds(s.learner(), parameters, *s.source, s.options, timed_tasks);
  s.summary = summarise_curve(s.curve.by_steps, s.seconds);
  if (!sweeps.rates.empty() && own_steps(s.run) > 0) {
    say("inner rates");
    for (const double factor : sweeps.rates)
      add_point(s, "rate", "", factor, [&](EvaluationOptions& o) { o.rate_factor = factor; });
  }
  if (!sweeps.shots.empty()) say("shots");
  for (const int shots : sweeps.shots)
    add_point(s, "shots", "", shots, [&](EvaluationOptions& o) { set_shots(o, shots); });
  for (const std::string& kind : sweeps.corrupt) {
    say(("support images spoiled: " + kind).c_str());
    add_point(s, "corrupt", kind, 0, [](EvaluationOptions&) {});
    for (int strength = 1; strength <= kCorruptionStrengths; ++strength) {
      const auto spoiled = corrupted_source(s.source, corruption_from_string(kind), strength);
      add_point(s, "corrupt", kind, strength, [&](EvaluationOptions& o) { o.support_source = spoiled.get(); });
    }
  }
  if (!sweeps.label_noise.empty()) say("wrong labels");
  for (const double share : sweeps.label_noise)
    add_point(s, "label-noise", "", share, [&](EvaluationOptions& o) { o.label_noise = share; });
}

/// Accuracy minus accuracy of the same episode.
struct Pair {
  const Subject *a, *b;
  std::vector<std::pair<int, MeanInterval>> by_steps;
};

std::vector<double> at_steps(const Subject& s, int steps) {
  return accuracies_after(s.curve.accuracies, s.options.inner_steps, steps);
}

std::vector<Pair> pairs_of(const std::vector<Subject>& subjects) {
  std::vector<Pair> pairs;
  for (size_t i = 0; i < subjects.size(); ++i)
    for (size_t j = i + 1; j < subjects.size(); ++j) {
      Pair pair{&subjects[i], &subjects[j], {}};
      const Subject& longer =
          subjects[i].options.inner_steps.size() >= subjects[j].options.inner_steps.size() ? subjects[i] : subjects[j];
      for (const int steps : longer.options.inner_steps)
        pair.by_steps.emplace_back(steps,
                                   paired_difference(at_steps(subjects[i], steps), at_steps(subjects[j], steps)));
      pairs.push_back(std::move(pair));
    }
  return pairs;
}

double milliseconds_per_step(const Subject& s, size_t mark) {
  const int steps = s.options.inner_steps[mark] - s.options.inner_steps[0];
  return steps == 0 ? 0 : 1000 * (s.seconds[mark] - s.seconds[0]) / steps;
}

json subject_json(const Subject& s) {
  json result = run_json(s.folder, s.run);
  json by_steps = json::array(), points = json::array();
  for (size_t i = 0; i < s.curve.by_steps.size(); ++i) {
    by_steps.push_back(step_json(s.curve.by_steps[i]));
    by_steps.back()["milliseconds"] = 1000 * s.seconds[i];
    by_steps.back()["milliseconds_per_step"] = milliseconds_per_step(s, i);
  }
  for (const Point& p : s.points) {
    json point = {{"condition", p.condition}, {"kind", p.kind}, {"value", p.value}};
    point.update(step_json(p.result));
    points.push_back(point);
  }
  result["by_steps"] = by_steps;
  result["best_accuracy"] = s.summary.best_accuracy;
  result["best_steps"] = s.summary.best_steps;
  result["steps_to_95"] = s.summary.steps_to_95;
  result["milliseconds_to_95"] = 1000 * s.summary.seconds_to_95;
  result["drop_from_best_to_last"] = s.summary.drop;
  result["conditions"] = points;
  result["accuracy_by_episode"] = s.curve.accuracies;
  return result;
}

/// Those of the images, and those of each run.
std::vector<std::string> notices_of(const std::vector<Subject>& subjects) {
  std::vector<std::string> notices = subjects[0].source->info().notices;
  for (const Subject& s : subjects)
    for (const std::string& notice : s.data.notices)
      if (std::find(notices.begin(), notices.end(), notice) == notices.end()) notices.push_back(notice);
  return notices;
}

json result_json(const std::vector<Subject>& subjects, const std::vector<Pair>& pairs) {
  const EvaluationOptions& o = subjects[0].options;
  const SourceInfo& info = subjects[0].source->info();
  json runs = json::array(), paired = json::array();
  for (const Subject& s : subjects) runs.push_back(subject_json(s));
  for (const Pair& pair : pairs) {
    json by_steps = json::array();
    for (const auto& [steps, d] : pair.by_steps)
      by_steps.push_back({{"inner_steps", steps}, {"difference", d.mean}, {"ci95", number_or_null(d.ci95)}});
    paired.push_back({{"run", pair.a->folder}, {"minus", pair.b->folder}, {"by_steps", by_steps}});
  }
  json result = {{"version", kResultVersion},
                 {"dataset", info.dataset},
                 {"split", info.split},
                 {"split_rule", info.split_rule},
                 {"crop", info.crop}};
  result.update(describe_spec(o.spec));
  const json more = {{"episodes", o.episodes},
                     {"eval_seed", o.seed},
                     {"notices", notices_of(subjects)},
                     {"runs", runs},
                     {"paired", paired}};
  result.update(more);
  return result;
}

/// One row per number: run, condition (steps, rate, shots, corrupt, label-noise, or minus for a paired difference),
/// what it was, result.
std::string csv(const std::vector<Subject>& subjects, const std::vector<Pair>& pairs) {
  std::string text = "run,condition,kind,value,inner_steps,accuracy,ci95,loss,milliseconds\n";
  const auto number = [](double value) { return "," + fixed_text(value, 6); };
  const auto half = [&](const std::optional<double>& ci95) { return ci95 ? number(*ci95) : std::string(","); };
  const auto result = [&](const StepAccuracy& a) {
    return "," + number_text(a.inner_steps) + number(a.accuracy) + half(a.ci95) + number(a.loss) + ",";
  };
  for (const Subject& s : subjects) {
    const std::string run = csv_field(s.folder);
    for (size_t i = 0; i < s.curve.by_steps.size(); ++i) {
      const StepAccuracy& a = s.curve.by_steps[i];
      text += run + ",steps,," + number_text(a.inner_steps) + result(a) + fixed_text(1000 * s.seconds[i], 4) + "\n";
    }
    for (const Point& p : s.points)
      text += run + "," + p.condition + "," + p.kind + "," + number_text(p.value) + result(p.result) + "\n";
  }
  for (const Pair& pair : pairs)
    for (const auto& [steps, d] : pair.by_steps)
      text += csv_field(pair.a->folder) + ",minus," + csv_field(pair.b->folder) + "," + number_text(steps) + "," +
              number_text(steps) + number(d.mean) + half(d.ci95) + ",,\n";
  return text;
}

void print_points(const Subject& s, const std::string& condition, const char* title, const char* factor) {
  std::string line, kind;
  double least = 1, most = 0;
  const auto flush = [&] {
    if (line.empty()) return;
    std::printf("  %-26s%s", (title + (kind.empty() ? "" : " " + kind)).c_str(), line.c_str());
    if (condition == "rate") std::printf("   spread %.1f", 100 * (most - least));
    std::printf("\n");
    line.clear();
  };
  char text[64];
  for (const Point& p : s.points) {
    if (p.condition != condition) continue;
    if (p.kind != kind) flush();
    kind = p.kind;
    std::snprintf(text, sizeof text, "  %s%g: %.1f", factor, p.value, 100 * p.result.accuracy);
    line += text;
    least = std::min(least, p.result.accuracy);
    most = std::max(most, p.result.accuracy);
  }
  flush();
}

void print_subject(const Subject& s) {
  const NetworkOptions& network = s.run.settings.learner.network;
  std::printf("\n%s: %s, %s-%d %s, scope %s, norm %s%s, %s checkpoint, iteration %lld\n", s.folder.c_str(),
              s.learner().options().method.c_str(), network.backbone.c_str(), network.width, network.conv.kind.c_str(),
              s.learner().options().scope.c_str(), s.run.settings.learner.norm.c_str(),
              s.learner().transductive() ? " (transductive)" : "", s.run.checkpoint.c_str(),
              static_cast<long long>(s.run.state.iteration));
  std::printf("  adapts %lld numbers, %lld bytes\n", static_cast<long long>(adapted_numbers(s.run)),
              static_cast<long long>(4 * adapted_numbers(s.run)));
  std::printf("  inner steps     accuracy %%      loss   ms to here   ms/step\n");
  for (size_t i = 0; i < s.curve.by_steps.size(); ++i) {
    const StepAccuracy& a = s.curve.by_steps[i];
    std::printf("  %11d   %6.2f%-*s  %7.3f   %10.2f   %7.2f\n", a.inner_steps, 100 * a.accuracy,
                a.ci95 ? 9 : 8,  // ± has two bytes
                a.ci95 ? interval_text(a.ci95, 2).c_str() : "", a.loss, 1000 * s.seconds[i],
                milliseconds_per_step(s, i));
  }
  std::printf(
      "  best %.2f %% after %d steps; 95 %% of it after %d steps, %.2f ms; from the best to %d steps %.2f points "
      "lost\n",
      100 * s.summary.best_accuracy, s.summary.best_steps, s.summary.steps_to_95, 1000 * s.summary.seconds_to_95,
      s.curve.by_steps.back().inner_steps, 100 * s.summary.drop);
  if (!s.points.empty()) std::printf("  accuracy %% after %d steps, by\n", own_steps(s.run));
  print_points(s, "rate", "inner rate", "x");
  print_points(s, "shots", "shots", "");
  print_points(s, "corrupt", "support", "");
  print_points(s, "label-noise", "wrong labels", "");
}

int run_speed(const SpeedCommand& command) {
  const Sweeps sweeps = parse_sweeps(command);
  std::vector<Subject> subjects = open_subjects(command, sweeps);
  with_threads(command.threads, [&] {
    for (Subject& s : subjects) measure(s, sweeps, command.timed_tasks);
  });
  const std::vector<Pair> pairs = pairs_of(subjects);
  if (!command.json_file.empty())
    write_file_atomically(command.json_file, json_text(result_json(subjects, pairs)) + "\n");
  if (!command.csv_file.empty()) write_file_atomically(command.csv_file, csv(subjects, pairs));

  const EvaluationOptions& o = subjects[0].options;
  const SourceInfo& info = subjects[0].source->info();
  for (const std::string& notice : notices_of(subjects)) std::cerr << "note: " << notice << std::endl;
  std::printf("%s %s, %s: %d episodes%s%s\n", info.dataset.c_str(), info.split.c_str(), spec_text(o.spec).c_str(),
              o.episodes, subjects.size() > 1 ? ", the same for all runs" : "",
              o.episodes == 1 ? " (no intervals of one)" : "");
  for (const Subject& s : subjects) print_subject(s);
  if (!pairs.empty()) std::printf("\ndifferences in points, paired by episode, after so many steps\n");
  for (const Pair& pair : pairs) {
    std::printf("  %s - %s\n   ", pair.a->name.c_str(), pair.b->name.c_str());
    for (const auto& [steps, d] : pair.by_steps)
      std::printf("  %d: %+.2f%s", steps, 100 * d.mean, d.ci95 ? interval_text(d.ci95, 2).c_str() : "");
    std::printf("\n");
  }
  return 0;
}

}  // namespace

Command setup_speed(CLI::App& program) {
  auto command = std::make_shared<SpeedCommand>();
  SpeedCommand& c = *command;
  c.choice.episodes = 200;
  CLI::App* app = program.add_subcommand(
      "speed",
      "Measure how fast and how robustly runs adapt: accuracy, time and size by inner steps, compared pair by pair.");
  app->add_option("RUN", c.runs, "The runs are in these folders, which `fewatoms train` wrote.")->required();
  app->add_option("--steps,--eval-inner-steps", c.steps, "The results are reported after these numbers of inner steps.")
      ->capture_default_str();
  add_choice_options(*app, c.choice);
  app->add_option("--shots", c.shots,
                  "These numbers of support images for each class are compared, as in 1,2,5,10; the rest uses the "
                  "first run's own.");
  app->add_option("--rates", c.rates,
                  "The inner step sizes are multiplied by these factors to compare; without a value by 0.25,0.5,1,2,4.")
      ->expected(0, 1);
  app->add_option("--corrupt", c.corrupt,
                  "Support images are spoiled at five strengths by noise, blur, brightness or jpeg; without a value by "
                  "all of them.")
      ->expected(0, 1);
  app->add_option("--label-noise", c.label_noise,
                  "These shares of the support labels are made wrong; without a value 0,0.2,0.4.")
      ->expected(0, 1);
  app->add_option("--checkpoint", c.checkpoint,
                  "The weights are those of the best or the last checkpoint; by default the best if there is one.")
      ->check(CLI::IsMember({"best", "last"}));
  add_number(*app, "--timed-tasks", c.timed_tasks,
             "Times are measured on this many tasks, one after the other on one thread.", 1, 1000)
      ->capture_default_str();
  add_number(*app, "--threads", c.threads,
             "The program uses this many threads, 0 for all cores; accuracies do not depend on it.", 0, 1024);
  app->add_option("--json", c.json_file,
                  "Everything is written to this JSON file, including the accuracies of each episode.");
  app->add_option("--csv", c.csv_file, "The numbers are written to this CSV file, one in each row.");
  last_one_counts(*app);
  return [app, command] {
    const auto alone = [&](const char* name, std::string& value, const char* usual) {  // CLI11 gives "true" or nothing
      if (app->count(name) > 0 && (value.empty() || value == "true")) value = usual;
    };
    alone("--rates", command->rates, "0.25,0.5,1,2,4");
    alone("--corrupt", command->corrupt, "noise,blur,brightness,jpeg");
    alone("--label-noise", command->label_noise, "0,0.2,0.4");
    return run_speed(*command);
  };
}

}  // namespace fewatoms
