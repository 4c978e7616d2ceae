#include "datasets/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libheif/heif.h>
#include <zlib.h>

#include <cstring>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "datasets/image_header.h"
#include "datasets/nd_array.h"
#include "datasets/remarks.h"
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

PixelRules rules(int channels, bool exif = true) { return {.channels = channels, .exif = exif}; }

cv::Mat decoded(const std::string& bytes, int channels, int reduction = 1) {
  return decode_image(bytes, "'x'", rules(channels), reduction);
}

std::string reason(const std::string& bytes, const PixelRules& with = {}) {
  return message_of<DataError>([&] { decode_image(bytes, "'x'", with); });
}

std::vector<int> first_pixel(const cv::Mat& picture) { return {picture.data, picture.data + picture.channels()}; }

TEST(DecodeImage, ScalesSixteenBitsByThoseThatAreUsed) {
  const auto with = [](uint16_t most) {
    cv::Mat picture(4, 4, CV_16UC1, cv::Scalar(most / 2 + 1));
    picture.at<uint16_t>(3, 3) = most;
    return picture;
  };
  for (const auto& [most, half, whole] : {std::tuple{65535, 128, 255},
                                          {16383, 128, 255},
                                          {4095, 128, 255},
                                          {1023, 128, 255},
                                          {255, 128, 255},
                                          {2047, 64, 127},
                                          {32767, 64, 127}})
    for (const char* extension : {".png", ".tiff", ".pgm"}) {
      const cv::Mat picture = decoded(encoded(with(static_cast<uint16_t>(most)), extension), 1);
      EXPECT_EQ(picture.at<uint8_t>(0, 0), half) << most << extension;
      EXPECT_EQ(picture.at<uint8_t>(3, 3), whole) << most << extension;
    }
  EXPECT_THAT(first_pixel(decoded(encoded(cv::Mat(4, 4, CV_16UC3, cv::Scalar(0xF0FF, 0x2000, 0x1080)), ".tiff"), 3)),
              ElementsAre(0x10, 0x20, 0xF0));
  EXPECT_THAT(first_pixel(decoded(encoded(cv::Mat(4, 4, CV_16UC1, cv::Scalar(0)), ".png"), 1)), ElementsAre(0));
  take_remarks();
  decoded(encoded(with(4095), ".png"), 1);
  decoded(encoded(with(65535), ".png"), 1);
  const auto remarks = take_remarks();
  ASSERT_EQ(remarks.size(), 1u);
  EXPECT_EQ(
      remarks[0].text,
      "'x' has 16 bits for each value and uses 12: such pictures are scaled by the bits they use (8, 10, 12, 14 or "
      "16)");
}

/// A square of ink on a ground of any colour that nobody sees.
cv::Mat ink(const cv::Scalar& bgr, const cv::Scalar& hidden) {
  cv::Mat picture(8, 8, CV_8UC4, cv::Scalar(hidden[0], hidden[1], hidden[2], 0));
  picture(cv::Rect(2, 2, 4, 4)) = cv::Scalar(bgr[0], bgr[1], bgr[2], 255);
  return picture;
}

TEST(DecodeImage, LaysTransparentPicturesOnTheGroundThatDiffersMore) {
  const std::string black = encoded(ink({0, 0, 0}, {0, 0, 0}), ".png"),
                    white = encoded(ink({255, 255, 255}, {9, 9, 9}), ".png"),
                    red = encoded(ink({20, 30, 200}, {255, 255, 255}), ".png"),
                    webp = encoded(ink({0, 0, 0}, {0, 0, 0}), ".webp");
  for (const std::string* dark : {&black, &red, &webp})
    EXPECT_THAT(first_pixel(decoded(*dark, 3)), ElementsAre(255, 255, 255));
  EXPECT_EQ(decoded(black, 1).at<uint8_t>(4, 4), 0);
  EXPECT_EQ(decoded(red, 3).at<cv::Vec3b>(4, 4), cv::Vec3b(200, 30, 20));
  EXPECT_THAT(first_pixel(decoded(white, 1)), ElementsAre(0));
  EXPECT_EQ(decoded(white, 1).at<uint8_t>(4, 4), 255);
  for (const auto& [ground, value] : {std::pair{"white", 255}, {"black", 0}})
    EXPECT_THAT(first_pixel(decode_image(white, "x", {.channels = 1, .background = ground})), ElementsAre(value));
}

TEST(DecodeImage, WeighsWhatIsSeenByItsOpacity) {
  cv::Mat picture(8, 8, CV_8UC4, cv::Scalar(255, 255, 255, 10));  // a faint light
  picture(cv::Rect(0, 0, 8, 2)) = cv::Scalar(0, 0, 0, 255);       // and dark ink
  const cv::Mat laid = decoded(encoded(picture, ".png"), 1);
  EXPECT_EQ(laid.at<uint8_t>(0, 0), 0);
  EXPECT_EQ(laid.at<uint8_t>(7, 7), 255);
  picture = cv::Mat(8, 8, CV_8UC4, cv::Scalar(100, 100, 100, 51));  // a fifth of itself, the rest white
  EXPECT_EQ(decoded(encoded(picture, ".png"), 1).at<uint8_t>(0, 0), 224);
}

TEST(DecodeImage, WhatIsOpaqueOrInvisibleThroughoutKeepsItsColours) {
  for (const int alpha : {0, 255}) {
    take_remarks();
    EXPECT_THAT(first_pixel(decoded(encoded(cv::Mat(4, 4, CV_8UC4, cv::Scalar(30, 20, 10, alpha)), ".png"), 3)),
                ElementsAre(10, 20, 30));
    EXPECT_TRUE(take_remarks().empty());
  }
}

TEST(DecodeImage, RemarksOnTransparencyOnceAndNamesTheFirst) {
  const std::string black = encoded(ink({0, 0, 0}, {0, 0, 0}), ".png");
  take_remarks();
  for (const char* name : {"'b'", "'a'", "'c'"}) decode_image(black, name, {});
  const auto remarks = take_remarks();
  ASSERT_EQ(remarks.size(), 1u);
  EXPECT_THAT(remarks[0].text, testing::StartsWith("'a' is transparent in part and laid on white: "));
  decode_image(black, "'a'", {.background = "white"});  // as was asked for
  EXPECT_TRUE(take_remarks().empty());
}

TEST(DecodeImage, GreyOfColourIsTheSameForEveryForm) {
  const cv::Mat picture(4, 4, CV_8UC3, cv::Scalar(30, 200, 10));
  const int grey = decoded(encoded(picture, ".png"), 1).data[0];
  EXPECT_EQ(grey, decoded(encoded(picture, ".bmp"), 1).data[0]);
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
      "red.save(at + 'x.webp', lossless=True)\n"
      "clear = red.copy().convert('RGBA'); clear.paste((0, 0, 0, 0), (0, 0, 4, 4)); clear.save(at + 'clear.tif')\n"
      "clear.save(at + 'clear.gif'); clear.quantize(4).save(at + 'clear.png')\n");
  ASSERT_EQ(std::system((python + " " + (folder / "write.py").string() + " " + folder.path().string()).c_str()), 0);
  const auto decoded = [&](const char* name, int channels, bool exif = false) {
    return decode_image(test::read_file(folder / name), name, rules(channels, exif));
  };
  for (const char* name : {"palette.png", "palette.tif", "x.webp"}) {
    EXPECT_THAT(first_pixel(decoded(name, 3)), ElementsAre(10, 10, 250)) << name;
    EXPECT_EQ(decoded(name, 3).at<cv::Vec3b>(0, 7), cv::Vec3b(200, 30, 20)) << name;
  }
  EXPECT_THAT(first_pixel(decoded("bit.png", 1)), ElementsAre(255));
  EXPECT_THAT(first_pixel(decoded("la.png", 3)), ElementsAre(77, 77, 77));
  EXPECT_THAT(first_pixel(decoded("clear.png", 3)), ElementsAre(255, 255, 255));  // a palette with a clear colour
  EXPECT_EQ(decoded("clear.png", 3).at<cv::Vec3b>(0, 7), cv::Vec3b(200, 30, 20));
  EXPECT_THAT(first_pixel(decoded("clear.gif", 3)), ElementsAre(255, 255, 255));
  EXPECT_EQ(decoded("clear.gif", 3).at<cv::Vec3b>(0, 7), cv::Vec3b(200, 30, 20));
  EXPECT_THAT(first_pixel(decoded("clear.tif", 3)), ElementsAre(255, 255, 255));
  EXPECT_EQ(decoded("clear.tif", 3).at<cv::Vec3b>(0, 7), cv::Vec3b(200, 30, 20));
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
    return message_of<DataError>([&] { decode_image(bytes, "'a.png'", {}); });
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
      HasSubstr("100000x100000"));
}

/// A .npy file of version 1.
std::string npy(const std::string& type, const std::string& order, const std::string& shape, const std::string& data) {
  const std::string header = "{'descr': '" + type + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
  return std::string("\x93NUMPY\x01\0", 8) + static_cast<char>(header.size()) + '\0' + header + data;
}

TEST(DecodeImage, ReadsArrays) {
  EXPECT_THAT(first_pixel(decoded(npy("|u1", "False", "(1, 2, 3)", "abcdef"), 3)), ElementsAre('a', 'b', 'c'));
  EXPECT_THAT(first_pixel(decoded(npy("|u1", "True", "(1, 2, 3)", "abcdef"), 3)), ElementsAre('a', 'c', 'e'));
  EXPECT_THAT(first_pixel(decoded(npy("|u1", "False", "(3, 2, 2)", "aaaabbbbcccc"), 3)), ElementsAre('a', 'b', 'c'));
  EXPECT_THAT(first_pixel(decoded(npy("|u1", "False", "(2, 2)", "abcd"), 3)), ElementsAre('a', 'a', 'a'));
  EXPECT_THAT(first_pixel(decoded(npy("<u2", "False", "(1, 1)", "ab"), 1)), ElementsAre('b'));
  EXPECT_THAT(first_pixel(decoded(npy(">u2", "False", "(1, 1)", "ab"), 1)), ElementsAre('a'));
  EXPECT_THAT(first_pixel(decoded(npy("|u1", "False", "(1, 1, 4)", "abc\xFF"), 3)), ElementsAre('a', 'b', 'c'));
}

TEST(DecodeImage, RefusesOtherArrays) {
  const auto message = [](const std::string& bytes) {
    return message_of<DataError>([&] { decode_image(bytes, "'a.npy'", {}); });
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
    EXPECT_THROW(decoded(whole.substr(0, length), 3), DataError) << length;
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
  const cv::Mat whole = decoded(jpeg, 3), half = decoded(jpeg, 3, 2);
  ASSERT_EQ(half.size(), cv::Size(200, 120));
  EXPECT_EQ(decoded(jpeg, 3, 8).size(), cv::Size(50, 30));
  EXPECT_EQ(decoded(png, 3, 2).size(), cv::Size(400, 240));
  for (int y = 10; y < 110; y += 10)  // the same place, the same colours in the same order
    for (int x = 10; x < 190; x += 10)
      for (int c = 0; c < 3; ++c) EXPECT_NEAR(half.at<cv::Vec3b>(y, x)[c], whole.at<cv::Vec3b>(2 * y, 2 * x)[c], 4);
  EXPECT_EQ(decoded(encoded(cv::Mat(64, 64, CV_8UC1, cv::Scalar(77)), ".jpg"), 1, 2).channels(), 1);
}

// Decoders of our own must not change a pixel of what OpenCV makes of good files.
TEST(DecodeImage, GivesThePixelsThatOpenCvGives) {
  cv::Mat colour(67, 121, CV_8UC3), grey, sixteen;
  cv::RNG random(3);
  random.fill(colour, cv::RNG::UNIFORM, 0, 256);
  cv::GaussianBlur(colour, colour, {9, 9}, 3);
  cv::cvtColor(colour, grey, cv::COLOR_BGR2GRAY);
  colour.convertTo(sixteen, CV_16U, 257);
  sixteen.at<cv::Vec3w>(0, 0)[0] = 65535;
  const auto by_opencv = [](const std::string& bytes, int more) {
    cv::Mat picture = cv::imdecode(cv::Mat(1, static_cast<int>(bytes.size()), CV_8U, const_cast<char*>(bytes.data())),
                                   cv::IMREAD_ANYCOLOR | cv::IMREAD_ANYDEPTH | cv::IMREAD_IGNORE_ORIENTATION | more);
    if (picture.depth() == CV_16U) {
      cv::bitwise_and(picture, cv::Scalar::all(0xFF00), picture);
      picture.convertTo(picture, CV_8U, 1.0 / 256);
    }
    if (picture.channels() == 3) cv::cvtColor(picture, picture, cv::COLOR_BGR2RGB);
    return picture;
  };
  const auto expect_equal = [&](const std::string& bytes, int more, int reduction, const std::string& what) {
    const cv::Mat theirs = by_opencv(bytes, more);
    ASSERT_FALSE(theirs.empty()) << what;
    for (const int channels : {1, 3}) {
      const cv::Mat expected = with_channels(theirs, channels), ours = decoded(bytes, channels, reduction);
      ASSERT_EQ(ours.size(), expected.size()) << what;
      EXPECT_EQ(cv::norm(ours, expected, cv::NORM_INF), 0) << what << " in " << channels << " channels";
    }
  };
  for (const cv::Mat* picture : {&colour, &grey, &sixteen})
    for (const char* extension : {".png", ".tiff", ".bmp", ".webp", ".ppm", ".jp2"}) {
      if (picture->depth() == CV_16U && (extension == std::string(".bmp") || extension == std::string(".webp")))
        continue;
      const bool is_grey_pnm = extension == std::string(".ppm") && picture->channels() == 1;
      expect_equal(encoded(*picture, is_grey_pnm ? ".pgm" : extension), 0, 1, extension);
    }
  for (const int quality : {20, 95})
    for (const int progressive : {0, 1})
      for (const cv::Mat* picture : {&colour, &grey}) {
        std::vector<uint8_t> bytes;
        cv::imencode(".jpg", *picture, bytes,
                     {cv::IMWRITE_JPEG_QUALITY, quality, cv::IMWRITE_JPEG_PROGRESSIVE, progressive});
        const std::string jpeg(bytes.begin(), bytes.end());
        for (const auto& [reduction, more] : {std::pair{1, 0},
                                              {2, int{cv::IMREAD_REDUCED_GRAYSCALE_2}},
                                              {4, int{cv::IMREAD_REDUCED_GRAYSCALE_4}},
                                              {8, int{cv::IMREAD_REDUCED_GRAYSCALE_8}}})
          expect_equal(jpeg, more, reduction, "1/" + std::to_string(reduction));
      }
}

/// The JPEG file with a camera's tag.
std::string tagged(const std::string& jpeg, int orientation) {
  const std::string exif = std::string("Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 25) +
                           static_cast<char>(orientation) + std::string(6, '\0');
  return jpeg.substr(0, 2) + "\xFF\xE1" + std::string(1, '\0') + static_cast<char>(exif.size() + 2) + exif +
         jpeg.substr(2);
}

TEST(DecodeImage, FollowsTheOrientationTagAsOpenCvDoes) {
  cv::Mat picture(40, 64, CV_8UC3);
  for (int y = 0; y < picture.rows; ++y)
    for (int x = 0; x < picture.cols; ++x) picture.at<cv::Vec3b>(y, x) = cv::Vec3b(4 * x, 6 * y, 2 * x + y);
  const std::string jpeg = encoded(picture, ".jpg");
  const cv::Mat stored = decoded(jpeg, 3);
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const std::string bytes = tagged(jpeg, orientation);
    cv::Mat theirs = cv::imdecode(cv::Mat(1, static_cast<int>(bytes.size()), CV_8U, const_cast<char*>(bytes.data())),
                                  cv::IMREAD_COLOR);
    cv::cvtColor(theirs, theirs, cv::COLOR_BGR2RGB);
    const cv::Mat ours = decoded(bytes, 3);
    ASSERT_EQ(ours.size(), theirs.size()) << orientation;
    EXPECT_EQ(cv::norm(ours, theirs, cv::NORM_INF), 0) << orientation;
    EXPECT_EQ(image_header(bytes, "x").orientation, orientation);
    take_remarks();
    EXPECT_EQ(cv::norm(decode_image(bytes, "x", rules(3, false)), stored, cv::NORM_INF), 0);
    EXPECT_EQ(take_remarks().size(), orientation == 1 ? 0u : 1u);  // that it was left as it is
  }
  EXPECT_EQ(image_header(tagged(jpeg, 9), "x").orientation, 1);
}

/// A photograph with its middle overwritten.
std::string damaged_jpeg() {
  cv::Mat picture(64, 64, CV_8UC3);
  cv::RNG(7).fill(picture, cv::RNG::UNIFORM, 0, 256);
  std::string jpeg = encoded(picture, ".jpg");
  std::fill_n(jpeg.begin() + static_cast<ptrdiff_t>(jpeg.size() / 2), 200, '\0');
  return jpeg;
}

TEST(DecodeImage, DamageThatADecoderMakesUpForIsToldAndRefusedWhereAsked) {
  const std::string jpeg = damaged_jpeg();
  take_remarks();
  testing::internal::CaptureStderr();
  EXPECT_EQ(decoded(jpeg, 3).size(), cv::Size(64, 64));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  const auto remarks = take_remarks();
  ASSERT_EQ(remarks.size(), 1u);
  EXPECT_THAT(remarks[0].text, testing::StartsWith("'x' is damaged (Corrupt JPEG data: "));
  EXPECT_THAT(reason(jpeg, {.strict = true}), testing::StartsWith("'x' is damaged: Corrupt JPEG data: "));
}

TEST(DecodeImage, DamagedTiffIsToldToo) {
  cv::Mat picture(64, 64, CV_8UC3);
  cv::RNG(7).fill(picture, cv::RNG::UNIFORM, 0, 4);
  std::vector<uint8_t> bytes;
  cv::imencode(".tiff", picture, bytes, {cv::IMWRITE_TIFF_COMPRESSION, 8});  // deflate
  std::string tiff(bytes.begin(), bytes.end());
  EXPECT_NO_THROW(decode_image(tiff, "x", {.strict = true}));
  std::fill_n(tiff.begin() + 8, 40, '\xFF');  // the start of the first strip
  EXPECT_THAT(reason(tiff, {.strict = true}), testing::StartsWith("'x' is damaged: "));
}

// Of every kind that is read: a part of a file is refused in one line, and no library prints any.
TEST(DecodeImage, CutFilesAreRefusedAndNothingIsPrinted) {
  cv::Mat picture(48, 48, CV_8UC3);
  cv::RNG(7).fill(picture, cv::RNG::UNIFORM, 0, 256);
  for (const char* extension : {".jpg", ".png", ".bmp", ".ppm", ".tiff", ".webp", ".jp2"}) {
    const std::string whole = encoded(picture, extension);
    testing::internal::CaptureStderr();
    for (const size_t length : {whole.size() / 2, whole.size() * 9 / 10, size_t{20}}) {
      const std::string text = reason(whole.substr(0, length));
      EXPECT_EQ(text.find('\n'), std::string::npos) << extension;
      EXPECT_THAT(text, testing::StartsWith("'x' ")) << extension;
    }
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << extension;
  }
}

TEST(DecodeImage, SaysWhatIsNoImage) {
  EXPECT_THAT(reason("<!DOCTYPE html>\n<html><body>404</body></html>"),
              testing::StartsWith("'x' is a web page (HTML), expected an image (JPEG, PNG, "));
  EXPECT_THAT(reason("\xEF\xBB\xBF  <HTML>"), HasSubstr("is a web page"));
  EXPECT_THAT(reason("<?xml version=\"1.0\"?>\n<svg/>"), HasSubstr("is a drawing (SVG)"));
  EXPECT_THAT(reason("version https://git-lfs.github.com/spec/v1\noid sha256:1\n"),
              HasSubstr("is a pointer of Git LFS"));
  EXPECT_THAT(reason(std::string("\0\0\1\0\1\0", 6)), HasSubstr("is an icon (ICO)"));
  EXPECT_THAT(reason("no image"), HasSubstr("cannot be decoded as an image"));
  EXPECT_THAT(reason(""), HasSubstr("is empty, expected an image"));
}

/// A GIF file of 4 x 2 pixels: 0 is transparent, 1 red; the left half is 0, the right half 1.
std::string small_gif() {
  uint64_t bits = 0;  // of codes of 3 bits: 4 clears the table, so that they never grow, and 5 is the end
  int count = 0;
  for (const uint64_t code : {4, 0, 0, 4, 1, 1, 4, 0, 0, 4, 1, 1, 5}) bits |= code << 3 * count++;
  std::string codes;
  for (int i = 0; i < 5; ++i) codes += static_cast<char>(bits >> 8 * i);
  return std::string("GIF89a\x04\0\x02\0\x91\0\0", 13) + std::string("\0\0\0\xC8\x1E\x14\0\0\xFF\xFF\xFF\xFF", 12) +
         std::string("!\xF9\x04\x01\0\0\0\0", 8) + std::string(",\0\0\0\0\x04\0\x02\0\0\x02\x05", 12) + codes +
         std::string("\0;", 2);
}

TEST(DecodeImage, ReadsTheFirstFrameOfAGif) {
  const cv::Mat picture = decoded(small_gif(), 3);
  ASSERT_EQ(picture.size(), cv::Size(4, 2));
  for (int y = 0; y < 2; ++y) {
    EXPECT_EQ(picture.at<cv::Vec3b>(y, 0), cv::Vec3b(255, 255, 255));  // dark red is seen on white
    EXPECT_EQ(picture.at<cv::Vec3b>(y, 3), cv::Vec3b(200, 30, 20));
  }
  const std::string whole = small_gif();
  for (size_t length = 1; length < whole.size() - 5; ++length)
    EXPECT_THROW(decoded(whole.substr(0, length), 3), DataError) << length;
}

/// What libheif makes of a picture; empty without an encoder.
std::string heif(const cv::Mat& rgb, heif_compression_format format) {
  heif_context* context = heif_context_alloc();
  heif_encoder* encoder = nullptr;
  std::string bytes;
  if (heif_context_get_encoder_for_format(context, format, &encoder).code == heif_error_Ok) {
    heif_image* image = nullptr;
    heif_image_create(rgb.cols, rgb.rows, heif_colorspace_RGB, heif_chroma_interleaved_RGB, &image);
    heif_image_add_plane(image, heif_channel_interleaved, rgb.cols, rgb.rows, 24);
    int step = 0;
    uint8_t* to = heif_image_get_plane(image, heif_channel_interleaved, &step);
    for (int y = 0; y < rgb.rows; ++y) std::memcpy(to + y * step, rgb.ptr(y), static_cast<size_t>(rgb.cols) * 3);
    heif_encoder_set_lossy_quality(encoder, 90);
    if (heif_context_encode_image(context, image, encoder, nullptr, nullptr).code == heif_error_Ok) {
      heif_writer writer{1, [](heif_context*, const void* data, size_t size, void* out) {
                           static_cast<std::string*>(out)->assign(static_cast<const char*>(data), size);
                           return heif_error{heif_error_Ok, heif_suberror_Unspecified, ""};
                         }};
      heif_context_write(context, &writer, &bytes);
    }
    heif_image_release(image);
    heif_encoder_release(encoder);
  }
  heif_context_free(context);
  return bytes;
}

TEST(DecodeImage, ReadsHeicAndAvif) {
  cv::Mat picture(64, 96, CV_8UC3);
  for (int y = 0; y < picture.rows; ++y)
    for (int x = 0; x < picture.cols; ++x)
      picture.at<cv::Vec3b>(y, x) = cv::Vec3b(static_cast<uint8_t>(2 * x), static_cast<uint8_t>(3 * y), 100);
  int tried = 0;
  for (const auto& [format, name] : {std::pair{heif_compression_HEVC, "HEIC"}, {heif_compression_AV1, "AVIF"}}) {
    const std::string bytes = heif(picture, format);
    if (bytes.empty()) continue;
    ++tried;
    EXPECT_EQ(image_header(bytes, "x").format, name);
    const cv::Mat ours = decoded(bytes, 3);
    ASSERT_EQ(ours.size(), picture.size()) << name;
    EXPECT_LT(cv::norm(ours, picture, cv::NORM_L1) / static_cast<double>(picture.total() * 3), 4) << name;
    EXPECT_THAT(reason(bytes.substr(0, bytes.size() / 2)), testing::StartsWith("'x' cannot be decoded")) << name;
  }
  if (tried == 0) GTEST_SKIP() << "libheif has no encoder here";
}

}  // namespace
}  // namespace fewatoms
