// The benchmarks of whole jobs: an outer iteration, an inner step, an evaluation.

#include <cstdio>

#include "apps/bench.h"
#include "apps/command_line.h"
#include "episodes/random.h"
#include "meta/cost.h"
#include "meta/embedding.h"

namespace fewatoms {
namespace {

/// Just as many random images as the tasks of a few meta-batches need: a pure function of the seed.
class RandomImages final : public ImageSource {
 public:
  explicit RandomImages(const Settings& s)
      : seed_(s.trainer.seed), spec_(s.trainer.spec), size_(s.data.image_size), channels_(s.data.channels) {
    info_.dataset = info_.form = "random";
    info_.split = "train";
  }
  const SourceInfo& info() const override { return info_; }
  int classes() const override { return 2 * spec_.ways; }
  const std::string& class_name(int) const override { return info_.dataset; }
  int class_size(int) const override { return spec_.shots + spec_.queries; }
  int height() const override { return size_; }
  int width() const override { return size_; }
  int channels() const override { return channels_; }
  ImageView image(const ImageRef& ref) const override {
    auto pixels = std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(size_) * size_ * channels_);
    Random random{seed_, static_cast<uint64_t>(ref.class_index), static_cast<uint64_t>(ref.image_index)};
    for (uint8_t& pixel : *pixels) pixel = static_cast<uint8_t>(random.next_u32());
    return {pixels->data(), size_, size_, channels_, pixels};
  }

 private:
  uint64_t seed_;
  EpisodeSpec spec_;
  int size_, channels_;
  SourceInfo info_;
};

}  // namespace

BenchResult bench_iteration(const BenchOptions& o) {
  const TrainerOptions options = endless(o.settings.trainer);
  TrainState state;
  const Learner learner(o.settings.learner, state.parameters);
  const RandomImages images(o.settings);
  std::vector<Task> tasks;
  with_threads(o.threads, [&] { tasks = tasks_of(images, options, 0); });
  Trainer trainer(learner, images, options, state), alone(learner, images, options, state);
  Timing all, one;
  for (int i = 0; i < kWarmUp + o.repeat; ++i) {
    const auto measure = [&](int threads, Trainer& of, Timing& to) {
      const double seconds = seconds_of([&] { with_threads(threads, [&] { of.step(tasks); }); });
      if (i >= kWarmUp) to.seconds.push_back(seconds);
    };
    measure(o.threads, trainer, all);
    if (o.scaling) measure(1, alone, one);  // in turns, so that a change of the machine's speed meets both
  }
  const double peak = peak_memory_mb();
  const int64_t multiply_adds = options.meta_batch * convolution_multiply_adds(learner, options.spec);
  const double gflops = 2e-9 * static_cast<double>(multiply_adds) / all.median();

  print("meta-iteration", all);
  std::printf("  %.1f GFLOP of convolutions: %.1f GFLOP/s, %.1f %% of the multiply-add peak\n",
              2e-9 * static_cast<double>(multiply_adds), gflops, 100 * gflops / o.machine.all.gflops);
  std::printf("  peak memory %.0f MiB\n", peak);
  BenchResult result = to_json(all);
  result["multiply_adds"] = multiply_adds;
  result["gflops"] = gflops;
  result["share_of_peak"] = gflops / o.machine.all.gflops;
  result["peak_memory_mb"] = peak;
  if (o.scaling) {
    const double scaling = one.median() / all.median(), relative = scaling / o.machine.fma_scaling();
    print("  with 1 thread", one);
    std::printf("  %d threads over 1: %.3f, of the multiply-add loop %.3f, ratio %.3f\n", o.threads, scaling,
                o.machine.fma_scaling(), relative);
    result["one_thread"] = to_json(one);
    result["scaling"] = scaling;
    result["fma_scaling"] = o.machine.fma_scaling();
    result["scaling_ratio"] = relative;
  }
  return result;
}

BenchResult bench_inner_step(const BenchOptions& o) {
  constexpr int kMore = 4;  // inner steps that the longer of two runs has more
  struct Subject {
    Subject(LearnerOptions options, const TrainerOptions& trainer) {
      for (Run* run : {&few, &many}) {
        options.inner_steps = run == &few ? 1 : 1 + kMore;
        run->learner = std::make_unique<Learner>(options, run->parameters);
      }
      multiply_adds = (cost(many, trainer) - cost(few, trainer)) / kMore;
    }
    struct Run {
      ParameterSet parameters;
      std::unique_ptr<Learner> learner;
      Timing timing;
    } few, many;
    int64_t multiply_adds;

    static int64_t cost(const Run& run, const TrainerOptions& t) {
      return convolution_multiply_adds(*run.learner, t.spec);
    }
    double step() const { return (many.timing.median() - few.timing.median()) / kMore; }
    double best_step() const { return (many.timing.minimum() - few.timing.minimum()) / kMore; }
  };

  const TrainerOptions& t = o.settings.trainer;
  LearnerOptions plain = find_method("maml").preset;
  plain.network = o.settings.learner.network;
  plain.network.conv = {};
  plain.order = o.settings.learner.order;
  plain.ways = o.settings.learner.ways;
  plain.seed = o.settings.learner.seed;
  Subject asked(o.settings.learner, t), standard(plain, t);
  const RandomImages images(o.settings);
  const Task task = tasks_of(images, t, 0).front();
  with_threads(1, [&] {
    for (int i = 0; i < kWarmUp + o.repeat; ++i)
      for (Subject* subject : {&asked, &standard})
        for (Subject::Run* run : {&subject->few, &subject->many}) {
          const double seconds = seconds_of([&] { task_gradient(*run->learner, run->parameters, task); });
          if (i >= kWarmUp) run->timing.seconds.push_back(seconds);
        }
  });

  BenchResult result;
  for (const Subject* subject : {&asked, &standard}) {
    const LearnerOptions& of = subject->many.learner->options();
    const double gflops = 2e-9 * static_cast<double>(subject->multiply_adds) / subject->step();
    std::printf(
        "%s, scope %s: %.3f ms per inner step, its share of the outer derivative included (from minima %.3f ms); "
        "%.3f GFLOP of convolutions, %.1f %% of the peak\n",
        of.method.c_str(), of.scope.c_str(), 1e3 * subject->step(), 1e3 * subject->best_step(),
        2e-9 * static_cast<double>(subject->multiply_adds), 100 * gflops / o.machine.one.gflops);
    result[subject == &asked ? "asked" : "standard"] = {{"method", of.method},
                                                        {"scope", of.scope},
                                                        {"inner_step_s", subject->step()},
                                                        {"inner_step_from_minima_s", subject->best_step()},
                                                        {"multiply_adds", subject->multiply_adds},
                                                        {"share_of_peak", gflops / o.machine.one.gflops},
                                                        {"with_1_step", to_json(subject->few.timing)},
                                                        {"with_5_steps", to_json(subject->many.timing)}};
  }
  result["ratio"] = asked.step() / standard.step();
  std::printf("ratio %.3f\n", result["ratio"].get<double>());
  return result;
}

BenchResult bench_evaluate(const BenchOptions& o) {
  ParameterSet parameters;
  const Learner learner(o.settings.learner, parameters);
  const auto source = open_dataset(o.settings.data, o.split);
  const EvaluationOptions options = evaluation_options(o.settings);
  require_evaluable(learner, *source, options);
  const std::vector<ImageRef> images = all_images(*source);
  Timing embedding, evaluation;
  const auto embed = [&] { embed_images(learner, parameters, *source, images, options.pixel_norm); };
  with_threads(o.threads, [&] {
    embed();  // every image is in the cache from here on
    for (int i = 0; i < o.repeat; ++i) {
      embedding.seconds.push_back(seconds_of(embed));
      evaluation.seconds.push_back(seconds_of([&] { evaluate(learner, parameters, *source, options); }));
    }
  });
  const double ratio = evaluation.median() / embedding.median(),
               per_episode = 1e3 * evaluation.median() / options.episodes;
  print(("one pass over the " + std::to_string(images.size()) + " images of " + o.settings.data.name + " " + o.split)
            .c_str(),
        embedding);
  print((std::to_string(options.episodes) + " episodes").c_str(), evaluation);
  std::printf("ratio %.3f; %.3f ms per episode; peak memory %.0f MiB\n", ratio, per_episode, peak_memory_mb());
  return {{"dataset", o.settings.data.name},
          {"split", o.split},
          {"images", images.size()},
          {"episodes", options.episodes},
          {"embedding", to_json(embedding)},
          {"evaluation", to_json(evaluation)},
          {"ratio", ratio},
          {"ms_per_episode", per_episode},
          {"peak_memory_mb", peak_memory_mb()}};
}

}  // namespace fewatoms
