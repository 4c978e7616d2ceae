#include "datasets/hdf5_images.h"

#include <hdf5.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "datasets/decode.h"
#include "datasets/files.h"
#include "datasets/nd_array.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

constexpr H5Z_filter_t kLzf = 32000;  // h5py's own compression

/// LZF (Lehmann): a control byte below 32 announces that many bytes and one more as they are, another a copy of earlier
/// ones. Nothing if it is damaged or does not give `size` bytes.
std::optional<std::string> unpacked_lzf(std::string_view packed, size_t size) {
  std::string result;
  result.reserve(size);
  for (size_t at = 0; at < packed.size();) {
    const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(packed[i])); };
    const size_t control = byte(at++);
    if (control < 32) {
      if (control + 1 > packed.size() - at || control + 1 > size - result.size()) return std::nullopt;
      result += packed.substr(at, control + 1);
      at += control + 1;
      continue;
    }
    size_t length = control >> 5;
    if (length == 7) {
      if (at >= packed.size()) return std::nullopt;
      length += byte(at++);
    }
    if (at >= packed.size()) return std::nullopt;
    const size_t back = ((control & 31) << 8 | byte(at++)) + 1;
    if (back > result.size() || length + 2 > size - result.size()) return std::nullopt;
    for (size_t i = 0; i < length + 2; ++i) result += result[result.size() - back];
  }
  if (result.size() != size) return std::nullopt;
  return result;
}

/// As HDF5 calls it: values[2] is the size of a chunk in bytes.
size_t lzf_filter(unsigned flags, size_t count, const unsigned values[], size_t bytes, size_t* capacity,
                  void** buffer) {
  if ((flags & H5Z_FLAG_REVERSE) == 0 || count < 3 || values[2] > (1U << 30)) return 0;
  const auto result = unpacked_lzf({static_cast<const char*>(*buffer), bytes}, values[2]);
  void* fresh = result ? H5allocate_memory(result->size(), false) : nullptr;
  if (fresh == nullptr) return 0;
  std::memcpy(fresh, result->data(), result->size());
  H5free_memory(*buffer);
  *buffer = fresh;
  *capacity = result->size();
  return result->size();
}

/// The HDF5 library is one big shared state: locked, silent and loading no plugins while this lives, then as the caller
/// had it.
class Library {
 public:
  Library() : lock_(mutex()) {
    printing_known_ = H5Eget_auto2(H5E_DEFAULT, &print_, &print_data_) >= 0;
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    loading_known_ = H5PLget_loading_state(&loading_) >= 0;
    H5PLset_loading_state(0);  // a file must not make us load a library
    static const H5Z_class2_t lzf{H5Z_CLASS_T_VERS, kLzf, 0, 1, "lzf", nullptr, nullptr, lzf_filter};
    if (H5Zfilter_avail(kLzf) <= 0) H5Zregister(&lzf);
  }
  ~Library() {
    if (loading_known_) H5PLset_loading_state(loading_);
    if (printing_known_) H5Eset_auto2(H5E_DEFAULT, print_, print_data_);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

 private:
  static std::mutex& mutex() {
    static std::mutex mutex;
    return mutex;
  }

  std::lock_guard<std::mutex> lock_;
  H5E_auto2_t print_ = nullptr;
  void* print_data_ = nullptr;
  unsigned loading_ = 0;
  bool printing_known_ = false, loading_known_ = false;
};

/// An identifier of the HDF5 library, released by `close`. To be used and destroyed with the library locked.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&&) = delete;
  operator hid_t() const { return id_; }  // NOLINT: used as the identifier it is
  bool ok() const { return id_ >= 0; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

/// The library's innermost reason for its last failure.
std::string reason() {
  std::string text = "no reason given";
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned n, const H5E_error2_t* error, void* out) -> herr_t {
        if (n == 0 && error->desc != nullptr) *static_cast<std::string*>(out) = error->desc;
        return 0;
      },
      &text);
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

class File {
 public:
  File(const FileTreePtr& tree, const std::string& path) : tree_(tree), path_(path), name_(tree->name(path)) {
    const Library locked;
    const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    H5Pset_file_locking(access, false, true);  // only read, perhaps from a read-only disk
    id_ = H5Fopen(tree->file_for_library(path)->c_str(), H5F_ACC_RDONLY, access);
    if (id_ < 0) {
      require_not_foreign(tree->map(path).view, name_, "an HDF5 file");
      throw DataError(name_ + " cannot be opened as HDF5: " + reason());
    }
  }
  ~File() {
    const Library locked;
    H5Fclose(id_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  hid_t id() const { return id_; }
  const std::string& name() const { return name_; }
  FileBytes map() const { return tree_->map(path_); }

 private:
  const FileTreePtr tree_;
  const std::string path_;
  const std::string name_;
  hid_t id_ = -1;
};

/// "'train_data.hdf5' dataset 'datasets/n01'"
std::string place(const File& file, const std::string& dataset) { return file.name() + " dataset '" + dataset + "'"; }

/// Every link on the way must lie in this file. With the library locked.
void require_inside(const File& file, const std::string& path) {
  for (size_t end = path.find('/');; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    H5L_info_t info;
    if (H5Lget_info(file.id(), part.c_str(), &info, H5P_DEFAULT) < 0)
      throw DataError(file.name() + " has no '" + part + "', expected dataset '" + path + "'");
    if (info.type != H5L_TYPE_HARD)
      throw DataError(file.name() + " has a link '" + part + "', expected the data in the file itself");
    if (end == std::string::npos) return;
  }
}

/// A text attribute of a dataset, empty without it. With the library locked.
std::string attribute_of(hid_t dataset, const char* name) {
  if (H5Aexists(dataset, name) <= 0) return "";
  const Handle attribute(H5Aopen(dataset, name, H5P_DEFAULT), H5Aclose);
  const Handle type(H5Aget_type(attribute), H5Tclose);
  if (!attribute.ok() || !type.ok() || H5Tget_class(type) != H5T_STRING || H5Aget_storage_size(attribute) > 4096)
    return "";
  const Handle space(H5Aget_space(attribute), H5Sclose);
  if (H5Sget_simple_extent_npoints(space) != 1) return "";
  if (H5Tis_variable_str(type) > 0) {
    char* text = nullptr;
    if (H5Aread(attribute, type, &text) < 0 || text == nullptr) return "";
    std::string result = text;
    H5free_memory(text);
    return result;
  }
  std::string text(H5Tget_size(type), '\0');
  if (H5Aread(attribute, type, text.data()) < 0) return "";
  return text.substr(0, text.find('\0'));
}

/// Throws DataError on a dataset that is compressed by what is not known here. With the library locked.
void require_known_filters(hid_t plan, const std::string& where) {
  for (int i = 0; i < H5Pget_nfilters(plan); ++i) {
    unsigned flags = 0, config = 0;
    size_t values = 0;
    char name[64] = "";
    const H5Z_filter_t filter =
        H5Pget_filter2(plan, static_cast<unsigned>(i), &flags, &values, nullptr, sizeof name, name, &config);
    if (filter >= 0 && H5Zfilter_avail(filter) > 0) continue;
    throw DataError(where + " is compressed by HDF5's filter " + std::to_string(filter) +
                    (name[0] != '\0' ? std::string(" ('") + name + "')" : std::string()) +
                    ", which is not read: expected gzip, szip, lzf or none");
  }
}

/// The images of one dataset.
class Dataset {
 public:
  Dataset(std::shared_ptr<const File> file, std::string path) : file_(std::move(file)), path_(std::move(path)) {
    const Library locked;
    require_inside(*file_, path_);
    id_ = H5Dopen2(file_->id(), path_.c_str(), H5P_DEFAULT);
    if (id_ < 0) throw DataError(place(*file_, path_) + " cannot be opened: " + reason());
    try {
      look();
    } catch (...) {
      H5Dclose(id_);
      throw;
    }
  }
  ~Dataset() {
    const Library locked;
    H5Dclose(id_);
  }
  Dataset(const Dataset&) = delete;
  Dataset& operator=(const Dataset&) = delete;

  int64_t images() const { return static_cast<int64_t>(sides_[0]); }
  const std::string& group() const { return group_; }

  cv::Mat picture(int row, const PixelRules& rules, int enough) const {
    const std::string where = place(*file_, path_) + " image " + std::to_string(row);
    if (encoded_) {
      const auto file = read_encoded(row, where);
      return decode_image(file, where, rules, enough > 0 ? reduction_for(file, enough) : 1);
    }
    if (mapped_.data != nullptr) return plain_pixels(picture_of(element(mapped_, row)), rules, where).clone();
    std::string pixels = read_pixels(row, where);
    const std::string_view view = pixels;
    std::vector<int64_t> shape(sides_.begin() + 1, sides_.end());
    return plain_pixels(picture_of(nd_array({nullptr, view}, type_, std::move(shape), false, where)), rules, where)
        .clone();
  }

 private:
  void look() {
    const Handle space(H5Dget_space(id_), H5Sclose), type(H5Dget_type(id_), H5Tclose),
        plan(H5Dget_create_plist(id_), H5Pclose);
    const int rank = H5Sget_simple_extent_ndims(space);
    const bool is_simple = rank >= 1 && rank <= 4;
    if (is_simple) {
      sides_.resize(static_cast<size_t>(rank));
      H5Sget_simple_extent_dims(space, sides_.data(), nullptr);
    }
    const auto kind = H5Tget_class(type);
    if (kind == H5T_VLEN && rank == 1) {
      const Handle item(H5Tget_super(type), H5Tclose);
      encoded_ = H5Tget_class(item) == H5T_INTEGER && H5Tget_size(item) == 1;
    }
    const bool is_pixels =
        kind == H5T_INTEGER && H5Tget_size(type) <= 2 && H5Tget_sign(type) == H5T_SGN_NONE && rank >= 3;
    if (!is_simple || (!encoded_ && !is_pixels) || sides_[0] > 100'000'000)
      throw DataError(place(*file_, path_) +
                      " holds no images, expected uint8 [n, height, width, channels], or [n] encoded images");
    if (H5Pget_external_count(plan) > 0 || H5Pget_layout(plan) == H5D_VIRTUAL)
      throw DataError(place(*file_, path_) + " keeps its data in another file, expected it in the file itself");
    require_known_filters(plan, place(*file_, path_));
    group_ = attribute_of(id_, "label_general");
    if (encoded_) return;

    const size_t item_bytes = H5Tget_size(type);
    const bool big_endian = item_bytes > 1 && H5Tget_order(type) == H5T_ORDER_BE;
    type_ = item_bytes == 1 ? "|u1" : "<u2";
    uint64_t total = item_bytes;
    for (size_t d = 1; d < sides_.size(); ++d) {
      if (sides_[d] < 1 || sides_[d] > static_cast<hsize_t>(kLargestSide))
        throw DataError(place(*file_, path_) + " has a side of " + std::to_string(sides_[d]) + ", expected 1 to " +
                        std::to_string(kLargestSide));
      total *= sides_[d];
    }
    if (total > uint64_t{1} << 31)
      throw DataError(place(*file_, path_) + " has images of " + std::to_string(total) +
                      " bytes each, which is absurd");
    row_bytes_ = total;
    const haddr_t offset = H5Dget_offset(id_);
    if (offset == HADDR_UNDEF || H5Pget_layout(plan) != H5D_CONTIGUOUS || sides_[0] == 0) return;
    const FileBytes all = file_->map();
    if (offset > all.view.size() || sides_[0] * row_bytes_ > all.view.size() - offset)
      throw DataError(place(*file_, path_) + " reaches beyond the file's end: the file is truncated");
    mapped_ = nd_array({all.owner, all.view.substr(offset, sides_[0] * row_bytes_)},
                       std::string(big_endian ? ">" : "<") + type_.substr(1), {sides_.begin(), sides_.end()}, false,
                       place(*file_, path_));
  }

  /// Selects one row; gives the file's and the memory's space. With the library locked.
  std::pair<Handle, Handle> select(int row) const {
    Handle file_space(H5Dget_space(id_), H5Sclose);
    std::vector<hsize_t> start(sides_.size(), 0), count(sides_.begin(), sides_.end());
    start[0] = static_cast<hsize_t>(row);
    count[0] = 1;
    H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr);
    return {std::move(file_space),
            Handle(H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr), H5Sclose)};
  }

  std::string read_pixels(int row, const std::string& where) const {
    std::string pixels(row_bytes_, '\0');
    const Library locked;
    const auto [from, to] = select(row);
    if (H5Dread(id_, type_ == "|u1" ? H5T_NATIVE_UINT8 : H5T_STD_U16LE, to, from, H5P_DEFAULT, pixels.data()) < 0)
      throw DataError(where + " cannot be read: " + reason());
    return pixels;
  }

  std::string read_encoded(int row, const std::string& where) const {
    const Library locked;
    const Handle type(H5Tvlen_create(H5T_NATIVE_UINT8), H5Tclose);
    const auto [from, to] = select(row);
    hvl_t value{};
    if (H5Dread(id_, type, to, from, H5P_DEFAULT, &value) < 0) throw DataError(where + " cannot be read: " + reason());
    std::string bytes(static_cast<const char*>(value.p), value.len);
    H5Dvlen_reclaim(type, to, H5P_DEFAULT, &value);
    return bytes;
  }

  const std::shared_ptr<const File> file_;
  const std::string path_;
  hid_t id_ = -1;
  std::vector<hsize_t> sides_;
  bool encoded_ = false;
  std::string type_;  // of what read_pixels gives
  uint64_t row_bytes_ = 0;
  NdArray mapped_;  // where the file stores pixels as they are
  std::string group_;
};

}  // namespace

std::vector<std::string> hdf5_names(const FileTreePtr& tree, const std::string& file, const std::string& group) {
  const File opened(tree, file);
  const Library locked;
  require_inside(opened, group);
  std::vector<std::string> names;
  const Handle id(H5Gopen2(opened.id(), group.c_str(), H5P_DEFAULT), H5Gclose);
  const herr_t status = !id.ok() ? -1
                                 : H5Literate(
                                       id, H5_INDEX_NAME, H5_ITER_INC, nullptr,
                                       [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
                                         static_cast<std::vector<std::string>*>(out)->emplace_back(name);
                                         return 0;
                                       },
                                       &names);
  if (status < 0)
    throw DataError(opened.name() + " has no group '" + group + "', expected one with a dataset per class");
  std::sort(names.begin(), names.end());
  return names;
}

ImageSet hdf5_images(const FileTreePtr& tree, const std::string& file, const std::vector<Hdf5Class>& classes,
                     const PixelRules& rules, int enough) {
  const auto opened = std::make_shared<const File>(tree, file);
  std::vector<std::shared_ptr<const Dataset>> datasets;
  ImageSet set;
  for (const Hdf5Class& c : classes) {
    datasets.push_back(std::make_shared<const Dataset>(opened, c.dataset));
    set.classes.push_back(
        {c.name, static_cast<int>(datasets.back()->images()), c.group.empty() ? datasets.back()->group() : c.group});
  }
  set.load = [datasets = std::move(datasets), rules, enough](int class_index, int image_index) {
    return datasets[class_index]->picture(image_index, rules, enough);
  };
  return set;
}

}  // namespace fewatoms
