#include "tests/apps/program.h"

// Data of the user's own (plugins), and episodes of changing size, as the program trains and evaluates on them.
namespace fewatoms::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::string plugin(const std::string& name) { return std::string(FEWATOMS_PLUGINS) + "/lib" + name + ".so"; }

/// A ProtoNet on the example's birds, with all that episodes may vary.
Arguments birds(const std::filesystem::path& out, const Arguments& more = {}) {
  return small_training(out, Arguments{"--method",
                                       "protonet",
                                       "--inner-steps",
                                       "0",
                                       "--dataset",
                                       "plugin",
                                       "--plugin",
                                       plugin("birds"),
                                       "--plugin-option",
                                       "seed=3",
                                       "--plugin-option",
                                       "species=30",
                                       "--image-size",
                                       "28",
                                       "--ways",
                                       "2..4",
                                       "--shots",
                                       "1..3",
                                       "--imbalanced",
                                       "--iterations",
                                       "2"} +
                                 more);
}

TEST(OwnData, APluginTrainsEvaluatesAndResumes) {
  const TemporaryFolder folder;
  const auto run = folder / "run";
  run_well(birds(run));
  const std::string config = read_file(run / "config.toml");
  EXPECT_THAT(config, HasSubstr("plugin-option = ['seed=3', 'species=30']"));
  EXPECT_THAT(config, HasSubstr("ways = '2..4'"));
  const Finished eval = run_well({"eval", run.string(), "--episodes", "6", "--json", (folder / "1.json").string()});
  EXPECT_THAT(eval.out, HasSubstr("on plugin test: 2..4-way 1..3-shot"));
  EXPECT_EQ(json::parse(read_file(folder / "1.json")).at("dataset"), "plugin");

  // Two iterations and one more are three, bit for bit.
  run_well({"train", "--out", run.string(), "--resume", "--iterations", "3"});
  run_well(birds(folder / "whole", {"--iterations", "3"}));
  expect_same_checkpoint(run / "last.safetensors", folder / "whole" / "last.safetensors");
  expect_refusals({
      {{"train", "--out", run.string(), "--resume", "--iterations", "4", "--plugin-option", "seed=4"},
       {"plugin-option", "seed=4"}},
      {{"eval", run.string(), "--ways", "4..2"}, {"'4..2'", "5..20"}},
      {{"eval", run.string(), "--within-group"}, {"plugin split 'test' has no groups"}},
  });
}

TEST(OwnData, BadPluginsCostOneLine) {
  const TemporaryFolder folder;
  const auto with = [&](const std::string& name, const Arguments& more = {}) {
    return small_training(folder / "run",
                          Arguments{"--dataset", "plugin", "--image-size", "28", "--plugin", plugin(name)} + more);
  };
  expect_refusals({
      {with("other_abi"), {"libother_abi.so' was built for 'fewatoms-plugin-0", "expected 'fewatoms-plugin-1"}, 1},
      {with("no_symbol"), {"libno_symbol.so' has no symbol 'fewatoms_plugin_abi'"}, 1},
      {with("throwing", {"--plugin-option", "at=open"}),
       {"libthrowing.so': it failed with 'no film in the camera'"},
       1},
      {with("absent"), {"there is no plugin '", "libabsent.so'"}},
      {{"dataset", "inspect", "plugin"}, {"--plugin FILE"}},
  });
  // The folder of a run that fails later is there by then.
  const Finished finished = run_program(with("throwing", {"--plugin-option", "at=other"}));
  EXPECT_EQ(finished.code, 1);
  EXPECT_THAT(finished.err, HasSubstr("it threw something that is no std::exception\n"));
}

TEST(Episodes, WhatAHeadCannotServeIsRefused) {
  const TemporaryFolder folder;
  const auto with = [&](const Arguments& more) { return small_training(folder / "run", more); };
  expect_refusals({
      {with({"--ways", "2..4"}), {"linear head with learned weights for 4 ways", "2..4", "head-start"}},
      {with({"--method", "acdc-proto", "--shots", "1..3", "--imbalanced"}),
       {"prototype head that adapts", "begin with 2", "1..3"}},
      {with({"--imbalanced"}), {"imbalanced shots need a range"}},
      {with({"--method", "protonet", "--inner-steps", "0", "--within-group"}), {"strokes split 'train' has no groups"}},
      {with({"--augment-support", "no"}), {"augment-support 'no' needs an augmentation"}},
      {with({"--method", "baseline", "--inner-steps", "2", "--ways", "2..4"}),
       {"training on classes", "ranges of ways"}},
  });
}

TEST(Episodes, SupportAndQueryAreAugmentedApart) {
  const TemporaryFolder folder;
  std::vector<std::string> weights;
  for (const std::string which : {"yes", "no", "only"}) {
    run_well(small_training(folder / which, {"--augment", "crop-jitter-flip", "--augment-support", which}));
    weights.push_back(bytes_of(read_safetensors(folder / which / "last.safetensors").tensors.begin()->second));
  }
  EXPECT_NE(weights[0], weights[1]);
  EXPECT_NE(weights[0], weights[2]);
  EXPECT_NE(weights[1], weights[2]);
}

}  // namespace
}  // namespace fewatoms::test
