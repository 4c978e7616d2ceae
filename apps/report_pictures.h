#pragma once

#include <map>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "episodes/image_source.h"

namespace fewatoms {

/// Pictures of one source, each once however often it is shown, as long as their bytes last.
class PictureStore {
 public:
  /// `bytes_left` is what all lists of a page share.
  explicit PictureStore(int64_t& bytes_left) : left_(bytes_left) {}

  /// Number of a picture in the list. -1: there was no room for it. Throws what the source throws.
  int number(const ImageSource& source, const ImageRef& ref);
  /// The list: [{"class", "name", "src"}], src a data URI.
  const nlohmann::ordered_json& list() const { return list_; }
  int64_t refused() const { return refused_; }  // pictures for which there was no room

 private:
  int64_t& left_;
  int64_t refused_ = 0;
  std::map<std::pair<int, int>, int> numbers_;  // by class and image
  nlohmann::ordered_json list_ = nlohmann::ordered_json::array();
};

/// An image as a data URI: PNG, or JPEG where that is much smaller; its longer side at most `most_pixels`.
std::string data_uri(const ImageView& image, int most_pixels);

}  // namespace fewatoms
