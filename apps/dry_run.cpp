#include "apps/dry_run.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "apps/config_file.h"
#include "apps/drawings.h"
#include "apps/json_text.h"
#include "apps/progress.h"
#include "backbones/safetensors.h"
#include "meta/cost.h"
#include "meta/memory.h"

namespace fewatoms {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kTimedIterations = 3, kTimedEpisodes = 8;
constexpr double kEnoughSeconds = 10;  // of timing

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::string text_of(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string size_text(double bytes) {
  return bytes >= 1e17      ? "no known limit"
         : bytes >= 1 << 30 ? text_of("%.1f GiB", bytes / (1 << 30))
                            : text_of("%.0f MiB", bytes / (1 << 20));
}

std::string counts_text(const std::map<Role, int64_t>& counts) {
  int64_t sum = 0;
  std::string text;
  for (const auto& [role, count] : counts) {
    sum += count;
    text += (text.empty() ? " (" : ", ") + std::to_string(count) + " " + to_string(role);
  }
  return sum == 0 ? "none" : std::to_string(sum) + text + ")";
}

std::string source_text(const ImageSource& source) {
  int64_t images = 0;
  for (int c = 0; c < source.classes(); ++c) images += source.class_size(c);
  return source.info().split + " " + std::to_string(source.classes()) + " classes, " + std::to_string(images) +
         " images";
}

double decoded_bytes(const ImageSource& source) {
  double images = 0;
  for (int c = 0; c < source.classes(); ++c) images += source.class_size(c);
  return images * source.height() * source.width() * source.channels();
}

/// Seconds of one iteration, the first one left out: it fills caches.
double time_iteration(const Settings& settings, const Learner& learner, const TrainState& state,
                      const ImageSource& train, int& timed) {
  TrainerOptions options = settings.trainer;
  options.iterations = std::max(options.iterations, static_cast<int>(state.iteration) + kTimedIterations + 2);
  options.first_order_share = 0;  // the longer phase
  Trainer trainer(learner, train, options, state);
  const auto begin = Clock::now();
  double sum = trainer.step().seconds;
  if (seconds_since(begin) > kEnoughSeconds) {
    timed = 1;
    return sum;
  }
  for (sum = 0, timed = 0; timed < kTimedIterations && seconds_since(begin) < kEnoughSeconds; ++timed)
    sum += trainer.step().seconds;
  return sum / timed;
}

}  // namespace

void dry_run(const Settings& settings, const Learner& learner, const TrainState& state, const TrainingSources& sources,
             const std::filesystem::path& picture) {
  const ImageSource& train = *sources.train;
  const TrainerOptions& trainer = settings.trainer;
  EpisodeSpec spec = trainer.spec;
  if (learner.trains_on_classes()) spec.shots = 0;
  const auto index = static_cast<uint64_t>(state.iteration) * trainer.meta_batch;
  const Episode episode = draw_episode(train, spec, trainer.seed, index, trainer.augmented);
  write_file_atomically(picture, png_bytes(draw_episode_picture(train, episode)));

  std::printf("%s\n", config_text(settings).c_str());
  std::string names;
  for (const int c : episode.classes) names += (names.empty() ? "" : ", ") + train.class_name(c);
  std::replace_if(
      names.begin(), names.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');  // each line is a comment
  std::printf("# images: %s, %s%s\n", settings.data.name.c_str(), source_text(train).c_str(),
              sources.validation ? ("; " + source_text(*sources.validation)).c_str() : "");
  std::vector<std::pair<std::string, Notices>> notices{{"train", train.info().notices}};
  if (sources.validation) notices.emplace_back(sources.validation->info().split, sources.validation->info().notices);
  for (const std::string& notice : merged_notices(notices)) std::printf("# note%s\n", notice.c_str());
  std::printf("# parameters: %s\n", counts_text(state.parameters.count()).c_str());
  std::printf("# adapted to each task: %s\n", counts_text(learner.adapted_count()).c_str());

  const int in_flight = tasks_in_flight(settings), threads = threads_of(settings);
  double cache = decoded_bytes(train) + (sources.validation ? decoded_bytes(*sources.validation) : 0);
  cache = std::min(cache, static_cast<double>(settings.data.cache_mb) * (1 << 20) * (sources.validation ? 2 : 1));
  std::printf(
      "# memory: about %s, and up to %s of decoded images; limit: %s\n",
      size_text(static_cast<double>(estimated_bytes(learner, trainer.spec, trainer.meta_batch, in_flight))).c_str(),
      size_text(cache).c_str(), size_text(static_cast<double>(memory_limit())).c_str());

  int timed = 0;
  const double iteration = time_iteration(settings, learner, state, train, timed);
  const int64_t left = trainer.iterations - state.iteration;
  const double flop = 2.0 * trainer.meta_batch * static_cast<double>(convolution_multiply_adds(learner, trainer.spec));
  double seconds = iteration * static_cast<double>(left);
  std::string validation;
  if (settings.val_every > 0 && sources.validation) {
    EvaluationOptions options = evaluation_options(settings);
    options.episodes = std::min(options.episodes, kTimedEpisodes);
    const double episode_seconds =
        evaluate(learner, state.parameters, *sources.validation, options).seconds / options.episodes;
    const int64_t times = trainer.iterations / settings.val_every - state.iteration / settings.val_every;
    const double each = episode_seconds * settings.val_episodes;
    seconds += each * static_cast<double>(times);
    validation = " and " + std::to_string(times) + (times == 1 ? " validation of " : " validations of ") +
                 text_of("%.3g s", each);
  }
  std::printf(
      "# time: about %s for %lld iterations of %s%s (%d iterations timed here with %d threads, and thrown away)\n",
      duration_text(seconds).c_str(), static_cast<long long>(left), text_of("%.3g s", iteration).c_str(),
      validation.c_str(), timed, threads);
  std::printf("# convolutions: %s an iteration\n", text_of("%.3g GFLOP", 1e-9 * flop).c_str());
  std::printf("# episode %llu, a row for each class, support before query: %s\n#   %s\n",
              static_cast<unsigned long long>(index), picture.string().c_str(), names.c_str());
}

}  // namespace fewatoms
