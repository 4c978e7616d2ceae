#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "datasets/dataset.h"
#include "episodes/errors.h"
#include "tests/datasets/images.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using test::class_names;
using test::message_of;
using test::pixels;
using test::TemporaryFolder;
using test::write_file;
using test::write_image;
using testing::ElementsAre;
using testing::HasSubstr;

class Folders : public testing::Test {
 protected:
  DatasetOptions options(uint64_t split_seed = 0) {
    return {.name = "folders", .root = folder.path(), .image_size = 8, .split_seed = split_seed};
  }
  void write_classes(int count) {
    for (int c = 0; c < count; ++c) write_image(folder / ("class" + std::to_string(100 + c)) / "a.png");
  }
  TemporaryFolder folder;
};

TEST_F(Folders, SplitsClassesBySeed) {
  write_classes(50);
  std::set<std::string> all;
  size_t sum = 0;
  for (const char* split : {"train", "val", "test"}) {
    const auto source = open_dataset(options(), split);
    const auto names = class_names(*source);
    EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
    EXPECT_EQ(names, class_names(*open_dataset(options(), split)));
    EXPECT_NE(names, class_names(*open_dataset(options(1), split)));
    EXPECT_EQ(source->info().split_rule, "seed-0");
    EXPECT_EQ(source->info().form, "class-folders");
    all.insert(names.begin(), names.end());
    sum += names.size();
    EXPECT_EQ(names.size(), split == std::string("train") ? 32u : split == std::string("val") ? 8u : 10u);
  }
  EXPECT_EQ(all.size(), 50u);
  EXPECT_EQ(sum, 50u);
}

TEST_F(Folders, GoldenSplit) {
  write_classes(6);
  EXPECT_THAT(class_names(*open_dataset(options(), "val")), ElementsAre("class103"));
  EXPECT_THAT(class_names(*open_dataset(options(), "test")), ElementsAre("class102"));
}

TEST_F(Folders, EverySplitHasAClassOrTheRootIsRefused) {
  write_classes(2);
  EXPECT_THAT(message_of<UsageError>([&] { open_dataset(options(), "train"); }), HasSubstr("2 classes, at least 3"));
  write_classes(3);
  for (const char* split : {"train", "val", "test"}) EXPECT_EQ(open_dataset(options(), split)->classes(), 1);
}

TEST_F(Folders, ReadsSplitFolders) {
  write_image(folder / "train/cat/2.png", 9, 9, {2, 2, 2});
  write_image(folder / "train/cat/1.PNG", 9, 9, {1, 1, 1});
  write_image(folder / "train/ant/1.jpg", 9, 9);
  write_image(folder / "test/owl/1.png", 9, 9);
  write_image(folder / "extra/owl/1.png", 9, 9);
  const auto source = open_dataset(options(), "train");
  EXPECT_THAT(class_names(*source), ElementsAre("ant", "cat"));
  EXPECT_EQ(pixels(*source, 1, 0)[0], 1);
  EXPECT_EQ(pixels(*source, 1, 1)[0], 2);
  EXPECT_EQ(source->info().form, "split-folders");
  EXPECT_EQ(source->info().split_rule, "");
  EXPECT_THAT(source->info().notices, ElementsAre(HasSubstr("ignored 1 folder beside the split folders")));
  const auto message = message_of<UsageError>([&] { open_dataset(options(), "val"); });
  EXPECT_THAT(message, HasSubstr("no split 'val'"));
  EXPECT_THAT(message, HasSubstr("there is train, test"));
}

TEST_F(Folders, CountsFilesThatAreNoImages) {
  write_classes(3);
  for (const char* name : {"notes.txt", "Thumbs.db", "a.jpg.bak", ".hidden"})
    write_file(folder / "class100" / name, "x");
  EXPECT_THAT(open_dataset(options(), "train")->info().notices, ElementsAre(HasSubstr("ignored 3 files")));
}

TEST_F(Folders, RefusesAnEmptyClass) {
  write_classes(3);
  std::filesystem::create_directories(folder / "empty");
  EXPECT_THAT(message_of<DataError>([&] { open_dataset(options(), "train"); }), HasSubstr("class 'empty' is empty: "));
}

TEST_F(Folders, RefusesAClassInTwoSplits) {
  for (const char* image : {"train/cat/1.png", "train/dog/1.png", "test/dog/1.png"}) write_image(folder / image);
  const auto message = message_of<DataError>([&] { open_dataset(options(), "train"); });
  EXPECT_THAT(message, HasSubstr("class 'dog' is in two splits: train ("));
  EXPECT_THAT(message, HasSubstr("and test ("));
}

TEST_F(Folders, AFileNamedLikeAnImageThatIsNoneIsFoundWhenRead) {
  for (const char* c : {"a", "b", "c"}) write_file(folder / c / "x.png", "text");
  const auto source = open_dataset(options(), "train");
  EXPECT_THAT(message_of<DataError>([&] {
                source->image({0, 0, 0});
              }),
              HasSubstr("x.png' cannot be decoded as an image"));
}

TEST_F(Folders, RefusesAnEmptyRoot) {
  EXPECT_THAT(message_of<UsageError>([&] { open_dataset(options(), "train"); }),
              HasSubstr("no class folders with images, expected one folder per class"));
}

TEST_F(Folders, OpensClassFoldersWithoutSplits) {
  write_classes(2);
  const auto source = open_class_folders({.name = "cub", .root = folder.path(), .image_size = 16, .channels = 1});
  EXPECT_THAT(class_names(*source), ElementsAre("class100", "class101"));
  EXPECT_EQ(source->height(), 16);
  EXPECT_EQ(source->channels(), 1);
  EXPECT_THAT(message_of<UsageError>([&] { open_class_folders({.root = folder / "absent"}); }),
              HasSubstr("does not exist"));
}

TEST_F(Folders, OpensSingleImagesInTheOrderGiven) {
  write_image(folder / "b.png", 9, 9, {2, 2, 2});
  write_image(folder / "a.png", 9, 9, {1, 1, 1});
  const auto source = open_images({folder / "b.png", folder / "a.png"}, {.image_size = 8, .channels = 3});
  ASSERT_EQ(source->class_size(0), 2);
  EXPECT_EQ(pixels(*source, 0, 0)[0], 2);
  EXPECT_EQ(pixels(*source, 0, 1)[0], 1);
  EXPECT_THAT(message_of<UsageError>([&] { open_images({folder / "gone.png"}, {}); }),
              HasSubstr("gone.png' does not exist"));
  EXPECT_THAT(message_of<UsageError>([&] { open_images({folder.path()}, {}); }), HasSubstr("expected an image file"));
}

}  // namespace
}  // namespace fewatoms
