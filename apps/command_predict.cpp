#include <cstdio>
#include <iostream>

#include <nlohmann/json.hpp>

#include "apps/command_line.h"
#include "apps/json_text.h"
#include "apps/pictures.h"
#include "apps/run_folder.h"
#include "backbones/safetensors.h"
#include "datasets/table.h"
#include "episodes/numbers.h"
#include "meta/adapter.h"

namespace fewatoms {
namespace {

using json = nlohmann::ordered_json;

constexpr int64_t kAtATime = 256;  // pictures in memory as numbers

struct PredictCommand {
  std::string run, checkpoint, json_file, csv_file;
  std::vector<std::string> adapters, pictures;
  int threads = 0;
  bool skip_bad = false;
};

/// What was found of some pictures: probabilities [good ones, classes] under each adapter, and what is wrong with the
/// others.
struct Predictions {
  std::vector<int> good;  // their numbers
  std::vector<Tensor> probabilities;
  std::vector<std::string> bad;  // a message for each
};

/// The images [good ones, C, H, W] of a part of the pictures; what cannot be read goes to `found.bad`.
Tensor load_good(const ImageSource& pictures, std::vector<ImageRef> refs, PixelNorm norm, Predictions& found) {
  const auto keep = [&] {
    for (const ImageRef& ref : refs) found.good.push_back(ref.image_index);
  };
  try {
    pictures.prefetch(refs);
    Tensor images = load_images(pictures, refs, norm);
    keep();
    return images;
  } catch (const DataError&) {  // which of them, and whether they are all, is found out one by one
  }
  std::erase_if(refs, [&](const ImageRef& ref) {
    try {
      pictures.image(ref);
      return false;
    } catch (const DataError& e) {
      found.bad.emplace_back(e.what());
      return true;
    }
  });
  keep();
  return load_images(pictures, refs, norm);
}

Predictions predict(const std::vector<std::unique_ptr<TaskClassifier>>& classifiers, const ImageSource& pictures,
                    PixelNorm norm) {
  Predictions found;
  std::vector<std::vector<Tensor>> parts(classifiers.size());
  const int64_t count = pictures.class_size(0);
  for (int64_t first = 0; first < count; first += kAtATime) {
    std::vector<ImageRef> refs;
    for (int64_t i = first; i < std::min(count, first + kAtATime); ++i) refs.push_back({0, static_cast<int>(i), 0});
    const Tensor images = load_good(pictures, std::move(refs), norm, found);
    for (size_t a = 0; a < classifiers.size(); ++a) parts[a].push_back(classifiers[a]->probabilities(images));
  }
  for (const auto& pieces : parts) found.probabilities.push_back(at::cat(pieces));
  return found;
}

/// Says which pictures could not be read; the exit code.
int report_bad(const Predictions& found, size_t pictures, bool skip_bad) {
  if (found.bad.empty()) return 0;
  const std::string count = std::to_string(found.bad.size()) + " of " + std::to_string(pictures) + " pictures";
  if (found.good.empty())
    throw DataError(found.bad.front() +
                    (pictures > 1 ? "; none of the " + std::to_string(pictures) + " pictures can be read" : ""));
  for (const std::string& what : found.bad) std::cerr << "note: " << what << std::endl;
  if (skip_bad)
    std::cerr << "note: " << count << " left out" << std::endl;
  else
    std::cerr << "fewatoms: " << count
              << " cannot be read, the others have their labels (--skip-bad: this is no failure)" << std::endl;
  return skip_bad ? 0 : 1;
}

int run_predict(const PredictCommand& command) {
  std::vector<Adapter> adapters;
  for (const std::string& file : command.adapters) adapters.push_back(load_adapter(file));
  // Each adapter says which checkpoint it belongs to; another adapter's does not open the right one.
  const auto where = [&](size_t a) { return "adapter '" + command.adapters[a] + "'"; };
  const Run run = read_run_of(adapters[0], where(0), command.run, command.checkpoint);
  const Pictures pictures = open_pictures(command.pictures, run.settings);
  std::vector<std::unique_ptr<TaskClassifier>> classifiers;
  for (size_t a = 0; a < adapters.size(); ++a)
    classifiers.push_back(std::make_unique<TaskClassifier>(*run.learner, run.state.parameters, adapters[a], where(a)));

  for (const std::string& notice : pictures.notices) std::cerr << "note: " << notice << std::endl;

  Predictions found;
  with_threads(command.threads,
               [&] { found = predict(classifiers, *pictures.source, run.settings.trainer.pixel_norm); });
  const int code = report_bad(found, pictures.names.size(), command.skip_bad);

  json results = json::array();
  std::string csv = "image,adapter,label,probability\n";
  for (size_t i = 0; i < found.good.size(); ++i)
    for (size_t a = 0; a < adapters.size(); ++a) {
      const std::string& picture = pictures.names[found.good[i]];
      const Tensor row = found.probabilities[a][static_cast<int64_t>(i)];
      const auto best = row.argmax().item<int64_t>();
      const std::string& label = adapters[a].classes[best];
      const double probability = row[best].item<double>();
      json by_class = json::object();
      for (size_t c = 0; c < adapters[a].classes.size(); ++c)
        by_class[adapters[a].classes[c]] = row[static_cast<int64_t>(c)].item<double>();
      results.push_back({{"image", picture},
                         {"adapter", command.adapters[a]},
                         {"label", label},
                         {"probability", probability},
                         {"probabilities", by_class}});
      csv += csv_field(picture) + "," + csv_field(command.adapters[a]) + "," + csv_field(label) + "," +
             fixed_text(probability, 6) + "\n";
      std::printf("%s\t", picture.c_str());
      if (adapters.size() > 1) std::printf("%s\t", command.adapters[a].c_str());
      std::printf("%s\t%.4f\n", label.c_str(), probability);
    }
  if (!command.json_file.empty()) write_file_atomically(command.json_file, json_text(results) + "\n");
  if (!command.csv_file.empty()) write_file_atomically(command.csv_file, csv);
  return code;
}

}  // namespace

Command setup_predict(CLI::App& program) {
  auto command = std::make_shared<PredictCommand>();
  PredictCommand& c = *command;
  CLI::App* app =
      program.add_subcommand("predict", "Classify pictures by a run and an adapter of it, with label and probability.");
  app->add_option("RUN", c.run, "The run is in this folder, which `fewatoms train` wrote.")->required();
  app->add_option("IMAGE", c.pictures,
                  "These pictures or folders of pictures are classified; - is standard input, which holds a picture, "
                  "or paths, one on each line.")
      ->required();
  app->add_option("--adapter", c.adapters,
                  "The task is in this file of `fewatoms adapt`; if several are given, each classifies each picture.")
      ->required()
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("FILE");
  app->add_option("--checkpoint", c.checkpoint,
                  "The weights are those of the best or the last checkpoint; by default the adapter's.")
      ->check(CLI::IsMember({"best", "last"}));
  add_number(*app, "--threads", c.threads,
             "The program uses this many threads, 0 for all cores; results do not depend on it.", 0, 1024);
  app->add_flag("--skip-bad", c.skip_bad,
                "Pictures that cannot be read are named in a notice instead of being a failure, and the others get "
                "their labels.");
  app->add_option("--json", c.json_file, "The probabilities of all classes are written to this JSON file.");
  app->add_option("--csv", c.csv_file, "Labels and their probabilities are written to this CSV file.");
  return [command] { return run_predict(*command); };
}

}  // namespace fewatoms
