// The loader's benchmark: what it costs an iteration, and how many images it gives per second.

#include <cstdio>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "apps/bench.h"
#include "apps/command_line.h"
#include "episodes/text.h"
#include "meta/statistics.h"

namespace fewatoms {
namespace {

constexpr int kImages = 2000;  // at most, of which rates are measured
constexpr int kAtOnce = 400;   // images that become one tensor: about a meta-batch

/// The first images of all classes in turn.
std::vector<ImageRef> some_images(const ImageSource& source) {
  std::vector<ImageRef> images;
  for (int i = 0, found = 1; found > 0 && images.size() < kImages; ++i) {
    found = 0;
    for (int c = 0; c < source.classes() && images.size() < kImages; ++c) {
      if (i >= source.class_size(c)) continue;
      images.push_back({c, i});
      ++found;
    }
  }
  return images;
}

/// The files of the images, where they are files of their own; else empty.
std::vector<std::string> files_of(const ImageSource& source, const std::vector<ImageRef>& images,
                                  const std::filesystem::path& root) {
  std::error_code error;
  const auto folder = std::filesystem::is_directory(root, error) ? root : root.parent_path();
  std::vector<std::string> files;
  for (const ImageRef& ref : images) {
    const auto file = folder / unescaped(source.image_name(ref));
    if (root.empty() || !std::filesystem::is_regular_file(file, error)) return {};
    files.push_back(file.string());
  }
  return files;
}

/// The plain way: each file read, resized and made floating-point, one after the other.
void read_in_a_loop(const std::vector<std::string>& files, const Settings& s) {
  for (const std::string& file : files) {
    cv::Mat picture = cv::imread(file, s.data.channels == 1 ? cv::IMREAD_GRAYSCALE : cv::IMREAD_COLOR), small, pixels;
    cv::resize(picture, small, {s.data.image_size, s.data.image_size}, 0, 0, cv::INTER_AREA);
    small.convertTo(pixels, CV_32F, 1.0 / 255);
  }
}

struct ImageRates {
  SourceInfo info;
  size_t images = 0;
  Timing first, again, imread;  // of a pass over the images: when the source is new, from its cache, and the plain way
  double per_second(const Timing& timing) const { return static_cast<double>(images) / timing.median(); }
};

ImageRates measure_rates(const BenchOptions& o) {
  ImageRates rates;
  for (int round = -1; round < std::min(o.repeat, 5); ++round) {  // the first brings the files into the system's cache
    const auto source = open_dataset(o.settings.data, "train");
    const std::vector<ImageRef> images = some_images(*source);
    const std::vector<std::string> files = files_of(*source, images, o.settings.data.root);
    rates.info = source->info();
    rates.images = images.size();
    const auto load = [&] {
      for (size_t at = 0; at < images.size(); at += kAtOnce) {
        const std::vector<ImageRef> block(
            images.begin() + static_cast<ptrdiff_t>(at),
            images.begin() + static_cast<ptrdiff_t>(std::min(images.size(), at + kAtOnce)));
        source->prefetch(block);
        load_images(*source, block, o.settings.trainer.pixel_norm);
      }
    };
    const auto measure = [&](Timing& to, const auto& work) {
      const double seconds = seconds_of(work);
      if (round >= 0) to.seconds.push_back(seconds);
    };
    if (!files.empty()) measure(rates.imread, [&] { read_in_a_loop(files, o.settings); });
    with_threads(o.threads, [&] {
      measure(rates.first, load);
      measure(rates.again, load);
    });
  }
  return rates;
}

}  // namespace

BenchResult bench_loader(const BenchOptions& o) {
  const ImageRates rates = measure_rates(o);
  const SourceInfo& info = rates.info;
  std::printf("%s (%s), %zu images as tensors: %.0f images/s with %d thread%s at first, %.0f from then on",
              info.dataset.c_str(), info.form.c_str(), rates.images, rates.per_second(rates.first), o.threads,
              o.threads == 1 ? "" : "s", rates.per_second(rates.again));
  if (!rates.imread.seconds.empty())
    std::printf("; cv::imread in a loop, one thread: %.0f", rates.per_second(rates.imread));
  std::printf("\n");
  BenchResult result = {{"dataset", info.dataset},
                        {"form", info.form},
                        {"augment", o.settings.data.augment},
                        {"images", rates.images},
                        {"images_per_s_first", rates.per_second(rates.first)},
                        {"images_per_s_again", rates.per_second(rates.again)}};
  if (!rates.imread.seconds.empty()) result["images_per_s_imread"] = rates.per_second(rates.imread);

  constexpr int kBlock = 4;  // iterations in turn; the first does not count: the other's loading went on beside it
  const TrainerOptions options = endless(o.settings.trainer);
  TrainState state;
  const Learner learner(o.settings.learner, state.parameters);
  const auto source = open_dataset(o.settings.data, "train");
  Timing loaded, in_memory;
  with_threads(o.threads, [&] {
    std::vector<std::vector<Task>> tasks;
    for (int i = 0; i <= kBlock * (1 + o.repeat); ++i) {  // every image of these episodes comes into the cache
      std::vector<Task> next = tasks_of(*source, options, i);
      if (i < kBlock) tasks.push_back(std::move(next));
    }
    Trainer with(learner, *source, options, state), without(learner, *source, options, state);
    for (int block = 0; block < 1 + o.repeat; ++block) {
      const auto measure = [&](Timing& to, const auto& step) {
        for (int i = 0; i < kBlock; ++i) {
          const double seconds = seconds_of([&] { step(i); });
          if (block > 0 && i > 0) to.seconds.push_back(seconds);
        }
      };
      measure(loaded, [&](int) { with.step(); });
      measure(in_memory, [&](int i) { without.step(tasks[i]); });
    }
  });
  const double ratio = loaded.median() / in_memory.median();
  print("iteration with the loader", loaded);
  print("with tasks in memory", in_memory);
  std::printf("ratio %.4f\n", ratio);
  result.update({{"loader", to_json(loaded)},
                 {"in_memory", to_json(in_memory)},
                 {"ratio", ratio},
                 {"peak_memory_mb", peak_memory_mb()}});
  return result;
}

}  // namespace fewatoms
