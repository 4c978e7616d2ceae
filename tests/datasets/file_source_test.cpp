#include "datasets/file_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <opencv2/imgproc.hpp>

#include "episodes/errors.h"
#include "tests/datasets/images.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using test::message_of;
using test::pixels;
using test::TemporaryFolder;
using testing::ElementsAre;
using testing::HasSubstr;

DatasetOptions options(int size, int channels = 3) {
  return {.name = "folders", .image_size = size, .channels = channels};
}

std::shared_ptr<const ImageSource> one_file(const std::filesystem::path& file, const DatasetOptions& with) {
  return file_source({}, open_anywhere(), {{"class", {{file.string(), {}}}, 0}}, with);
}

TEST(FileSource, GivesRgbInThatOrder) {
  const TemporaryFolder folder;
  test::write_image(folder / "a.png", 16, 16, {200, 100, 50});
  const auto image = pixels(*one_file(folder / "a.png", options(8)), 0, 0);
  ASSERT_EQ(image.size(), 8u * 8 * 3);
  EXPECT_THAT(std::vector<uint8_t>(image.begin(), image.begin() + 3), ElementsAre(200, 100, 50));
}

TEST(FileSource, ConvertsGreyAndColourBothWays) {
  const TemporaryFolder folder;
  cv::imwrite((folder / "grey.png").string(), cv::Mat(8, 8, CV_8U, cv::Scalar(77)));
  test::write_image(folder / "red.png", 8, 8, {255, 0, 0});
  EXPECT_EQ(pixels(*one_file(folder / "grey.png", options(8, 3)), 0, 0), std::vector<uint8_t>(8 * 8 * 3, 77));
  EXPECT_EQ(pixels(*one_file(folder / "red.png", options(8, 1)), 0, 0),
            std::vector<uint8_t>(8 * 8, 76));  // 0.299 * 255
}

TEST(FileSource, ShrinksByArea) {
  const TemporaryFolder folder;
  cv::Mat stripes(32, 32, CV_8U, cv::Scalar(0));  // one bright column of four, which bilinear sampling would miss
  for (int x = 0; x < 32; x += 4) stripes.col(x) = 200;
  cv::imwrite((folder / "stripes.png").string(), stripes);
  EXPECT_EQ(pixels(*one_file(folder / "stripes.png", options(8, 1)), 0, 0), std::vector<uint8_t>(64, 50));
}

// A photograph much larger than the target is decoded at half scale or less: nearly the same pixels, boxes included;
// the very same on request.
TEST(FileSource, DecodesPhotographsAtReducedScaleUnlessExact) {
  const TemporaryFolder folder;
  cv::Mat picture(200, 240, CV_8UC3);
  for (int y = 0; y < picture.rows; ++y)
    for (int x = 0; x < picture.cols; ++x) picture.at<cv::Vec3b>(y, x) = cv::Vec3b(x, y, (x * y) % 256);
  const std::string file = (folder / "a.jpg").string();
  cv::imwrite(file, picture, {cv::IMWRITE_JPEG_QUALITY, 95});
  DatasetOptions exact = options(20);
  exact.exact_decode = true;
  for (const std::optional<Box>& box : {std::optional<Box>(), std::optional<Box>(Box{100, 60, 90, 120})}) {
    const auto source = [&](const DatasetOptions& with) {
      return pixels(*file_source({}, open_anywhere(), {{"class", {{file, box}}, 0}}, with), 0, 0);
    };
    const auto reduced = source(options(20)), whole = source(exact);  // of 200 or 90 pixels, of which 40 are enough
    EXPECT_NE(reduced, whole);
    double difference = 0;
    for (size_t i = 0; i < whole.size(); ++i) difference += std::abs(reduced[i] - whole[i]);
    EXPECT_LT(difference / static_cast<double>(whole.size()), 2.5);
    exact.image_size = 110;
    EXPECT_EQ(source(options(110)), source(exact));  // not much larger than the target
    exact.image_size = 20;
  }
}

TEST(FileSource, EnlargesAndForgetsTheAspect) {
  const TemporaryFolder folder;
  test::write_image(folder / "wide.png", 5, 3);
  const ImageView view = one_file(folder / "wide.png", options(20))->image({0, 0, 0});
  EXPECT_EQ(view.width, 20);
  EXPECT_EQ(view.height, 20);
  EXPECT_EQ(pixels(view)[0], 200);
}

/// 16 x 16 grey, four quadrants of 10, 20, 30, 40 (top left, top right, bottom left, bottom right).
std::string quadrants(const TemporaryFolder& folder) {
  cv::Mat picture(16, 16, CV_8U, cv::Scalar(10));
  picture(cv::Rect(8, 0, 8, 8)) = 20;
  picture(cv::Rect(0, 8, 8, 8)) = 30;
  picture(cv::Rect(8, 8, 8, 8)) = 40;
  const auto file = (folder / "quadrants.png").string();
  cv::imwrite(file, picture);
  return file;
}

TEST(FileSource, CropsToTheBox) {
  const TemporaryFolder folder;
  const auto file = quadrants(folder);
  const FileClass boxes{"c", {{file, Box{8, 0, 8, 8}}, {file, Box{-5, 7.6, 13.2, 100}}, {file, Box{30, 0, 5, 5}}}, 0};
  const auto source = file_source({}, open_anywhere(), {boxes}, options(8, 1));
  EXPECT_EQ(pixels(*source, 0, 0), std::vector<uint8_t>(64, 20));
  EXPECT_EQ(pixels(*source, 0, 1), std::vector<uint8_t>(64, 30));  // rounded and clipped
  EXPECT_THAT(message_of<DataError>([&] {
                source->image({0, 2, 0});
              }),
              HasSubstr("quadrants.png': its box lies outside the picture of 16x16 pixels"));
}

TEST(FileSource, MarginGrowsTheBox) {
  const TemporaryFolder folder;
  const auto file = quadrants(folder);
  DatasetOptions with = options(8, 1);
  with.crop_margin = 0.5;  // 4 pixels on each side of a box of 8: half of it is of each neighbour
  const auto source = file_source({}, open_anywhere(), {{"c", {{file, Box{8, 0, 8, 8}}}, 0}}, with);
  const auto p = pixels(*source, 0, 0);
  EXPECT_EQ(p[0], 10);
  EXPECT_EQ(p[7], 20);
  EXPECT_EQ(p[63], 40);
}

TEST(FileSource, TurnsCounterClockwise) {
  const TemporaryFolder folder;
  const auto file = quadrants(folder);
  std::vector<FileClass> classes;
  for (int turns = 0; turns < 4; ++turns) classes.push_back({"c", {{file, {}}}, turns});
  const auto source = file_source({}, open_anywhere(), classes, options(16, 1));
  const auto corners = [&](int c) {
    const auto p = pixels(*source, c, 0);
    return std::vector<int>{p[0], p[15], p[15 * 16], p[15 * 16 + 15]};
  };
  EXPECT_THAT(corners(0), ElementsAre(10, 20, 30, 40));
  EXPECT_THAT(corners(1), ElementsAre(20, 40, 10, 30));
  EXPECT_THAT(corners(2), ElementsAre(40, 30, 20, 10));
  EXPECT_THAT(corners(3), ElementsAre(30, 10, 40, 20));
}

TEST(FileSource, Inverts) {
  const TemporaryFolder folder;
  const auto source =
      file_source({}, open_anywhere(), {{"c", {{quadrants(folder), {}}}, 0}}, options(16, 1), /*inverted=*/true);
  EXPECT_EQ(pixels(*source, 0, 0)[0], 245);
}

TEST(FileSource, RefusesReferencesOutOfRange) {
  const TemporaryFolder folder;
  const auto source = one_file(quadrants(folder), options(8));
  EXPECT_THROW(source->image({0, 1, 0}), std::out_of_range);
  EXPECT_THROW(source->image({0, -1, 0}), std::out_of_range);
  EXPECT_THROW(source->image({1, 0, 0}), std::out_of_range);
}

/// Bytes that are no whole image, under the name of one.
struct BadFile {
  std::string test_name;
  std::string file;
  std::function<std::string()> bytes;
  std::string expected;  // part of the message
};

std::string encoded(const std::string& extension) {
  cv::Mat picture(64, 64, CV_8UC3);
  for (int y = 0; y < 64; ++y)
    for (int x = 0; x < 64; ++x) picture.at<cv::Vec3b>(y, x) = cv::Vec3b(x * 4, y * 4, (x * y) % 256);
  std::vector<uint8_t> bytes;
  cv::imencode(extension, picture, bytes);
  return {bytes.begin(), bytes.end()};
}

std::string head(const std::string& bytes, double share) {
  return bytes.substr(0, static_cast<size_t>(bytes.size() * share));
}

/// A JPEG whose header holds a whole thumbnail, cut off in its main picture.
std::string cut_after_thumbnail() {
  const std::string thumbnail = encoded(".jpg"), whole = encoded(".jpg");
  std::string segment = "\xFF\xE1";
  segment += static_cast<char>((thumbnail.size() + 2) >> 8);
  segment += static_cast<char>((thumbnail.size() + 2) & 0xFF);
  return whole.substr(0, 2) + segment + thumbnail + head(whole.substr(2), 0.7);
}

class BadImage : public testing::TestWithParam<BadFile> {};

TEST_P(BadImage, IsOneDataErrorThatNamesTheFile) {
  const TemporaryFolder folder;
  test::write_file(folder / GetParam().file, GetParam().bytes());
  const auto source = one_file(folder / GetParam().file, options(8));
  testing::internal::CaptureStderr();
  const auto message = message_of<DataError>([&] { source->image({0, 0, 0}); });
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_THAT(message, HasSubstr(GetParam().file));
  EXPECT_THAT(message, HasSubstr(GetParam().expected));
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadImage,
    testing::Values(BadFile{"Empty", "a.jpg", [] { return std::string(); }, "is empty"},
                    BadFile{"Text", "a.jpg", [] { return std::string("hello, this is no image\n"); },
                            "cannot be decoded as an image"},
                    BadFile{"Zeros", "a.png", [] { return std::string(5000, '\0'); }, "cannot be decoded as an image"},
                    BadFile{"JpegHalf", "a.jpg", [] { return head(encoded(".jpg"), 0.5); }, "truncated"},
                    BadFile{"JpegAlmostWhole", "a.jpg",
                            [] { return encoded(".jpg").substr(0, encoded(".jpg").size() - 2); }, "truncated"},
                    BadFile{"JpegStart", "a.jpg", [] { return encoded(".jpg").substr(0, 30); }, "truncated"},
                    BadFile{"JpegTwoBytes", "a.jpg", [] { return std::string("\xFF\xD8"); }, "truncated"},
                    BadFile{"JpegWithThumbnail", "a.jpg", cut_after_thumbnail, "truncated"},
                    BadFile{"JpegNoFrame", "a.jpg", [] { return std::string("\xFF\xD8\xFF\xDA\x00\x02\xFF\xD9", 8); },
                            "decoded"},
                    BadFile{"PngHalf", "a.png", [] { return head(encoded(".png"), 0.5); }, "truncated"},
                    BadFile{"PngWithoutEnd", "a.png",
                            [] { return encoded(".png").substr(0, encoded(".png").size() - 12); }, "truncated"},
                    BadFile{"PngDamaged", "a.png",
                            [] {
                              auto bytes = encoded(".png");
                              bytes[bytes.size() / 2] ^= 0x55;
                              return bytes;
                            },
                            "damaged"}),
    [](const auto& info) { return info.param.test_name; });

TEST(FileSource, NamesAMissingFile) {
  const TemporaryFolder folder;
  const auto source = one_file(folder / "gone.jpg", options(8));
  EXPECT_THAT(message_of<DataError>([&] { source->image({0, 0, 0}); }), HasSubstr("gone.jpg' cannot be opened"));
}

TEST(FileSource, ReadsWholeImagesWithBytesAfterTheirEnd) {
  const TemporaryFolder folder;
  test::write_file(folder / "a.jpg", encoded(".jpg") + std::string(100, '\0'));
  test::write_file(folder / "a.png", encoded(".png") + "trailing");
  EXPECT_NO_THROW(one_file(folder / "a.jpg", options(8))->image({0, 0, 0}));
  EXPECT_NO_THROW(one_file(folder / "a.png", options(8))->image({0, 0, 0}));
}

TEST(FileSource, GoesByContentNotByExtension) {
  const TemporaryFolder folder;
  test::write_file(folder / "a.jpg", encoded(".png"));
  EXPECT_NO_THROW(one_file(folder / "a.jpg", options(8))->image({0, 0, 0}));
}

}  // namespace
}  // namespace fewatoms
