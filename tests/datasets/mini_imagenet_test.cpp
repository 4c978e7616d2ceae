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
using test::TemporaryFolder;
using test::write_file;
using test::write_image;
using testing::ElementsAre;
using testing::HasSubstr;

class MiniImagenet : public testing::Test {
 protected:
  std::shared_ptr<const ImageSource> open(const std::string& split) {
    return open_dataset({.name = "mini-imagenet", .root = folder.path()}, split);
  }
  std::string usage_error(const std::string& split) {
    return message_of<UsageError>([&] { open(split); });
  }
  std::string data_error(const std::string& split) {
    return message_of<DataError>([&] { open(split); });
  }
  /// images/a1.jpg, a2.jpg (red 10, 20) and images/b1.jpg (red 30).
  void write_images() {
    write_image(folder / "images/a1.jpg", 84, 84, {10, 0, 0});
    write_image(folder / "images/a2.jpg", 84, 84, {20, 0, 0});
    write_image(folder / "images/b1.jpg", 84, 84, {30, 0, 0});
  }
  int red(const ImageSource& source, int c, int i) { return source.image({c, i, 0}).pixels[0]; }

  TemporaryFolder folder;
};

TEST_F(MiniImagenet, ReadsImagesWithCsv) {
  write_images();
  // CSV order inside a class, classes by name; blank lines and CRLF occur.
  write_file(folder / "train.csv", "filename,label\r\nb1.jpg,n02\r\n\r\na2.jpg,n01\r\na1.jpg,n01\n\n");
  const auto source = open("train");
  EXPECT_THAT(class_names(*source), ElementsAre("n01", "n02"));
  EXPECT_EQ(source->class_size(0), 2);
  EXPECT_NEAR(red(*source, 0, 0), 20, 3);
  EXPECT_NEAR(red(*source, 0, 1), 10, 3);
  EXPECT_NEAR(red(*source, 1, 0), 30, 3);
  EXPECT_EQ(source->height(), 84);
  EXPECT_EQ(source->channels(), 3);
  EXPECT_EQ(source->info().dataset, "mini-imagenet");
  EXPECT_EQ(source->info().split, "train");
  EXPECT_EQ(source->info().form, "images+csv");
  EXPECT_EQ(source->info().split_rule, "ravi");
  EXPECT_EQ(source->info().crop, "none");
  EXPECT_THAT(source->info().notices, ElementsAre(HasSubstr("is not the official file of split 'train'"),
                                                  "split 'train' has 2 of 64 classes, 1 to 2 of 600 images each"));
}

TEST_F(MiniImagenet, ReadsImagesInFoldersOfTheirClass) {
  write_image(folder / "images/n01/a1.jpg", 84, 84, {10, 0, 0});
  write_image(folder / "images/n02/b1.jpg", 84, 84, {30, 0, 0});
  write_file(folder / "val.csv", "filename,label\na1.jpg,n01\nb1.jpg,n02\n");
  const auto source = open("val");
  EXPECT_NEAR(red(*source, 1, 0), 30, 3);
}

TEST_F(MiniImagenet, ReadsSplitFolders) {
  write_image(folder / "train/n02/x.jpg", 84, 84, {20, 0, 0});
  write_image(folder / "train/n01/y.jpg", 84, 84, {10, 0, 0});
  write_file(folder / "train/n01/readme.txt", "not an image");
  const auto source = open("train");
  EXPECT_THAT(class_names(*source), ElementsAre("n01", "n02"));
  EXPECT_EQ(source->info().form, "split-folders");
  EXPECT_NEAR(red(*source, 1, 0), 20, 3);
  EXPECT_THAT(source->info().notices, testing::Contains(HasSubstr("ignored 1 file")));
  EXPECT_THAT(usage_error("test"), HasSubstr("expected folders train/, val/ and test/"));
}

TEST_F(MiniImagenet, AFullSplitIsNotSaidToBeSmall) {
  std::string csv = "filename,label\n";
  for (int c = 0; c < 16; ++c)
    for (int i = 0; i < 600; ++i) {
      const std::string name = std::to_string(c) + "_" + std::to_string(i) + ".jpg";
      csv += name + ",n" + std::to_string(c) + "\n";
      write_file(folder / "images" / name, "");
    }
  write_file(folder / "val.csv", csv);
  EXPECT_THAT(open("val")->info().notices, ElementsAre(HasSubstr("not the official file")));
}

TEST_F(MiniImagenet, RefusesTwoFormsUnderOneRoot) {
  write_images();
  write_file(folder / "train.csv", "filename,label\na1.jpg,n01\n");
  write_image(folder / "val/n01/x.jpg");
  const auto message = usage_error("train");
  EXPECT_THAT(message, HasSubstr("train.csv"));
  EXPECT_THAT(message, HasSubstr("split-folders"));
}

TEST_F(MiniImagenet, RefusesARootWithNeitherForm) {
  write_images();
  EXPECT_THAT(usage_error("train"), HasSubstr("holds no mini-imagenet: expected images/ with train.csv"));
}

TEST_F(MiniImagenet, NamesTheMissingSplitAndThoseThatExist) {
  write_images();
  write_file(folder / "train.csv", "filename,label\na1.jpg,n01\n");
  write_file(folder / "val.csv", "filename,label\na1.jpg,n02\n");
  const auto message = usage_error("test");
  EXPECT_THAT(message, HasSubstr("no split 'test'"));
  EXPECT_THAT(message, HasSubstr("test.csv"));
  EXPECT_THAT(message, HasSubstr("there is train, val"));
}

TEST_F(MiniImagenet, RefusesTheVinyalsSplit) {
  write_images();
  write_file(folder / "train.csv", "filename,class\na1.jpg,n01\n");
  EXPECT_THAT(usage_error("train"), HasSubstr("Vinyals"));
}

TEST_F(MiniImagenet, RefusesTheClassesOfTheVinyalsSplitInAnyForm) {
  for (const char* name : {"n04201297", "n04204347", "n04239074", "n04277352", "n04370456", "n04409515", "n04456115",
                           "n04479046", "n04487394", "n04525038", "n04591713", "n04599235", "n07565083", "n07613480",
                           "n07695742", "n07714571", "n07717410", "n07753275", "n10148035", "n12768682"})
    write_image(folder / "test" / name / "1.png", 8, 8, {1, 2, 3});
  EXPECT_THAT(usage_error("test"), HasSubstr("split 'test' has the classes of 'test' of the Vinyals split"));
  std::filesystem::remove_all(folder / "test" / "n04201297");  // no longer its classes
  EXPECT_EQ(open("test")->classes(), 19);
}

TEST_F(MiniImagenet, NamesTheRowOfAMissingImage) {
  write_images();
  write_file(folder / "train.csv", "filename,label\na1.jpg,n01\n\ngone.jpg,n01\n");
  const auto message = data_error("train");
  EXPECT_THAT(message, HasSubstr((folder / "train.csv").string() + "' line 4 names image 'gone.jpg'"));
}

TEST_F(MiniImagenet, RefusesBadRows) {
  write_images();
  const auto message = [&](const std::string& row) {
    write_file(folder / "train.csv", "filename,label\na1.jpg,n01\n" + row + "\n");
    return data_error("train");
  };
  for (const char* row : {"a2.jpg", "a2.jpg,", ",n01", "a2.jpg,n01,x"})
    EXPECT_THAT(message(row), HasSubstr("train.csv' line 3 is '" + std::string(row) + "', expected 'filename,label'"));
  EXPECT_THAT(message("a1.jpg,n02"), HasSubstr("line 3 repeats image 'a1.jpg'"));
}

TEST_F(MiniImagenet, RefusesNamesThatLeaveTheFolder) {
  write_images();
  write_image(folder / "secret.jpg");
  for (const std::string& row : {std::string("../secret.jpg,n01"), (folder / "secret.jpg").string() + ",n01",
                                 std::string("secret.jpg,.."), std::string("x/../../secret.jpg,n01")}) {
    write_file(folder / "train.csv", "filename,label\n" + row + "\n");
    EXPECT_THAT(data_error("train"), HasSubstr("expected names without '..' and not absolute")) << row;
  }
}

TEST_F(MiniImagenet, RefusesAFileThatIsNoList) {
  write_images();
  write_file(folder / "train.csv", "");
  EXPECT_THAT(data_error("train"), HasSubstr("expected the header 'filename,label'"));
  write_file(folder / "train.csv", "filename,label\n");
  EXPECT_THAT(data_error("train"), HasSubstr("lists no images"));
}

}  // namespace
}  // namespace fewatoms
