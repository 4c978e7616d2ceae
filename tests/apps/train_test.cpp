#include <cstdlib>
#include <optional>

#include "apps/settings.h"
#include "backbones/kernels/loops.h"
#include "tests/apps/program.h"

namespace fewatoms::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

int64_t iteration_of(const fs::path& checkpoint) {
  return std::stoll(read_safetensors(checkpoint).metadata.at("iteration"));
}

TEST(Train, RunFolderHoldsItsConfigurationMetricsAndCheckpoints) {
  const fs::path& run = shared_run().path;
  const std::string config = read_file(run / "config.toml");
  Settings any;
  for_each_option(any, [&](const OptionText& option, auto&) {
    EXPECT_THAT(config, HasSubstr("\n" + std::string(option.name) + " = "));
  });
  EXPECT_THAT(config, HasSubstr("method = 'acdc-maml'"));
  EXPECT_THAT(config, HasSubstr("image-size = 28"));  // resolved, not the 0 that stands for it

  std::vector<int> trained, validated;
  for (const auto& line : metrics_of(run)) {
    if (line.contains("val_accuracy")) {
      validated.push_back(line.at("iteration"));
      EXPECT_GE(line.at("val_accuracy").get<double>(), 0);
      EXPECT_TRUE(line.contains("val_ci95"));
    } else {
      trained.push_back(line.at("iteration"));
      EXPECT_GT(line.at("loss").get<double>(), 0);
    }
  }
  EXPECT_EQ(trained, (std::vector<int>{1, 2, 3, 4}));
  EXPECT_EQ(validated, (std::vector<int>{2, 4}));

  EXPECT_EQ(iteration_of(run / "last.safetensors"), 4);
  const SafeTensors best = read_safetensors(run / "best.safetensors");
  EXPECT_EQ(best.metadata.at("iteration"), best.metadata.at("best_iteration"));
  EXPECT_EQ(best.metadata.at("iteration"), read_safetensors(run / "last.safetensors").metadata.at("best_iteration"));
  for (const auto& [file, bytes] : contents(run))
    EXPECT_EQ(file.find(".tmp"), std::string::npos) << file << " was left behind";
}

TEST(Train, ALogHasPlainLinesOnStandardErrorOnly) {
  const Finished& log = shared_run().finished;
  EXPECT_EQ(log.out, "");
  EXPECT_THAT(log.err, HasSubstr("\n4/4  loss "));
  EXPECT_THAT(log.err, HasSubstr("validation at 2: "));
  EXPECT_THAT(log.err, HasSubstr("adapted 189 (162 atom, 27 head)"));
  for (const char c : log.err)
    EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 32) << "control character " << int(c);
  EXPECT_EQ(log.err.back(), '\n');
}

TEST(Train, ABarOnATerminalNeverReachesTheNextLine) {
  const TemporaryFolder folder;
  for (const int columns : {200, 80, 40}) {
    const std::string size = std::to_string(columns), run = (folder / size).string();
    const std::string seen = shell(
        "script -qec 'stty cols " + size +
        "; " FEWATOMS_PROGRAM " train --method protonet --width 4 --queries 1 --iterations 40 --val-every 0 --out " +
        run + "' /dev/null </dev/null");
    std::string line;
    bool bars = false;
    for (const char c : seen + "\r") {
      if (c != '\r' && c != '\n') {
        line += c;
        continue;
      }
      if (line.starts_with("\033[K")) line.erase(0, 3);
      if (line.find("40/40") != line.npos || line.find("/40  loss") != line.npos) {
        bars = true;
        const auto width = std::count_if(line.begin(), line.end(),
                                         [](char b) { return (static_cast<unsigned char>(b) & 0xC0) != 0x80; });
        EXPECT_LT(width, columns) << line;
        EXPECT_EQ(line.find("█") != line.npos, columns > 40) << line;
      }
      line.clear();
    }
    EXPECT_TRUE(bars) << seen;
  }
}

// The shared run used two threads.
TEST(Train, RepeatedFromItsConfigurationWithFourThreadsGivesTheSameWeights) {
  const TemporaryFolder folder;
  const fs::path run = folder / "deep" / "again";
  run_well(
      {"train", "--config", (shared_run().path / "config.toml").string(), "--out", run.string(), "--threads", "4"});
  for (const char* file : {"last.safetensors", "best.safetensors"})
    expect_same_checkpoint(run / file, shared_run().path / file);
  EXPECT_EQ(metrics_of(run), metrics_of(shared_run().path));
}

TEST(Train, ResumedWithOneThreadAndMoreIterationsEqualsUninterrupted) {
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  const Finished first = run_well(shared_training(run, {"--iterations", "3", "--threads", "1", "--quiet"}));
  EXPECT_EQ(first.out + first.err, "");
  ASSERT_EQ(iteration_of(run / "last.safetensors"), 3);
  run_well({"train", "--out", run.string(), "--resume", "--iterations", "4"});
  for (const char* file : {"last.safetensors", "best.safetensors"})
    expect_same_checkpoint(run / file, shared_run().path / file);
  EXPECT_EQ(metrics_of(run), metrics_of(shared_run().path));
  EXPECT_THAT(read_file(run / "config.toml"), HasSubstr("iterations = 4"));
}

TEST(Train, AFinishedRunIsResumedToItself) {
  const TemporaryFolder folder;
  const fs::path run = copy_of_shared_run(folder);
  const auto before = contents(run);
  const Finished finished = run_well({"train", "--out", run.string(), "--resume"});
  EXPECT_THAT(finished.err, HasSubstr("is finished: 4 iterations"));
  EXPECT_EQ(contents(run), before);
}

// Killed without warning, interrupted, terminated: each time the run goes on from a checkpoint as if nothing had
// happened.
TEST(Train, KilledInterruptedAndTerminatedRunsResumeToTheWeightsOfAnUninterruptedOne) {
  const TemporaryFolder folder;
  const fs::path run = folder / "run", whole = folder / "whole";
  const Arguments tiny = {"--method", "fomaml", "--conv", "standard", "--norm", "running", "--checkpoint-every", "3"};
  const auto checkpoint = run / "last.safetensors";
  {
    Running killed(small_training(run, tiny + Arguments{"--iterations", "1000000"}));
    ASSERT_TRUE(killed.wait_until([&] { return fs::exists(checkpoint) && iteration_of(checkpoint) >= 3; }));
    killed.send(SIGKILL);
    EXPECT_EQ(killed.wait().code, -SIGKILL);
  }
  int64_t done = iteration_of(checkpoint);
  for (const int signal : {SIGINT, SIGTERM}) {
    Running stopped({"train", "--out", run.string(), "--resume"});
    ASSERT_TRUE(stopped.wait_until([&] { return stopped.err().find("fomaml on strokes") != std::string::npos; }));
    stopped.send(signal);
    const Finished finished = stopped.wait();
    EXPECT_EQ(finished.code, 128 + signal);
    EXPECT_THAT(finished.err, HasSubstr("--resume continues"));
    ASSERT_GT(iteration_of(checkpoint), done);
    done = iteration_of(checkpoint);
  }
  run_well(small_training(whole, tiny + Arguments{"--iterations", std::to_string(done)}));
  expect_same_checkpoint(checkpoint, whole / "last.safetensors");
  EXPECT_EQ(metrics_of(run), metrics_of(whole));
}

/// Sets environment variables, which programs started meanwhile see, and takes them back.
class Environment {
 public:
  explicit Environment(const std::map<std::string, std::string>& values) {
    for (const auto& [name, value] : values) {
      const char* before = std::getenv(name.c_str());
      before_[name] = before ? std::optional<std::string>(before) : std::nullopt;
      setenv(name.c_str(), value.c_str(), 1);
    }
  }
  ~Environment() {
    for (const auto& [name, value] : before_)
      if (value)
        setenv(name.c_str(), value->c_str(), 1);
      else
        unsetenv(name.c_str());
  }

 private:
  std::map<std::string, std::optional<std::string>> before_;
};

TEST(Train, EveryInstructionSetTrainsAlikeAndBitIdenticallyForAnyThreads) {
  const TemporaryFolder folder;
  std::map<std::string, torch::Tensor> first;  // weights of the least level
  for (const auto& [level, aten, onednn, openblas] :
       {std::tuple{"baseline", "default", "SSE41", "NEHALEM"}, std::tuple{"avx2", "avx2", "AVX2", "HASWELL"},
        std::tuple{"avx512", "avx2", "ALL", "SKYLAKEX"}}) {
    const auto levels = loops::available_levels();
    if (std::find(levels.begin(), levels.end(), level) == levels.end()) continue;  // not on this processor
    const Environment forced(std::map<std::string, std::string>{{"FEWATOMS_CPU_LEVEL", level},
                                                                {"ATEN_CPU_CAPABILITY", aten},
                                                                {"ONEDNN_MAX_CPU_ISA", onednn},
                                                                {"OPENBLAS_CORETYPE", openblas}});
    const auto train = [&](const std::string& threads) {
      const fs::path run = folder / (std::string(level) + threads);
      run_well(small_training(run, {"--width", "16", "--iterations", "3", "--threads", threads}));
      return run / "last.safetensors";
    };
    const fs::path one = train("1");
    expect_same_checkpoint(one, train("2"));
    const SafeTensors weights = read_safetensors(one);
    if (first.empty()) first = weights.tensors;
    for (const auto& [name, tensor] : weights.tensors)
      if (!name.starts_with("adam.")) {
        EXPECT_LT((tensor - first.at(name)).abs().max().item<double>(), 1e-3) << name << " at " << level;
      }
  }
  const Environment unknown(std::map<std::string, std::string>{{"FEWATOMS_CPU_LEVEL", "avx9"}});
  const Finished refused = run_program(small_training(folder / "unknown"));
  EXPECT_NE(refused.code, 0);
  EXPECT_THAT(refused.err, HasSubstr("'avx9'"));
}

TEST(Train, ARunIsNeitherOverwrittenNorResumedWithOtherSettings) {
  const std::string run = shared_run().path.string();
  const auto before = contents(run);
  const TemporaryFolder folder;
  expect_refusals({
      {shared_training(run), {run, "holds a run already", "--resume"}},
      {{"train", "--out", run, "--resume", "--width", "16", "--iterations", "9"},
       {"--resume", "width is 8 there, 16 was given"}},
      {{"train", "--out", run, "--resume", "--iterations", "3"},
       {"iterations is 4 there and can only be raised, 3 was given"}},
      {small_training(folder / "new", {"--resume"}), {"no run in", (folder / "new").string()}},
  });
  EXPECT_EQ(contents(run), before);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(TrainSlow, NoIdentityOptionMayChangeInAResumedRun) {
  const std::string run = shared_run().path.string();
  const auto before = contents(run);
  std::vector<Refusal> refusals;
  for (const auto& [name, value] : std::map<std::string, std::string>{{"seed", "6"},
                                                                      {"meta-batch", "2"},
                                                                      {"inner-lr", "0.05"},
                                                                      {"outer-lr", "0.002"},
                                                                      {"order", "first"},
                                                                      {"norm", "batch"},
                                                                      {"augment", "none"},
                                                                      {"lr-schedule", "cosine"},
                                                                      {"val-every", "3"},
                                                                      {"shots", "2"},
                                                                      {"method", "maml"},
                                                                      {"atoms", "5"}})
    refusals.push_back(
        {{"train", "--out", run, "--resume", "--" + name, value, "--iterations", "9"}, {"--resume", name + " is "}});
  expect_refusals(refusals);
  EXPECT_EQ(contents(run), before);
}

}  // namespace
}  // namespace fewatoms::test
