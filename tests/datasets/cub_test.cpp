#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <opencv2/imgproc.hpp>

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

class Cub : public testing::Test {
 protected:
  std::shared_ptr<const ImageSource> open(const std::string& split, const std::string& crop = "none") {
    return open_dataset({.name = "cub", .root = folder.path(), .image_size = 8, .crop = crop}, split);
  }
  std::string usage_error(const std::string& split, const std::string& crop = "none") {
    return message_of<UsageError>([&] { open(split, crop); });
  }
  std::string data_error(const std::string& split, const std::string& crop = "none") {
    return message_of<DataError>([&] { open(split, crop); });
  }

  /// Classes 1..5 with two images each, 20 x 10 pixels, black with a white left half.
  void write_official() {
    std::string images, labels, classes, boxes;
    for (int c = 1; c <= 5; ++c) {
      const std::string name = "00" + std::to_string(c) + ".Bird" + std::to_string(c);
      classes += std::to_string(c) + " " + name + "\n";
      for (int i = 0; i < 2; ++i) {
        const std::string id = std::to_string(c * 10 + i);
        const std::string path = name + "/b" + std::to_string(1 - i) + ".png";  // not in the order of names
        images += id + " " + path + "\n";
        labels += id + " " + std::to_string(c) + "\n";
        boxes += id + " 0.0 0.0 10.0 10.0\n";
        cv::Mat picture(10, 20, CV_8U, cv::Scalar(0));
        picture(cv::Rect(0, 0, 10, 10)) = 255;
        std::filesystem::create_directories(folder / "images" / name);
        cv::imwrite((folder / "images" / path).string(), picture);
      }
    }
    write_file(folder / "images.txt", images);
    write_file(folder / "image_class_labels.txt", labels);
    write_file(folder / "classes.txt", classes);
    write_file(folder / "bounding_boxes.txt", boxes);
  }

  TemporaryFolder folder;
};

TEST_F(Cub, ReadsTheOfficialLayoutByTheCloserlookRule) {
  write_official();
  EXPECT_THAT(class_names(*open("train")), ElementsAre("001.Bird1", "003.Bird3", "005.Bird5"));
  EXPECT_THAT(class_names(*open("val")), ElementsAre("002.Bird2"));
  EXPECT_THAT(class_names(*open("test")), ElementsAre("004.Bird4"));
  const auto info = open("train")->info();
  EXPECT_EQ(info.form, "official");
  EXPECT_EQ(info.split_rule, "closerlook");
  EXPECT_EQ(info.crop, "none");
  EXPECT_THAT(info.notices, ElementsAre("split 'train' has 3 of 100 classes, 6 of 5885 images"));
}

TEST_F(Cub, CropsToTheBoundingBox) {
  write_official();
  const auto cropped = open("val", "bbox");
  EXPECT_EQ(cropped->info().crop, "bbox");
  EXPECT_EQ(pixels(*cropped, 0, 0), std::vector<uint8_t>(8 * 8 * 3, 255));
  EXPECT_NE(pixels(*open("val"), 0, 0), pixels(*cropped, 0, 0));
}

TEST_F(Cub, SortsImagesByFileName) {
  write_official();
  write_image(folder / "images/002.Bird2/b0.png", 8, 8, {9, 9, 9});
  EXPECT_EQ(pixels(*open("val"), 0, 0)[0], 9);
}

TEST_F(Cub, NeedsBoxesForCropOnly) {
  write_official();
  std::filesystem::remove(folder / "bounding_boxes.txt");
  EXPECT_NO_THROW(open("train"));
  EXPECT_THAT(data_error("train", "bbox"), HasSubstr("bounding_boxes.txt' cannot be opened"));
}

TEST_F(Cub, NamesFileAndLineOfMalformedMetadata) {
  write_official();
  const auto message = [&](const std::string& name, const std::string& content, const std::string& crop = "none") {
    const auto before = test::read_file(folder / name);
    write_file(folder / name, content);
    const auto text = data_error("train", crop);
    write_file(folder / name, before);
    return text;
  };
  const auto images = test::read_file(folder / "images.txt"),
             labels = test::read_file(folder / "image_class_labels.txt"),
             boxes = test::read_file(folder / "bounding_boxes.txt");
  EXPECT_THAT(message("images.txt", images + "99\n"), HasSubstr("images.txt' line 11 is '99', expected 'id path'"));
  EXPECT_THAT(message("images.txt", images + "x 001.Bird1/b0.png\n"), HasSubstr("images.txt' line 11"));
  EXPECT_THAT(message("images.txt", images + "10 001.Bird1/b0.png\n"), HasSubstr("line 11 repeats id 10"));
  EXPECT_THAT(message("images.txt", images + "99 001.Bird1/b0.png\n"),
              HasSubstr("image_class_labels.txt' has no line for id 99"));
  EXPECT_THAT(message("images.txt", "10 ../../secret.png\n"),
              HasSubstr("line 1 is '10 ../../secret.png', expected a path"));
  EXPECT_THAT(message("images.txt", "10 /etc/secret.png\n"), HasSubstr("not absolute"));
  EXPECT_THAT(message("images.txt", "10 001.Bird1/gone.png\n"), HasSubstr("gone.png"));
  EXPECT_THAT(message("image_class_labels.txt", "10 201\n" + labels.substr(labels.find('\n') + 1)),
              HasSubstr("image_class_labels.txt' line 1 is '10 201', expected a class from 1 to 200"));
  EXPECT_THAT(message("image_class_labels.txt", "10 1.5\n" + labels.substr(labels.find('\n') + 1)),
              HasSubstr("numbers"));
  EXPECT_THAT(message("classes.txt", "2 002.Bird2\n"), HasSubstr("classes.txt' has no line for id 1"));
  EXPECT_THAT(message("bounding_boxes.txt", "10 0 0 ten 10\n" + boxes.substr(boxes.find('\n') + 1), "bbox"),
              HasSubstr("bounding_boxes.txt' line 1 is '10 0 0 ten 10'"));
  EXPECT_THAT(message("bounding_boxes.txt", "10 0 0 0 10\n" + boxes.substr(boxes.find('\n') + 1), "bbox"),
              HasSubstr("positive width and height"));
  EXPECT_THAT(message("bounding_boxes.txt", "10 nan 0 5 10\n" + boxes.substr(boxes.find('\n') + 1), "bbox"),
              HasSubstr("line 1"));
}

TEST_F(Cub, NamesAMissingMetadataFile) {
  write_official();
  std::filesystem::remove(folder / "classes.txt");
  EXPECT_THAT(data_error("train"), HasSubstr("classes.txt' cannot be opened"));
}

TEST_F(Cub, ReadsClassFoldersByTheirNumber) {
  for (const char* name : {"001.A", "002.B", "004.D", "199.Y"}) write_image(folder / name / "x.png");
  write_image(folder / "attributes" / "x.png");
  EXPECT_THAT(class_names(*open("train")), ElementsAre("001.A", "199.Y"));
  EXPECT_THAT(class_names(*open("val")), ElementsAre("002.B"));
  EXPECT_THAT(class_names(*open("test")), ElementsAre("004.D"));
  const auto info = open("val")->info();
  EXPECT_EQ(info.form, "class-folders");
  EXPECT_THAT(info.notices, testing::Contains(HasSubstr("ignored 1 folder")));
  EXPECT_THAT(info.notices, testing::Contains("split 'val' has 1 of 50 classes, 1 of 2950 images"));
  EXPECT_THAT(usage_error("val", "bbox"), HasSubstr("crop 'bbox' needs the official layout"));
}

TEST_F(Cub, ReadsClassFoldersUnderImages) {
  write_image(folder / "images" / "003.C" / "x.png");
  EXPECT_THAT(class_names(*open("train")), ElementsAre("003.C"));
  const auto message = usage_error("test");
  EXPECT_THAT(message, HasSubstr("no split 'test'"));
  EXPECT_THAT(message, HasSubstr("there is train"));
}

TEST_F(Cub, RefusesFoldersThatAreNotClearlyCub) {
  EXPECT_THAT(usage_error("train"), HasSubstr("holds no cub"));
  write_image(folder / "201.TooMany" / "x.png");
  write_image(folder / "000.None" / "x.png");
  write_image(folder / "1.A" / "x.png");
  EXPECT_THAT(usage_error("train"), HasSubstr("holds no cub"));
  write_image(folder / "001.A" / "x.png");
  write_image(folder / "001.B" / "x.png");
  EXPECT_THAT(data_error("train"), HasSubstr("two folders of one class number: '001.A' and '001.B'"));
  std::filesystem::remove_all(folder / "001.B");
  write_image(folder / "images" / "001.A" / "x.png");
  EXPECT_THAT(usage_error("train"), HasSubstr("both directly and under images/"));
}

TEST_F(Cub, SummarisesTheSplitsThatArePresent) {
  write_official();
  std::vector<std::string> names;
  for (const auto& split : summarise({.name = "cub", .root = folder.path()})) names.push_back(split.split);
  EXPECT_THAT(names, ElementsAre("train", "val", "test"));
}

}  // namespace
}  // namespace fewatoms
