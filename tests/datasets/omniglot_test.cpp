#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
using testing::ElementsAre;
using testing::HasSubstr;

class Omniglot : public testing::Test {
 protected:
  std::shared_ptr<const ImageSource> open(const std::string& split, int size = 0) {
    return open_dataset({.name = "omniglot", .root = folder.path(), .image_size = size}, split);
  }
  /// A character of two images, white with the upper half black.
  void write_character(const std::string& path) {
    for (const char* name : {"0002_01.png", "0001_01.png"}) {
      cv::Mat picture(105, 105, CV_8U, cv::Scalar(255));
      picture(cv::Rect(0, 0, 105, 52)) = 0;
      std::filesystem::create_directories(folder / path);
      cv::imwrite((folder / path / name).string(), picture);
    }
  }
  TemporaryFolder folder;
};

TEST_F(Omniglot, EachTurnOfACharacterIsAClass) {
  write_character("images_background/Greek/character02");
  write_character("images_background/Greek/character01");
  const auto source = open("train");
  EXPECT_THAT(class_names(*source),
              ElementsAre("Greek/character01/rot000", "Greek/character01/rot090", "Greek/character01/rot180",
                          "Greek/character01/rot270", "Greek/character02/rot000", "Greek/character02/rot090",
                          "Greek/character02/rot180", "Greek/character02/rot270"));
  EXPECT_EQ(source->class_size(5), 2);
  EXPECT_EQ(source->height(), 28);
  EXPECT_EQ(source->channels(), 1);
  EXPECT_THAT(source->info().notices, ElementsAre("split 'train' has 2 of 792 characters"));
  const auto at = [&](int turn, int y, int x) { return pixels(*source, turn, 0)[y * 28 + x]; };
  // Inverted: the ink is white. It is above, then left, below, right.
  EXPECT_EQ(at(0, 2, 14), 255);
  EXPECT_EQ(at(0, 25, 14), 0);
  EXPECT_EQ(at(1, 14, 2), 255);
  EXPECT_EQ(at(1, 14, 25), 0);
  EXPECT_EQ(at(2, 25, 14), 255);
  EXPECT_EQ(at(3, 14, 25), 255);
}

TEST_F(Omniglot, ValidationIsFiveAlphabetsAndTestTheEvaluationSet) {
  for (const char* alphabet :
       {"Armenian", "Bengali", "Early_Aramaic", "Hebrew", "Mkhedruli_(Georgian)", "Latin", "Tifinagh"})
    write_character("images_background/" + std::string(alphabet) + "/character01");
  write_character("images_evaluation/Hebrew/character01");
  EXPECT_EQ(open("train")->classes(), 8);
  EXPECT_EQ(open("val")->classes(), 20);
  EXPECT_EQ(open("test")->classes(), 4);
  EXPECT_EQ(open("val")->class_name(0), "Armenian/character01/rot000");
}

TEST_F(Omniglot, NamesTheFolderOfAMissingSplit) {
  write_character("images_background/Latin/character01");
  const auto message = message_of<UsageError>([&] { open("test"); });
  EXPECT_THAT(message, HasSubstr((folder / "images_evaluation").string()));
  EXPECT_THAT(message, HasSubstr("there is train"));
  EXPECT_THAT(message_of<UsageError>([&] { open("val"); }), HasSubstr("Armenian"));
}

TEST_F(Omniglot, RefusesARootWithoutAlphabets) {
  EXPECT_THAT(message_of<UsageError>([&] { open("train"); }),
              HasSubstr("holds no omniglot: expected images_background/"));
  std::filesystem::create_directories(folder / "images_background/Latin");
  EXPECT_THAT(message_of<UsageError>([&] { open("train"); }), HasSubstr("has no images for split 'train'"));
}

}  // namespace
}  // namespace fewatoms
