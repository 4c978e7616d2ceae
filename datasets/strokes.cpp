#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <opencv2/imgproc.hpp>

#include "datasets/cached_source.h"
#include "datasets/entries.h"
#include "episodes/random.h"

// Made-up characters, drawn on demand: the data set that needs no files. A class is a few strokes with control points
// of its own; an image of it is a distorted copy. Pixels are a pure function of (class, image, size, channels).

namespace fewatoms {
namespace {

constexpr int kImagesPerClass = 200;

struct SplitRange {
  const char* name;
  int first, classes;  // numbers of its characters
};
constexpr std::array<SplitRange, 3> kSplits{{{"train", 0, 160}, {"val", 160, 40}, {"test", 200, 60}}};

using Point = cv::Point2d;  // in a unit square, y down

/// A cubic Bezier curve; a line is one with its control points on the line.
using Stroke = std::array<Point, 4>;

/// In the unit square, at least `margin` from its border.
Point random_point(Random& random, double margin) {
  return {random.uniform(margin, 1.0 - margin), random.uniform(margin, 1.0 - margin)};  // braces fix the order
}

/// The strokes of one character: 2 to 4, lines and curves, often joined to the one before.
std::vector<Stroke> character(int number) {
  constexpr double kEnd = 0.12, kControl = -0.1;  // margins; a curve stays well inside its control points
  Random random{0, stream(Stream::kStrokes), static_cast<uint64_t>(number)};
  std::vector<Stroke> strokes(2 + random.below(3));
  for (size_t i = 0; i < strokes.size(); ++i) {
    Stroke& s = strokes[i];
    const bool joined = i > 0 && random.below(2) == 0;
    s[0] = joined ? strokes[i - 1][random.below(2) == 0 ? 0 : 3] : random_point(random, kEnd);
    do s[3] = random_point(random, kEnd);
    while (cv::norm(s[3] - s[0]) < 0.3);
    const bool straight = random.below(3) == 0;
    s[1] = straight ? s[0] + (s[3] - s[0]) / 3.0 : random_point(random, kControl);
    s[2] = straight ? s[0] + (s[3] - s[0]) * 2.0 / 3.0 : random_point(random, kControl);
  }
  return strokes;
}

Point bezier(const Stroke& s, double t) {
  const double u = 1.0 - t;
  return s[0] * (u * u * u) + s[1] * (3 * u * u * t) + s[2] * (3 * u * t * t) + s[3] * (t * t * t);
}

/// The character as one hand wrote it, 0 and 255 with smooth edges, size x size.
cv::Mat written(std::vector<Stroke> strokes, int size, Random& random) {
  // A small picture is drawn larger and shrunk: line widths are whole pixels.
  const int factor = std::clamp(64 / size, 1, 8);
  const int canvas_size = size * factor;

  const double angle = random.uniform(-0.35, 0.35), shear = random.uniform(-0.25, 0.25);
  const double scale_x = random.uniform(0.75, 1.15), scale_y = random.uniform(0.75, 1.15);
  const Point shift{random.uniform(-0.14, 0.14), random.uniform(-0.14, 0.14)};
  const auto moved = [&](Point p) {
    p -= Point(0.5, 0.5);
    p = {scale_x * p.x + shear * p.y, scale_y * p.y};
    return Point{p.x * std::cos(angle) - p.y * std::sin(angle), p.x * std::sin(angle) + p.y * std::cos(angle)} +
           Point(0.5, 0.5) + shift;
  };

  constexpr int kSegments = 16;
  constexpr int kShift = 4;  // cv::polylines takes sixteenths of a pixel
  std::vector<std::vector<cv::Point>> lines;
  for (Stroke& s : strokes) {
    for (Point& p : s) p += Point{random.uniform(-0.05, 0.05), random.uniform(-0.05, 0.05)};  // braces fix the order
    std::vector<cv::Point> line;
    for (int i = 0; i <= kSegments; ++i) {
      const Point p = moved(bezier(s, static_cast<double>(i) / kSegments)) * (canvas_size * (1 << kShift));
      line.emplace_back(static_cast<int>(std::lround(p.x)), static_cast<int>(std::lround(p.y)));
    }
    lines.push_back(std::move(line));
  }
  const int thickness = std::max(1, static_cast<int>(std::lround(canvas_size * random.uniform(0.03, 0.07))));
  cv::Mat canvas(canvas_size, canvas_size, CV_8U, cv::Scalar(0));
  cv::polylines(canvas, lines, /*isClosed=*/false, cv::Scalar(255), thickness, cv::LINE_AA, kShift);
  if (factor > 1) cv::resize(canvas, canvas, {size, size}, 0, 0, cv::INTER_AREA);
  return canvas;
}

/// Random bytes in every channel.
cv::Mat noise(int size, int channels, Random& random) {
  cv::Mat bytes(size, size, CV_8UC(channels));
  const size_t count = bytes.total() * bytes.elemSize();
  uint32_t word = 0;
  for (size_t i = 0; i < count; ++i, word >>= 8) {
    if (i % 4 == 0) word = random.next_u32();
    bytes.data[i] = static_cast<uint8_t>(word);
  }
  return bytes;
}

/// An RGB colour with the given mean over its channels.
cv::Scalar random_colour(Random& random, double mean) {
  cv::Scalar colour{random.uniform(0, 1), random.uniform(0, 1), random.uniform(0, 1)};
  const double shift = mean - 60.0 * (colour[0] + colour[1] + colour[2]) / 3.0;
  return {60.0 * colour[0] + shift, 60.0 * colour[1] + shift, 60.0 * colour[2] + shift};
}

/// Strokes of one colour on a background of soft coloured patches. Colours are drawn per image and tell nothing of the
/// class.
cv::Mat coloured(const cv::Mat& mask, Random& random) {
  const bool dark_on_light = random.below(2) == 1;
  const double ink = random.uniform(175, 225), paper = random.uniform(60, 110);
  const double ink_mean = dark_on_light ? 255 - ink : ink, paper_mean = dark_on_light ? 255 - paper : paper;

  cv::Mat patches(5, 5, CV_8UC3);
  for (int y = 0; y < patches.rows; ++y)
    for (int x = 0; x < patches.cols; ++x) {
      const cv::Scalar colour = random_colour(random, paper_mean + random.uniform(-30, 30));
      for (int c = 0; c < 3; ++c) patches.at<cv::Vec3b>(y, x)[c] = cv::saturate_cast<uint8_t>(colour[c]);
    }
  cv::Mat picture;
  cv::resize(patches, picture, mask.size(), 0, 0, cv::INTER_LINEAR);
  const cv::Scalar colour = random_colour(random, ink_mean);
  for (int y = 0; y < mask.rows; ++y)
    for (int x = 0; x < mask.cols; ++x) {
      auto& pixel = picture.at<cv::Vec3b>(y, x);
      const double share = mask.at<uint8_t>(y, x) / 255.0;
      for (int c = 0; c < 3; ++c) pixel[c] = cv::saturate_cast<uint8_t>(pixel[c] + share * (colour[c] - pixel[c]));
    }
  return picture;
}

cv::Mat draw(int number, int image, int size, int channels) {
  Random random{0, stream(Stream::kStrokes), static_cast<uint64_t>(number), static_cast<uint64_t>(image)};
  cv::Mat picture = written(character(number), size, random);
  if (channels == 3) picture = coloured(picture, random);
  // Noise of -20..20 on every value.
  cv::Mat result;
  cv::addWeighted(picture, 1.0, noise(size, channels, random), 40.0 / 255.0, -20.0, result);
  return result;
}

std::vector<std::string> strokes_splits(const DatasetOptions&) { return {"train", "val", "test"}; }

std::shared_ptr<const ImageSource> open_strokes(const DatasetOptions& options, const std::string& split) {
  const auto& range = *std::find_if(kSplits.begin(), kSplits.end(), [&](const auto& s) { return split == s.name; });
  std::vector<ClassSize> classes;
  for (int c = 0; c < range.classes; ++c) {
    char name[32];
    std::snprintf(name, sizeof name, "stroke%03d", range.first + c);
    classes.push_back({name, kImagesPerClass});
  }
  SourceInfo info{
      .dataset = options.name, .split = split, .form = "procedural", .split_rule = "", .crop = "none", .notices = {}};
  // Augmentation crops: it gets more pixels to crop from.
  const int size = options.augment == "none" ? options.image_size : 2 * options.image_size;
  return cached_source(std::move(info), classes, options,
                       [first = range.first, size, channels = options.channels](int class_index, int image_index) {
                         return draw(first + class_index, image_index, size, channels);
                       });
}

}  // namespace

DatasetEntry strokes_entry() {
  return {.name = "strokes",
          .summary = "made-up characters drawn on demand, no files needed (160/40/60 classes of 200 images)",
          .needs_root = false,
          .usual_size = 28,
          .usual_channels = 1,
          .split_rules = {},
          .splits = strokes_splits,
          .open = open_strokes};
}

}  // namespace fewatoms
