#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <set>

#include <nlohmann/json.hpp>

#include "apps/command_line.h"
#include "apps/json_text.h"
#include "apps/pictures.h"
#include "apps/run_results.h"
#include "backbones/safetensors.h"
#include "episodes/digest.h"
#include "episodes/errors.h"
#include "meta/adapter.h"
#include "meta/embedding.h"

namespace fewatoms {
namespace {

using json = nlohmann::ordered_json;

struct AdaptCommand {
  std::string run, support, query, out, checkpoint, json_file, name_encoding;
  int inner_steps = -1;
};

/// Numbers by role, what the task keeps besides them, and the file's size.
json describe_adapter(const Adapter& adapter, const std::filesystem::path& file) {
  json by_role = json::object();
  int64_t changed = 0, kept = 0;
  for (const auto& [role, count] : adapter.values.count()) {
    by_role[to_string(role)] = count;
    changed += count;
  }
  for (const auto& [name, tensor] : adapter.statistics) kept += tensor.numel();
  const int64_t features = adapter.support_features.defined() ? adapter.support_features.numel() : 0;
  json result = {{"version", kResultVersion},
                 {"run", adapter.run_id},
                 {"run_name", adapter.run_name},
                 {"iteration", adapter.iteration < 0 ? json(nullptr) : json(adapter.iteration)},
                 {"method", adapter.method},
                 {"checkpoint", adapter.checkpoint},
                 {"classes", adapter.classes},
                 {"support_images", adapter.support_images},
                 {"inner_steps", adapter.inner_steps},
                 {"adapted", changed},
                 {"adapted_by_role", by_role},
                 {"statistics", kept},
                 {"support_features", features}};
  if (!file.empty()) result["bytes"] = std::filesystem::file_size(file);
  return result;
}

std::string text_of(const json& j) { return json_text(j) + "\n"; }

std::string counts_text(const json& description) {
  std::string text;
  for (const auto& [role, count] : description.at("adapted_by_role").items())
    text += (text.empty() ? "" : ", ") + std::to_string(count.get<int64_t>()) + " " + role;
  const auto add = [&](const char* key, const char* name) {
    if (description.at(key) > 0)
      text += (text.empty() ? "" : ", ") + std::to_string(description.at(key).get<int64_t>()) + " " + name;
  };
  add("statistics", "norm statistics");
  add("support_features", "support features");
  return text;
}

/// Of each image [n, C, H, W]: what two pictures that look the same to the network share, whatever their files are
/// called.
std::vector<std::string> digests_of(const Tensor& images) {
  std::vector<std::string> digests;
  for (int64_t i = 0; i < images.size(0); ++i) {
    const Tensor image = images[i].contiguous();
    Sha256 digest;
    digest.add({static_cast<const char*>(image.data_ptr()), image.nbytes()});
    digests.push_back(digest.digits());
  }
  return digests;
}

/// Accuracy on class folders whose names the adapter knows, with what each class was taken for, and a notice where
/// pictures are those that were learned from.
json evaluate_folders(const TaskClassifier& classifier, const ImageSource& query, const Tensor& support,
                      const std::string& folder, PixelNorm norm) {
  const std::vector<std::string>& classes = classifier.classes();
  std::vector<int64_t> labels;
  for (int c = 0; c < query.classes(); ++c) {
    const auto found = std::find(classes.begin(), classes.end(), query.class_name(c));
    if (found == classes.end())
      throw UsageError("'" + folder + "' has a class '" + query.class_name(c) +
                       "' that the support set has not, did you mean '" + nearest_name(query.class_name(c), classes) +
                       "'?");
    labels.push_back(found - classes.begin());
  }
  const Task task = support_task(query, norm);  // its images with their folder's number
  const Tensor predicted = classifier.probabilities(task.support).argmax(1);
  std::vector<double> hits;
  json confusion = json::array();
  std::vector<std::vector<int64_t>> counts(classes.size(), std::vector<int64_t>(classes.size()));
  for (int64_t i = 0; i < predicted.size(0); ++i) {
    const int64_t label = labels[task.support_labels[i].item<int64_t>()], guess = predicted[i].item<int64_t>();
    hits.push_back(guess == label ? 1 : 0);
    ++counts[label][guess];
  }
  const std::vector<std::string> learned = digests_of(support), asked = digests_of(task.support);
  const std::set<std::string> known(learned.begin(), learned.end());
  const std::vector<ImageRef> images = all_images(query);
  int64_t repeated = 0;
  std::string first;
  for (size_t i = 0; i < asked.size(); ++i)
    if (known.contains(asked[i]) && repeated++ == 0) first = query.image_name(images[i]);
  if (repeated > 0)
    std::cerr << "note: " << repeated << " of the " << asked.size()
              << " pictures of --query are pictures of --support too"
              << (static_cast<size_t>(repeated) < asked.size() ? ", the first is '" : ", as '") << first
              << "': their accuracy says nothing of new pictures" << std::endl;
  const MeanInterval accuracy = mean_interval(hits);
  return {{"query_images", hits.size()},
          {"query_images_in_support", repeated},
          {"accuracy", accuracy.mean},
          {"ci95", number_or_null(accuracy.ci95)},
          {"confusion", counts}};
}

int run_adapt(const AdaptCommand& command) {
  if (command.out.empty() && command.query.empty())
    throw UsageError("adapt: --out FILE keeps the adapter, --query DIR evaluates it; one of them was expected");
  const Run run = read_run(command.run, command.checkpoint);
  const Learner& learner = *run.learner;
  const PixelNorm norm = run.settings.trainer.pixel_norm;
  const auto open = [&](const std::string& root) {
    DatasetOptions options = picture_options(run.settings, root);
    if (!command.name_encoding.empty()) options.name_encoding = command.name_encoding;
    return open_class_folders(options);
  };
  const auto support = open(command.support);
  const int usual = learner.adapted().empty() ? 0 : evaluation_options(run.settings).inner_steps.back();
  const int steps = command.inner_steps >= 0 ? command.inner_steps : usual;
  require_adaptable(learner, *support, steps);
  std::shared_ptr<const ImageSource> query;
  if (!command.query.empty()) query = open(command.query);

  const Task task = support_task(*support, norm);
  std::vector<std::string> classes;
  for (int c = 0; c < support->classes(); ++c) classes.push_back(support->class_name(c));
  const auto begin = std::chrono::steady_clock::now();
  Adapter adapter = make_adapter(learner, run.state.parameters, task, classes, steps);
  const double milliseconds = 1000 * std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  adapter.checkpoint = run.checkpoint;
  adapter.run_name = run_name(command.run);
  adapter.iteration = run.state.iteration;
  if (!command.out.empty()) save_adapter(command.out, adapter);

  json result = describe_adapter(adapter, command.out);
  result["milliseconds"] = milliseconds;
  if (query)
    result.update(evaluate_folders(TaskClassifier(learner, run.state.parameters, adapter, "the adapter"), *query,
                                   task.support, command.query, norm));
  if (!command.json_file.empty()) write_file_atomically(command.json_file, text_of(result));

  std::vector<std::pair<std::string, Notices>> notices{{"support", support->info().notices}};
  if (query) notices.emplace_back("query", query->info().notices);
  for (const std::string& notice : merged_notices(notices)) std::cerr << "note" << notice << std::endl;
  std::printf("%s (%s, %s) adapted to %zu classes by %lld images in %d steps, %.0f ms\n", command.run.c_str(),
              adapter.method.c_str(), run.checkpoint.c_str(), adapter.classes.size(),
              static_cast<long long>(adapter.support_images), steps, milliseconds);
  if (!command.out.empty())
    std::printf("%s: %lld bytes (%s)\n", command.out.c_str(), result.at("bytes").get<long long>(),
                counts_text(result).c_str());
  if (query)
    std::printf("%s: %.1f%s %% of %lld images right, each judged alone\n", command.query.c_str(),
                100 * result.at("accuracy").get<double>(),
                result.at("ci95").is_null() ? "" : interval_text(result.at("ci95").get<double>(), 1).c_str(),
                result.at("query_images").get<long long>());
  return 0;
}

int inspect_adapter(const std::string& file, bool as_json) {
  const Adapter adapter = load_adapter(file);
  json result = describe_adapter(adapter, file);
  json tensors = json::array();
  for (const Parameter& p : adapter.values)
    tensors.push_back({{"name", p.name}, {"role", to_string(p.role)}, {"shape", p.tensor.sizes().vec()}});
  for (const auto& [name, tensor] : adapter.statistics)
    tensors.push_back({{"name", name}, {"role", "statistic"}, {"shape", tensor.sizes().vec()}});
  result["tensors"] = tensors;
  if (as_json) {
    std::fputs(text_of(result).c_str(), stdout);
    return 0;
  }
  std::printf("%s: %lld bytes (%s)\n", file.c_str(), result.at("bytes").get<long long>(), counts_text(result).c_str());
  std::printf("run %s%s (%s, %s checkpoint", adapter.run_id.c_str(),
              adapter.run_name.empty() ? "" : (" '" + adapter.run_name + "'").c_str(), adapter.method.c_str(),
              adapter.checkpoint.c_str());
  if (adapter.iteration >= 0) std::printf(", iteration %lld", static_cast<long long>(adapter.iteration));
  std::printf("), %lld support images, %d inner steps\n", static_cast<long long>(adapter.support_images),
              adapter.inner_steps);
  std::printf("%zu classes:", adapter.classes.size());
  for (const std::string& name : adapter.classes) std::printf(" %s", name.c_str());
  std::printf("\n");
  for (const json& t : tensors)
    std::printf("  %-28s %-12s %s\n", t.at("name").get<std::string>().c_str(), t.at("role").get<std::string>().c_str(),
                t.at("shape").dump().c_str());
  return 0;
}

}  // namespace

Command setup_adapt(CLI::App& program) {
  auto command = std::make_shared<AdaptCommand>();
  AdaptCommand& c = *command;
  CLI::App* app = program.add_subcommand(
      "adapt", "Learn a new task from folders of pictures, and keep it as an adapter file of kilobytes.");
  app->add_option("RUN", c.run, "The run is in this folder, which `fewatoms train` wrote.")->required();
  app->add_option("--support", c.support,
                  "The pictures to learn from are in this folder or archive, one folder for each class.")
      ->required()
      ->type_name("DIR");
  app->add_option("--out", c.out, "The adapter is written to this file.")->type_name("FILE");
  app->add_option("--query", c.query,
                  "The pictures of this folder, of the same classes, are classified to count how many are right.")
      ->type_name("DIR");
  app->add_option("--name-encoding", c.name_encoding,
                  "Names in an archive that does not say their encoding are in this one, such as GBK; by default in "
                  "the run's own.");
  add_number(*app, "--inner-steps", c.inner_steps,
             "The inner loop takes this many steps; by default as many as the run is evaluated with.", 0, 1000);
  app->add_option("--checkpoint", c.checkpoint,
                  "The weights are those of the best or the last checkpoint; by default the best if there is one.")
      ->check(CLI::IsMember({"best", "last"}));
  app->add_option("--json", c.json_file, "The answer is printed as JSON.");
  last_one_counts(*app);
  return [command] { return run_adapt(*command); };
}

Command setup_adapter(CLI::App& program) {
  CLI::App* app = program.add_subcommand("adapter", "Look at an adapter file.");
  app->require_subcommand(1);
  CLI::App* inspect = app->add_subcommand("inspect", "Print the classes, run, tensors and sizes of an adapter file.");
  auto file = std::make_shared<std::string>();
  auto as_json = std::make_shared<bool>(false);
  inspect->add_option("FILE", *file, "The adapter is this file, which `fewatoms adapt` wrote.")->required();
  inspect->add_flag("--json", *as_json, "The answer is printed as JSON.");
  return [file, as_json] { return inspect_adapter(*file, *as_json); };
}

}  // namespace fewatoms
