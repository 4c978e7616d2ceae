#include "datasets/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <opencv2/imgcodecs.hpp>

#include "datasets/nd_array.h"
#include "episodes/errors.h"
#include "tests/datasets/python.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;

std::string encoded(const cv::Mat& picture, const char* extension) {
  std::vector<uint8_t> bytes;
  cv::imencode(extension, picture, bytes);
  return {bytes.begin(), bytes.end()};
}

std::vector<int> first_pixel(const cv::Mat& picture) { return {picture.data, picture.data + picture.channels()}; }

TEST(DecodeImage, TakesTheUpperByteOf16Bits) {
  EXPECT_THAT(first_pixel(decode_image(encoded(cv::Mat(4, 4, CV_16UC1, cv::Scalar(0x12FF)), ".png"), "x", 1)),
              ElementsAre(0x12));
  EXPECT_THAT(
      first_pixel(decode_image(encoded(cv::Mat(4, 4, CV_16UC3, cv::Scalar(0x30FF, 0x2000, 0x1080)), ".tiff"), "x", 3)),
      ElementsAre(0x10, 0x20, 0x30));
}

TEST(DecodeImage, DropsAlpha) {
  EXPECT_THAT(first_pixel(decode_image(encoded(cv::Mat(4, 4, CV_8UC4, cv::Scalar(30, 20, 10, 0)), ".png"), "x", 3)),
              ElementsAre(10, 20, 30));
}

TEST(DecodeImage, GreyOfColourIsTheSameForEveryForm) {
  const cv::Mat picture(4, 4, CV_8UC3, cv::Scalar(30, 200, 10));
  const int grey = decode_image(encoded(picture, ".png"), "x", 1).data[0];
  EXPECT_EQ(grey, decode_image(encoded(picture, ".bmp"), "x", 1).data[0]);
  EXPECT_EQ(grey, with_channels(cv::Mat(1, 1, CV_8UC3, cv::Scalar(10, 200, 30)), 1).data[0]);
}

/// What only PIL writes: palettes, one bit, grey with alpha, CMYK JPEG, an orientation tag.
TEST(DecodeImage, ReadsWhatPilWrites) {
  const std::string python = test::python_with("PIL");
  if (python.empty()) GTEST_SKIP() << "no Python 3 with PIL";
  const test::TemporaryFolder folder;
  test::write_file(
      folder / "write.py",
      "import sys\nfrom PIL import Image\n"
      "at = sys.argv[1] + '/'\n"
      "red = Image.new('RGB', (8, 4), (200, 30, 20)); red.paste((10, 10, 250), (0, 0, 4, 4))\n"
      "red.quantize(4).save(at + 'palette.png'); red.quantize(4).save(at + 'palette.tif')\n"
      "Image.new('1', (8, 4), 1).save(at + 'bit.png'); Image.new('LA', (8, 4), (77, 0)).save(at + 'la.png')\n"
      "Image.new('CMYK', (8, 8), (0, 255, 255, 0)).save(at + 'cmyk.jpg', quality=95)\n"
      "exif = Image.Exif(); exif[0x112] = 6; Image.new('RGB', (8, 4), (9, 9, 9)).save(at + 'turned.jpg', exif=exif)\n"
      "red.save(at + 'x.webp', lossless=True)\n");
  ASSERT_EQ(std::system((python + " " + (folder / "write.py").string() + " " + folder.path().string()).c_str()), 0);
  const auto decoded = [&](const char* name, int channels, bool exif = false) {
    return decode_image(test::read_file(folder / name), name, channels, exif);
  };
  for (const char* name : {"palette.png", "palette.tif", "x.webp"}) {
    EXPECT_THAT(first_pixel(decoded(name, 3)), ElementsAre(10, 10, 250)) << name;
    EXPECT_EQ(decoded(name, 3).at<cv::Vec3b>(0, 7), cv::Vec3b(200, 30, 20)) << name;
  }
  EXPECT_THAT(first_pixel(decoded("bit.png", 1)), ElementsAre(255));
  EXPECT_THAT(first_pixel(decoded("la.png", 3)), ElementsAre(77, 77, 77));
  const cv::Vec3b cmyk = decoded("cmyk.jpg", 3).at<cv::Vec3b>(4, 4);
  EXPECT_GT(cmyk[0], 240);
  EXPECT_LT(cmyk[1], 15);
  EXPECT_LT(cmyk[2], 15);
  EXPECT_EQ(decoded("turned.jpg", 3).cols, 8);
  EXPECT_EQ(decoded("turned.jpg", 3, /*exif=*/true).cols, 4);
}

/// A PNG header that says `width` x `height`, with no pixels behind it.
std::string png_of(uint32_t width, uint32_t height) {
  const auto number = [](uint32_t n) {
    return std::string{static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8),
                       static_cast<char>(n)};
  };
  const auto chunk = [&](const std::string& type, const std::string& content) {
    const std::string body = type + content;
    return number(static_cast<uint32_t>(content.size())) + body +
           number(static_cast<uint32_t>(
               crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()))));
  };
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", number(width) + number(height) + std::string("\x08\x02\0\0\0", 5)) +
         chunk("IDAT", "x") + chunk("IEND", "");
}

TEST(DecodeImage, RefusesAbsurdSizesBeforeTakingMemory) {
  const auto message = [](const std::string& bytes) {
    return message_of<DataError>([&] { decode_image(bytes, "'a.png'", 3); });
  };
  EXPECT_THAT(message(png_of(100'000, 100'000)),
              HasSubstr("'a.png' is an image of 100000x100000 pixels, expected at most 32768 on a side"));
  EXPECT_THAT(message(png_of(30'000, 30'000)), HasSubstr("30000x30000"));
  EXPECT_THAT(message(png_of(0, 5)), HasSubstr("'a.png' is an image of 0x5 pixels, expected at least 1x1"));
  std::string jpeg = encoded(cv::Mat(8, 8, CV_8UC3), ".jpg");
  const size_t frame = jpeg.find("\xFF\xC0");
  jpeg.replace(frame + 5, 4, "\xFF\xFF\xFF\xFF");
  EXPECT_THAT(message(jpeg), HasSubstr("65535x65535"));
  EXPECT_THAT(
      message(std::string("BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\xA0\x86\x01\0\xA0\x86\x01\0\x01\0\x18\0", 30) +
              std::string(60, '\0')),
      HasSubstr("cannot be decoded"));
}

/// A .npy file of version 1.
std::string npy(const std::string& type, const std::string& order, const std::string& shape, const std::string& data) {
  const std::string header = "{'descr': '" + type + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
  return std::string("\x93NUMPY\x01\0", 8) + static_cast<char>(header.size()) + '\0' + header + data;
}

TEST(DecodeImage, ReadsArrays) {
  EXPECT_THAT(first_pixel(decode_image(npy("|u1", "False", "(1, 2, 3)", "abcdef"), "x", 3)),
              ElementsAre('a', 'b', 'c'));
  EXPECT_THAT(first_pixel(decode_image(npy("|u1", "True", "(1, 2, 3)", "abcdef"), "x", 3)), ElementsAre('a', 'c', 'e'));
  EXPECT_THAT(first_pixel(decode_image(npy("|u1", "False", "(3, 2, 2)", "aaaabbbbcccc"), "x", 3)),
              ElementsAre('a', 'b', 'c'));
  EXPECT_THAT(first_pixel(decode_image(npy("|u1", "False", "(2, 2)", "abcd"), "x", 3)), ElementsAre('a', 'a', 'a'));
  EXPECT_THAT(first_pixel(decode_image(npy("<u2", "False", "(1, 1)", "ab"), "x", 1)), ElementsAre('b'));
  EXPECT_THAT(first_pixel(decode_image(npy(">u2", "False", "(1, 1)", "ab"), "x", 1)), ElementsAre('a'));
  EXPECT_THAT(first_pixel(decode_image(npy("|u1", "False", "(1, 1, 4)", "abcd"), "x", 3)), ElementsAre('a', 'b', 'c'));
}

TEST(DecodeImage, RefusesOtherArrays) {
  const auto message = [](const std::string& bytes) {
    return message_of<DataError>([&] { decode_image(bytes, "'a.npy'", 3); });
  };
  EXPECT_THAT(message(npy("<f4", "False", "(1, 1)", "abcd")),
              HasSubstr("'a.npy' holds [1, 1] of float32, expected an image of uint8 or uint16"));
  EXPECT_THAT(message(npy("|O", "False", "(1, 1)", "abcd")), HasSubstr("elements of type '|O'"));
  EXPECT_THAT(message(npy("|u1", "False", "(2, 2)", "abc")), HasSubstr("has 3 bytes, expected 4"));
  EXPECT_THAT(message(npy("|u1", "False", "(0, 2)", "")), HasSubstr("[0, 2]"));
  EXPECT_THAT(message(npy("|u1", "False", "(-1, 2)", "ab")), HasSubstr("absurd shape"));
  EXPECT_THAT(message(npy("|u1", "False", "(99999999999, 99999999999)", "ab")), HasSubstr("absurd shape"));
  const std::string whole = npy("|u1", "False", "(1, 2, 3)", "abcdef");
  for (size_t length = 6; length < whole.size(); ++length)
    EXPECT_THROW(decode_image(whole.substr(0, length), "x", 3), DataError) << length;
}

TEST(DecodeImage, ReducesPhotographsWhileEnoughPixelsRemain) {
  cv::Mat picture(240, 400, CV_8UC3);
  for (int y = 0; y < picture.rows; ++y)
    for (int x = 0; x < picture.cols; ++x) picture.at<cv::Vec3b>(y, x) = cv::Vec3b(x / 2, y, (x + y) / 4);
  const std::string jpeg = encoded(picture, ".jpg"), png = encoded(picture, ".png");
  EXPECT_EQ(reduction_for(jpeg, 121), 1);
  EXPECT_EQ(reduction_for(jpeg, 120), 2);
  EXPECT_EQ(reduction_for(jpeg, 60), 4);
  EXPECT_EQ(reduction_for(jpeg, 1), 8);
  EXPECT_EQ(reduction_for(jpeg, 60, 100), 1);  // of a part of 100 pixels
  EXPECT_EQ(reduction_for(jpeg, 50, 100), 2);
  EXPECT_EQ(reduction_for(png, 60), 1);
  EXPECT_EQ(reduction_for(jpeg.substr(0, 300), 60), 1);
  const cv::Mat whole = decode_image(jpeg, "x", 3), half = decode_image(jpeg, "x", 3, false, 2);
  ASSERT_EQ(half.size(), cv::Size(200, 120));
  EXPECT_EQ(decode_image(jpeg, "x", 3, false, 8).size(), cv::Size(50, 30));
  EXPECT_EQ(decode_image(png, "x", 3, false, 2).size(), cv::Size(400, 240));
  for (int y = 10; y < 110; y += 10)  // the same place, the same colours in the same order
    for (int x = 10; x < 190; x += 10)
      for (int c = 0; c < 3; ++c) EXPECT_NEAR(half.at<cv::Vec3b>(y, x)[c], whole.at<cv::Vec3b>(2 * y, 2 * x)[c], 4);
  EXPECT_EQ(decode_image(encoded(cv::Mat(64, 64, CV_8UC1, cv::Scalar(77)), ".jpg"), "x", 1, false, 2).channels(), 1);
}

}  // namespace
}  // namespace fewatoms
