#include "apps/report_pictures.h"

#include <openssl/evp.h>

#include <algorithm>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

namespace fewatoms {
namespace {

constexpr int kMostPixels = 84;  // of a side: several times what the page shows

std::string base64(const std::vector<uint8_t>& bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');  // and the end that it writes
  text.resize(
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes.data(), static_cast<int>(bytes.size())));
  return text;
}

}  // namespace

std::string data_uri(const ImageView& image, int most_pixels) {
  const cv::Mat view(image.height, image.width, image.channels == 3 ? CV_8UC3 : CV_8UC1,
                     const_cast<uint8_t*>(image.pixels));
  cv::Mat picture;
  if (image.channels == 3)
    cv::cvtColor(view, picture, cv::COLOR_RGB2BGR);
  else
    picture = view;
  const double scale = static_cast<double>(most_pixels) / std::max(image.height, image.width);
  if (scale < 1) cv::resize(picture, picture, {}, scale, scale, cv::INTER_AREA);
  std::vector<uint8_t> png, jpeg;
  cv::imencode(".png", picture, png);
  cv::imencode(".jpg", picture, jpeg, {cv::IMWRITE_JPEG_QUALITY, 88});
  const bool small = png.size() < 2 * jpeg.size();  // drawings, which JPEG would blur
  return (small ? "data:image/png;base64," : "data:image/jpeg;base64,") + base64(small ? png : jpeg);
}

int PictureStore::number(const ImageSource& source, const ImageRef& ref) {
  const auto key = std::pair{ref.class_index, ref.image_index};
  const auto found = numbers_.find(key);
  if (found != numbers_.end()) return found->second;
  nlohmann::ordered_json picture = {{"class", source.class_name(ref.class_index)}, {"name", source.image_name(ref)}};
  std::string uri = data_uri(source.image(ref), kMostPixels);
  if (static_cast<int64_t>(uri.size()) > left_) {
    ++refused_;
    return -1;
  }
  left_ -= static_cast<int64_t>(uri.size());
  picture["src"] = std::move(uri);
  list_.push_back(std::move(picture));
  return numbers_[key] = static_cast<int>(list_.size()) - 1;
}

}  // namespace fewatoms
