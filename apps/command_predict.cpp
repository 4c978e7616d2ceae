#include <cstdio>

#include <nlohmann/json.hpp>

#include "apps/command_line.h"
#include "apps/pictures.h"
#include "apps/run_folder.h"
#include "backbones/safetensors.h"
#include "datasets/table.h"
#include "episodes/errors.h"
#include "meta/adapter.h"

namespace fewatoms {
namespace {

using json = nlohmann::ordered_json;

constexpr int64_t kAtATime = 256;  // pictures in memory as numbers

struct PredictCommand {
  std::string run, checkpoint, json_file, csv_file;
  std::vector<std::string> adapters, pictures;
  int threads = 0;
};

/// Probabilities [pictures, classes] under each adapter.
std::vector<Tensor> predict(const std::vector<std::unique_ptr<TaskClassifier>>& classifiers,
                            const ImageSource& pictures, PixelNorm norm) {
  std::vector<std::vector<Tensor>> parts(classifiers.size());
  const int64_t count = pictures.class_size(0);
  for (int64_t first = 0; first < count; first += kAtATime) {
    std::vector<ImageRef> refs;
    for (int64_t i = first; i < std::min(count, first + kAtATime); ++i) refs.push_back({0, static_cast<int>(i), 0});
    pictures.prefetch(refs);
    const Tensor images = load_images(pictures, refs, norm);
    for (size_t a = 0; a < classifiers.size(); ++a) parts[a].push_back(classifiers[a]->probabilities(images));
  }
  std::vector<Tensor> whole;
  for (const auto& pieces : parts) whole.push_back(at::cat(pieces));
  return whole;
}

int run_predict(const PredictCommand& command) {
  std::vector<Adapter> adapters;
  for (const std::string& file : command.adapters) adapters.push_back(load_adapter(file));
  // Each adapter says which checkpoint it belongs to; another adapter's does not open the right one.
  const Run run = read_run(command.run, command.checkpoint.empty() ? adapters[0].checkpoint : command.checkpoint);
  const Pictures pictures = open_pictures(command.pictures, run.settings);
  std::vector<std::unique_ptr<TaskClassifier>> classifiers;
  for (size_t a = 0; a < adapters.size(); ++a)
    classifiers.push_back(std::make_unique<TaskClassifier>(*run.learner, run.state.parameters, adapters[a],
                                                           "adapter '" + command.adapters[a] + "'"));

  std::vector<Tensor> probabilities;
  with_threads(command.threads,
               [&] { probabilities = predict(classifiers, *pictures.source, run.settings.trainer.pixel_norm); });

  json results = json::array();
  std::string csv = "image,adapter,label,probability\n";
  for (size_t i = 0; i < pictures.names.size(); ++i)
    for (size_t a = 0; a < adapters.size(); ++a) {
      const Tensor row = probabilities[a][static_cast<int64_t>(i)];
      const auto best = row.argmax().item<int64_t>();
      const std::string& label = adapters[a].classes[best];
      const double probability = row[best].item<double>();
      json by_class = json::object();
      for (size_t c = 0; c < adapters[a].classes.size(); ++c)
        by_class[adapters[a].classes[c]] = row[static_cast<int64_t>(c)].item<double>();
      results.push_back({{"image", pictures.names[i]},
                         {"adapter", command.adapters[a]},
                         {"label", label},
                         {"probability", probability},
                         {"probabilities", by_class}});
      char number[32];
      std::snprintf(number, sizeof number, "%.6f", probability);
      csv += csv_field(pictures.names[i]) + "," + csv_field(command.adapters[a]) + "," + csv_field(label) + "," +
             number + "\n";
      std::printf("%s\t", pictures.names[i].c_str());
      if (adapters.size() > 1) std::printf("%s\t", command.adapters[a].c_str());
      std::printf("%s\t%.4f\n", label.c_str(), probability);
    }
  if (!command.json_file.empty())
    write_file_atomically(command.json_file, results.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
  if (!command.csv_file.empty()) write_file_atomically(command.csv_file, csv);
  return 0;
}

}  // namespace

Command setup_predict(CLI::App& program) {
  auto command = std::make_shared<PredictCommand>();
  PredictCommand& c = *command;
  CLI::App* app = program.add_subcommand("predict", "label and probability of pictures, by a run and an adapter of it");
  app->add_option("RUN", c.run, "run folder")->required();
  app->add_option("IMAGE", c.pictures,
                  "pictures, folders of pictures, or - for standard input (a picture, or paths, one a line)")
      ->required();
  app->add_option("--adapter", c.adapters, "file of `fewatoms adapt`; several classify each picture in turn")
      ->required()
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("FILE");
  app->add_option("--checkpoint", c.checkpoint, "best or last; left out: the adapter's")
      ->check(CLI::IsMember({"best", "last"}));
  app->add_option("--threads", c.threads, "0: all cores; results do not depend on it")->check(CLI::Range(0, 1024));
  app->add_option("--json", c.json_file, "file for all probabilities");
  app->add_option("--csv", c.csv_file, "file for labels and probabilities");
  return [command] { return run_predict(*command); };
}

}  // namespace fewatoms
