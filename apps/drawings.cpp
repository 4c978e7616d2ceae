#include "apps/drawings.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

namespace fewatoms {
namespace {

constexpr int kGap = 4;          // pixels between images
constexpr int kNameWidth = 120;  // pixels for a class's name
constexpr size_t kMostClasses = 25, kMostImages = 12;
constexpr int64_t kMostPairs = 32;

Drawing drawing_of(const cv::Mat& canvas) {
  return {canvas.cols, canvas.rows, {canvas.data, canvas.data + canvas.total() * 3}};
}

/// An image in colour, enlarged by a whole factor.
cv::Mat enlarged(const ImageView& view, int factor) {
  const cv::Mat image(view.height, view.width, view.channels == 3 ? CV_8UC3 : CV_8UC1,
                      const_cast<uint8_t*>(view.pixels));
  cv::Mat colour, large;
  if (view.channels == 3)
    colour = image;
  else
    cv::cvtColor(image, colour, cv::COLOR_GRAY2RGB);
  cv::resize(colour, large, {}, factor, factor, cv::INTER_NEAREST);
  return large;
}

/// OpenCV's font knows ASCII alone.
std::string printable(const std::string& name) {
  std::string text;
  for (const char c : name)
    if ((static_cast<unsigned char>(c) & 0xC0U) != 0x80U)
      text += c >= ' ' && c <= '~' ? c : '?';  // one for each character of UTF-8
  return text.substr(0, 17);
}

cv::Vec3b diverging(double x) {  // -1 blue, 0 white, 1 red
  const auto fade = [&](double end) { return cv::saturate_cast<uint8_t>(255 - std::abs(x) * (255 - end)); };
  return x < 0 ? cv::Vec3b(fade(33), fade(102), fade(172)) : cv::Vec3b(fade(178), fade(24), fade(43));
}

}  // namespace

Drawing draw_episode_picture(const ImageSource& source, const Episode& episode) {
  const int factor = std::max(1, 48 / source.height()), side = factor * source.height() + kGap,
            width = factor * source.width() + kGap;
  using ByLabel = std::map<int, std::vector<ImageRef>>;
  const auto by_label = [](const std::vector<EpisodeImage>& images) {
    ByLabel rows;
    for (const EpisodeImage& image : images)
      if (auto& row = rows[image.label]; row.size() < kMostImages) row.push_back(image.ref);
    return rows;
  };
  ByLabel support = by_label(episode.support), query = by_label(episode.query);
  size_t supports = 0, queries = 0;
  for (const auto& [label, row] : support) supports = std::max(supports, row.size());
  for (const auto& [label, row] : query) queries = std::max(queries, row.size());
  const size_t classes = std::min(kMostClasses, episode.classes.size());
  const int query_left = kNameWidth + static_cast<int>(supports) * width + (supports > 0 ? 3 * kGap : 0);
  cv::Mat canvas(static_cast<int>(classes) * side + kGap, query_left + static_cast<int>(queries) * width + kGap,
                 CV_8UC3, cv::Scalar::all(255));
  for (size_t label = 0; label < classes; ++label) {
    const int top = static_cast<int>(label) * side + kGap;
    const auto put = [&](const std::vector<ImageRef>& row, int left) {
      for (const ImageRef& ref : row) {
        const cv::Mat image = enlarged(source.image(ref), factor);
        image.copyTo(canvas(cv::Rect(left, top, image.cols, image.rows)));
        left += width;
      }
    };
    put(support[static_cast<int>(label)], kNameWidth);
    put(query[static_cast<int>(label)], query_left);
    cv::putText(canvas, printable(source.class_name(episode.classes[label])), {kGap, top + side / 2},
                cv::FONT_HERSHEY_SIMPLEX, 0.36, cv::Scalar::all(40), 1, cv::LINE_AA);
  }
  return drawing_of(canvas);
}

Drawing draw_atoms(const torch::Tensor& atoms) {
  const int64_t m = atoms.size(-3), k = atoms.size(-1);
  const torch::Tensor rows = atoms.detach().to(at::kDouble).reshape({-1, m, k, k}).contiguous();
  const int64_t pairs = std::min(kMostPairs, rows.size(0));
  const double largest = std::max(1e-12, rows.abs().max().item<double>());
  const int pixel = std::max(4, 48 / static_cast<int>(k)), side = pixel * static_cast<int>(k) + kGap;
  cv::Mat canvas(static_cast<int>(pairs) * side + kGap, static_cast<int>(m) * side + kGap, CV_8UC3,
                 cv::Scalar::all(200));
  const auto values = rows.accessor<double, 4>();
  for (int64_t p = 0; p < pairs; ++p)
    for (int64_t a = 0; a < m; ++a)
      for (int64_t y = 0; y < k; ++y)
        for (int64_t x = 0; x < k; ++x)
          canvas(cv::Rect(static_cast<int>(a) * side + kGap + static_cast<int>(x) * pixel,
                          static_cast<int>(p) * side + kGap + static_cast<int>(y) * pixel, pixel, pixel)) =
              cv::Scalar(diverging(values[p][a][y][x] / largest));
  return drawing_of(canvas);
}

std::string png_bytes(const Drawing& drawing) {
  const cv::Mat rgb(drawing.height, drawing.width, CV_8UC3, const_cast<uint8_t*>(drawing.pixels.data()));
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  std::vector<uint8_t> bytes;
  cv::imencode(".png", bgr, bytes);
  return {bytes.begin(), bytes.end()};
}

}  // namespace fewatoms
