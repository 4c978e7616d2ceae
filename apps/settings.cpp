#include "apps/settings.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <thread>

#include "datasets/rotations.h"
#include "episodes/numbers.h"
#include "episodes/random.h"

namespace fewatoms {
namespace {

/// Of "key=value" texts the last one of each key, by key: what is given twice is set by the later.
std::vector<std::string> last_of_each_key(const std::vector<std::string>& given) {
  std::map<std::string, std::string> last;
  for (const std::string& text : given) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos) throw UsageError("plugin option '" + text + "' is not key=value");
    last[text.substr(0, equals)] = text;
  }
  std::vector<std::string> kept;
  for (const auto& [key, text] : last) kept.push_back(text);
  return kept;
}

}  // namespace

Settings default_settings(const std::string& method, const std::string& dataset) {
  const Method& row = find_method(method);
  Settings settings;
  settings.learner = row.preset;
  settings.trainer = row.outer;
  if (row.preset.train_on == "classes") settings.eval_queries = 15;  // a training batch says nothing of episodes
  settings.data.name = dataset;
  settings.data = resolve(settings.data);
  return settings;
}

std::string misplaced(const std::string& option, const std::string& conv_kind) {
  static const std::set<std::string> of_acdc = {"atoms", "atom-start", "atom-drop-rate",
                                                "group", "compute",    "decompose-pointwise"};
  if (of_acdc.contains(option) && conv_kind != "acdc") return "--" + option + " goes with --conv acdc";
  if (option == "decompose-stem" && conv_kind == "standard")
    return "--decompose-stem goes with --conv acdc or separable";
  return {};
}

void complete(Settings& s) {
  s.data = resolve(s.data);
  if (!s.data.root.empty())
    s.data.root = std::filesystem::absolute(s.data.root).lexically_normal();  // a run outlives the current folder
  if (!s.data.plugin.empty()) s.data.plugin = std::filesystem::absolute(s.data.plugin).lexically_normal();
  s.data.plugin_options = last_of_each_key(s.data.plugin_options);
  if (!s.data.split_file.empty()) s.data.split_file = std::filesystem::absolute(s.data.split_file).lexically_normal();
  if (!s.init.empty()) s.init = std::filesystem::absolute(s.init).lexically_normal();
  ConvOptions& conv = s.learner.network.conv;
  if (conv.sharing.empty()) conv.sharing = default_sharing(conv.kind);
  s.learner.network.image_size = s.data.image_size;
  s.learner.network.channels = s.data.channels;
  s.learner.ways = s.trainer.spec.ways;
  s.learner.seed = s.trainer.seed;
  s.trainer.augmented = s.data.augment == "none"     ? Augmented::kNone
                        : s.augment_support == "yes" ? Augmented::kBoth
                        : s.augment_support == "no"  ? Augmented::kQuery
                                                     : Augmented::kSupport;
  if (s.augment_support != "yes" && s.data.augment == "none")
    throw UsageError("augment-support '" + s.augment_support + "' needs an augmentation, augment is 'none'");
  s.trainer.pixel_norm = pixel_norm_from_string(s.pixel_norm);
  if (s.eval_inner_steps.empty()) s.eval_inner_steps = std::to_string(s.learner.inner_steps);
  require_consistent(s.learner);
  require_phases(s.learner, s.trainer);
  require_valid(s.trainer);
  parse_steps("eval-inner-steps", s.eval_inner_steps);
}

void set_range(NumberRange range, const std::string& text, double low, double high) {
  const size_t dots = text.find("..");
  const bool two = dots != std::string::npos;
  const auto first = parsed_number<int>(text.substr(0, dots)),
             last = two ? parsed_number<int>(text.substr(dots + 2)) : first;
  const bool good = first && last && *first >= low && *last <= high && (!two || (*first > 0 && *last > *first));
  if (!good)
    throw UsageError("'" + text + "' is not " + expected_number(static_cast<int>(low), static_cast<int>(high)) +
                     ", or two as 5..20, the smaller first");
  *range.fewest = two ? *first : 0;
  *range.most = *last;
}

std::vector<int> parse_steps(const std::string& what, const std::string& text) {
  const auto steps = parsed_numbers<int>(text);
  if (!steps || *std::min_element(steps->begin(), steps->end()) < 0)
    throw UsageError(what + " is '" + text + "', numbers of steps such as 0,1,2,5 were expected");
  return *steps;
}

int threads_of(const Settings& s) {
  return s.threads > 0 ? s.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int tasks_in_flight(const Settings& s) { return std::min(s.trainer.meta_batch, threads_of(s)); }

EvaluationOptions evaluation_options(const Settings& s) {
  const EpisodeSpec& train = s.trainer.spec;
  const bool fixed = has_class_weights(head_from_string(s.learner.head)) && s.learner.head_start == "learned";
  EvaluationOptions options;
  options.spec = train;  // ranges, and what else says of which kind the episodes are
  if (train.fewest_ways == 0) options.spec.ways = fixed ? train.ways : std::min(5, train.ways);
  if (s.eval_ways > 0) {
    options.spec.ways = s.eval_ways;
    options.spec.fewest_ways = 0;
  }
  if (s.eval_shots > 0) {
    options.spec.shots = s.eval_shots;
    options.spec.fewest_shots = 0;
    options.spec.imbalanced = false;
  }
  if (s.eval_queries > 0) {
    options.spec.queries = s.eval_queries;
    options.spec.fewest_queries = s.eval_fewest_queries;
  }
  options.episodes = s.val_episodes;
  options.inner_steps = parse_steps("eval-inner-steps", s.eval_inner_steps);
  options.pixel_norm = s.trainer.pixel_norm;
  return options;
}

TrainingSources open_training_sources(const Settings& s) {
  TrainingSources sources;
  // Classes leave train before they are turned: a turned copy of a training class is no new class.
  const bool turned_later = s.val_from_train > 0;
  DatasetOptions data = s.data;
  data.check_files = true;  // a bad file is refused now, not hours later when it is first drawn
  if (turned_later) data.rotations = "none";
  sources.train = open_dataset(data, "train");
  if (s.val_from_train > 0) {
    const int classes = sources.train->classes();
    if (s.val_from_train >= classes)
      throw UsageError("val-from-train is " + std::to_string(s.val_from_train) + ", but train has " +
                       std::to_string(classes) + " classes in all");
    std::vector<int> order(classes);
    std::iota(order.begin(), order.end(), 0);
    Random random{stream(Stream::kValidation), static_cast<uint64_t>(s.val_from_train)};
    random.shuffle(order);
    std::sort(order.begin(), order.begin() + s.val_from_train);
    std::sort(order.begin() + s.val_from_train, order.end());
    sources.validation =
        subset_of_classes(sources.train, {order.begin(), order.begin() + s.val_from_train}, "val-from-train");
    sources.train = subset_of_classes(sources.train, {order.begin() + s.val_from_train, order.end()}, "train");
    sources.train = with_rotations(sources.train, s.data.rotations, "train");
    sources.validation = with_rotations(sources.validation, s.data.rotations, "val");
  } else if (s.val_every > 0) {
    try {
      sources.validation = open_dataset(data, "val");
    } catch (const UsageError& e) {
      throw UsageError(std::string(e.what()) +
                       " (validation: --val-every 0 turns it off, --val-from-train N takes classes of train)");
    }
  }
  return sources;
}

}  // namespace fewatoms
