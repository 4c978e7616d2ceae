#pragma once

#include <cstdint>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "datasets/file_tree.h"
#include "datasets/image_set.h"
#include "datasets/pixels.h"

namespace fewatoms {

/// An array of numbers that lies in a file or in memory, as numpy describes it.
struct NdArray {
  std::shared_ptr<const void> owner;
  const char* data = nullptr;
  char kind = 'u';     // 'u' unsigned, 'i' signed, 'f' float, 'b' bool
  int item_bytes = 1;  // 1, 2, 4 or 8
  bool big_endian = false;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;  // bytes between neighbours, by dimension
  std::string name;              // where it is from, for messages: "'train.npz:images.npy'"

  std::string type() const;    // "uint8"
  std::string extent() const;  // "[600, 84, 84, 3]"
};

/// An array over `bytes` in row order (or column order, `fortran`). `type` is numpy's, as "|u1" or "<i8". Throws
/// DataError, naming `name`, on other types (objects, text), a negative or absurd shape, and when the bytes do not
/// match the shape.
NdArray nd_array(FileBytes bytes, const std::string& type, std::vector<int64_t> shape, bool fortran, std::string name);

/// A .npy file. Throws DataError if it is none, or is truncated.
NdArray parse_npy(const FileBytes& bytes, const std::string& name);

/// Element `row` of the first dimension, 0 .. shape[0]-1: an array of one dimension less.
NdArray element(const NdArray& array, int64_t row);

/// Number `i` of a 1-D (or [n, 1]) array of integers. Throws DataError if it holds no integers.
int64_t integer_at(const NdArray& array, int64_t i);

/// Order of the channels in an array of pixels.
enum class Channels { kRgb, kBgr };

/// Sides of an image in pixels; larger ones are refused.
constexpr int64_t kLargestSide = 32768;

/// Pixels [H, W], [H, W, 1|3|4] or [1|3|4, H, W] of uint8 or uint16, as plain_pixels takes them: grey, RGB, or RGB and
/// alpha. May point into the array. Throws DataError on anything else.
cv::Mat picture_of(const NdArray& pixels, Channels order = Channels::kRgb);

/// Throws DataError unless `images` is [N, H, W] or [N, H, W, C] (or [N, C, H, W]) of uint8 or uint16, with sides of at
/// least 1.
void require_images(const NdArray& images);

/// A class whose images are rows of an array.
struct RowClass {
  std::string name;
  std::vector<int64_t> rows = {};
  std::string group = {};
};

/// Images that are rows of one array. Throws DataError on a row that is not there, and as require_images.
ImageSet array_images(NdArray images, std::vector<RowClass> classes, const PixelRules& rules,
                      Channels order = Channels::kRgb);

/// One class per label that occurs, in the order of labels, called names[label] (its number if there are no names).
/// `where` is for messages. Throws DataError on a label that is negative or has no name.
std::vector<RowClass> classes_by_label(const std::vector<int64_t>& labels, const std::vector<std::string>& names,
                                       const std::string& where);
std::vector<RowClass> classes_by_label(const NdArray& labels, const std::vector<std::string>& names);

}  // namespace fewatoms
