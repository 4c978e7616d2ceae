#include "tests/apps/program.h"

namespace fewatoms::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

/// A benchmark that takes a moment, and what it wrote.
struct Bench {
  Bench(const std::string& name, const Arguments& more) {
    const TemporaryFolder folder;
    finished = run_well(Arguments{"bench", name, "--width", "4", "--image-size", "28", "--repeat", "2", "--threads",
                                  "2", "--json", (folder / "bench.json").string()} +
                        more);
    result = json::parse(read_file(folder / "bench.json"));
    EXPECT_EQ(result.at("bench"), name);
    EXPECT_EQ(result.at("threads"), 2);
    const json& machine = result.at("machine");
    for (const char* key : {"processor", "instructions", "allocator", "openblas_core", "onednn_isa", "aten_capability"})
      EXPECT_NE(machine.at(key).get<std::string>(), "") << key;
    EXPECT_EQ(machine.at("one_thread").at("threads"), 1);
    EXPECT_EQ(machine.at("all_threads").at("threads"), std::min(2, machine.at("cores").get<int>()));
    for (const char* threads : {"one_thread", "all_threads"})
      for (const char* key : {"gflops", "copy_gb_per_s"}) EXPECT_GT(number({"machine", threads, key}), 0.1) << key;
    EXPECT_NEAR(number({"machine", "fma_scaling"}),
                number({"machine", "all_threads", "gflops"}) / number({"machine", "one_thread", "gflops"}), 1e-6);
    EXPECT_EQ(result.at("settings").at("width"), 4);
    EXPECT_EQ(result.at("settings").at("image_size"), 28);
  }

  double number(const Arguments& path) const {
    const json* at = &result;
    for (const std::string& key : path) at = &at->at(key);
    return at->get<double>();
  }
  /// A timing at `path`, plausible.
  double median(Arguments path) const {
    const json* at = &result;
    for (const std::string& key : path) at = &at->at(key);
    EXPECT_GT(at->at("min_s").get<double>(), 0);
    EXPECT_GE(at->at("median_s").get<double>(), at->at("min_s").get<double>());
    EXPECT_GE(at->at("spread").get<double>(), 0);
    EXPECT_GE(at->at("repeats").get<int>(), 2);
    return at->at("median_s").get<double>();
  }

  Finished finished;
  json result;
};

TEST(Bench, Iteration) {
  const Bench bench("iteration", {"--scaling", "--order", "first", "--inner-steps", "1"});
  const double median = bench.median({}), one = bench.median({"one_thread"});
  // 28x28 RGB, width 4: forward f = 9 * (12 * 784 + 16 * (196 + 49 + 9)), by inputs without the stem; four tasks of 80
  // images.
  const double multiply_adds = 4.0 * 80 * 9 * (2 * 12 * 784 + 3 * 16 * (196 + 49 + 9));
  EXPECT_EQ(bench.number({"multiply_adds"}), multiply_adds);
  EXPECT_NEAR(bench.number({"gflops"}), 2e-9 * multiply_adds / median, 1e-6);
  EXPECT_NEAR(bench.number({"share_of_peak"}),
              bench.number({"gflops"}) / bench.number({"machine", "all_threads", "gflops"}), 1e-9);
  EXPECT_GT(bench.number({"peak_memory_mb"}), 20);
  EXPECT_NEAR(bench.number({"scaling"}), one / median, 1e-9);
  EXPECT_NEAR(bench.number({"scaling_ratio"}), bench.number({"scaling"}) / bench.number({"fma_scaling"}), 1e-9);
  for (const char* words : {"meta-iteration: median", "of the multiply-add peak", "allocator"})
    EXPECT_THAT(bench.finished.out, HasSubstr(words));
}

TEST(Bench, InnerStep) {
  const Bench bench("inner-step", {});
  for (const char* subject : {"asked", "standard"}) {
    const double few = bench.median({subject, "with_1_step"}), many = bench.median({subject, "with_5_steps"});
    EXPECT_NEAR(bench.number({subject, "inner_step_s"}), (many - few) / 4, 1e-9);
    EXPECT_GT(bench.number({subject, "multiply_adds"}), 0);
  }
  EXPECT_EQ(bench.result.at("asked").at("scope"), "atom+head");
  EXPECT_EQ(bench.result.at("standard").at("scope"), "all");
  EXPECT_NEAR(bench.number({"ratio"}),
              bench.number({"asked", "inner_step_s"}) / bench.number({"standard", "inner_step_s"}), 1e-9);
}

TEST(Bench, Evaluate) {
  const Bench bench("evaluate", {"--val-episodes", "20"});
  EXPECT_EQ(bench.result.at("episodes"), 20);
  EXPECT_EQ(bench.result.at("settings").at("method"), "protonet");
  EXPECT_GT(bench.number({"images"}), 1000);
  const double evaluation = bench.median({"evaluation"});
  EXPECT_NEAR(bench.number({"ratio"}), evaluation / bench.median({"embedding"}), 1e-9);
  EXPECT_NEAR(bench.number({"ms_per_episode"}), 1e3 * evaluation / 20, 1e-6);
}

TEST(Bench, Loader) {
  const Bench bench("loader", {"--queries", "3", "--inner-steps", "1"});
  EXPECT_NEAR(bench.number({"ratio"}), bench.median({"loader"}) / bench.median({"in_memory"}), 1e-9);
  EXPECT_GT(bench.number({"images_per_s_again"}),
            bench.number({"images_per_s_first"}));             // drawn characters stay in the cache
  EXPECT_FALSE(bench.result.contains("images_per_s_imread"));  // and are no files

  const TemporaryFolder folder;
  write_class_folders(folder / "photos", 12, 6);
  const Bench photos("loader", {"--dataset", "folders", "--data-root", (folder / "photos").string(), "--queries", "1",
                                "--inner-steps", "1"});
  EXPECT_EQ(photos.result.at("form"), "split-folders");
  EXPECT_GT(photos.number({"images_per_s_imread"}), 0);
}

TEST(Bench, Kernels) {
  const Bench bench("kernels", {});
  const json& shapes = bench.result.at("shapes");
  ASSERT_EQ(shapes.size(), 4U * 3);
  for (const json& row : shapes) {
    const json& conv = row.at("conv2d");
    EXPECT_GT(conv.at("forward_ms").get<double>(), 0);
    EXPECT_GT(conv.at("forward_backward_gflops").get<double>(), 0);
    EXPECT_GT(row.at("norm_relu_pool").at("forward_backward_gb_per_s").get<double>(), 0);
    EXPECT_EQ(row.contains("two_stage_3"), row.at("in") == 4);  // the stem stays plain
    for (const char* name : {"two_stage_6", "maps_3"}) {
      if (!row.contains(name)) continue;
      const json& two_stage = row.at(name);
      EXPECT_NEAR(two_stage.at("forward_ratio").get<double>(),
                  two_stage.at("forward_ms").get<double>() / conv.at("forward_ms").get<double>(), 1e-9);
    }
  }
}

TEST(Bench, MistakesAreRefusedAndManyThreadsAreNoted) {
  expect_refusals({
      {{"bench", "iterations"}, {"'iterations'", "did you mean 'iteration'"}},
      {{"bench"}, {"command is missing", "iteration", "kernels"}},
      {{"bench", "iteration", "--repeat", "0"}, {"--repeat", "0"}},
      {{"bench", "iteration", "--repeat", "-3"}, {"--repeat", "-3"}},
      {{"bench", "iteration", "--repeet", "3"}, {"unknown option '--repeet'", "'--repeat'"}},
      {{"bench", "evaluate", "--split", "tset"}, {"tset"}},
      {{"bench", "iteration", "--ways", "1000", "--queries", "1000"}, {"1000 ways", "takes about", "GiB", "there are"}},
      {{"bench", "loader", "--method", "fomaml", "--order", "second"}, {"fomaml", "'first'"}},
  });
  const Finished many = run_well({"bench", "iteration", "--width", "4", "--image-size", "28", "--repeat", "1",
                                  "--threads", "500", "--order", "first", "--inner-steps", "1"});
  EXPECT_THAT(many.err, HasSubstr("note: 500 threads"));
}

}  // namespace
}  // namespace fewatoms::test
