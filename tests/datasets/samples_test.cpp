#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "datasets/dataset.h"
#include "datasets/known_splits.h"
#include "episodes/episode.h"
#include "episodes/errors.h"
#include "tests/datasets/images.h"
#include "tests/testing.h"

// The real samples, where they are: what the loaders make of data sets as they come.

namespace fewatoms {
namespace {

using testing::Contains;
using testing::HasSubstr;

/// Every image of one episode can be read, and the images differ.
void read_an_episode(const ImageSource& source) {
  const Episode episode = draw_episode(source, {.ways = std::min(5, source.classes()), .shots = 1, .queries = 5}, 1, 0);
  std::set<std::string> distinct;
  for (const auto* part : {&episode.support, &episode.query})
    for (const EpisodeImage& image : *part) {
      const ImageView view = source.image(image.ref);
      distinct.emplace(view.pixels, view.pixels + view.bytes());
    }
  EXPECT_EQ(distinct.size(), episode.support.size() + episode.query.size());
}

TEST(Samples, MiniImagenet) {
  FEWATOMS_SAMPLE_OR_SKIP(folder, "mini-imagenet");
  const DatasetOptions options{.name = "mini-imagenet", .root = folder};
  const auto train = open_dataset(options, "train"), val = open_dataset(options, "val");
  EXPECT_EQ(train->classes(), 64);
  EXPECT_EQ(train->class_name(0), "n01532829");
  EXPECT_EQ(val->classes(), 16);
  EXPECT_EQ(val->class_size(15), 300);
  EXPECT_THAT(val->info().notices, Contains("split 'val' has 16 of 16 classes, 300 of 600 images each"));
  EXPECT_THROW(open_dataset(options, "test"), UsageError);
  read_an_episode(*train);
}

TEST(Samples, CubCrops) {
  FEWATOMS_SAMPLE_OR_SKIP(folder, "cub-crops");
  DatasetOptions options{.name = "cub", .root = folder};
  const auto splits = summarise(options);
  ASSERT_EQ(splits.size(), 2u);
  EXPECT_EQ(splits[0].classes, 44);
  EXPECT_EQ(splits[1].classes, 28);
  EXPECT_EQ(splits[0].images + splits[1].images, 4239);
  read_an_episode(*open_dataset(options, "val"));
  options.crop = "bbox";
  EXPECT_THROW(open_dataset(options, "val"), UsageError);
}

TEST(Samples, CubOfficialLayout) {
  FEWATOMS_SAMPLE_OR_SKIP(folder, "CUB_200_2011");
  DatasetOptions options{.name = "cub", .root = folder};
  const auto splits = summarise(options);
  ASSERT_EQ(splits.size(), 3u);
  EXPECT_EQ(splits[0].classes, 5);
  EXPECT_EQ(splits[1].classes, 3);
  EXPECT_EQ(splits[2].classes, 2);
  EXPECT_EQ(splits[1].images, 30);
  const auto whole = open_dataset(options, "val");
  options.crop = "bbox";
  const auto cropped = open_dataset(options, "val");
  EXPECT_EQ(whole->class_name(0), "002.Laysan_Albatross");
  EXPECT_NE(test::pixels(*whole, 0, 0), test::pixels(*cropped, 0, 0));
  read_an_episode(*cropped);
}

/// The names in a class list of the samples: a JSON list, "class_names", or the second column of a CSV.
std::set<std::string> listed(const std::filesystem::path& file) {
  std::set<std::string> names;
  const std::string text = test::read_file(file);
  if (file.extension() == ".json") {
    const auto content = nlohmann::json::parse(text);
    for (const auto& name : content.is_array() ? content : content["class_names"]) names.insert(name);
  } else if (file.extension() == ".txt") {
    std::istringstream lines(text);
    for (std::string line; lines >> line;) names.insert(line);
  } else {
    std::istringstream lines(text);
    std::string line;
    for (std::getline(lines, line); std::getline(lines, line);) {
      const size_t first = line.find(',');
      names.insert(line.substr(first + 1, line.find(',', first + 1) - first - 1));
    }
  }
  return names;
}

TEST(Samples, SplitRulesOfCubAreThePublishedLists) {
  FEWATOMS_SAMPLE_OR_SKIP(lists, "splits");
  const test::TemporaryFolder folder;
  for (const char* split : {"train", "val", "test"})
    for (const auto& name : listed(lists / "cub-closerlook-torchmeta" / (std::string(split) + ".json")))
      test::write_file(folder / name / "x.png", "");
  for (const auto& [rule, where, extension] : {std::tuple{"closerlook", "cub-closerlook-torchmeta", ".json"},
                                               {"metadataset", "cub-140-30-30", ".json"},
                                               {"feat", "cub-feat", ".csv"}})
    for (const char* split : {"train", "val", "test"}) {
      const auto source = open_dataset({.name = "cub", .root = folder.path(), .split_rule = rule}, split);
      const auto names = test::class_names(*source);
      EXPECT_EQ(std::set(names.begin(), names.end()), listed(lists / where / (std::string(split) + extension))) << rule;
      EXPECT_EQ(source->info().split_rule, rule);
      const KnownSplit known = known_split(names);
      EXPECT_EQ(known.dataset, "cub");
      EXPECT_EQ(known.rule, rule);
      EXPECT_EQ(known.split, split);
    }
}

TEST(Samples, SplitRuleVinyalsOfOmniglotIsThePublishedList) {
  FEWATOMS_SAMPLE_OR_SKIP(lists, "splits");
  FEWATOMS_SAMPLE_OR_SKIP(background, "omniglot/images_background");
  const test::TemporaryFolder folder;
  for (const char* split : {"train", "val", "test"})
    for (const auto& name : listed(lists / "omniglot-vinyals" / (std::string(split) + ".txt"))) {
      if (!name.ends_with("rot000")) continue;
      const std::string character = name.substr(0, name.rfind('/')), alphabet = name.substr(0, name.find('/'));
      const bool is_background = std::filesystem::exists(background / alphabet);
      test::write_file(folder / (is_background ? "images_background" : "images_evaluation") / character / "x.png", "");
    }
  for (const char* split : {"train", "val", "test"}) {
    const auto source = open_dataset({.name = "omniglot", .root = folder.path(), .split_rule = "vinyals"}, split);
    const auto names = test::class_names(*source);
    EXPECT_EQ(std::set(names.begin(), names.end()), listed(lists / "omniglot-vinyals" / (std::string(split) + ".txt")));
    EXPECT_TRUE(source->info().notices.empty());
    EXPECT_EQ(known_split(names).rule, "vinyals");
    EXPECT_EQ(known_split(names).split, split);
  }
  EXPECT_EQ(open_dataset({.name = "omniglot", .root = folder.path(), .split_rule = "background-evaluation"}, "train")
                ->classes(),
            964 * 4);
  EXPECT_THROW(open_dataset({.name = "omniglot", .root = folder.path(), .split_rule = "background-evaluation"}, "val"),
               UsageError);
}

TEST(Samples, MiniImagenetsOfficialListsAreKnown) {
  FEWATOMS_SAMPLE_OR_SKIP(folder, "mini-imagenet");
  for (const char* split : {"train", "val", "test"}) {
    const auto file = folder / "official-splits" / (std::string(split) + ".csv");
    EXPECT_EQ(known_list(test::read_file(file)).split, split);
    const auto names = listed(file);
    EXPECT_EQ(known_split({names.begin(), names.end()}).split, split);
    EXPECT_EQ(known_split({names.begin(), names.end()}).rule, "ravi");
  }
  EXPECT_EQ(known_list(test::read_file(folder / "val.csv")).dataset, "");
  EXPECT_EQ(known_split({"a", "b"}).dataset, "");
}

TEST(Samples, PublishedFilelistsOfCubAreRead) {
  FEWATOMS_SAMPLE_OR_SKIP(lists, "splits");
  const test::TemporaryFolder folder;
  // The published lists hold another machine's paths; empty files stand for the images.
  const auto list = lists / "cub-closerlook-filelists" / "val.json";
  std::filesystem::copy(list, folder / "val.json");
  const auto content = nlohmann::json::parse(test::read_file(list));
  for (const std::string path : content["image_names"])
    test::write_file(folder / path.substr(path.find("images/")), "");
  const auto source = open_dataset({.name = "cub", .root = folder.path()}, "val");
  int images = 0;
  for (int c = 0; c < source->classes(); ++c) images += source->class_size(c);
  EXPECT_EQ(images, 2950);
  EXPECT_EQ(source->info().form, "filelist-json");
  EXPECT_TRUE(source->info().notices.empty());
  EXPECT_THAT(test::message_of<UsageError>(
                  [&] { open_dataset({.name = "cub", .root = folder.path(), .split_rule = "feat"}, "val"); }),
              HasSubstr("expected --split-rule closerlook"));
}

TEST(Samples, FashionMnistAsDebianInstallsIt) {
  const std::filesystem::path folder = "/usr/share/datasets/fashion-mnist";
  if (!std::filesystem::is_directory(folder)) GTEST_SKIP() << "Debian's package dataset-fashion-mnist is not installed";
  const DatasetOptions options{.name = "fashion-mnist", .root = folder};
  for (const auto& [split, images] : {std::pair{"train", 6000}, {"test", 1000}}) {
    const auto source = open_dataset(options, split);
    EXPECT_EQ(source->classes(), 10);
    EXPECT_EQ(source->class_name(9), "Ankle boot");
    for (int c = 0; c < 10; ++c) EXPECT_EQ(source->class_size(c), images);
    read_an_episode(*source);
  }
}

TEST(Samples, Omniglot) {
  FEWATOMS_SAMPLE_OR_SKIP(folder, "omniglot");
  const DatasetOptions options{.name = "omniglot", .root = folder};
  const auto train = open_dataset(options, "train"), val = open_dataset(options, "val");
  EXPECT_EQ(train->classes(), 792 * 4);
  EXPECT_EQ(val->classes(), 688);
  EXPECT_EQ(val->class_size(0), 20);
  EXPECT_TRUE(val->info().notices.empty());
  EXPECT_THROW(open_dataset(options, "test"), UsageError);
  read_an_episode(*val);
  // White strokes on black: most pixels are dark.
  const auto image = test::pixels(*val, 0, 0);
  EXPECT_GT(std::count_if(image.begin(), image.end(), [](uint8_t v) { return v < 50; }), 28 * 28 / 2);
}

}  // namespace
}  // namespace fewatoms
