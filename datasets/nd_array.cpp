#include "datasets/nd_array.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <opencv2/imgproc.hpp>
#include <string_view>

#include "episodes/errors.h"

namespace fewatoms {
namespace {

constexpr int64_t kMost = int64_t{1} << 46;  // bytes of an array

bool is_channels(int64_t n) { return n == 1 || n == 3 || n == 4; }

/// The text after 'key': in the header of a .npy file, which is a Python dict on one line; "" if it is not there.
std::string_view header_value(std::string_view header, std::string_view key) {
  const size_t at = header.find(std::string(1, '\'').append(key) + "':");
  if (at == std::string_view::npos) return {};
  std::string_view rest = header.substr(at + key.size() + 3);
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  return rest;
}

uint64_t unsigned_at(const char* bytes, int count, bool big_endian) {
  uint64_t value = 0;
  for (int i = 0; i < count; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[big_endian ? i : count - 1 - i]);
  return value;
}

}  // namespace

std::string NdArray::type() const {
  const std::string bits = std::to_string(8 * item_bytes);
  return kind == 'u' ? "uint" + bits : kind == 'i' ? "int" + bits : kind == 'f' ? "float" + bits : "bool";
}

std::string NdArray::extent() const {
  std::string text(1, '[');
  for (const int64_t n : shape) text += (text.size() == 1 ? "" : ", ") + std::to_string(n);
  return text += "]";
}

NdArray nd_array(FileBytes bytes, const std::string& type, std::vector<int64_t> shape, bool fortran, std::string name) {
  NdArray array;
  const std::string text =
      !type.empty() && (type[0] == '<' || type[0] == '>' || type[0] == '|' || type[0] == '=') ? type.substr(1) : type;
  static constexpr const char* kTypes[] = {"u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "b1"};
  if (std::find(std::begin(kTypes), std::end(kTypes), text) == std::end(kTypes))
    throw DataError(name + " has elements of type '" + type + "', expected numbers");
  array.kind = text[0];
  array.item_bytes = text[1] - '0';
  array.big_endian = type[0] == '>';
  int64_t total = array.item_bytes;
  bool empty = false;
  for (const int64_t n : shape) {
    if (n < 0 || (n > 0 && total > kMost / n))
      throw DataError(name + " has an absurd shape, with a side of " + std::to_string(n));
    if (n > 0) total *= n;  // strides go on without the zeros
    empty |= n == 0;
  }
  if (empty) total = 0;
  array.shape = std::move(shape);
  if (static_cast<uint64_t>(total) != bytes.view.size())
    throw DataError(name + " has " + std::to_string(bytes.view.size()) + " bytes, expected " + std::to_string(total) +
                    " for " + array.extent() + " of " + array.type());
  const size_t dimensions = array.shape.size();
  array.strides.assign(dimensions, array.item_bytes);
  if (fortran) {
    for (size_t d = 1; d < dimensions; ++d) array.strides[d] = array.strides[d - 1] * array.shape[d - 1];
  } else {
    for (size_t d = dimensions; d-- > 1;) array.strides[d - 1] = array.strides[d] * array.shape[d];
  }
  array.owner = std::move(bytes.owner);
  array.data = bytes.view.data();
  array.name = std::move(name);
  return array;
}

NdArray parse_npy(const FileBytes& bytes, const std::string& name) {
  const std::string_view all = bytes.view;
  const auto bad = [&](const std::string& what) { return DataError(name + " is no whole .npy file: " + what); };
  if (all.size() < 12 || !all.starts_with("\x93NUMPY")) throw bad("expected its signature");
  const int version = static_cast<unsigned char>(all[6]);
  const size_t start = version == 1 ? 10 : 12;
  const uint64_t length = unsigned_at(all.data() + 8, version == 1 ? 2 : 4, false);
  if (length > all.size() - start) throw bad("its header is cut off");
  const std::string_view header = all.substr(start, length);
  const std::string_view type = header_value(header, "descr"), order = header_value(header, "fortran_order");
  std::string_view sides = header_value(header, "shape");
  if (!type.starts_with("'") || order.empty() || !sides.starts_with("("))
    throw bad("expected descr, fortran_order and shape of a plain array in its header");
  const size_t end = type.find('\'', 1);
  if (end == std::string_view::npos) throw bad("its header is damaged");
  std::vector<int64_t> shape;
  sides.remove_prefix(1);
  while (!sides.empty() && sides.front() != ')') {
    if (sides.front() == ' ' || sides.front() == ',') {
      sides.remove_prefix(1);
      continue;
    }
    int64_t n = 0;
    const auto [next, error] = std::from_chars(sides.data(), sides.data() + sides.size(), n);
    if (error != std::errc() || shape.size() > 8) throw bad("its shape is damaged");
    shape.push_back(n);
    sides.remove_prefix(static_cast<size_t>(next - sides.data()));
  }
  return nd_array({bytes.owner, all.substr(start + length)}, std::string(type.substr(1, end - 1)), std::move(shape),
                  order.starts_with("True"), name);
}

NdArray element(const NdArray& array, int64_t row) {
  NdArray result = array;
  result.data += row * array.strides[0];
  result.shape.erase(result.shape.begin());
  result.strides.erase(result.strides.begin());
  return result;
}

int64_t integer_at(const NdArray& array, int64_t i) {
  if (array.kind == 'f') throw DataError(array.name + " holds " + array.type() + ", expected integers");
  const uint64_t value = unsigned_at(array.data + i * array.strides[0], array.item_bytes, array.big_endian);
  const int unused = 64 - 8 * array.item_bytes;
  if (array.kind == 'i') return static_cast<int64_t>(value << unused) >> unused;
  return static_cast<int64_t>(value);
}

cv::Mat picture_of(const NdArray& pixels, Channels order) {
  NdArray a = pixels;
  if (a.shape.size() == 3 && !is_channels(a.shape[2]) && is_channels(a.shape[0])) {
    std::rotate(a.shape.begin(), a.shape.begin() + 1, a.shape.end());
    std::rotate(a.strides.begin(), a.strides.begin() + 1, a.strides.end());
  }
  if (a.shape.size() == 2) {
    a.shape.push_back(1);
    a.strides.push_back(a.item_bytes);
  }
  if (a.kind != 'u' || a.item_bytes > 2 || a.shape.size() != 3 || !is_channels(a.shape[2]) || a.shape[0] < 1 ||
      a.shape[1] < 1 || a.shape[0] > kLargestSide || a.shape[1] > kLargestSide)
    throw DataError(a.name + " holds " + pixels.extent() + " of " + a.type() +
                    ", expected an image of uint8 or uint16: height x width, or height x width x 1, 3 or 4");
  const int height = static_cast<int>(a.shape[0]), width = static_cast<int>(a.shape[1]),
            channels = static_cast<int>(a.shape[2]);
  const bool dense = a.item_bytes == 1 && (channels == 1 || a.strides[2] == 1) &&
                     (width == 1 || a.strides[1] == channels) &&
                     (height == 1 || a.strides[0] >= static_cast<int64_t>(width) * channels);
  cv::Mat picture;
  if (dense) {
    const int64_t row_bytes = height > 1 ? a.strides[0] : static_cast<int64_t>(width) * channels;
    picture = cv::Mat(height, width, CV_8UC(channels), const_cast<char*>(a.data), static_cast<size_t>(row_bytes));
  } else {
    picture.create(height, width, CV_MAKETYPE(a.item_bytes == 1 ? CV_8U : CV_16U, channels));
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x)
        for (int c = 0; c < channels; ++c) {
          const char* at = a.data + y * a.strides[0] + x * a.strides[1] + c * a.strides[2];
          if (a.item_bytes == 1)
            picture.ptr(y)[x * channels + c] = static_cast<uint8_t>(*at);
          else
            picture.ptr<uint16_t>(y)[x * channels + c] = static_cast<uint16_t>(unsigned_at(at, 2, a.big_endian));
        }
  }
  if (order == Channels::kRgb || channels == 1) return picture;
  cv::Mat turned;
  cv::cvtColor(picture, turned, channels == 4 ? cv::COLOR_BGRA2RGBA : cv::COLOR_BGR2RGB);
  return turned;
}

void require_images(const NdArray& images) {
  if (images.shape.size() < 3 || images.shape[0] < 1)
    throw DataError(images.name + " holds " + images.extent() + " of " + images.type() +
                    ", expected images: number x height x width x channels");
  picture_of(element(images, 0));
}

ImageSet array_images(NdArray images, std::vector<RowClass> classes, const PixelRules& rules, Channels order) {
  require_images(images);
  ImageSet set;
  for (const RowClass& c : classes) {
    set.classes.push_back({c.name, static_cast<int>(c.rows.size()), c.group});
    for (const int64_t row : c.rows)
      if (row < 0 || row >= images.shape[0])
        throw DataError(images.name + " has " + std::to_string(images.shape[0]) + " images, but class '" + c.name +
                        "' refers to number " + std::to_string(row));
  }
  auto shared = std::make_shared<const std::vector<RowClass>>(std::move(classes));  // loaders are copied
  set.load = [images = std::move(images), shared = std::move(shared), rules, order](int class_index, int image_index) {
    const int64_t row = (*shared)[class_index].rows[image_index];
    // Copied, so that what is kept outlives the file.
    return plain_pixels(picture_of(element(images, row), order), rules, images.name + " image " + std::to_string(row))
        .clone();
  };
  return set;
}

std::vector<RowClass> classes_by_label(const NdArray& labels, const std::vector<std::string>& names) {
  if (labels.shape.empty() || labels.shape.size() > 2 || (labels.shape.size() == 2 && labels.shape[1] != 1))
    throw DataError(labels.name + " holds " + labels.extent() + ", expected one label per image");
  std::vector<int64_t> values(static_cast<size_t>(labels.shape[0]));
  for (size_t i = 0; i < values.size(); ++i) values[i] = integer_at(labels, static_cast<int64_t>(i));
  return classes_by_label(values, names, labels.name);
}

std::vector<RowClass> classes_by_label(const std::vector<int64_t>& labels, const std::vector<std::string>& names,
                                       const std::string& where) {
  std::map<int64_t, RowClass> classes;
  for (size_t i = 0; i < labels.size(); ++i) {
    const int64_t label = labels[i];
    if (label < 0 || (!names.empty() && label >= static_cast<int64_t>(names.size())) || label > 1'000'000)
      throw DataError(where + " gives image " + std::to_string(i) + " the label " + std::to_string(label) +
                      ", expected 0 to " + std::to_string(names.empty() ? 1'000'000 : names.size() - 1));
    RowClass& c = classes[label];
    c.rows.push_back(static_cast<int64_t>(i));
  }
  std::vector<RowClass> result;
  for (auto& [label, c] : classes) {
    c.name = names.empty() ? std::to_string(label) : names[static_cast<size_t>(label)];
    result.push_back(std::move(c));
  }
  return result;
}

}  // namespace fewatoms
