#include "apps/command_line.h"
#include "apps/config_file.h"
#include "tests/apps/program.h"

// Numbers mean the same on the command line, in configuration files and in results, whatever the process's locale.
namespace fewatoms::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST(NumbersOfPrograms, LeadingZerosAreDecimal) {
  const Settings s = settings_from_arguments({"--seed=010", "--iterations=0100", "--ways=08", "--shots=01..010",
                                              "--eval-inner-steps=00,05", "--inner-steps=05", "--val-every=0"});
  EXPECT_EQ(s.trainer.seed, 10U);
  EXPECT_EQ(s.trainer.iterations, 100);
  EXPECT_EQ(s.trainer.spec.ways, 8);
  EXPECT_EQ(s.trainer.spec.fewest_shots, 1);
  EXPECT_EQ(s.trainer.spec.shots, 10);
  EXPECT_EQ(evaluation_options(s).inner_steps, (std::vector<int>{0, 5}));
}

TEST(NumbersOfPrograms, ConfigurationsReadBackInAnyLocale) {
  const std::vector<std::string> arguments = {
      "--weight-decay=0.25", "--width=1024",      "--inner-lr=0.05,head=0.001", "--queries=5..15",
      "--eval-queries=3",    "--head-init=1e-05", "--seed=18446744073709551615"};
  const std::string text = config_text(settings_from_arguments(arguments));
  EXPECT_THAT(text, HasSubstr("weight-decay = 0.25\n"));
  EXPECT_THAT(text, HasSubstr("seed = '18446744073709551615'\n"));
  EXPECT_THAT(text, HasSubstr("queries = '5..15'\n"));
  const TemporaryFolder folder;
  write_file(folder / "config.toml", text);
  const CommaLocale locale;
  EXPECT_EQ(config_text(settings_from_arguments(arguments)), text);
  const Settings back = settings_from_arguments(arguments_from_config(folder / "config.toml"));
  EXPECT_EQ(config_text(back), text);
  EXPECT_EQ(back.trainer.seed, UINT64_MAX);
  EXPECT_EQ(back.trainer.weight_decay, 0.25);
  EXPECT_EQ(back.learner.network.width, 1024);
  EXPECT_EQ(evaluation_options(back).spec.queries, 3);
  EXPECT_EQ(back.trainer.spec.fewest_queries, 5);
}

TEST(NumbersOfPrograms, EverySeedTrainsResumesAndIsEvaluated) {
  const TemporaryFolder folder;
  const std::string run = (folder / "run").string();
  run_well(small_training(run, {"--seed", "9223372036854775808", "--queries", "1..2", "--quiet"}));
  run_well({"train", "--resume", "--out", run, "--iterations", "02", "--quiet"});
  run_well(
      {"eval", run, "--episodes", "03", "--eval-seed", "18446744073709551615", "--json", (folder / "r.json").string()});
  const json result = json::parse(read_file(folder / "r.json"));
  EXPECT_EQ(result.at("seed"), 9223372036854775808U);
  EXPECT_EQ(result.at("eval_seed"), UINT64_MAX);
  EXPECT_EQ(result.at("episodes"), 3);
  EXPECT_EQ(result.at("iteration"), 2);
  EXPECT_EQ(result.at("fewest_queries"), 1);
}

}  // namespace
}  // namespace fewatoms::test
