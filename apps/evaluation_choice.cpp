#include "apps/evaluation_choice.h"

#include <algorithm>
#include <tuple>

#include <nlohmann/json.hpp>

#include "backbones/safetensors.h"
#include "episodes/episode_file.h"
#include "episodes/numbers.h"

namespace fewatoms {

void add_choice_options(CLI::App& app, EvaluationChoice& c) {
  app.add_option("--dataset", c.dataset, "Episodes come from this data set; by default from the run's own.");
  app.add_option(
      "--data-root", c.data_root,
      "The data set's files are in this folder, archive, pack or manifest; by default where the run found them.");
  app.add_option("--split", c.split,
                 "Episodes come from this split: train, val, test, or all classes; by default test, but all of other "
                 "data that come without splits.")
      ->capture_default_str()
      ->each([&c](const std::string&) { c.split_given = true; });
  app.add_option("--crop", c.crop,
                 "The value bbox cuts images to their bounding boxes, and none does not; by default as the run does.");
  app.add_option("--split-rule", c.split_rule,
                 "The published split of this name divides the classes; by default the run's own.");
  app.add_option("--split-file", c.split_file,
                 "This CSV file, with the columns label and split, divides the classes of data that come without "
                 "splits; by default the run's own, for its own data.")
      ->type_name("FILE");
  app.add_option("--split-fractions", c.split_fractions,
                 "Train, val and test get these shares of the classes of data that come without splits, as in "
                 "0.64,0.16,0.2; by default the run's own.");
  app.add_option_function<std::string>(
         "--split-seed", [&c](const std::string& given) { c.split_seed = parsed_number<uint64_t>(given); },
         "This seed divides the classes of data that come without splits; by default the run's own, for its own data.")
      ->type_name("INT")
      ->check([](const std::string& given) { return number_error<uint64_t>(given); });
  app.add_flag(
      "--allow-class-overlap", c.allow_class_overlap,
      "Classes that the run was trained on are tested too, and so are data whose classes have changed their splits.");
  app.add_flag("--skip-bad", c.skip_bad,
               "Images that cannot be decoded are left out and counted, instead of ending the program.");
  add_number(app, "--min-images", c.min_images,
             "Classes that have fewer images than this are left out and counted; by default as the run does.", 0,
             1'000'000'000);
  app.add_option("--name-encoding", c.name_encoding,
                 "Names in an archive that does not say their encoding are in this one, such as GBK; by default in the "
                 "run's own.");
  add_number(app, "--episodes", c.episodes,
             "This many episodes are evaluated; of an episode file it is all of them, unless this is given.", 1,
             10'000'000)
      ->capture_default_str()
      ->each([&c](const std::string&) { c.episodes_given = true; });
  add_number(app, "--first-episode", c.first_episode,
             "The first episode has this index; with --episodes 1 it repeats one episode of a larger evaluation.", 0,
             2'000'000'000)
      ->capture_default_str();
  app.add_option("--plugin", c.plugin,
                 "With --dataset plugin, this shared library supplies the images; by default the run's own.");
  app.add_option("--plugin-option", c.plugin_options,
                 "With --dataset plugin, the library gets this option of its own, key=value; give it again for each.")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--ways", c.ways,
                 "An episode has this many classes, or a number from a range such as 5..20; by default the run's own.");
  app.add_flag("--imbalanced", c.imbalanced,
               "If --shots is a range, the number of support images is drawn for each class instead of each episode.");
  app.add_flag("--within-group", c.within_group,
               "All classes of an episode come from one group, such as an alphabet or a superclass.");
  app.add_option("--queries", c.queries,
                 "Each class of an episode has this many query images, or, with a range such as 5..15, as many as it "
                 "has left; by default the run's own.");
  add_number(app, "--eval-seed", c.eval_seed, "This seed decides which episodes are drawn.", 0, UINT64_MAX)
      ->capture_default_str();
  app.add_flag("--unique-classes", c.unique_classes, "No two episodes have the same set of classes.");
  CLI::Option* file =
      app.add_option("--episodes-file", c.episodes_file, "The episodes are read from this file instead of being drawn.")
          ->type_name("FILE");
  for (const char* drawing :
       {"--ways", "--imbalanced", "--within-group", "--queries", "--eval-seed", "--unique-classes"})
    file->excludes(app.get_option(drawing));
  app.add_option("--save-episodes", c.save_episodes, "The episodes are written to this file, as names of images.")
      ->type_name("FILE");
}

DatasetOptions chosen_data(const Settings& settings, const EvaluationChoice& choice) {
  DatasetOptions data = settings.data;
  if (!choice.dataset.empty() && choice.dataset != data.name) {
    data.name = choice.dataset;
    data.root.clear();
    data.split_rule.clear();
    data.split_file.clear();
    data.crop = "none";
    data.rotations = "none";
    data.plugin.clear();
    data.plugin_options.clear();
    data.min_images = 0;
    data.name_encoding.clear();
  }
  if (!choice.data_root.empty()) data.root = choice.data_root;
  if (!choice.crop.empty()) data.crop = choice.crop;
  if (choice.skip_bad) data.skip_bad = true;
  if (choice.min_images >= 0) data.min_images = choice.min_images;
  if (!choice.name_encoding.empty()) data.name_encoding = choice.name_encoding;
  if (!choice.plugin.empty()) data.plugin = choice.plugin;
  if (!choice.plugin_options.empty()) data.plugin_options = choice.plugin_options;
  if (!choice.split_rule.empty()) data.split_rule = choice.split_rule;
  const bool by_seed = choice.split_seed || !choice.split_fractions.empty();
  if (by_seed && !choice.split_file.empty())
    throw UsageError(
        "--split-file says which class is in which split: --split-seed and --split-fractions do not apply");
  if (by_seed || choice.split == "all") data.split_file.clear();  // the run's own
  if (choice.split == "all") {
    data.split_seed = DatasetOptions{}.split_seed;
    data.split_fractions = DatasetOptions{}.split_fractions;
  }
  if (!choice.split_file.empty()) data.split_file = choice.split_file;
  if (choice.split_seed) data.split_seed = *choice.split_seed;
  if (!choice.split_fractions.empty()) data.split_fractions = choice.split_fractions;
  return data;
}

namespace {

std::filesystem::path normal(const std::filesystem::path& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal();
}

/// Whether the same data set is read from the same place.
bool same_place(const DatasetOptions& a, const DatasetOptions& b) {
  return a.name == b.name && normal(a.root) == normal(b.root) && normal(a.plugin) == normal(b.plugin) &&
         a.plugin_options == b.plugin_options;
}

std::vector<std::string> names_of(const SplitClasses& split) {
  std::vector<std::string> names;
  for (const KnownClass& c : split.classes) names.push_back(c.name);
  return names;
}

}  // namespace

EvaluationData open_evaluation_data(const Settings& settings, const std::optional<RunClasses>& trained,
                                    const EvaluationChoice& choice, const OpenSource& open) {
  EvaluationData data{.options = chosen_data(settings, choice), .split = choice.split};
  const auto any_of = [](const std::vector<std::string>& some, const std::vector<std::string>& known) {
    return std::any_of(some.begin(), some.end(),
                       [&](const auto& name) { return std::find(known.begin(), known.end(), name) != known.end(); });
  };
  const bool same = same_place(settings.data, data.options);
  if (!same && trained) {
    DatasetOptions neutral = data.options;  // the run's way of splitting says nothing of other classes
    neutral.split_file.clear();
    neutral.split_seed = DatasetOptions{}.split_seed;
    neutral.split_fractions = DatasetOptions{}.split_fractions;
    const bool given = choice.split_seed || !choice.split_file.empty() || !choice.split_fractions.empty();
    if (comes_without_splits(neutral)) {
      const auto all = open(neutral, "all");
      const bool foreign = !any_of(names_of(classes_of(*all, neutral)), trained_classes(*trained));
      if (foreign && !given) data.options = neutral;
      if (foreign && !given && !choice.split_given) {
        data.split = "all";
        data.source = all;
        data.notices.push_back("the data come without splits and the run was trained on none of their " +
                               std::to_string(all->classes()) + " classes: all are tested (--split test takes a part)");
      }
    }
  }
  if (!data.source) data.source = open(data.options, data.split);
  data.classes = classes_of(*data.source, data.options);
  data.own = same;
  if (!same && trained && data.options.name == settings.data.name)  // moved, or a part of them
    for (const SplitClasses& split : trained->splits)
      data.own = data.own || any_of(names_of(data.classes), names_of(split));
  return data;
}

void check_evaluation_data(const std::filesystem::path& run, const std::optional<RunClasses>& trained,
                           const EvaluationChoice& choice, EvaluationData& data) {
  const std::vector<std::string> notices =
      trained ? check_tested(run, *trained, data.classes, data.own, choice.allow_class_overlap)
              : std::vector<std::string>{unknown_classes_notice(run)};
  data.notices.insert(data.notices.end(), notices.begin(), notices.end());
}

EvaluationData open_evaluation_data(const std::filesystem::path& run, const Settings& settings,
                                    const EvaluationChoice& choice) {
  const std::optional<RunClasses> trained = read_run_classes(run);
  EvaluationData data = open_evaluation_data(settings, trained, choice);
  check_evaluation_data(run, trained, choice, data);
  return data;
}

bool same_episodes(const DatasetOptions& a, const DatasetOptions& b) {
  const auto key = [](const DatasetOptions& d) {
    return std::tie(d.name, d.root, d.split_rule, d.crop, d.split_seed, d.split_fractions, d.split_file, d.rotations,
                    d.skip_bad, d.plugin, d.plugin_options);
  };
  return key(a) == key(b);
}

EvaluationOptions chosen_evaluation(const Settings& settings, const EvaluationChoice& choice) {
  EvaluationOptions options = evaluation_options(settings);
  options.episodes = choice.episodes;
  options.seed = choice.eval_seed;
  options.first_episode = choice.first_episode;
  const auto set = [](const std::string& name, const std::string& given, NumberRange range, int least) {
    if (given.empty()) return;
    try {
      set_range(range, given, least, 1000);
    } catch (const UsageError& e) {
      throw UsageError("--" + name + ": " + e.what());
    }
  };
  set("queries", choice.queries, {&options.spec.fewest_queries, &options.spec.queries}, 1);
  set("ways", choice.ways, {&options.spec.fewest_ways, &options.spec.ways}, 2);
  set("shots", choice.shots, {&options.spec.fewest_shots, &options.spec.shots}, 1);
  if (options.spec.fewest_shots == 0) options.spec.imbalanced = false;  // the run's own
  if (choice.imbalanced) options.spec.imbalanced = true;
  if (choice.within_group) options.spec.within_group = true;
  return options;
}

void choose_episodes(const EvaluationChoice& choice, const ImageSource& source, EvaluationOptions& options) {
  if (!choice.episodes_file.empty()) {
    if (!choice.shots.empty())
      throw UsageError("--shots has no meaning with --episodes-file: its episodes have their own");
    std::vector<Episode> all = read_episodes(choice.episodes_file, source);
    const int size = static_cast<int>(all.size()),
              count = choice.episodes_given ? choice.episodes : size - choice.first_episode;
    if (count < 1 || choice.first_episode > size - count)
      throw UsageError("--first-episode " + std::to_string(choice.first_episode) + " and --episodes " +
                       std::to_string(std::max(count, 1)) + " ask for more than the " + std::to_string(size) +
                       " episodes of '" + choice.episodes_file + "'");
    options.spec = spec_of(all);
    options.given.assign(all.begin() + choice.first_episode, all.begin() + choice.first_episode + count);
    options.episodes = count;
  } else if (choice.unique_classes) {
    require_servable(source, options.spec);
    options.given =
        draw_episodes_of_unique_classes(source, options.spec, options.seed, choice.first_episode + options.episodes);
    options.given.erase(options.given.begin(), options.given.begin() + choice.first_episode);
  }
  if (choice.save_episodes.empty()) return;
  std::vector<Episode> episodes;
  for (int e = 0; e < options.episodes; ++e) episodes.push_back(evaluation_episode(source, options, e));
  write_file_atomically(choice.save_episodes, episodes_to_json(source, episodes));
}

nlohmann::ordered_json describe_episodes(const EvaluationChoice& choice) {
  return {{"unique_classes", choice.unique_classes},
          {"episodes_file", choice.episodes_file.empty() ? nlohmann::ordered_json(nullptr)
                                                         : nlohmann::ordered_json(choice.episodes_file)}};
}

nlohmann::ordered_json describe_spec(const EpisodeSpec& spec) {
  return {{"ways", spec.ways},
          {"shots", spec.shots},
          {"queries", spec.queries},
          {"fewest_ways", spec.fewest_ways > 0 ? spec.fewest_ways : spec.ways},
          {"fewest_shots", spec.fewest_shots > 0 ? spec.fewest_shots : spec.shots},
          {"fewest_queries", spec.fewest_queries > 0 ? spec.fewest_queries : spec.queries},
          {"imbalanced", spec.imbalanced},
          {"within_group", spec.within_group}};
}

std::string spec_text(const EpisodeSpec& spec) {
  return range_text(spec.fewest_ways, spec.ways) + "-way " + range_text(spec.fewest_shots, spec.shots) + "-shot, " +
         range_text(spec.fewest_queries, spec.queries) + " queries";
}

nlohmann::ordered_json describe_network(const Settings& settings, const Learner& learner,
                                        const ParameterSet& parameters) {
  using json = nlohmann::ordered_json;
  json by_role = json::object();
  int64_t total = 0, adapted = 0;
  for (const auto& [role, count] : parameters.count()) total += role == Role::kStatistic ? 0 : count;
  for (const auto& [role, count] : learner.adapted_count()) {
    by_role[to_string(role)] = count;
    adapted += count;
  }
  const NetworkOptions& network = settings.learner.network;
  const bool decomposed = network.conv.kind == "acdc", shares = decomposed || network.conv.sharing != "layer";
  return {{"method", learner.options().method},
          {"trained_with", settings.learner.method},
          {"head", learner.options().head},
          {"scope", learner.options().scope},
          {"backbone", network.backbone},
          {"width", network.width},
          {"conv", network.conv.kind},
          {"sharing", shares ? json(network.conv.sharing) : json(nullptr)},
          {"atoms", decomposed ? json(network.conv.atoms) : json(nullptr)},
          {"parameters_total", total},
          {"conv_weights", convolution_weights(*learner.schema())},
          {"parameters_adapted", adapted},
          {"parameters_adapted_by_role", by_role}};
}

std::vector<double> parse_numbers(const std::string& what, const std::string& text, double low, double high) {
  const auto numbers = parsed_numbers<double>(text);
  if (!numbers || *std::min_element(numbers->begin(), numbers->end()) < low ||
      *std::max_element(numbers->begin(), numbers->end()) > high)
    throw UsageError(what + " is '" + text + "', numbers from " + number_text(low) + " to " + number_text(high) +
                     " with commas between were expected");
  return *numbers;
}

}  // namespace fewatoms
