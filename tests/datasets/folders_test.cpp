#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <cstring>
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
  EXPECT_THAT(source->info().notices,
              ElementsAre("ignored 1 folder beside the split folders: '" + (folder / "extra").string() + "'"));
  const auto message = message_of<UsageError>([&] { open_dataset(options(), "val"); });
  EXPECT_THAT(message, HasSubstr("no split 'val'"));
  EXPECT_THAT(message, HasSubstr("there is train, test"));
}

TEST_F(Folders, CountsFilesThatAreNoImages) {
  write_classes(3);
  for (const char* name : {"notes.txt", "Thumbs.db", "a.jpg.bak", ".hidden"})
    write_file(folder / "class100" / name, "x");
  EXPECT_THAT(open_dataset(options(), "train")->info().notices,
              ElementsAre("ignored 3 files without an image extension, such as '" +
                          (folder / "class100/Thumbs.db").string() + "'"));
}

TEST_F(Folders, RefusesAnEmptyClassAndSaysWhatIsInIt) {
  write_classes(3);
  std::filesystem::create_directories(folder / "empty");
  EXPECT_THAT(message_of<DataError>([&] { open_dataset(options(), "train"); }), HasSubstr("class 'empty' is empty: "));
  write_file(folder / "empty/more/x.dat", "x");
  EXPECT_THAT(message_of<DataError>([&] { open_dataset(options(), "train"); }),
              HasSubstr("ignored 1 file without an image extension: '" + (folder / "empty/more/x.dat").string()));
}

TEST_F(Folders, ReadsClassFoldersToAnyDepthAndSaysSo) {
  write_classes(3);
  for (const char* image : {"2.png", "more/1.png", "more/again/0.png", "more/b.png"})
    write_image(folder / "class100" / image);
  for (const char* other : {"x.jpg", "@eaDir/a.png/thumb.jpg", ".cache/y.jpg", "more/._1.png"})
    write_file(folder / "class100" / other, "x");
  std::filesystem::remove(folder / "class100/x.jpg");
  ASSERT_EQ(mkfifo((folder / "class100/more/pipe.jpg").c_str(), 0600), 0);
  // Links up and across must come to an end, and give no image twice.
  std::filesystem::create_symlink("..", folder / "class100/more/up");
  std::filesystem::create_symlink("more", folder / "class100/same");
  write_image(folder / "beside.png");
  const DatasetOptions all{.name = "folders", .root = folder.path(), .image_size = 8, .split_fractions = "1,0,0"};
  const auto check = [&](const ImageSource& source) {
    ASSERT_EQ(source.class_size(0), 5);
    std::vector<std::string> names;
    for (int i = 0; i < 5; ++i) names.push_back(source.image_name({0, i}));
    EXPECT_THAT(names, ElementsAre("class100/2.png", "class100/a.png", "class100/more/1.png", "class100/more/b.png",
                                   "class100/more/again/0.png"));
    EXPECT_THAT(
        source.info().notices,
        testing::UnorderedElementsAre(HasSubstr("read 3 images in folders inside class folders, such as '"),
                                      HasSubstr("ignored 1 hidden folder: '"), HasSubstr("ignored 1 hidden file: '"),
                                      HasSubstr("ignored 1 system folder: '"), HasSubstr("ignored 1 special file: '"),
                                      HasSubstr("ignored 2 links to a folder that is read already"),
                                      HasSubstr("ignored 1 image beside class folders: '")));
  };
  check(*open_dataset(all, "train"));
  check(*open_class_folders(all));
}

TEST_F(Folders, AClassMayBeCalledLikeASplit) {
  for (const char* name : {"bus", "car", "test", "train", "tram"}) write_image(folder / name / "1.png");
  const auto source =
      open_dataset({.name = "folders", .root = folder.path(), .image_size = 8, .split_fractions = "1,0,0"}, "train");
  EXPECT_THAT(class_names(*source), ElementsAre("bus", "car", "test", "train", "tram"));
  EXPECT_THAT(source->info().notices, testing::Contains("folder 'train' holds images itself, so it is a class and no "
                                                        "split"));
  // Without other classes beside, such folders are splits that lack class folders.
  for (const char* name : {"bus", "car", "tram"}) std::filesystem::remove_all(folder / name);
  EXPECT_THAT(message_of<UsageError>([&] { open_dataset(options(), "train"); }),
              HasSubstr("train' has no class folders with images"));
}

TEST_F(Folders, SplitFoldersHaveTheNamesThatPeopleGiveThem) {
  write_image(folder / "Train/cat/1.png");
  write_image(folder / "valid/dog/1.png");
  write_image(folder / "TESTING/owl/1.png");
  EXPECT_THAT(present_splits(options()), ElementsAre("train", "val", "test"));
  EXPECT_THAT(class_names(*open_dataset(options(), "val")), ElementsAre("dog"));
  write_image(folder / "val/ant/1.png");
  EXPECT_THAT(message_of<UsageError>([&] { open_dataset(options(), "train"); }),
              HasSubstr("has two folders of split 'val': 'val' and 'valid', expected one"));
}

TEST_F(Folders, FilesThatAreOnlyCalledLikeListsDoNotMatter) {
  write_classes(3);
  write_file(folder / "test.txt", "things to do\n");
  write_file(folder / "train.json", "{\"learning_rate\": 0.1}");
  write_file(folder / "val.json", "no JSON");
  const auto source = open_dataset(options(), "train");
  EXPECT_EQ(source->info().form, "class-folders");
  EXPECT_THAT(source->info().notices,
              ElementsAre(HasSubstr("ignored 3 files called like class lists that name no class folder")));
  // One that names a class is a list.
  write_file(folder / "test.txt", "class101\n");
  EXPECT_THAT(class_names(*open_dataset(options(), "test")), ElementsAre("class101"));
  EXPECT_EQ(open_dataset(options(), "test")->info().form, "class-lists");
}

TEST_F(Folders, ASingleFolderOfFoldersIsLookedThrough) {
  for (const char* image : {"images/ant/1.png", "images/bee/1.png", "images/cat/1.png"}) write_image(folder / image);
  write_file(folder / "readme.txt", "x");
  EXPECT_EQ(open_dataset(options(), "train")->classes(), 1);
  EXPECT_THAT(class_names(*open_class_folders(options())), ElementsAre("ant", "bee", "cat"));
  write_image(folder / "photos/of birds/train/owl/1.png");
  std::filesystem::remove_all(folder / "images");
  EXPECT_EQ(open_dataset(options(), "train")->info().form, "split-folders");
  // A support set is one of the splits, not all of them as classes.
  EXPECT_THAT(message_of<UsageError>([&] { open_class_folders(options()); }),
              HasSubstr("holds the folder 'train' of class folders, expected class folders"));
}

TEST_F(Folders, LeavesOutClassesWithFewImages) {
  for (int c = 0; c < 4; ++c)
    for (int i = 0; i <= c; ++i)
      write_image(folder / ("class" + std::to_string(c)) / (std::to_string(i) + ".png"), 9, 9, {10.0 * c, 0, 0});
  DatasetOptions few{.name = "folders", .root = folder.path(), .image_size = 8, .split_fractions = "1,0,0"};
  few.min_images = 3;
  const auto source = open_dataset(few, "train");
  EXPECT_THAT(class_names(*source), ElementsAre("class2", "class3"));
  EXPECT_EQ(pixels(*source, 1, 3)[0], 30);
  EXPECT_EQ(source->image_name({1, 3}), "class3/3.png");
  EXPECT_THAT(source->info().notices,
              ElementsAre("left out 2 of 4 classes, with fewer than 3 images (--min-images): 'class0' has 1"));
  few.min_images = 1;
  EXPECT_THAT(open_dataset(few, "train")->info().notices, testing::IsEmpty());
  few.min_images = 5;
  EXPECT_THAT(message_of<UsageError>([&] { open_dataset(few, "train"); }),
              HasSubstr("no class of folders split 'train' has 5 images (--min-images): 'class0' has 1"));
  // Images that cannot be decoded do not count.
  few.min_images = 3;
  few.skip_bad = true;
  write_file(folder / "class2/0.png", "x");
  EXPECT_THAT(class_names(*open_dataset(few, "train")), ElementsAre("class3"));
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

TEST_F(Folders, EveryClassTogether) {
  write_classes(2);  // too few for splits
  EXPECT_TRUE(comes_without_splits(options()));
  const auto two = open_dataset(options(), "all");
  EXPECT_THAT(class_names(*two), ElementsAre("class100", "class101"));
  EXPECT_EQ(two->info().split, "all");
  EXPECT_EQ(two->info().split_rule, "");
  write_classes(5);
  DatasetOptions seeded = options(3);
  seeded.split_fractions = "0.4,0.2,0.4";
  EXPECT_EQ(open_dataset(seeded, "all")->classes(), 5);
  write_file(folder / "list.csv", "label,split\nclass104,train\nclass101,test\n");
  DatasetOptions listed = options();
  listed.split_file = folder / "list.csv";
  EXPECT_THAT(class_names(*open_dataset(listed, "all")), ElementsAre("class101", "class104"));
}

TEST_F(Folders, EveryClassOfAllSplitsTogether) {
  for (const char* file : {"train/b/0.png", "train/b/1.png", "val/c/0.png", "test/a/0.png"})
    write_image(folder / file, 8, 8, {10.0 * file[0], 0, 10.0 * (file[std::strlen(file) - 5] - '0')});
  EXPECT_FALSE(comes_without_splits(options()));
  const auto all = open_dataset(options(), "all"), train = open_dataset(options(), "train");
  EXPECT_THAT(class_names(*all), ElementsAre("a", "b", "c"));
  EXPECT_EQ(all->class_size(1), 2);
  const std::vector<ImageRef> wanted = {{0, 0}, {1, 0}, {1, 1}, {2, 0}};
  all->prefetch(wanted);
  EXPECT_EQ(pixels(*all, 1, 1), pixels(*train, 0, 1));
  EXPECT_NE(pixels(*all, 1, 0), pixels(*all, 1, 1));
  EXPECT_EQ(all->image_name({1, 1}), train->image_name({0, 1}));
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
