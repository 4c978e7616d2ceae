#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "backbones/safetensors.h"
#include "episodes/errors.h"
#include "meta/checkpoint.h"
#include "meta/training_run.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

using test::identical;
using test::message_of;
using test::SyntheticSource;
using test::TemporaryFolder;

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

LearnerOptions acdc_options() {
  LearnerOptions options = test::small_options("acdc");
  options.scope = "atom+head";
  options.inner_lr = "0.05,atom=0.5";
  return options;
}

TrainerOptions trainer_options(int iterations) {
  TrainerOptions options;
  options.spec = {.ways = test::kWays, .shots = 2, .queries = 3};
  options.iterations = iterations;
  options.meta_batch = 4;
  options.outer_lr = "0.01";
  options.seed = 5;
  return options;
}

EvaluationOptions evaluation_options(std::vector<int> steps, int episodes = 12) {
  EvaluationOptions options;
  options.spec = {.ways = test::kWays, .shots = 2, .queries = 3};
  options.episodes = episodes;
  options.inner_steps = std::move(steps);
  return options;
}

/// A learner, its initial state and something to learn.
struct Subject {
  explicit Subject(const LearnerOptions& options = acdc_options()) : learner(options, initial.parameters) {}
  TrainState initial;
  Learner learner;
  SyntheticSource source{6, 10, 28};
};

TrainState trained(const Subject& setup, int iterations, const TrainerOptions& options) {
  Trainer trainer(setup.learner, setup.source, options, setup.initial);
  for (int i = 0; i < iterations; ++i) trainer.step();
  return trainer.state();
}

void expect_identical(const TrainState& a, const TrainState& b) {
  EXPECT_TRUE(identical(a.parameters, b.parameters));
  EXPECT_EQ(a.iteration, b.iteration);
  EXPECT_EQ(a.best_accuracy, b.best_accuracy);
  EXPECT_EQ(a.best_iteration, b.best_iteration);
  EXPECT_EQ(a.last_validation, b.last_validation);
  ASSERT_EQ(a.optimizer.first.size(), b.optimizer.first.size());
  for (size_t i = 0; i < a.optimizer.first.size(); ++i) {
    EXPECT_TRUE(a.optimizer.first[i].equal(b.optimizer.first[i])) << i;
    EXPECT_TRUE(a.optimizer.second[i].equal(b.optimizer.second[i])) << i;
  }
}

/// Runs `work` with this many threads of TBB, even where the machine has fewer.
template <class Work>
auto with_threads(int threads, Work work) {
  const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, threads);
  tbb::task_arena arena(threads);
  return arena.execute(work);
}

// ---- The outer step.

TEST(Trainer, StepIsAdamOnTheMeanOfTheTaskGradients) {
  const Subject setup;
  TrainerOptions options = trainer_options(4);
  options.outer_lr = "0.01,head=0.03";
  options.lr_schedule = "step";
  options.lr_step = 2;
  options.lr_gamma = 0.5;
  options.weight_decay = 0.01;
  options.clip_value = 0.02;
  Trainer trainer(setup.learner, setup.source, options, setup.initial);

  const auto trainable = setup.initial.parameters.trainable();
  ParameterSet parameters = setup.initial.parameters;
  std::vector<Tensor> m, v;
  for (const size_t i : trainable) {
    m.push_back(at::zeros_like(parameters.tensor(i), at::kDouble));
    v.push_back(m.back().clone());
  }
  for (int step = 1; step <= 4; ++step) {
    const IterationReport report = trainer.step();
    const auto tasks =
        load_tasks(setup.source, options.spec, options.seed, 4 * (step - 1), 4, Augmented::kNone, PixelNorm::kUnit);
    double loss = 0, hits = 0, squares = 0;
    std::vector<Tensor> mean(trainable.size(), at::zeros({}, at::kDouble));
    for (const Task& task : tasks) {
      const TaskGradient result = task_gradient(setup.learner, parameters, task);
      loss += result.loss / 4;
      hits += result.accuracy / 4;
      for (size_t k = 0; k < mean.size(); ++k) mean[k] = mean[k] + result.gradients[k].to(at::kDouble) / 4;
    }
    for (const Tensor& g : mean) squares += g.pow(2).sum().item<double>();
    EXPECT_EQ(report.iteration, step);
    EXPECT_NEAR(report.loss, loss, 1e-4);
    EXPECT_NEAR(report.accuracy, hits, 1e-9);
    EXPECT_NEAR(report.gradient_norm, std::sqrt(squares), 1e-3 * std::sqrt(squares));
    const double factor = step <= 2 ? 1 : 0.5;
    EXPECT_EQ(report.outer_lr, factor);
    for (size_t k = 0; k < trainable.size(); ++k) {
      const Parameter& p = parameters[trainable[k]];
      const double rate = (p.role == Role::kHead ? 0.03 : 0.01) * factor;
      const Tensor value = p.tensor.to(at::kDouble), g = mean[k].clamp(-0.02, 0.02) + 0.01 * value;
      m[k] = 0.9 * m[k] + 0.1 * g;
      v[k] = 0.999 * v[k] + 0.001 * g * g;
      const Tensor moved =
          value - rate * (m[k] / (1 - std::pow(0.9, step))) / ((v[k] / (1 - std::pow(0.999, step))).sqrt() + 1e-8);
      test::expect_close(trainer.parameters().tensor(trainable[k]).to(at::kDouble), moved, 3e-4, p.name);
    }
    parameters = trainer.state().parameters;  // go on from the same values, so that rounding does not add up
  }
}

TEST(Trainer, ClippingTheNormScalesTheWholeGradient) {
  // After one step Adam's first moment is 0.1 * gradient.
  const Subject setup;
  TrainerOptions options = trainer_options(1);
  const TrainState plain = trained(setup, 1, options);
  options.clip_norm = 1e-3;
  const TrainState clipped = trained(setup, 1, options);
  double squares = 0;
  for (const Tensor& t : clipped.optimizer.first) squares += (t * 10).pow(2).sum().item<double>();
  EXPECT_NEAR(std::sqrt(squares), 1e-3, 1e-6);
  const double ratio = (clipped.optimizer.first[0].norm() / plain.optimizer.first[0].norm()).item<double>();
  for (size_t i = 0; i < plain.optimizer.first.size(); ++i)
    EXPECT_LT((clipped.optimizer.first[i] - plain.optimizer.first[i] * ratio).abs().max().item<double>(), 1e-8) << i;
}

TEST(Trainer, TheNormThatIsClippedIsThatAfterClippingTheValues) {
  const Subject setup;
  TrainerOptions options = trainer_options(1);
  options.outer_optimizer = "sgd";
  options.outer_lr = "100";  // so that the way of the parameters shows the gradient, whatever they are
  const auto gradient = [&](double value, double norm) {
    options.clip_value = value;
    options.clip_norm = norm;
    const ParameterSet after = trained(setup, 1, options).parameters;
    std::vector<Tensor> all;
    for (const size_t i : after.trainable())
      all.push_back(((setup.initial.parameters.tensor(i) - after.tensor(i)) / 100).to(at::kDouble).flatten());
    return at::cat(all);
  };
  const Tensor whole = gradient(0, 0);
  const double value = 0.2 * whole.abs().max().item<double>();
  const Tensor clamped = whole.clamp(-value, value);
  const double before = whole.norm().item<double>(), after = clamped.norm().item<double>();
  ASSERT_LT(after, 0.8 * before);
  EXPECT_LT((gradient(value, 0.5 * after) - 0.5 * clamped).norm().item<double>(), 1e-4 * after);
  EXPECT_LT((gradient(value, 0.5 * (before + after)) - clamped).norm().item<double>(), 1e-4 * after);  // short enough
  EXPECT_LT((gradient(0, 0.5 * before) - 0.5 * whole).norm().item<double>(), 1e-4 * before);
}

TEST(Trainer, CosineScheduleEndsAtZero) {
  const Subject setup;
  TrainerOptions options = trainer_options(4);
  options.lr_schedule = "cosine";
  Trainer trainer(setup.learner, setup.source, options, setup.initial);
  double last = 2;
  for (int i = 0; i < 4; ++i) {
    const double factor = trainer.step().outer_lr;
    EXPECT_NEAR(factor, 0.5 * (1 + std::cos(3.14159265358979 * i / 4)), 1e-9);
    EXPECT_LT(factor, last);
    last = factor;
  }
}

TEST(Trainer, WeightsAreBitIdenticalForAnyNumberOfThreads) {
  for (const char* norm : {"batch", "running"}) {
    LearnerOptions options = acdc_options();
    options.norm = norm;
    const Subject setup(options);
    const auto train = [&](int threads) {
      return with_threads(threads, [&] { return trained(setup, 4, trainer_options(4)); });
    };
    const TrainState one = train(1);
    EXPECT_FALSE(identical(one.parameters, setup.initial.parameters));
    expect_identical(one, train(2));
    expect_identical(one, train(4));
  }
}

TEST(Trainer, StandardWeightsAreBitIdenticalForAnyNumberOfThreads) {
  for (const int width : {8, 16}) {  // oneDNN's kernels and our own
    LearnerOptions options = test::small_options("standard");
    options.network.width = width;
    const Subject setup(options);
    const auto train = [&](int threads) {
      return with_threads(threads, [&] { return trained(setup, 3, trainer_options(3)); });
    };
    const TrainState one = train(1);
    expect_identical(one, train(2));
    expect_identical(one, train(4));
  }
}

TEST(Trainer, TasksOfTheCallerGiveTheSameStep) {
  const Subject setup;
  const TrainerOptions options = trainer_options(2);
  Trainer trainer(setup.learner, setup.source, options, setup.initial);
  trainer.step(load_tasks(setup.source, options.spec, options.seed, 0, options.meta_batch, Augmented::kNone,
                          options.pixel_norm));
  trainer.step();  // goes on with the source's episodes of the second iteration
  expect_identical(trainer.state(), trained(setup, 2, options));
}

TEST(Trainer, ItsArgumentsStayUntouched) {
  const Subject setup;
  const ParameterSet before = setup.initial.parameters.to(at::kFloat);
  Trainer trainer(setup.learner, setup.source, trainer_options(2), setup.initial);
  trainer.step();
  EXPECT_TRUE(identical(setup.initial.parameters, before));
  const TrainState snapshot = trainer.state();
  const ParameterSet copy = snapshot.parameters.to(at::kFloat);
  trainer.step();
  EXPECT_TRUE(identical(snapshot.parameters, copy));
}

TEST(Trainer, RunningStatisticsMoveInTraining) {
  LearnerOptions options = acdc_options();
  options.norm = "running";
  const Subject setup(options);
  const TrainState after = trained(setup, 1, trainer_options(1));
  int statistics = 0;
  for (size_t i = 0; i < after.parameters.size(); ++i) {
    if (after.parameters[i].role != Role::kStatistic) continue;
    ++statistics;
    EXPECT_FALSE(after.parameters.tensor(i).equal(setup.initial.parameters.tensor(i))) << after.parameters[i].name;
  }
  EXPECT_EQ(statistics, 8);
  EXPECT_EQ(after.optimizer.first.size(), after.parameters.trainable().size());
}

TEST(Trainer, OptionsOutOfRangeAreRefused) {
  const Subject setup;
  const auto refusal = [&](const auto& change) {
    TrainerOptions options = trainer_options(1);
    change(options);
    return message_of<UsageError>([&] { Trainer(setup.learner, setup.source, options, setup.initial); });
  };
  EXPECT_TRUE(contains(refusal([](auto& o) { o.iterations = 0; }), "iterations is 0"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.meta_batch = 0; }), "meta-batch is 0"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.lr_step = 0; }), "lr-step is 0"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.lr_gamma = 1.5; }), "lr-gamma"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.weight_decay = -1; }), "weight decay"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.clip_norm = -1; }), "clip-norm"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.clip_value = std::nan(""); }), "clip-value"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.lr_schedule = "cosin"; }), "did you mean 'cosine'"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.outer_lr = "fast"; }), "outer rate"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.outer_lr = "atom=0.1"; }), "no rate"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.spec.ways = 4; }), "3 ways"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.spec.ways = 7; }), "6 classes"));
}

TEST(Trainer, ARateForARoleThatTheNetworkLacksIsRefused) {
  const Subject setup(test::small_options("standard"));
  TrainerOptions options = trainer_options(1);
  options.outer_lr = "0.1,atom=0.1";
  const auto build = [&] { Trainer(setup.learner, setup.source, options, setup.initial); };
  EXPECT_TRUE(contains(message_of<UsageError>(build), "names role 'atom'"));
}

TEST(Trainer, LearnsSeparableClassesWellAboveChance) {
  LearnerOptions options = acdc_options();
  options.network.width = 8;
  options.inner_steps = 3;
  const Subject setup(options);
  const double before = evaluate(setup.learner, setup.initial.parameters, setup.source, evaluation_options({0, 3}, 40))
                            .by_steps[0]
                            .accuracy;
  EXPECT_LT(before, 0.6);  // an untrained head knows nothing before it adapts
  const TrainState after = trained(setup, 30, trainer_options(30));
  const Evaluation evaluation = evaluate(setup.learner, after.parameters, setup.source, evaluation_options({0, 3}, 40));
  EXPECT_GT(evaluation.by_steps[1].accuracy, 0.8);
  EXPECT_GT(evaluation.by_steps[1].accuracy, evaluation.by_steps[0].accuracy + 0.2);
}

// ---- Going on.

TEST(Resume, ACheckpointGoesOnBitIdentically) {
  LearnerOptions options = acdc_options();
  options.norm = "running";
  const Subject setup(options);
  TrainerOptions training = trainer_options(5);
  training.lr_schedule = "cosine";
  const TemporaryFolder folder;
  for (const int stop : {0, 1, 3}) {
    Trainer first(setup.learner, setup.source, training, setup.initial);
    for (int i = 0; i < stop; ++i) first.step();
    if (stop > 0) first.record_validation(0.625);
    save_checkpoint(folder / "c.safetensors", first.state());
    const TrainState loaded = load_checkpoint(folder / "c.safetensors", setup.initial.parameters.schema());
    expect_identical(loaded, first.state());
    Trainer second(setup.learner, setup.source, training, loaded);
    while (second.iteration() < 5) second.step();
    TrainState expected = trained(setup, 5, training);
    if (stop > 0) expected.best_accuracy = 0.625, expected.best_iteration = expected.last_validation = stop;
    expect_identical(second.state(), expected);
  }
}

struct Outcome {
  TrainState state, last, best;
  std::vector<std::string> metrics;  // lines, without the seconds that an iteration took
};

std::vector<std::string> lines_without_time(const std::filesystem::path& path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    nlohmann::json entry = nlohmann::json::parse(line);
    entry.erase("seconds");
    lines.push_back(entry.dump());
  }
  return lines;
}

TrainingRunOptions run_options(int iterations) {
  TrainingRunOptions options;
  options.trainer = trainer_options(iterations);
  options.validation = evaluation_options({2}, 4);
  options.val_every = 2;
  options.checkpoint_every = 3;
  return options;
}

/// Trains in `folder` until `stop_after` more iterations are done, from its last checkpoint if there is one.
Outcome run(const Subject& setup, const std::filesystem::path& folder, int iterations, int stop_after) {
  const RunPaths paths(folder);
  const SyntheticSource validation(5, 10, 28, 1, "val");
  TrainingRunOptions options = run_options(iterations);
  int done = 0;
  options.on_iteration = [&](const IterationReport&) { ++done; };
  options.stop_requested = [&] { return done >= stop_after; };
  TrainState state = setup.initial;
  if (std::filesystem::exists(paths.last())) state = load_checkpoint(paths.last(), setup.initial.parameters.schema());
  Outcome result;
  result.state = run_training(setup.learner, setup.source, &validation, options, std::move(state), paths);
  result.metrics = lines_without_time(paths.metrics());
  result.last = load_checkpoint(paths.last(), setup.initial.parameters.schema());
  if (std::filesystem::exists(paths.best()))
    result.best = load_checkpoint(paths.best(), setup.initial.parameters.schema());
  return result;
}

TEST(Resume, AStoppedRunLeavesTheSameFolderAsAnUninterruptedOne) {
  const Subject setup;
  const TemporaryFolder whole, pieces;
  const Outcome at_once = run(setup, whole.path(), 6, 100);
  run(setup, pieces.path(), 6, 1);
  EXPECT_EQ(load_checkpoint(RunPaths(pieces.path()).last(), setup.initial.parameters.schema()).iteration, 1);
  run(setup, pieces.path(), 6, 3);
  // A run that was killed wrote lines after its checkpoint, the last one torn.
  std::ofstream(RunPaths(pieces.path()).metrics(), std::ios::app)
      << "{\"iteration\":5,\"loss\":9}\n{\"iteration\":5,\"lo";
  const Outcome resumed = run(setup, pieces.path(), 6, 100);
  expect_identical(resumed.state, at_once.state);
  EXPECT_EQ(resumed.state.iteration, 6);
  EXPECT_EQ(resumed.metrics, at_once.metrics);
  expect_identical(resumed.last, at_once.last);
  expect_identical(resumed.best, at_once.best);
  EXPECT_EQ(at_once.metrics.size(), 6U + 3);
}

TEST(Resume, AValidationThatWasStoppedIsDoneFirst) {
  const Subject setup;
  const TemporaryFolder whole, pieces;
  const RunPaths paths(pieces.path());
  const SyntheticSource validation(5, 10, 28, 1, "val");
  TrainingRunOptions options = run_options(4);
  std::atomic<int> asked = 0;
  options.stop_requested = [&] {
    return ++asked > 4;
  };  // twice after iterations, then in the validation after two episodes
  const TrainState stopped = run_training(setup.learner, setup.source, &validation, options, setup.initial, paths);
  EXPECT_EQ(stopped.iteration, 2);
  EXPECT_EQ(stopped.last_validation, 0);
  EXPECT_FALSE(std::filesystem::exists(paths.best()));
  expect_identical(load_checkpoint(paths.last(), setup.initial.parameters.schema()), stopped);

  const Outcome resumed = run(setup, pieces.path(), 4, 100);
  const Outcome at_once = run(setup, whole.path(), 4, 100);
  expect_identical(resumed.state, at_once.state);
  expect_identical(resumed.best, at_once.best);
  EXPECT_EQ(resumed.metrics, at_once.metrics);
  EXPECT_EQ(resumed.state.last_validation, 4);
}

TEST(Resume, AFinishedRunStaysAsItIs) {
  const Subject setup;
  const TemporaryFolder folder;
  const RunPaths paths(folder.path());
  const Outcome once = run(setup, folder.path(), 2, 100);
  const std::string metrics = test::read_file(paths.metrics()), last = test::read_file(paths.last());
  expect_identical(run(setup, folder.path(), 2, 100).state, once.state);
  EXPECT_EQ(test::read_file(paths.metrics()), metrics);
  EXPECT_TRUE(test::read_file(paths.last()) == last);  // every byte
}

TEST(TrainingRun, KeepsTheBestOfItsValidations) {
  const Subject setup;
  const TemporaryFolder folder;
  const SyntheticSource validation(5, 10, 28, 1, "val");
  TrainingRunOptions options = run_options(6);
  double best = -1;
  int64_t best_iteration = 0;
  std::vector<int64_t> seen;
  options.on_validation = [&](const ValidationReport& report) {
    seen.push_back(report.iteration);
    EXPECT_EQ(report.best, report.result.accuracy > best);
    if (!report.best) return;
    best = report.result.accuracy;
    best_iteration = report.iteration;
  };
  const RunPaths paths(folder.path());
  const TrainState last = run_training(setup.learner, setup.source, &validation, options, setup.initial, paths);
  EXPECT_EQ(seen, (std::vector<int64_t>{2, 4, 6}));
  EXPECT_EQ(last.best_accuracy, best);
  EXPECT_EQ(last.best_iteration, best_iteration);
  const TrainState kept = load_checkpoint(paths.best(), setup.initial.parameters.schema());
  EXPECT_EQ(kept.iteration, best_iteration);
  EXPECT_EQ(kept.best_accuracy, best);
  expect_identical(load_checkpoint(paths.last(), setup.initial.parameters.schema()), last);
}

TEST(TrainingRun, OptionsThatCannotWorkAreRefusedBeforeAnythingIsWritten) {
  const Subject setup;
  const TemporaryFolder folder;
  const SyntheticSource few(2, 10, 28, 1, "val");
  const auto refuse = [&](const auto& change) {
    TrainingRunOptions options = run_options(2);
    change(options);
    EXPECT_THROW(run_training(setup.learner, setup.source, &few, options, setup.initial, RunPaths(folder.path())),
                 UsageError);
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  };
  refuse([](auto& o) { o.val_every = -1; });
  refuse([](auto& o) { o.checkpoint_every = 0; });
  refuse([](auto&) {});  // validation has two classes, three ways are asked for
  refuse([](auto& o) { o.val_every = 0, o.trainer.meta_batch = 0; });
}

TEST(NonFiniteLoss, NamesIterationAndEpisodeAndKeepsTheLastCheckpoint) {
  const Subject setup;
  const TemporaryFolder folder;
  TrainingRunOptions options = run_options(10);
  options.trainer.outer_lr = "1e30";
  options.val_every = 0;
  options.checkpoint_every = 1;
  const RunPaths paths(folder.path());
  const std::string message = message_of<NonFiniteLoss>(
      [&] { run_training(setup.learner, setup.source, nullptr, options, setup.initial, paths); });
  EXPECT_TRUE(contains(message, "iteration 2") && contains(message, "episode 4")) << message;
  const TrainState kept = load_checkpoint(paths.last(), setup.initial.parameters.schema());
  EXPECT_EQ(kept.iteration, 1);
  expect_identical(kept, trained(setup, 1, options.trainer));
}

TEST(NonFiniteLoss, LeavesTheTrainerAsItWas) {
  const Subject setup;
  TrainerOptions options = trainer_options(10);
  options.outer_lr = "1e30";
  Trainer trainer(setup.learner, setup.source, options, setup.initial);
  trainer.step();
  const TrainState before = trainer.state();
  for (int attempt = 0; attempt < 2; ++attempt) EXPECT_THROW(trainer.step(), NonFiniteLoss);
  expect_identical(trainer.state(), before);
}

// ---- Checkpoints.

TEST(Checkpoint, OfAnotherArchitectureIsRefused) {
  const Subject setup;
  const TemporaryFolder folder;
  save_checkpoint(folder / "c.safetensors", trained(setup, 1, trainer_options(1)));
  const auto refusal = [&](const auto& change) {
    LearnerOptions options = acdc_options();
    change(options);
    ParameterSet expected;
    Learner learner(options, expected);
    const std::string message =
        message_of<UsageError>([&] { load_checkpoint(folder / "c.safetensors", expected.schema()); });
    EXPECT_TRUE(contains(message, "another architecture") && contains(message, "c.safetensors")) << message;
    return message;
  };
  EXPECT_TRUE(contains(refusal([](auto& o) { o.network.width = 8; }), "coefficients"));
  refusal([](auto& o) { o.network.conv.atoms = 5; });
  refusal([](auto& o) { o.network.conv.sharing = "layer"; });
  refusal([](auto& o) { o.network.conv.kind = "standard", o.scope = "all", o.inner_lr = "0.05"; });
  refusal([](auto& o) { o.network.channels = 3; });
  refusal([](auto& o) { o.norm = "running"; });
  refusal([](auto& o) { o.ways = 5; });
  refusal([](auto& o) { o.head = "prototype", o.scope = "atom", o.inner_lr = "0.05"; });
}

TEST(Checkpoint, DamageIsNamed) {
  const Subject setup;
  const TemporaryFolder folder;
  const auto path = folder / "c.safetensors";
  save_checkpoint(path, trained(setup, 1, trainer_options(1)));
  const auto load = [&] { load_checkpoint(path, setup.initial.parameters.schema()); };
  const std::string whole = test::read_file(path);
  test::write_file(path, whole.substr(0, whole.size() - 3));
  EXPECT_TRUE(contains(message_of<DataError>(load), path.string()));
  test::write_file(path, whole);
  for (const char* key : {"iteration", "best_accuracy", "best_iteration", "last_validation"})
    for (const char* value : {"", "x", "1 "}) {
      SafeTensors contents = read_safetensors(path);
      contents.metadata[key] = value;
      write_safetensors(path, contents);
      EXPECT_TRUE(contains(message_of<DataError>(load), key)) << value;
      test::write_file(path, whole);
    }
  SafeTensors contents = read_safetensors(path);
  contents.metadata.clear();
  write_safetensors(path, contents);
  EXPECT_TRUE(contains(message_of<UsageError>(load), "not a FewAtoms checkpoint"));
  std::filesystem::remove(path);
  EXPECT_TRUE(contains(message_of<UsageError>(load), path.string()));
}

// ---- Evaluation.

TEST(Evaluation, IsTheSameTwiceAndForAnyNumberOfThreads) {
  const Subject setup;
  const ParameterSet parameters = trained(setup, 2, trainer_options(2)).parameters;
  const auto accuracies = [&](int threads) {
    return with_threads(threads, [&] {
      const Evaluation evaluation = evaluate(setup.learner, parameters, setup.source, evaluation_options({0, 1, 3}));
      std::vector<double> numbers;
      for (const auto& episode : evaluation.accuracies) numbers.insert(numbers.end(), episode.begin(), episode.end());
      for (const StepAccuracy& mark : evaluation.by_steps)
        numbers.insert(numbers.end(), {mark.accuracy, mark.ci95.value(), mark.loss});
      return numbers;
    });
  };
  const auto one = accuracies(1);
  EXPECT_EQ(one.size(), 12U * 3 + 9);
  EXPECT_EQ(accuracies(1), one);
  EXPECT_EQ(accuracies(2), one);
  EXPECT_EQ(accuracies(4), one);
}

TEST(Evaluation, MarksInOnePassEqualSeparateEvaluations) {
  for (const char* norm : {"batch", "running"}) {
    LearnerOptions options = acdc_options();
    options.norm = norm;
    const Subject setup(options);
    const ParameterSet parameters = trained(setup, 2, trainer_options(2)).parameters;
    const Evaluation together = evaluate(setup.learner, parameters, setup.source, evaluation_options({0, 2, 5}));
    for (size_t mark = 0; mark < 3; ++mark) {
      const StepAccuracy& a = together.by_steps[mark];
      const StepAccuracy b =
          evaluate(setup.learner, parameters, setup.source, evaluation_options({a.inner_steps})).by_steps[0];
      EXPECT_EQ(a.accuracy, b.accuracy) << norm << ", " << a.inner_steps << " steps";
      EXPECT_EQ(a.ci95, b.ci95);
      EXPECT_EQ(a.loss, b.loss);
    }
  }
}

TEST(Evaluation, ChangesNothingAndFollowsItsSeed) {
  const Subject setup;
  const ParameterSet before = setup.initial.parameters.to(at::kFloat);
  EvaluationOptions options = evaluation_options({3});
  const Evaluation a = evaluate(setup.learner, setup.initial.parameters, setup.source, options);
  EXPECT_TRUE(identical(setup.initial.parameters, before));
  options.seed = 1;
  const Evaluation b = evaluate(setup.learner, setup.initial.parameters, setup.source, options);
  EXPECT_NE(a.by_steps[0].loss, b.by_steps[0].loss);
}

TEST(Evaluation, IntervalByHand) {
  const MeanInterval interval = mean_interval({0.2, 0.4, 0.6, 0.8});
  EXPECT_DOUBLE_EQ(interval.mean, 0.5);
  EXPECT_NEAR(*interval.ci95, 3.182446 * std::sqrt(0.2 / 3) / 2, 1e-6);  // t of 3 degrees of freedom
  EXPECT_EQ(mean_interval({0.3}).ci95, std::nullopt);
  EXPECT_EQ(mean_interval({}).mean, 0);
}

TEST(Evaluation, WhatCannotBeEvaluatedIsRefused) {
  const Subject setup;
  const auto refusal = [&](const Subject& s, const EvaluationOptions& options) {
    return message_of<UsageError>([&] { evaluate(s.learner, s.initial.parameters, s.source, options); });
  };
  EXPECT_TRUE(contains(refusal(setup, evaluation_options({})), "inner steps"));
  EXPECT_TRUE(contains(refusal(setup, evaluation_options({-1})), "-1"));
  EXPECT_TRUE(contains(refusal(setup, evaluation_options({1001})), "1001"));
  EXPECT_TRUE(contains(refusal(setup, evaluation_options({2, 2})), "ascend"));
  EXPECT_TRUE(contains(refusal(setup, evaluation_options({5, 1})), "ascend"));
  EXPECT_TRUE(contains(refusal(setup, evaluation_options({1}, 0)), "episodes is 0"));
  EvaluationOptions more_ways = evaluation_options({1});
  more_ways.spec.ways = 4;
  EXPECT_TRUE(contains(refusal(setup, more_ways), "3 ways"));
  LearnerOptions none = test::small_options();
  none.head = "prototype";
  none.scope = "none";
  none.inner_steps = 0;
  const Subject proto(none);
  EXPECT_TRUE(contains(refusal(proto, evaluation_options({0, 1})), "adapts nothing"));
  EXPECT_EQ(evaluate(proto.learner, proto.initial.parameters, proto.source,
                     [&] {
                       EvaluationOptions five = evaluation_options({0}, 3);
                       five.spec.ways = 5;  // prototypes take any number of classes
                       return five;
                     }())
                .accuracies.size(),
            3U);
}

}  // namespace
}  // namespace fewatoms
