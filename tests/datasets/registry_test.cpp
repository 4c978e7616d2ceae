#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "datasets/dataset.h"
#include "episodes/errors.h"
#include "tests/datasets/images.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using test::message_of;
using test::TemporaryFolder;
using testing::HasSubstr;

TEST(Registry, NamesAreDistinctAndStrokesIsTheDefault) {
  const auto names = dataset_names();
  EXPECT_EQ(std::set(names.begin(), names.end()).size(), names.size());
  EXPECT_THAT(names, testing::IsSupersetOf({"strokes", "mini-imagenet", "cub", "omniglot", "folders"}));
  EXPECT_EQ(DatasetOptions{}.name, "strokes");
}

TEST(Registry, EveryEntryIsComplete) {
  for (const DatasetEntry& entry : dataset_registry()) {
    EXPECT_FALSE(entry.summary.empty()) << entry.name;
    EXPECT_NE(entry.splits, nullptr) << entry.name;
    EXPECT_NE(entry.open, nullptr) << entry.name;
    DatasetOptions options;
    options.name = entry.name;
    options = resolve(options);
    EXPECT_EQ(options.image_size, entry.usual_size);
    EXPECT_EQ(options.channels, entry.usual_channels);
    EXPECT_EQ(options.split_rule, entry.split_rules.empty() ? "" : entry.split_rules.front());
  }
}

TEST(Resolve, IsIdempotentAndKeepsWhatIsGiven) {
  const DatasetOptions once = resolve({.name = "omniglot", .image_size = 64, .channels = 3});
  EXPECT_EQ(once.image_size, 64);
  EXPECT_EQ(once.channels, 3);
  EXPECT_EQ(resolve(once).split_rule, once.split_rule);
}

TEST(Resolve, RefusesWhatTheDataSetDoesNotKnow) {
  const auto message = [](const DatasetOptions& options) { return message_of<UsageError>([&] { resolve(options); }); };
  EXPECT_THAT(message({.name = "mini-imagnet"}), HasSubstr("did you mean 'mini-imagenet'?"));
  EXPECT_THAT(message({.image_size = 7}), HasSubstr("image size is 7, expected 8 to 512"));
  EXPECT_THAT(message({.image_size = 513}), HasSubstr("513"));
  EXPECT_THAT(message({.channels = 2}), HasSubstr("channels is 2, expected 1"));
  EXPECT_THAT(message({.crop = "box"}), HasSubstr("did you mean 'bbox'?"));
  EXPECT_THAT(message({.name = "omniglot", .crop = "bbox"}), HasSubstr("does not apply to data set 'omniglot'"));
  EXPECT_THAT(message({.name = "cub", .split_rule = "closelook"}), HasSubstr("did you mean 'closerlook'?"));
  EXPECT_THAT(message({.split_rule = "ravi"}), HasSubstr("does not apply to data set 'strokes'"));
  EXPECT_THAT(message({.augment = "crop-flip"}), HasSubstr("did you mean 'crop-jitter-flip'?"));
  EXPECT_THAT(message({.cache_mb = -1}), HasSubstr("cache is -1"));
}

TEST(OpenDataset, RefusesABadRootOrSplit) {
  const TemporaryFolder folder;
  const auto message = [](const std::filesystem::path& root, const std::string& split) {
    return message_of<UsageError>([&] { open_dataset({.name = "folders", .root = root}, split); });
  };
  test::write_file(folder / "file", "x");
  EXPECT_THAT(message("", "train"), HasSubstr("'folders' needs a data root"));
  EXPECT_THAT(message(folder / "absent", "train"), HasSubstr("absent' does not exist"));
  EXPECT_THAT(message(folder / "file", "train"), HasSubstr("file' is not a folder"));
  EXPECT_THAT(message(folder.path(), "tets"), HasSubstr("unknown split 'tets', did you mean 'test'?"));
  EXPECT_THAT(message_of<UsageError>([&] { summarise({.name = "cub", .root = folder / "absent"}); }),
              HasSubstr("does not exist"));
}

TEST(Summarise, CountsWithoutDecoding) {
  const TemporaryFolder folder;
  for (const char* image : {"a/1.png", "a/2.png", "a/3.png", "b/1.png", "c/1.png", "c/2.png"})
    test::write_file(folder / "train" / image, "not an image");
  test::write_file(folder / "test" / "d/1.png", "not an image");
  const auto splits = summarise({.name = "folders", .root = folder.path()});
  ASSERT_EQ(splits.size(), 2u);
  EXPECT_EQ(splits[0].split, "train");
  EXPECT_EQ(splits[0].classes, 3);
  EXPECT_EQ(splits[0].images, 6);
  EXPECT_EQ(splits[0].fewest, 1);
  EXPECT_EQ(splits[0].median, 2);
  EXPECT_EQ(splits[0].most, 3);
  EXPECT_EQ(splits[1].split, "test");
}

}  // namespace
}  // namespace fewatoms
