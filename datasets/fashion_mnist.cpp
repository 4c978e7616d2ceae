#include <zlib.h>

#include <algorithm>

#include "datasets/entries.h"
#include "datasets/files.h"
#include "datasets/forms.h"
#include "datasets/nd_array.h"
#include "episodes/errors.h"

// Fashion-MNIST (Xiao, Rasul, Vollgraf 2017) in its IDX files, as Debian's dataset-fashion-mnist installs them. Both of
// its splits have all ten classes: they differ in their images.

namespace fewatoms {
namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 30;

/// The bytes of a gzip file; the file's own if its name does not end in .gz.
FileBytes unzipped(const FileTree& tree, const std::string& path) {
  FileBytes file = tree.read(path);
  require_not_foreign(file.view, tree.name(path), "an IDX file of Fashion-MNIST");
  if (!path.ends_with(".gz")) return file;
  auto result = std::make_shared<std::string>();
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) throw DataError(tree.name(path) + " cannot be unpacked");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> ended(&stream, inflateEnd);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(file.view.data()));
  stream.avail_in = static_cast<uInt>(file.view.size());
  int status = Z_OK;
  while (status == Z_OK) {
    const size_t before = result->size();
    if (before >= kMostBytes)
      throw DataError(tree.name(path) + " unpacks to more than 1 GiB, expected an IDX file of Fashion-MNIST");
    result->resize(std::max<size_t>(1 << 16, 2 * before));
    stream.next_out = reinterpret_cast<Bytef*>(result->data() + before);
    stream.avail_out = static_cast<uInt>(result->size() - before);
    status = inflate(&stream, Z_NO_FLUSH);
    result->resize(result->size() - stream.avail_out);
  }
  if (status != Z_STREAM_END) throw DataError(tree.name(path) + " is truncated or damaged: expected a whole gzip file");
  return {result, *result};
}

/// An IDX file of bytes: two zeros, type 8 (uint8), the number of dimensions, the dimensions (big-endian), the values.
NdArray read_idx(const FileTree& tree, const std::string& path, size_t dimensions) {
  const FileBytes all = unzipped(tree, path);
  const size_t header = 4 + 4 * dimensions;
  if (all.view.size() < header || !all.view.starts_with(std::string{'\0', '\0', '\x08', static_cast<char>(dimensions)}))
    throw DataError(tree.name(path) + " is no IDX file of uint8 with " + std::to_string(dimensions) + " dimensions");
  std::vector<int64_t> shape;
  for (size_t d = 0; d < dimensions; ++d) {
    int64_t side = 0;
    for (size_t i = 0; i < 4; ++i) side = side << 8 | static_cast<unsigned char>(all.view[4 + 4 * d + i]);
    shape.push_back(side);
  }
  return nd_array({all.owner, all.view.substr(header)}, "u1", std::move(shape), false, tree.name(path));
}

const std::vector<std::string> kNames{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                      "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};

ImageSet open_idx(const FileTreePtr& tree, const DatasetOptions& options, const FoundSplit& found) {
  std::string labels_path = found.path;
  labels_path.replace(labels_path.find("images-idx3"), 11, "labels-idx1");
  NdArray images = read_idx(*tree, found.path, 3);
  const NdArray labels = read_idx(*tree, labels_path, 1);
  if (images.shape[0] != labels.shape[0])
    throw DataError(tree->name(found.path) + " has " + std::to_string(images.shape[0]) + " images for " +
                    std::to_string(labels.shape[0]) + " labels in " + tree->name(labels_path) + ", expected as many");
  ImageSet set = array_images(std::move(images), classes_by_label(labels, kNames), pixel_rules(options));
  set.notices.push_back("train and test have the same ten classes, with other images");
  return set;
}

const std::vector<Form>& forms() {
  static const std::vector<Form> all{
      {.name = "idx",
       .expected = "train-images-idx3-ubyte.gz with train-labels-idx1-ubyte.gz, and t10k-...",
       .find = find_by_name({{"train", "train-images-idx3-ubyte.gz"},
                             {"train", "train-images-idx3-ubyte"},
                             {"test", "t10k-images-idx3-ubyte.gz"},
                             {"test", "t10k-images-idx3-ubyte"}}),
       .open = open_idx,
       .shares_classes = true}};
  return all;
}

std::vector<std::string> fashion_splits(const DatasetOptions& options) { return splits_by_form(options, forms()); }

std::shared_ptr<const ImageSource> open_fashion(const DatasetOptions& options, const std::string& split) {
  OpenedForm opened = open_by_form(options, forms(), split);
  return cached_source(std::move(opened.info), opened.set.classes, options, std::move(opened.set.load));
}

}  // namespace

DatasetEntry fashion_mnist_entry() {
  return {.name = "fashion-mnist",
          .summary = "Fashion-MNIST: gzip IDX files (10 classes, 60,000 and 10,000 images)",
          .usual_size = 28,
          .usual_channels = 1,
          .split_rules = {},
          .splits = fashion_splits,
          .open = open_fashion};
}

}  // namespace fewatoms
