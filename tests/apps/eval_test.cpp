#include "tests/apps/program.h"

namespace fewatoms::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

json read_json(const fs::path& file) { return json::parse(read_file(file)); }

Arguments small_eval(const fs::path& run, const Arguments& more = {}) {
  return Arguments{"eval", run.string(), "--episodes", "5", "--threads", "1"} + more;
}

TEST(Eval, TheResultHasEveryFieldAndIsTheSameTwiceAndInATable) {
  const TemporaryFolder folder;
  const fs::path& run = shared_run().path;
  const auto before = contents(run);
  const Arguments steps = {"--eval-inner-steps", "0,1,3"};
  const Finished first = run_well(small_eval(run, steps + Arguments{"--json", (folder / "1.json").string()}));
  const Finished second =
      run_well(small_eval(run, steps + Arguments{"--json", (folder / "2.json").string(), "--threads", "3"}));
  EXPECT_EQ(contents(run), before);
  EXPECT_EQ(first.out, second.out);
  EXPECT_THAT(first.out, HasSubstr("3-way 1-shot, 2 queries, 5 episodes"));

  json result = read_json(folder / "1.json"), again = read_json(folder / "2.json");
  EXPECT_GT(result.at("seconds").get<double>(), 0);
  for (json* one : {&result, &again}) one->erase("seconds");
  EXPECT_EQ(result, again);

  const json expected = {{"episodes", 5},
                         {"ways", 3},
                         {"shots", 1},
                         {"queries", 2},
                         {"dataset", "strokes"},
                         {"split", "test"},
                         {"split_rule", ""},
                         {"crop", "none"},
                         {"image_size", 28},
                         {"method", "acdc-maml"},
                         {"scope", "atom+head"},
                         {"backbone", "conv4"},
                         {"width", 8},
                         {"conv", "acdc"},
                         {"sharing", "net"},
                         {"atoms", 6},
                         {"inner_steps", 3},
                         {"norm", "running"},
                         {"transductive", false},
                         {"seed", 5},
                         {"eval_seed", 0},
                         {"checkpoint", "best"},
                         {"parameters_adapted", 189},
                         {"parameters_adapted_by_role", {{"atom", 162}, {"head", 27}}}};
  for (const auto& [key, value] : expected.items()) {
    ASSERT_TRUE(result.contains(key)) << key;
    EXPECT_EQ(result[key], value) << key;
  }
  EXPECT_TRUE(result.at("parameters_adapted").is_number_integer());
  EXPECT_GT(result.at("parameters_total").get<int64_t>(), 189);
  const json& by_steps = result.at("by_steps");
  ASSERT_EQ(by_steps.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(by_steps[i].at("inner_steps"), (std::vector<int>{0, 1, 3})[i]);
    EXPECT_GE(by_steps[i].at("accuracy").get<double>(), 0);
    EXPECT_LE(by_steps[i].at("accuracy").get<double>(), 1);
    EXPECT_GE(by_steps[i].at("ci95").get<double>(), 0);
  }
  for (const char* key : {"accuracy", "ci95"}) EXPECT_EQ(result.at(key), by_steps.back().at(key));

  const Finished table = run_well({"table", (folder / "1.json").string(), (folder / "2.json").string()});
  EXPECT_THAT(table.out, HasSubstr("acdc-maml"));
  EXPECT_THAT(table.out, HasSubstr("atom+head"));
  EXPECT_EQ(std::count(table.out.begin(), table.out.end(), '\n'), 3) << table.out;  // names, and a row for each
  char accuracy[16];
  std::snprintf(accuracy, sizeof accuracy, "%.1f ± ", 100 * result.at("accuracy").get<double>());
  EXPECT_THAT(table.out, HasSubstr(accuracy));
}

TEST(Eval, TakesTheLastCheckpointWhenAskedOrWhenThereIsNoBest) {
  const TemporaryFolder folder;
  const fs::path run = copy_of_shared_run(folder);
  run_well(small_eval(run, {"--checkpoint", "last", "--json", (folder / "asked.json").string()}));
  fs::remove(run / "best.safetensors");
  run_well(small_eval(run, {"--json", (folder / "else.json").string()}));
  json asked = read_json(folder / "asked.json"), otherwise = read_json(folder / "else.json");
  EXPECT_EQ(asked.at("checkpoint"), "last");
  EXPECT_EQ(asked.at("by_steps").size(), 2U);  // the run's own list
  for (json* one : {&asked, &otherwise}) one->erase("seconds");
  EXPECT_EQ(asked, otherwise);
  expect_refusals({{small_eval(run, {"--checkpoint", "best"}), {"best.safetensors"}}});
}

TEST(Eval, TestsOnAnotherDataSetAsTheNetworkSeesIt) {
  const TemporaryFolder folder;
  write_class_folders(folder / "photos", 3, 4);  // RGB, 32x32: read as grey 28x28
  run_well(
      small_eval(shared_run().path, {"--dataset", "folders", "--data-root", (folder / "photos").string(), "--split",
                                     "val", "--queries", "3", "--json", (folder / "out.json").string()}));
  const json result = read_json(folder / "out.json");
  EXPECT_EQ(result.at("dataset"), "folders");
  EXPECT_EQ(result.at("trained_on"), "strokes");
  EXPECT_EQ(result.at("split"), "val");
  EXPECT_EQ(result.at("queries"), 3);
  EXPECT_EQ(result.at("image_size"), 28);
}

TEST(Eval, APrototypeHeadTakesAnyNumberOfWays) {
  const TemporaryFolder folder;
  const std::string run = (folder / "run").string();
  run_well({"train", "--out",          run, "--method",     "protonet", "--width",      "8", "--ways",
            "7",     "--queries",      "1", "--meta-batch", "1",        "--iterations", "1", "--val-every",
            "1",     "--val-episodes", "2", "--quiet"});
  const Finished finished =
      run_well(small_eval(run, {"--ways", "9", "--shots", "2", "--json", (folder / "out.json").string()}));
  const json result = read_json(folder / "out.json");
  EXPECT_EQ(result.at("ways"), 9);
  EXPECT_EQ(result.at("parameters_adapted"), 0);
  EXPECT_EQ(result.at("parameters_adapted_by_role"), json::object());
  EXPECT_EQ(result.at("sharing"), nullptr);
  EXPECT_EQ(result.at("by_steps").size(), 1U);
}

TEST(Eval, SavedEpisodesAreEvaluatedAgain) {
  const TemporaryFolder folder;
  const std::string run = shared_run().path.string(), file = (folder / "episodes.json").string();
  run_well(small_eval(run, {"--save-episodes", file, "--eval-seed", "4", "--json", (folder / "drawn.json").string()}));
  run_well({"eval", run, "--episodes-file", file, "--json", (folder / "read.json").string()});
  run_well(small_eval(run, {"--json", (folder / "other.json").string()}));
  const json drawn = read_json(folder / "drawn.json"), read = read_json(folder / "read.json");
  EXPECT_EQ(read.at("episodes"), 5);
  EXPECT_EQ(read.at("episodes_file"), file);
  EXPECT_EQ(drawn.at("episodes_file"), nullptr);
  EXPECT_EQ(read.at("by_steps"), drawn.at("by_steps"));
  EXPECT_NE(read.at("by_steps"), read_json(folder / "other.json").at("by_steps"));
  run_well({"eval", run, "--episodes-file", file, "--first-episode", "3", "--json", (folder / "rest.json").string()});
  const json rest = read_json(folder / "rest.json");
  EXPECT_EQ(rest.at("episodes"), 2);
  EXPECT_EQ(rest.at("accuracy_by_episode"),
            (json{drawn.at("accuracy_by_episode")[3], drawn.at("accuracy_by_episode")[4]}));
  run_well({"speed", run, "--episodes-file", file, "--steps", "0,1", "--timed-tasks", "1", "--json",
            (folder / "speed.json").string()});
  EXPECT_EQ(read_json(folder / "speed.json").at("episodes"), 5);

  run_well({"eval", run, "--unique-classes", "--episodes", "40", "--save-episodes", file});
  std::set<std::set<std::string>> seen;
  const json listed = read_json(file);
  for (const json& episode : listed.at("episodes")) EXPECT_TRUE(seen.insert(episode.at("classes")).second);
  EXPECT_EQ(seen.size(), 40U);

  write_file(folder / "bad.json", "{}");
  expect_refusals({
      {{"eval", run, "--episodes-file", file, "--ways", "3"}, {"--ways", "--episodes-file"}},
      {{"eval", run, "--episodes-file", file, "--episodes", "41"}, {"--episodes 41", "40 episodes"}},
      {{"eval", run, "--episodes-file", file, "--shots", "1"}, {"--shots", "--episodes-file"}},
      {{"speed", run, "--episodes-file", file, "--shots", "1,2"}, {"--shots", "--episodes-file"}},
      {{"eval", run, "--episodes-file", (folder / "gone.json").string()}, {"gone.json", "cannot be read"}},
      {{"eval", run, "--episodes-file", (folder / "bad.json").string()}, {"bad.json", "fewatoms-episodes"}, 1},
      {{"eval", run, "--episodes-file", file, "--split", "val"}, {"episode 0", "class '", "split 'val'"}, 1},
  });
}

/// Fields of a line of comma-separated values.
std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"')
      fields.back() += line[i++];
    else if (line[i] == '"')
      quoted = !quoted;
    else if (line[i] == ',' && !quoted)
      fields.emplace_back();
    else
      fields.back() += line[i];
  }
  return fields;
}

std::vector<std::vector<std::string>> read_csv(const fs::path& file) {
  std::vector<std::vector<std::string>> rows;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) rows.push_back(fields_of(line));
  return rows;
}

TEST(Eval, PredictionsAndConfusionSayWhatEachImageWasTakenFor) {
  const TemporaryFolder folder;
  // Classes that are short, and one whose name needs quotes.
  for (const auto& [name, images] :
       std::map<std::string, int>{{"plain", 9}, {"with \"quotes\", and comma", 3}, {"few", 4}})
    for (int i = 0; i < images; ++i)
      write_image(folder / "photos" / "test" / name / (std::to_string(i) + ".png"), 32, 32,
                  {20.0 * i, 40.0 * static_cast<double>(name.size()), 100});
  const Finished finished = run_well(small_eval(
      shared_run().path, {"--dataset", "folders", "--data-root", (folder / "photos").string(), "--queries", "2..5",
                          "--first-episode", "7", "--predictions", (folder / "p.csv").string(), "--confusion",
                          (folder / "c.csv").string(), "--json", (folder / "r.json").string()}));
  EXPECT_THAT(finished.out, HasSubstr("3-way 1-shot, 2..5 queries, 5 episodes"));
  const json result = read_json(folder / "r.json");
  EXPECT_EQ(result.at("queries"), 5);
  EXPECT_EQ(result.at("fewest_queries"), 2);
  EXPECT_EQ(result.at("version"), 2);

  const auto rows = read_csv(folder / "p.csv");
  ASSERT_EQ(rows.size(), 1U + 5 * (5 + 2 + 3));  // what each class has left beside one support image, at most 5
  EXPECT_EQ(rows[0], (std::vector<std::string>{"episode", "class", "image", "label", "predicted", "probabilities"}));
  std::map<std::string, int> right, all;
  std::map<std::pair<std::string, std::string>, int> counts;
  std::map<std::pair<std::string, std::string>, std::string> class_of;  // by episode and label
  for (size_t i = 1; i < rows.size(); ++i) class_of[{rows[i][0], rows[i][3]}] = rows[i][1];
  for (size_t i = 1; i < rows.size(); ++i) {
    ASSERT_EQ(rows[i].size(), 6U);
    const std::string &episode = rows[i][0], &of = rows[i][1], &predicted = rows[i][4];
    EXPECT_THAT(rows[i][2], HasSubstr(of + "/"));
    std::vector<double> p;
    std::istringstream list(rows[i][5]);
    for (std::string one; std::getline(list, one, ';');) p.push_back(std::stod(one));
    ASSERT_EQ(p.size(), 3U);
    EXPECT_NEAR(p[0] + p[1] + p[2], 1, 1e-5);
    const auto best = std::max_element(p.begin(), p.end()) - p.begin();
    EXPECT_EQ((class_of[{episode, std::to_string(best)}]), predicted);
    ++all[episode];
    right[episode] += of == predicted ? 1 : 0;
    ++counts[{of, predicted}];
  }
  for (int e = 0; e < 5; ++e) {
    const std::string episode = std::to_string(7 + e);
    EXPECT_EQ(all[episode], 10);
    EXPECT_NEAR(result.at("accuracy_by_episode")[e].back().get<double>(), right[episode] / 10.0, 1e-6);
  }
  const auto matrix = read_csv(folder / "c.csv");
  ASSERT_EQ(matrix.size(), 4U);
  EXPECT_EQ(matrix[0][0], "class");
  for (size_t r = 1; r < 4; ++r) {
    EXPECT_EQ(matrix[r][0], matrix[0][r]);
    for (size_t c = 1; c < 4; ++c) EXPECT_EQ(matrix[r][c], std::to_string(counts[{matrix[r][0], matrix[0][c]}]));
  }
}

TEST(Eval, OneEpisodeHasNoInterval) {
  const TemporaryFolder folder;
  const std::string run = shared_run().path.string();
  const Finished one = run_well({"eval", run, "--episodes", "1", "--json", (folder / "1.json").string()});
  EXPECT_THAT(one.out, HasSubstr(" (no interval for one value)"));
  EXPECT_THAT(one.out, ::testing::Not(HasSubstr("±")));
  EXPECT_EQ(read_json(folder / "1.json").at("ci95"), nullptr);
  EXPECT_EQ(read_json(folder / "1.json").at("by_steps")[0].at("ci95"), nullptr);
  EXPECT_THAT(run_well({"table", (folder / "1.json").string()}).out, ::testing::Not(HasSubstr("±")));
}

TEST(Eval, ATableGroupsWhatWasTestedAlike) {
  const TemporaryFolder folder;
  const std::string run = shared_run().path.string();
  const auto result = [&](const std::string& name, const Arguments& more) {
    run_well(small_eval(run, Arguments{"--json", (folder / name).string()} + more));
    return (folder / name).string();
  };
  const std::string plain = result("plain.json", {}), val = result("val.json", {"--split", "val"}),
                    shots = result("shots.json", {"--shots", "2"}),
                    again = result("again.json", {"--checkpoint", "last"});
  const std::string table = run_well({"table", plain, val, shots, again}).out;
  const auto at = [&](const std::string& words) {
    EXPECT_THAT(table, HasSubstr(words));
    return table.find(words);
  };
  const size_t first = at("strokes test, 3-way 1-shot, 2 queries, 5 episodes\nmethod"),
               second = at("\n\nstrokes val, 3-way 1-shot, 2 queries, 5 episodes\nmethod"),
               third = at("\n\nstrokes test, 3-way 2-shot, 2 queries, 5 episodes\nmethod");
  EXPECT_EQ(first, 0U);
  EXPECT_LT(second, third);
  EXPECT_EQ(std::count(table.begin(), table.begin() + static_cast<std::ptrdiff_t>(second), '\n'), 3);  // two rows
  json other = read_json(plain);
  other["by_steps"][0]["inner_steps"] = 4;
  write_file(folder / "steps.json", other.dump());
  json wrong = read_json(plain);
  wrong["ways"] = "five";
  write_file(folder / "wrong.json", wrong.dump());
  expect_refusals(
      {{{"table", plain, (folder / "steps.json").string()}, {"steps.json", "other inner steps", "plain.json"}},
       {{"table", (folder / "wrong.json").string()}, {"wrong.json", "is not a result"}, 1}});
}

TEST(Eval, RefusesWhatItCannotDo) {
  const TemporaryFolder folder;
  const fs::path& run = shared_run().path;
  write_file(folder / "text.json", "accuracy: 0.5\n");
  write_file(folder / "empty.json", "{\"by_steps\": [], \"conv_weights\": 1}");
  expect_refusals({
      {small_eval(run, {"--eval-inner-steps", "1,0"}), {"ascend"}},
      {small_eval(run, {"--ways", "4"}), {"linear head", "3 ways", "4"}},
      {small_eval(run, {"--split", "tset"}), {"split 'tset'", "'test'"}},
      {small_eval(run, {"--queries", "9..3"}), {"--queries", "'9..3'", "the smaller first"}},
      {small_eval(run, {"--eval-seed", "18446744073709551616"}), {"--eval-seed", "from 0 to 18446744073709551615"}},
      {small_eval(run, {"--episodes", "0x10"}), {"--episodes", "'0x10' is not a whole number from 1 to 10000000"}},
      {small_eval(run, {"--json", (folder / "none" / "out.json").string()}), {(folder / "none").string()}},
      {small_eval(folder / "nothing"), {"no run folder", (folder / "nothing").string()}},
      {small_eval(folder.path()), {"not a run folder", "config.toml"}},
      {{"table", (folder / "none.json").string()}, {"no result file", "none.json"}},
      {{"table", (folder / "text.json").string()}, {"text.json", "is not a result"}, 1},
      {{"table", (folder / "empty.json").string()}, {"empty.json", "is not a result"}, 1},
  });
}

TEST(EvalSlow, RefusesNumbersOutOfRange) {
  const fs::path& run = shared_run().path;
  expect_refusals({
      {small_eval(run, {"--eval-inner-steps", "1,,2"}), {"'1,,2'"}},
      {small_eval(run, {"--eval-inner-steps", "nan"}), {"'nan'"}},
      {small_eval(run, {"--eval-inner-steps", "1001"}), {"1001"}},
      {small_eval(run, {"--episodes", "0"}), {"--episodes"}},
      {small_eval(run, {"--ways", "1"}), {"--ways"}},
      {small_eval(run, {"--shots", "199", "--queries", "2"}), {"200 images"}, 1},
      {small_eval(run, {"--eval-seed", "-1"}), {"--eval-seed"}},
      {small_eval(run, {"--checkpoint", "worst"}), {"worst", "best"}},
      {small_eval(run, {"--dataset", "omniglot"}), {"omniglot", "data root"}},
      {small_eval(run, {"--crop", "bbox"}), {"bbox", "strokes"}},
  });
}

}  // namespace
}  // namespace fewatoms::test
