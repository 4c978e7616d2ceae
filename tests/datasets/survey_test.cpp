#include "datasets/survey.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datasets/good_images.h"
#include "episodes/episode.h"
#include "episodes/errors.h"
#include "tests/datasets/images.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using test::message_of;
using test::pixels;
using test::TemporaryFolder;
using test::write_file;
using test::write_image;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class SurveyTest : public testing::Test {
 protected:
  SurveyTest() {
    write_image(folder / "train/ant/0.png", 30, 20, {1, 2, 3});
    write_image(folder / "train/ant/1.png", 30, 20, {1, 2, 4});
    write_image(folder / "train/ant/2.png", 30, 20, {1, 2, 3});  // repeats the first
    write_image(folder / "train/bee/0.png", 40, 20, {5, 5, 5});
    write_file(folder / "train/bee/1.png", "text");
    write_image(folder / "train/bee/2.png", 40, 20, {6, 7, 6});
    write_image(folder / "test/owl/0.png", 30, 20, {1, 2, 3});  // again
  }
  DatasetOptions options() { return {.name = "folders", .root = folder.path(), .image_size = 8}; }
  TemporaryFolder folder;
};

TEST_F(SurveyTest, TellsSizesGreyBrokenAndRepeatedImages) {
  int64_t last = 0;
  const auto splits = survey(options(), [&](int64_t done, int64_t total) {
    EXPECT_EQ(done, last + 1);
    EXPECT_EQ(total, 7);
    last = done;
  });
  EXPECT_EQ(last, 7);
  ASSERT_EQ(splits.size(), 2u);
  EXPECT_EQ(splits[0].split, "train");
  EXPECT_EQ(splits[0].images, 6);
  EXPECT_THAT(splits[0].sizes, ElementsAre(Pair(Pair(30, 20), 3), Pair(Pair(40, 20), 2)));
  EXPECT_EQ(splits[0].grey, 1);
  ASSERT_EQ(splits[0].bad.size(), 1u);
  EXPECT_EQ(splits[0].bad[0].class_name, "bee");
  EXPECT_EQ(splits[0].bad[0].index, 1);
  EXPECT_THAT(splits[0].bad[0].reason, HasSubstr("train/bee/1.png' cannot be decoded"));
  const Duplicates duplicates = find_duplicates(splits);
  EXPECT_EQ(duplicates.within_splits, 1);
  EXPECT_EQ(duplicates.across_splits, 1);
  ASSERT_EQ(duplicates.examples.size(), 2u);
  EXPECT_EQ(duplicates.examples[0].first, "train class 'ant' image 0");
  EXPECT_EQ(duplicates.examples[0].second, "test class 'owl' image 0");
}

TEST_F(SurveyTest, SkipBadLeavesOutAndCounts) {
  DatasetOptions skipping = options();
  skipping.skip_bad = true;
  const auto whole = open_dataset(options(), "train"), good = open_dataset(skipping, "train");
  EXPECT_EQ(whole->class_size(1), 3);
  EXPECT_EQ(good->class_size(1), 2);
  EXPECT_EQ(good->class_size(0), 3);
  EXPECT_EQ(pixels(*good, 1, 0), pixels(*whole, 1, 0));
  EXPECT_EQ(pixels(*good, 1, 1), pixels(*whole, 1, 2));
  EXPECT_EQ(good->info().skipped, 1);
  EXPECT_EQ(whole->info().skipped, 0);
  EXPECT_THAT(good->info().notices, testing::Contains(HasSubstr("left out 1 bad image (--skip-bad): '")));
  require_servable(*good, {2, 1, 1});
  EXPECT_THAT(message_of<DataError>([&] {
                require_servable(*good, {2, 1, 2});
              }),
              HasSubstr("class 'bee' has 2 images, 3 are needed"));
  EXPECT_EQ(open_dataset(skipping, "test")->info().skipped, 0);
}

TEST_F(SurveyTest, SkipBadTakesMissingFilesOfAManifestForBad) {
  write_file(folder / "m.csv",
             "path,label,split,group\ngone.png,a,train,x\ntrain/ant/0.png,a,train,y\ntrain/ant/1.png,a,train,x\n");
  DatasetOptions skipping{.name = "manifest", .root = folder / "m.csv", .image_size = 8};
  skipping.skip_bad = true;
  const auto good = open_dataset(skipping, "train");
  EXPECT_EQ(good->class_size(0), 2);
  EXPECT_THAT(std::vector<int>(good->image_groups(0).begin(), good->image_groups(0).end()), ElementsAre(1, 0));
}

// What a look at headers finds is refused at opening, of every split that asks for it.
TEST_F(SurveyTest, BadFilesAreRefusedAtOpeningWhereAskedFor) {
  write_image(folder / "val/cat/0.jpg", 30, 20);
  write_image(folder / "val/cat/1.jpg", 30, 20);
  DatasetOptions checked = options();
  checked.check_files = true;
  EXPECT_NO_THROW(open_dataset(checked, "val"));
  EXPECT_NO_THROW(open_dataset(options(), "train"));  // whoever decodes few images need not wait for all
  EXPECT_THAT(
      message_of<DataError>([&] { open_dataset(checked, "train"); }),
      testing::MatchesRegex(".*train/bee/1.png' cannot be decoded as an image: .* \\(1 bad file in split 'train': "
                            "--skip-bad leaves such images out, 'dataset verify' lists them\\)"));
  const std::string jpeg = test::read_file(folder / "val/cat/0.jpg");
  for (const std::string& bad : {jpeg.substr(0, jpeg.size() / 2), std::string(), std::string("<html></html>")}) {
    write_file(folder / "val/cat/0.jpg", bad);
    EXPECT_THAT(message_of<DataError>([&] { open_dataset(checked, "val"); }), HasSubstr("val/cat/0.jpg' is "));
  }
  checked.skip_bad = true;
  EXPECT_EQ(open_dataset(checked, "val")->info().skipped, 1);
}

TEST_F(SurveyTest, DamageThatADecoderMakesUpForIsBadToo) {
  cv::Mat picture(64, 64, CV_8UC3);
  cv::RNG(7).fill(picture, cv::RNG::UNIFORM, 0, 256);
  const auto file = folder / "train/bee/3.jpg";
  cv::imwrite(file.string(), picture);
  std::string jpeg = test::read_file(file);
  std::fill_n(jpeg.begin() + static_cast<ptrdiff_t>(jpeg.size() / 2), 200, '\0');
  write_file(file, jpeg);
  const auto splits = survey(options());
  ASSERT_EQ(splits[0].bad.size(), 2u);
  EXPECT_THAT(splits[0].bad[1].reason, HasSubstr("bee/3.jpg' is damaged: Corrupt JPEG data"));
  DatasetOptions skipping = options();
  skipping.skip_bad = true;
  EXPECT_EQ(open_dataset(skipping, "train")->info().skipped, 2);
}

TEST_F(SurveyTest, CountsOrientationTags) {
  write_image(folder / "val/cat/0.jpg", 30, 20);
  std::string jpeg = test::read_file(folder / "val/cat/0.jpg");
  jpeg.insert(2, std::string("\xFF\xE1\0\x22"
                             "Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
                             36));
  write_file(folder / "val/cat/1.jpg", jpeg);
  write_file(folder / "val/cat/2.jpg", jpeg);
  const auto source = open_dataset(options(), "val");
  EXPECT_EQ(count_orientation_tags(*source), 2);
  EXPECT_EQ(count_orientation_tags(*open_dataset(options(), "test")), 0);
  const auto sizes = survey(options())[1].sizes;  // the tag is followed
  EXPECT_THAT(sizes, ElementsAre(Pair(Pair(20, 30), 2), Pair(Pair(30, 20), 1)));
}

TEST_F(SurveyTest, PicturesThatAreNotReadAreNamed) {
  write_file(folder / "train/ant/3.ico", "icon");
  write_file(folder / "train/bee/3.TGA", "targa");
  EXPECT_THAT(
      open_dataset(options(), "train")->info().notices,
      testing::Contains(testing::MatchesRegex("ignored 2 pictures of kinds that are not read .expected JPEG, PNG.*"
                                              ", such as .*ant/3.ico'")));
  write_file(folder / "train/cow/0.tga", "targa");
  EXPECT_THAT(message_of<DataError>([&] { open_dataset(options(), "train"); }),
              testing::MatchesRegex("class 'cow' is empty: .*cow' has no images of a kind that is read, .*0.tga' is of "
                                    "another: expected JPEG.*"));
}

TEST_F(SurveyTest, DrawsAContactSheet) {
  write_contact_sheet(options(), folder / "sheet.png", 2, 3);
  const cv::Mat sheet = cv::imread((folder / "sheet.png").string());
  EXPECT_EQ(sheet.cols, 3 * 12 + 4);
  EXPECT_EQ(sheet.rows, 3 * 26 + 4);
  EXPECT_EQ(sheet.at<cv::Vec3b>(4 + 14 + 4, 8), cv::Vec3b(3, 2, 1));
  EXPECT_EQ(sheet.at<cv::Vec3b>(4 + 26 + 14 + 3, 4 + 12 + 3), cv::Vec3b(0, 0, 255));  // the broken one
  EXPECT_THAT(message_of<DataError>([&] { write_contact_sheet(options(), folder / "sheet.text"); }),
              HasSubstr("cannot be written"));
}

}  // namespace
}  // namespace fewatoms
