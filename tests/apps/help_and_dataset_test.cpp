#include <regex>

#include "apps/settings.h"
#include "tests/apps/program.h"

namespace fewatoms::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

TEST(Help, EveryOptionOfTrainHasAHelpText) {
  const Finished help = run_well({"train", "--help"});
  EXPECT_EQ(help.err, "");
  const std::string text = std::regex_replace(help.out, std::regex("\\s+"), " ");  // as if lines were never broken
  Settings any;
  for_each_option(any, [&](const OptionText& option, auto&) {
    EXPECT_NE(std::string(option.help), "") << option.name;
    EXPECT_THAT(text, HasSubstr(" --" + std::string(option.name) + " "));
    EXPECT_THAT(text, HasSubstr(option.help));
  });
  for (const std::string name : {"out", "resume", "config", "quiet", "method"})  // after the type and the default
    EXPECT_TRUE(std::regex_search(text, std::regex(" --" + name + "( [A-Z]+(=\\S+)?)* [A-Z][a-z]+ "))) << name;
}

TEST(Help, VersionAndHelpOfTheProgramExitWithZero) {
  EXPECT_THAT(run_well({"--version"}).out, HasSubstr("fewatoms 0."));
  const Finished help = run_well({"--help"});
  for (const char* command : {"train", "eval", "dataset", "table"}) EXPECT_THAT(help.out, HasSubstr(command));
}

TEST(HelpSlow, EveryCommandHasHelp) {
  for (const Arguments& command : std::vector<Arguments>{{"eval"}, {"table"}, {"dataset"}, {"dataset", "inspect"}}) {
    const Finished help = run_well(command + Arguments{"--help"});
    EXPECT_THAT(help.out, HasSubstr("--help"));
    EXPECT_EQ(help.err, "");
  }
}

// A recipe that fails at nothing but the data set's folder has been read and found consistent.
TEST(Recipes, AreCompleteButForTheDataRoot) {
  const TemporaryFolder folder;
  std::vector<Refusal> refusals;
  for (const auto& entry : fs::directory_iterator(fs::path(FEWATOMS_SOURCE_DIR) / "examples" / "recipes"))
    if (entry.path().extension() == ".toml")
      refusals.push_back({{"train", "--config", entry.path().string(), "--out", (folder / "run").string()},
                          {"data set 'mini-imagenet' needs a data root"}});
  EXPECT_GE(refusals.size(), 3U);
  expect_refusals(refusals);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(DatasetInspect, CountsClassesAndImagesOfEverySplit) {
  const json strokes = json::parse(run_well({"dataset", "inspect", "strokes", "--json"}).out);
  EXPECT_EQ(strokes.at("dataset"), "strokes");
  ASSERT_EQ(strokes.at("splits").size(), 3U);
  EXPECT_EQ(strokes["splits"][0].at("classes"), 160);

  const TemporaryFolder folder;
  write_class_folders(folder.path(), 3, 2);
  write_image(folder / "train" / "class2" / "more.png");
  const std::string root = folder.path().string();
  const json photos = json::parse(run_well({"dataset", "inspect", "folders", "--data-root", root, "--json"}).out);
  EXPECT_EQ(photos.at("form"), "split-folders");
  const json& train = photos.at("splits").at(0);
  EXPECT_EQ(train.at("split"), "train");
  EXPECT_EQ(train.at("classes"), 3);
  EXPECT_EQ(train.at("images"), 7);
  EXPECT_EQ(train.at("images_per_class"), (json{{"fewest", 2}, {"median", 2}, {"most", 3}}));
  EXPECT_EQ(train.at("class_sizes"), (json{{"class0", 2}, {"class1", 2}, {"class2", 3}}));

  const Finished text = run_well({"dataset", "inspect", "folders", "--data-root", root});
  for (const char* word : {"form split-folders", "train", "val", "test"}) EXPECT_THAT(text.out, HasSubstr(word));
}

TEST(DatasetInspect, RefusesWhatIsNotThere) {
  const TemporaryFolder folder;
  const std::string root = folder.path().string();
  expect_refusals({{{"dataset", "inspect", "strokez"}, {"'strokez'", "'strokes'"}},
                   {{"dataset", "inspect", "omniglot"}, {"omniglot", "data root"}},
                   {{"dataset", "inspect", "omniglot", "--data-root", root}, {root, "omniglot"}}});
}

}  // namespace
}  // namespace fewatoms::test
