// Loads a trained run, adapts it to one picture of each class, and says of which class another is.
// usage: embed RUN PICTURE... UNKNOWN      (for a 5-way run: five pictures and a sixth; prints its number 1..5 and
// probabilities)
#include <cstdio>
#include <stdexcept>

#include "apps/pictures.h"
#include "apps/run_folder.h"
#include "meta/adapter.h"

using namespace fewatoms;

int main(int argc, char** argv) try {
  if (argc < 5) throw std::invalid_argument("usage: embed RUN PICTURE PICTURE [PICTURE...] UNKNOWN");
  const Run run = read_run(argv[1]);  // settings, network and parameters
  const PixelNorm norm = run.settings.trainer.pixel_norm;

  // Pictures of any size and format become a support set: image i is of class i.
  const std::vector<std::string> files(argv + 2, argv + argc - 1);
  const auto pictures = open_pictures(files, run.settings).source;
  Task task;
  task.ways = pictures->class_size(0);
  std::vector<ImageRef> images;
  for (int i = 0; i < task.ways; ++i) images.push_back({.class_index = 0, .image_index = i});
  task.support = load_images(*pictures, images, norm);  // [ways, C, H, W]
  task.support_labels = at::arange(task.ways, at::kLong);

  // The inner loop, then a network that judges each image on its own.
  const int steps = run.learner->adapted().empty() ? 0 : run.learner->options().inner_steps;
  const Adapter adapter = make_adapter(*run.learner, run.state.parameters, task, files, steps);
  const TaskClassifier classifier(*run.learner, run.state.parameters, adapter, "the adapter");

  const auto unknown = open_pictures({argv[argc - 1]}, run.settings).source;
  const Tensor p = classifier.probabilities(load_images(*unknown, std::vector<ImageRef>{{}}, norm))[0];
  std::printf("%lld", static_cast<long long>(p.argmax().item<int64_t>() + 1));
  for (int i = 0; i < task.ways; ++i) std::printf(" %.4f", p[i].item<double>());
  std::printf("\n");
} catch (const std::exception& error) {
  std::fprintf(stderr, "embed: %s\n", error.what());
  return 1;
}
