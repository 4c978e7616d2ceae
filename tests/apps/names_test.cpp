#include <sys/stat.h>

#include "tests/apps/program.h"
#include "tests/datasets/archives.h"

// Names that are not UTF-8, through the whole program: what it stores can be read by anyone and opened again.
namespace fewatoms::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kClasses[] = {"m\xE8re", "p\xE8re", "p\xE9re"};  // in Latin-1: the last two differ in one byte

TEST(Names, ThatAreNotUtf8GoFromTrainingToPrediction) {
  const TemporaryFolder folder;
  const fs::path root = folder / "d\xE9j\xE0", run = folder / "r\xE9";
  for (const char* split : {"train", "test"})
    for (int c = 0; c < 3; ++c)
      for (int i = 0; i < 4; ++i)
        write_image(root / split / ((split == std::string("test") ? "t" : "") + std::string(kClasses[c])) /
                        ("\xE9" + std::to_string(i) + ".png"),
                    32, 32, {80.0 * c, 200 - 80.0 * c, 10.0 * i});
  run_well(small_training(run, {"--dataset", "folders", "--data-root", root.string(), "--image-size", "28",
                                "--min-images", "2", "--name-encoding", "GBK"}));
  const std::string config = read_file(run / "config.toml");
  EXPECT_THAT(config,
              AllOf(HasSubstr("/d\\xE9j\\xE0'"), HasSubstr("min-images = 2"), HasSubstr("name-encoding = 'GBK'")));

  // The root comes back from what was stored.
  const std::string result = (folder / "result.json").string(), episodes = (folder / "episodes.json").string();
  run_well({"eval", run.string(), "--episodes", "2", "--json", result, "--save-episodes", episodes});
  EXPECT_EQ(json::parse(read_file(result)).at("dataset"), "folders");
  EXPECT_THAT(read_file(episodes), HasSubstr("tp\\\\xE8re/\\\\xE90.png"));
  run_well({"eval", run.string(), "--episodes-file", episodes, "--json", result});
  run_well({"train", "--out", run.string(), "--resume", "--iterations", "2"});
  run_well({"speed", run.string(), "--steps", "0,1", "--episodes", "2", "--json", result});
  EXPECT_THAT(json::parse(read_file(result)).at("runs").at(0).at("run").get<std::string>(), HasSubstr("r\\xE9"));
  expect_refusals({{{"eval", run.string(), "--min-images", "5"}, {"no class of folders split 'test' has 5 images"}},
                   {{"eval", run.string(), "--name-encoding", "KLINGON"}, {"'KLINGON', which iconv does not know"}},
                   {{"eval", (folder / "g\xE9").string()}, {"g\\xE9"}}});

  // Two classes that differ in one byte have two probabilities.
  const std::string adapter = (folder / "a\xE9.safetensors").string(), labels = (folder / "labels.json").string();
  const fs::path query = folder / "query";
  for (int c = 0; c < 3; ++c) write_image(query / kClasses[c] / "x.png", 32, 32, {80.0 * c, 200 - 80.0 * c, 0});
  write_file(query / kClasses[0] / "x.dat", "x");
  ASSERT_EQ(mkfifo((query / kClasses[0] / "pipe.jpg").c_str(), 0600), 0);
  const Finished adapted = run_well(
      {"adapt", run.string(), "--support", (root / "train").string(), "--query", query.string(), "--out", adapter});
  const std::string raw = query.string() + "/m\\xE8re/x.dat'\n", pipe = query.string() + "/m\\xE8re/pipe.jpg'\n";
  EXPECT_THAT(adapted.err, AllOf(HasSubstr("note (query): ignored 1 file without an image extension: '" + raw),
                                 HasSubstr("note (query): ignored 1 special file: '" + pipe)));
  const Finished predicted =
      run_well({"predict", run.string(), query.string(), "--adapter", adapter, "--json", labels});
  EXPECT_THAT(predicted.err, AllOf(HasSubstr("note: ignored 1 file without an image extension: '" + raw),
                                   HasSubstr("note: ignored 1 special file: '" + pipe)));
  const json predictions = json::parse(read_file(labels));
  ASSERT_EQ(predictions.size(), 3U);
  EXPECT_EQ(predictions[0].at("probabilities").size(), 3U);
  EXPECT_TRUE(predictions[0].at("probabilities").contains("p\\xE9re"));
  EXPECT_THAT(predictions[1].at("image").get<std::string>(), HasSubstr("/p\\xE8re/x.png"));
}

TEST(Names, InAnArchiveAreReadInTheEncodingAskedFor) {
  const TemporaryFolder folder;
  write_image(folder / "1.png", 9, 9);
  const std::string picture = read_file(folder / "1.png");
  write_file(folder / "gbk.zip",
             raw_zip({{"\xB9\xB7/1.png", picture}, {"\xC3\xA8/1.png", picture}, {"a/1.png", picture}}));
  const std::string root = (folder / "gbk.zip").string(), pack = (folder / "gbk.pack").string();
  const auto classes = [&](const Arguments& more) {
    const Finished shown = run_well(
        Arguments{"dataset", "inspect", "folders", "--split-fractions", "0,0,1", "--json", "--quick", "--data-root"} +
        more);
    return json::parse(shown.out).at("splits").at(0);
  };
  EXPECT_EQ(classes({root, "--name-encoding", "GBK"}).at("class_sizes"),
            json({{"a", 1}, {"\xE7\x8B\x97", 1}, {"\xE7\x8C\xAB", 1}}));
  const json as_it_is = classes({root});
  EXPECT_EQ(as_it_is.at("class_sizes").size(), 3U);
  EXPECT_THAT(as_it_is.at("notices").dump(), HasSubstr("read as CP437"));
  const Finished packed = run_well({"dataset", "pack", "folders", "--split-fractions", "0,0,1", "--data-root", root,
                                    "--name-encoding", "GBK", "--out", pack});
  EXPECT_THAT(packed.out, HasSubstr("note: names in '" + root + "' do not say their encoding: read as GBK"));
  EXPECT_TRUE(classes({pack}).at("class_sizes").contains("\xE7\x8C\xAB"));
}

}  // namespace
}  // namespace fewatoms::test
