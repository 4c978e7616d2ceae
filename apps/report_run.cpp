#include "apps/report_run.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <numeric>

#include "apps/run_results.h"

namespace fewatoms {
namespace {

using json = ReportJson;

constexpr int kCurvePoints = 100;     // of a training curve
constexpr int kConfusedClasses = 20;  // of a confusion table
constexpr int kConfusedPairs = 20;
constexpr int kWorstEpisodes = 10;
constexpr int kNamedClasses = 12;  // of an episode, in tables
constexpr int kAtomsShown = 12;    // of a layer
constexpr int kAtomLayers = 40;
constexpr int kMapPoints = 400;  // of an episode, half of them support images
constexpr int kEpisodePictures = 200;

/// Four digits: what a picture shows.
double rounded(double x) {
  if (x == 0 || !std::isfinite(x)) return x;
  const double scale = std::pow(10.0, 3 - std::floor(std::log10(std::abs(x))));
  return std::round(x * scale) / scale;
}

json numbers(const Tensor& t) {
  const Tensor flat = t.detach().to(at::kDouble).contiguous().view({-1});
  json list = json::array();
  for (int64_t i = 0; i < flat.numel(); ++i) list.push_back(rounded(flat.data_ptr<double>()[i]));
  return list;
}

/// Points [n, 2] as [[x, y], ...].
json pairs_of(const Tensor& points) {
  json list = json::array();
  for (int64_t row = 0; row < points.size(0); ++row)
    list.push_back({rounded(points[row][0].item<double>()), rounded(points[row][1].item<double>())});
  return list;
}

int64_t episode_index(const ReportedRun& r, int position) { return int64_t{r.options.first_episode} + position; }

/// A word of a shell command.
std::string shell_word(const std::string& text) {
  const bool plain = !text.empty() && text.find_first_not_of(
                                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-") ==
                                          std::string::npos;
  if (plain) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

/// The command that evaluates one episode again.
std::string replay_command(const ReportedRun& r, const EvaluationChoice& c, int64_t index) {
  std::string text = "fewatoms eval " + shell_word(r.folder.string());
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) text += std::string(" --") + name + " " + shell_word(value);
  };
  add("checkpoint", r.run.checkpoint);
  add("dataset", c.dataset);
  add("data-root", c.data_root);
  add("split", r.data.split);
  add("crop", c.crop);
  add("split-rule", c.split_rule);
  add("split-file", c.split_file);
  add("split-fractions", c.split_fractions);
  if (c.split_seed) add("split-seed", std::to_string(*c.split_seed));
  if (c.allow_class_overlap) text += " --allow-class-overlap";
  add("plugin", c.plugin);
  for (const std::string& option : c.plugin_options) add("plugin-option", option);
  add("episodes-file", c.episodes_file);
  add("ways", c.ways);
  add("shots", c.shots);
  add("queries", c.queries);
  if (c.imbalanced) text += " --imbalanced";
  if (c.within_group) text += " --within-group";
  if (c.skip_bad) text += " --skip-bad";
  if (c.min_images >= 0) add("min-images", std::to_string(c.min_images));
  add("name-encoding", c.name_encoding);
  add("eval-inner-steps", std::to_string(r.options.inner_steps[r.own_mark()]));
  if (c.unique_classes) text += " --unique-classes";
  if (c.episodes_file.empty()) add("eval-seed", std::to_string(c.eval_seed));
  return text + " --episodes 1 --first-episode " + std::to_string(index);
}

json class_names(const ReportedRun& r, const Episode& episode) {
  json names = json::array();
  for (size_t i = 0; i < std::min<size_t>(kNamedClasses, episode.classes.size()); ++i)
    names.push_back(r.source->class_name(episode.classes[i]));
  if (episode.classes.size() > kNamedClasses)
    names.push_back("and " + std::to_string(episode.classes.size() - kNamedClasses) + " more");
  return names;
}

/// Pictures of an episode that are shown: the first of each class, so many that all together are no more than `most`.
std::vector<int64_t> shown(const std::vector<EpisodeImage>& images, int ways, int most) {
  const int each = std::max(1, most / std::max(1, ways));
  std::map<int, int> taken;
  std::vector<int64_t> rows;
  for (size_t i = 0; i < images.size() && static_cast<int>(rows.size()) < most; ++i)
    if (taken[images[i].label]++ < each) rows.push_back(static_cast<int64_t>(i));
  return rows;
}

/// Atoms of layers before and after, as numbers row by row.
json atoms_json(const Run& run, const AdaptedEpisode& episode, std::vector<std::string>& left_out) {
  json list = json::array();
  int64_t layers = 0, fewer = 0, pairs = 0;
  for (const ConvLayer& layer : run.learner->backbone().layers()) {
    const Tensor* before = episode.before.find(layer.name + ".atoms");
    const Tensor* after = episode.after.find(layer.name + ".atoms");
    if (before == nullptr || after == nullptr) continue;
    if (++layers > kAtomLayers) continue;
    const auto own = [&](Tensor t) {  // of the first pair of channel groups, where there are groups
      if (t.dim() == 5) t = t[0][0];
      return t.narrow(0, 0, std::min<int64_t>(kAtomsShown, t.size(0)));
    };
    const Tensor a = own(*before), b = own(*after);
    if (before->dim() == 5) ++pairs;
    if (before->size(before->dim() - 3) > kAtomsShown) ++fewer;
    json first = json::array(), second = json::array();
    for (int64_t m = 0; m < a.size(0); ++m) {
      first.push_back(numbers(a[m]));
      second.push_back(numbers(b[m]));
    }
    list.push_back({{"layer", layer.name}, {"size", a.size(1)}, {"before", first}, {"after", second}});
  }
  if (layers > kAtomLayers)
    left_out.push_back("atoms of " + std::to_string(layers - kAtomLayers) + " layers after the first " +
                       std::to_string(kAtomLayers));
  if (fewer > 0) left_out.push_back("atoms after the first " + std::to_string(kAtomsShown) + " of a layer");
  if (pairs > 0) left_out.push_back("atoms of pairs of channel groups after the first pair of each layer");
  return list;
}

json map_json(const ReportedRun& r, const Episode& episode, const AdaptedEpisode& looked, bool& fewer) {
  const std::vector<int64_t> support = shown(episode.support, episode.spec.ways, kMapPoints / 2);
  const std::vector<int64_t> query = shown(episode.query, episode.spec.ways, kMapPoints / 2);
  if (support.size() < episode.support.size() || query.size() < episode.query.size()) fewer = true;
  const Tensor support_rows = at::tensor(support, at::kLong), query_rows = at::tensor(query, at::kLong);
  const auto of_shown = [&](const TaskFeatures& features) {
    return at::cat({features.support.index_select(0, support_rows), features.query.index_select(0, query_rows)});
  };
  const PlaneMap plane = plane_map(of_shown(looked.features_before), of_shown(looked.features_after));
  const auto labels = [](const std::vector<EpisodeImage>& images, const std::vector<int64_t>& rows) {
    json list = json::array();
    for (const int64_t row : rows) list.push_back(images[row].label);
    return list;
  };
  const auto split = [&](const Tensor& points) {
    const auto first = static_cast<int64_t>(support.size());
    return json{{"support", pairs_of(points.narrow(0, 0, first))},
                {"query", pairs_of(points.narrow(0, first, points.size(0) - first))}};
  };
  json names = json::array();
  for (size_t label = 0; label < std::min<size_t>(kMapPoints, episode.classes.size()); ++label)
    names.push_back(r.source->class_name(episode.classes[label]));
  return {{"classes", names},
          {"support_labels", labels(episode.support, support)},
          {"query_labels", labels(episode.query, query)},
          {"before", split(plane.before)},
          {"after", split(plane.after)},
          {"explained_before", plane.explained_before},
          {"explained_after", plane.explained_after}};
}

}  // namespace

size_t ReportedRun::own_mark() const {
  const auto& steps = options.inner_steps;
  return std::find(steps.begin(), steps.end(), own_steps(run)) - steps.begin();
}

json training_json(const std::filesystem::path& run) {
  struct Point {
    int64_t iteration = 0;
    double loss = 0, accuracy = 0;
  };
  std::vector<Point> all;
  json validations = json::array();
  std::ifstream file(RunPaths(run).metrics());
  for (std::string line; std::getline(file, line);) {
    const json entry =
        json::parse(line, nullptr, /*allow_exceptions=*/false);  // the last line of a run that goes on may be cut
    if (!entry.is_object() || !entry.contains("iteration") || !entry["iteration"].is_number()) continue;
    const auto number = [&](const char* key) { return entry.contains(key) && entry[key].is_number(); };
    if (number("loss") && number("accuracy")) all.push_back({entry["iteration"], entry["loss"], entry["accuracy"]});
    if (number("val_accuracy"))
      validations.push_back({{"iteration", entry["iteration"]},
                             {"accuracy", entry["val_accuracy"]},
                             {"ci95", number("val_ci95") ? entry["val_ci95"] : json(nullptr)},
                             {"loss", number("val_loss") ? entry["val_loss"] : json(nullptr)}});
  }
  // Ten iterations at least make a point, where that leaves twenty points: single ones are noise.
  const size_t part = std::max((all.size() + kCurvePoints - 1) / kCurvePoints, std::min<size_t>(10, all.size() / 20));
  json curve = json::array();
  for (size_t first = 0; first < all.size(); first += part) {
    const size_t end = std::min(all.size(), first + part);
    double loss = 0, accuracy = 0;
    for (size_t i = first; i < end; ++i) {
      loss += all[i].loss;
      accuracy += all[i].accuracy;
    }
    const auto n = static_cast<double>(end - first);
    curve.push_back({{"iteration", all[end - 1].iteration}, {"loss", loss / n}, {"accuracy", accuracy / n}});
  }
  if (validations.size() > kCurvePoints) {  // every k-th, and the last
    json some = json::array();
    const size_t step = (validations.size() + kCurvePoints - 1) / kCurvePoints;
    for (size_t i = (validations.size() - 1) % step; i < validations.size(); i += step) some.push_back(validations[i]);
    validations = some;
  }
  return {{"iterations", all.size()}, {"iterations_per_point", part}, {"curve", curve}, {"validations", validations}};
}

json layers_json(const Run& run) {
  const std::vector<ConvLayer>& layers = run.learner->backbone().layers();
  const std::vector<std::string> names = coefficients_names(layers, run.settings.learner.network.conv);
  json list = json::array();
  for (size_t l = 0; l < layers.size(); ++l) {
    const ConvLayer& layer = layers[l];
    json one = {{"name", layer.name},       {"in", layer.in},
                {"out", layer.out},         {"kernel", layer.kernel},
                {"block", layer.block + 1}, {"stage", layer.stage + 1},
                {"coefficients", nullptr},  {"coefficients_shape", nullptr},
                {"atoms_shape", nullptr}};
    const Tensor* atoms = run.state.parameters.find(layer.name + ".atoms");
    if (atoms != nullptr) {
      one["coefficients"] = names[l];
      one["atoms_shape"] = atoms->sizes().vec();
      if (const Tensor* shared = run.state.parameters.find(names[l])) one["coefficients_shape"] = shared->sizes().vec();
    }
    list.push_back(one);
  }
  return list;
}

json confusion_json(const ReportedRun& r) {
  const size_t mark = r.own_mark();
  std::map<std::pair<int, int>, int64_t> counts,
      chances;  // by class and class taken for it: how often, of how many query images
  std::map<int, int64_t> seen, wrong;
  for (int e = 0; e < r.options.episodes; ++e) {
    const Episode episode = evaluation_episode(*r.source, r.options, e);
    const std::vector<int>& predicted = r.evaluation.predictions[e][mark];
    for (size_t q = 0; q < episode.query.size(); ++q) {
      const int is = episode.classes[episode.query[q].label], taken_for = episode.classes[predicted[q]];
      ++counts[{is, taken_for}];
      ++seen[is];
      wrong[is] += is != taken_for;
    }
  }
  std::vector<std::pair<int64_t, std::pair<int, int>>> pairs;
  for (const auto& [pair, count] : counts)
    if (pair.first != pair.second) pairs.push_back({count, pair});
  std::stable_sort(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  pairs.resize(std::min<size_t>(pairs.size(), kConfusedPairs));
  for (const auto& [count, pair] : pairs) chances[pair] = 0;
  for (int e = 0; e < r.options.episodes; ++e) {
    const Episode episode = evaluation_episode(*r.source, r.options, e);
    std::map<int, int64_t> images;
    for (const EpisodeImage& image : episode.query) ++images[episode.classes[image.label]];
    for (auto& [pair, chance] : chances)
      if (images.count(pair.first) > 0 && images.count(pair.second) > 0) chance += images[pair.first];
  }

  std::vector<int> classes;
  for (const auto& [c, n] : seen) classes.push_back(c);
  std::stable_sort(classes.begin(), classes.end(), [&](int a, int b) { return wrong[a] > wrong[b]; });
  const size_t all = classes.size();
  classes.resize(std::min<size_t>(all, kConfusedClasses));
  std::sort(classes.begin(), classes.end());
  json names = json::array(), table = json::array(), images = json::array(), list = json::array();
  for (const int is : classes) {
    names.push_back(r.source->class_name(is));
    images.push_back(seen[is]);
    json row = json::array();
    for (const int taken_for : classes) {
      const auto found = counts.find({is, taken_for});
      row.push_back(found == counts.end() ? 0 : found->second);
    }
    table.push_back(row);
  }
  for (const auto& [count, pair] : pairs)
    list.push_back({{"class", r.source->class_name(pair.first)},
                    {"taken_for", r.source->class_name(pair.second)},
                    {"count", count},
                    {"of", chances[pair]}});
  return {{"inner_steps", r.options.inner_steps[mark]},
          {"classes", names},
          {"classes_seen", all},
          {"query_images", images},
          {"counts", table},
          {"pairs", list}};
}

std::vector<int> worst_episodes(const ReportedRun& r, int count) {
  const size_t mark = r.own_mark();
  std::vector<int> order(r.options.episodes);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    const double x = r.evaluation.accuracies[a][mark], y = r.evaluation.accuracies[b][mark];
    return x != y ? x < y : r.evaluation.losses[a][mark] > r.evaluation.losses[b][mark];
  });
  order.resize(std::min<size_t>(order.size(), count));
  return order;
}

json worst_json(const ReportedRun& r, const EvaluationChoice& choice) {
  json list = json::array();
  for (const int e : worst_episodes(r, kWorstEpisodes)) {
    const int64_t index = episode_index(r, e);
    list.push_back({{"episode", index},
                    {"accuracy", r.evaluation.accuracies[e][r.own_mark()]},
                    {"loss", r.evaluation.losses[e][r.own_mark()]},
                    {"classes", class_names(r, evaluation_episode(*r.source, r.options, e))},
                    {"command", replay_command(r, choice, index)}});
  }
  return list;
}

json looks_json(const ReportedRun& r, const std::vector<int>& episodes, std::vector<std::string>& left_out) {
  const std::vector<int>& steps = r.options.inner_steps;
  const size_t own = r.own_mark();
  const int start = steps.front() == 0 ? 0 : -1;  // the mark of no adaptation
  json looks = json::array(), atoms = json::array(), moved = json::array();
  std::vector<std::vector<Movement>> movement;
  bool fewer = false;
  for (const int e : episodes) {
    const Episode episode = evaluation_episode(*r.source, r.options, e);
    const AdaptedEpisode looked =
        adapt_to_episode(*r.run.learner, r.run.state.parameters, *r.source, r.options, e, steps[own]);
    const auto predictions = [&](size_t mark) {  // of the query images that episode_json has, in its order
      json labels = json::array();
      for (const int64_t row : shown(episode.query, episode.spec.ways, kEpisodePictures / 2))
        labels.push_back(r.evaluation.predictions[e][mark][row]);
      return labels;
    };
    looks.push_back({{"episode", episode_index(r, e)},
                     {"accuracy_before", start < 0 ? json(nullptr) : json(r.evaluation.accuracies[e][start])},
                     {"accuracy_after", r.evaluation.accuracies[e][own]},
                     {"before", start < 0 ? json(nullptr) : predictions(start)},
                     {"after", predictions(own)},
                     {"map", map_json(r, episode, looked, fewer)}});
    if (movement.empty()) atoms = atoms_json(r.run, looked, left_out);
    movement.push_back(movements(*r.run.learner, looked.before, looked.after));
  }
  if (fewer)
    left_out.push_back("points of feature maps after the first " + std::to_string(kMapPoints / 2) +
                       " support and query images, evenly by class");
  for (size_t i = 0; !movement.empty() && i < movement.front().size(); ++i) {
    double sum = 0;
    for (const auto& of_episode : movement) sum += of_episode[i].relative;
    const Movement& first = movement.front()[i];
    moved.push_back({{"name", first.name},
                     {"role", to_string(first.role)},
                     {"relative", first.relative},
                     {"mean", sum / static_cast<double>(movement.size())},
                     {"from_zero", first.from_zero}});
  }
  return {{"looks", looks}, {"atom_pictures", atoms}, {"moved", moved}};
}

json episode_json(const ReportedRun& r, int e, PictureStore& pictures) {
  const Episode episode = evaluation_episode(*r.source, r.options, e);
  const int64_t refused = pictures.refused();
  const auto images = [&](const std::vector<EpisodeImage>& of) {
    json list = json::array();
    for (const int64_t row : shown(of, episode.spec.ways, kEpisodePictures / 2))
      list.push_back({{"label", of[row].label}, {"picture", pictures.number(*r.source, of[row].ref)}});
    return list;
  };
  const json support = images(episode.support), query = images(episode.query);
  json names = json::array();
  for (size_t label = 0; label < std::min<size_t>(kEpisodePictures, episode.classes.size()); ++label)
    names.push_back(r.source->class_name(episode.classes[label]));
  std::string note;
  if (support.size() < episode.support.size() || query.size() < episode.query.size())
    note = "shown: " + std::to_string(support.size()) + " of " + std::to_string(episode.support.size()) +
           " support and " + std::to_string(query.size()) + " of " + std::to_string(episode.query.size()) +
           " query pictures";
  if (pictures.refused() > refused)
    note += (note.empty() ? "" : "; ") + std::string("pictures left out, for the page's size");
  return {{"episode", episode_index(r, e)},
          {"ways", episode.spec.ways},
          {"classes", names},
          {"support", support},
          {"query", query},
          {"note", note}};
}

}  // namespace fewatoms
