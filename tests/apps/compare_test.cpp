#include <cmath>
#include <sstream>

#include "apps/published.h"
#include "meta/statistics.h"
#include "tests/apps/program.h"

namespace fewatoms::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

json read_json(const fs::path& file) { return json::parse(read_file(file)); }

/// Trains in a blink.
const std::string kSmall =
    "width = 8\nways = 3\nshots = 1\nqueries = 2\nmeta-batch = 2\ninner-steps = 1\nval-every = 0\niterations = "
    "2\neval-inner-steps = '0,1'\n";

struct Comparison {
  explicit Comparison(const std::string& grid) { write_file(folder / "grid.toml", grid); }
  Arguments arguments(const Arguments& more = {}) const {
    return Arguments{"compare",           "--config", (folder / "grid.toml").string(), "--out", out().string(),
                     "--report-episodes", "0"} +
           more;
  }
  fs::path out() const { return folder / "out"; }
  TemporaryFolder folder;
};

TEST(Compare, TheTableIsThatOfTheEvaluationsAndIsMadeOnce) {
  const Comparison c(
      kSmall +
      "seed = [1, 2]\nreference = 'standard'\n[[row]]\nname = 'standard'\nmethod = 'maml'\niterations = 10\n"
      "[[row]]\nname = 'acdc'\nmethod = 'acdc-maml'\nsharing = ['net', 'stage']\n[[target]]\nname = 'own'\nepisodes = "
      "7\n");
  const Finished finished = run_well(c.arguments({"--threads", "2"}));
  EXPECT_THAT(finished.err, HasSubstr("note: 'acdc sharing=stage' trains what 'acdc sharing=net' does, as conv4 shares "
                                      "alike by net and stage: left out"));
  for (const char* words : {"3-way 1-shot", "own: strokes, split test, 3-way 1-shot, 2 queries, 7 episodes",
                            "reference", "all rows are transductive"})
    EXPECT_THAT(finished.out, HasSubstr(words));

  const json table = read_json(c.out() / "table.json");
  ASSERT_EQ(table.at("rows").size(), 2U);
  std::map<std::string, std::vector<double>> last;  // of each episode, mean over seeds
  for (const json& row : table.at("rows")) {
    const json& target = row.at("targets")[0];
    std::vector<double> by_seed, episodes(7);
    for (const json& run : row.at("runs")) {
      const std::string path = (c.out() / "runs" / run.at("name").get<std::string>()).string();
      const json kept = read_json(path + "/eval-own.json");
      by_seed.push_back(kept.at("accuracy").get<double>());
      for (size_t e = 0; e < 7; ++e) episodes[e] += kept.at("accuracy_by_episode")[e][1].get<double>() / 2;
      if (run.at("seed") != 2 || row.at("row") != "acdc") continue;
      run_well({"eval", path, "--episodes", "7", "--json", (c.folder / "eval.json").string()});
      json evaluated = read_json(c.folder / "eval.json"), same = kept;
      evaluated.erase("seconds");
      same.erase("seconds");
      same.erase("evaluated_with");
      EXPECT_EQ(same, evaluated);
    }
    EXPECT_NEAR(target.at("accuracy").get<double>(), (by_seed[0] + by_seed[1]) / 2, 1e-12);
    EXPECT_NEAR(target.at("ci95_seeds").get<double>(), *mean_interval(by_seed).ci95, 1e-9);
    EXPECT_NEAR(target.at("ci95_episodes").get<double>(), *mean_interval(episodes).ci95, 1e-12);
    EXPECT_EQ(target.at("by_steps").size(), 2U);
    last[row.at("row").get<std::string>()] = episodes;
  }
  const json& difference = table.at("rows")[1].at("targets")[0].at("difference");
  const MeanInterval paired = paired_difference(last.at("acdc"), last.at("standard"));
  EXPECT_GT(std::abs(paired.mean), 1e-6) << "says nothing about the sign";
  EXPECT_NEAR(difference.at("mean").get<double>(), paired.mean, 1e-12);
  EXPECT_NEAR(difference.at("ci95_episodes").get<double>(), *paired.ci95, 1e-12);
  EXPECT_TRUE(table.at("rows")[0].at("targets")[0].at("is_reference").get<bool>());

  std::istringstream csv(read_file(c.out() / "table.csv"));
  std::vector<std::string> lines;
  for (std::string line; std::getline(csv, line);) lines.push_back(line);
  ASSERT_EQ(lines.size(), 5U);  // two rows at 0 and 1 steps
  for (const std::string& line : lines)
    EXPECT_EQ(std::count(line.begin(), line.end(), ','), std::count(lines[0].begin(), lines[0].end(), ',')) << line;
  char accuracy[32];
  std::snprintf(accuracy, sizeof accuracy, "%.2f",
                100 * table.at("rows")[1].at("targets")[0].at("accuracy").get<double>());
  EXPECT_THAT(finished.out, HasSubstr(accuracy));
  EXPECT_THAT(read_file(c.out() / "table.md"), HasSubstr(std::string("| ") + accuracy + " ± "));
  EXPECT_THAT(read_file(c.out() / "table.tex"), HasSubstr(std::string(" & ") + accuracy + " $\\pm$ "));

  const auto before = contents(c.out());
  const Finished again = run_well(c.arguments({"--report-episodes", "2"}));
  EXPECT_EQ(again.out, finished.out);
  auto after = contents(c.out());
  EXPECT_THAT(after.at("report.html"), HasSubstr("acdc_sharing-net_seed-2"));
  after.erase("report.html");
  after.erase("logs/report.log");
  EXPECT_EQ(after, before);
}

TEST(Compare, KilledAndInterruptedItGoesOnToTheSameTable) {
  const std::string grid = kSmall +
                           "checkpoint-every = 10\n[[row]]\nname = 'long'\nmethod = 'fomaml'\niterations = 200\n"
                           "[[row]]\nname = 'short'\nmethod = 'anil'\n[[target]]\nepisodes = 4\n";
  const Comparison broken(grid), whole(grid);
  const auto done = [&](const char* run) {
    const fs::path file = broken.out() / "runs" / run / "last.safetensors";
    return fs::exists(file) ? std::stoll(read_safetensors(file).metadata.at("iteration")) : 0;
  };
  {
    Running killed(broken.arguments({"--jobs", "2"}));
    ASSERT_TRUE(killed.wait_until([&] { return done("long_seed-0") >= 10; }));
    killed.send(SIGKILL);
    EXPECT_EQ(killed.wait().code, -SIGKILL);
  }
  const int64_t before = done("long_seed-0");
  ASSERT_LT(before, 200);
  {
    Running stopped(broken.arguments({"--jobs", "2"}));
    ASSERT_TRUE(stopped.wait_until([&] { return done("long_seed-0") > before; }));
    stopped.send(SIGINT);
    const Finished finished = stopped.wait();
    EXPECT_EQ(finished.code, 128 + SIGINT);
    EXPECT_THAT(finished.err, HasSubstr("the same command goes on"));
    EXPECT_EQ(finished.out, "");
  }
  EXPECT_LT(done("long_seed-0"), 200);
  EXPECT_FALSE(fs::exists(broken.out() / "table.json"));
  const Finished resumed = run_well(broken.arguments({"--threads", "1"})),
                 uninterrupted = run_well(whole.arguments({"--threads", "2"}));
  EXPECT_EQ(resumed.out, uninterrupted.out);
  for (const char* file : {"table.json", "table.csv", "table.md", "table.tex"})
    EXPECT_EQ(read_file(broken.out() / file), read_file(whole.out() / file)) << file;
  expect_same_checkpoint(broken.out() / "runs/long_seed-0/last.safetensors",
                         whole.out() / "runs/long_seed-0/last.safetensors");
}

TEST(Compare, AFailingRunIsListedAndTheOthersGoOn) {
  const Comparison c(kSmall +
                     "method = 'fomaml'\n[[row]]\nname = 'bad'\nouter-lr = 1e30\niterations = 9\n[[row]]\nname = "
                     "'good'\n[[target]]\nname = 'a'\nepisodes = 2\n"
                     "[[target]]\nname = 'b'\nsplit = 'val'\nepisodes = 3\n");
  const Finished finished = run_program(c.arguments());
  EXPECT_EQ(finished.code, 1);
  EXPECT_THAT(finished.err,
              HasSubstr("fewatoms: 1 part of the comparison failed, the first: bad_seed-0 (training): the "));
  EXPECT_THAT(finished.out, HasSubstr("failed: bad_seed-0 (training): the "));
  EXPECT_THAT(finished.out, HasSubstr("no longer finite"));
  const json table = read_json(c.out() / "table.json");
  EXPECT_EQ(table.at("rows")[0].at("targets").size(), 0U);
  EXPECT_EQ(table.at("failed").size(), 1U);
  ASSERT_EQ(table.at("rows")[1].at("targets").size(), 2U);
  EXPECT_EQ(table.at("rows")[1].at("targets")[1].at("split"), "val");
  EXPECT_EQ(table.at("rows")[1].at("targets")[1].at("episodes"), 3);
}

TEST(Compare, TheDryRunTrainsNothing) {
  const Comparison c(kSmall +
                     "width = [8, 'weights of 8']\n[[row]]\nname = 'standard'\nmethod = 'maml'\n[[row]]\nname = "
                     "'acdc'\nmethod = 'acdc-maml'\n");
  const std::string text = "width = 8\n";
  write_file(c.folder / "grid.toml", read_file(c.folder / "grid.toml").substr(text.size()));
  const Finished finished = run_well(c.arguments({"--dry-run", "--threads", "1", "--iterations", "1000"}));
  EXPECT_FALSE(fs::exists(c.out()));
  EXPECT_THAT(finished.err, HasSubstr("'standard width=weights of 8' trains what 'standard width=8' does: left out"));
  EXPECT_THAT(finished.out, HasSubstr("3 runs, 0 of them finished; about"));
  std::map<std::string, long> weights;
  std::istringstream lines(finished.out);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    long count = 0;
    if (words >> name >> count) weights[name] = count;
  }
  // Standard: 3 convolutions of 9*8*8 and a stem of 9*8.
  EXPECT_EQ(weights.at("standard_width-8_seed-0"), 3 * 576 + 72);
  // One set of coefficients 6 w^2, atoms 3*6*9, a stem 9 w: w = 15 gives 1,647, w = 16 gives 1,842, nearer to 1,800.
  EXPECT_EQ(weights.at("acdc_width-16_seed-0"), 6 * 256 + 162 + 144);
  EXPECT_EQ(weights.at("acdc_width-8_seed-0"), 6 * 64 + 162 + 72);
}

/// Grids with a mistake behind nine lines of kSmall, and words of the answer.
class BadGrids {
 public:
  void add(const std::string& name, const std::string& text, const std::vector<std::string>& words,
           const Arguments& more = {}) {
    write_file(folder_ / name, kSmall + text);
    refusals_.push_back(
        {Arguments{"compare", "--config", (folder_ / name).string(), "--out", (folder_ / "out").string()} + more,
         words});
  }
  void expect_refused() const {
    expect_refusals(refusals_);
    EXPECT_FALSE(fs::exists(folder_ / "out"));
  }

 private:
  TemporaryFolder folder_;
  std::vector<Refusal> refusals_;
};

TEST(Compare, BadGridsAreRefusedBeforeAnythingRuns) {
  BadGrids bad;
  bad.add("key.toml", "metod = 'maml'\n", {"key.toml' line 10", "unknown key 'metod'", "'method'"});
  bad.add("empty.toml", "seed = []\n", {"line 10", "'seed' is an empty list", "product is empty"});
  bad.add("type.toml", "seed = [1, 'x']\n", {"line 10", "'seed'", "'x' is not a whole number"});
  bad.add("combination.toml", "[[row]]\nname = 'proto'\nmethod = ['maml', 'protonet']\n",
          {"'proto method=protonet'", "scope 'none'", "inner steps is 1"});
  bad.add("reference.toml", "reference = 'standart'\n[[row]]\nname = 'standard'\n",
          {"reference row 'standart'", "'standard'"});
  bad.expect_refused();
}

TEST(CompareSlow, EveryMistakeInAGridHasItsLine) {
  BadGrids bad;
  bad.add("row.toml", "[[row]]\nname = 'a'\natom = 3\n", {"line 12", "unknown key 'atom' of a row", "'atoms'"});
  bad.add("target.toml", "[[target]]\nepisode = 3\n", {"line 11", "unknown key 'episode' of a target", "'episodes'"});
  bad.add("value.toml", "[[target]]\nepisodes = 'x'\n", {"line 10", "target", "x"});
  bad.add("table.toml", "scope = [['all']]\n", {"line 10", "'scope' is neither a number"});
  bad.add("broken.toml", "seed = = 1\n", {"line 10"});
  bad.add("misplaced.toml", "[[row]]\nname = 'plain'\nmethod = 'maml'\natoms = 3\n",
          {"'plain'", "--atoms goes with --conv acdc"});
  bad.add("ways.toml", "[[target]]\nways = 4\n", {"'maml'", "target 'strokes'", "3 ways", "4"});
  bad.add("twice.toml", "[[row]]\nname = 'a'\n[[row]]\nname = 'a'\n", {"line 12", "row 'a' in line 10 already"});
  bad.add("nameless.toml", "[[row]]\nmethod = 'maml'\n", {"line 10", "this row has no name"});
  bad.add("nothing.toml", "reference = { method = 'anil' }\n",
          {"line 10", "nothing in the grid has the reference's method=anil"});
  bad.add("root.toml", "", {"--target-root", "unknown target 'cub'"}, {"--target-root", "cub=."});
  bad.add("data.toml", "dataset = 'mini-imagenet'\n", {"data.toml", "mini-imagenet", "data root"});
  bad.expect_refused();
  expect_refusals({{{"compare", "--config", "none.toml", "--out", "out"}, {"no configuration file", "none.toml"}}});
}

TEST(CompareSlow, AGridMayGrowAndItsRunsAreKnownByTheirSettings) {
  const std::string target = "[[target]]\nepisodes = 2\n";
  const Comparison c(kSmall + target);
  run_well(c.arguments());
  const auto before = contents(c.out() / "runs" / "maml_seed-0");
  // Its name would have the number of shots now.
  write_file(c.folder / "grid.toml", kSmall + "order = ['second', 'first']\n" + target);
  run_well(c.arguments());
  EXPECT_EQ(contents(c.out() / "runs" / "maml_seed-0"), before);
  EXPECT_TRUE(fs::exists(c.out() / "runs" / "maml_order-first_seed-0"));
  EXPECT_FALSE(fs::exists(c.out() / "runs" / "maml_order-second_seed-0"));
  // More iterations go on, and are evaluated again; other settings under a name in use are refused.
  write_file(c.folder / "grid.toml", kSmall + target);
  run_well(c.arguments({"--iterations", "3"}));
  EXPECT_EQ(read_safetensors(c.out() / "runs/maml_seed-0/last.safetensors").metadata.at("iteration"), "3");
  EXPECT_EQ(read_json(c.out() / "runs/maml_seed-0/eval-strokes.json").at("iteration"), 3);
  expect_refusals({{c.arguments({"--width", "16"}), {"maml_seed-0", "width is 8 there, 16 was given"}}});
}

TEST(Compare, PublishedFiguresAreThoseOfTheSameTraining) {
  Settings s = default_settings("maml", "mini-imagenet");
  s.learner.network.width = 32;
  ASSERT_EQ(published_figures(s, 5, 1).size(), 1U);
  EXPECT_EQ(published_figures(s, 5, 1)[0].accuracy, 0.4870);
  EXPECT_TRUE(published_figures(s, 5, 5).empty());  // trained for one shot
  EXPECT_TRUE(published_figures(s, 20, 1).empty());
  s.learner.scope = "head";
  EXPECT_TRUE(published_figures(s, 5, 1).empty());
  s.learner.scope = "all";
  s.learner.network.conv.kind = "acdc";
  EXPECT_TRUE(published_figures(s, 5, 1).empty());
  Settings proto = default_settings("protonet", "cub");
  proto.learner.network.width = 64;
  proto.trainer.spec.shots = 5;
  ASSERT_EQ(published_figures(proto, 5, 5).size(), 1U);
  EXPECT_EQ(published_figures(proto, 5, 5)[0].accuracy, 0.7077);
  proto.data.split_rule = "feat";
  EXPECT_TRUE(published_figures(proto, 5, 5).empty());
}

}  // namespace
}  // namespace fewatoms::test
