#include "backbones/safetensors.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include "episodes/errors.h"
#include "episodes/unfinished_file.h"

namespace fewatoms {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

using nlohmann::json;

struct Type {
  const char* name;
  torch::ScalarType type;
};
constexpr Type kTypes[] = {{"F32", torch::kFloat},     {"F64", torch::kDouble}, {"F16", torch::kHalf},
                           {"BF16", torch::kBFloat16}, {"I64", torch::kLong},   {"I32", torch::kInt},
                           {"I16", torch::kShort},     {"I8", torch::kChar},    {"U8", torch::kByte},
                           {"BOOL", torch::kByte}};  // which is not written

constexpr uint64_t kHeaderLimit = 100'000'000;  // bytes, as the reference implementation has it

/// A folder that is missing or not ours is the caller's mistake; a full or failing disk is not.
[[noreturn]] void fail_to_write(const std::filesystem::path& path, int error) {
  const std::string text = "cannot write '" + path.string() + "': " + std::strerror(error);
  constexpr int kMistakes[] = {ENOENT, ENOTDIR, EISDIR, EACCES, EPERM, EROFS, ENAMETOOLONG, ELOOP, EEXIST, ENOTEMPTY};
  if (std::find(std::begin(kMistakes), std::end(kMistakes), error) != std::end(kMistakes)) throw UsageError(text);
  throw DataError(text);
}

/// 0, or the error.
int write_whole(int file, const void* data, size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(file, at, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written < 0 ? errno : EIO;
    at += written;
    size -= static_cast<size_t>(written);
  }
  return 0;
}

/// Makes a new name in a folder last. A file system that cannot (some network ones) is as good as it is: EINVAL.
int flush_folder(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.parent_path();
  const int folder = ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return errno == EACCES ? 0 : errno;  // one may write into a folder that one may not read
  const int error = ::fsync(folder) == 0 || errno == EINVAL || errno == ENOTSUP ? 0 : errno;
  ::close(folder);
  return error;
}

/// A list of pieces written one after the other into a new file, flushed and renamed; the folder is flushed too, so
/// that after a power cut there is the old file or the new one, whole. A link stays one, a device or a pipe just gets
/// the bytes.
void write_pieces(const std::filesystem::path& path, const std::vector<std::pair<const void*, size_t>>& pieces) {
  std::error_code missing;
  std::filesystem::path target = std::filesystem::canonical(path, missing);
  if (missing) target = path;
  const auto there = std::filesystem::status(target, missing);
  const bool in_place = std::filesystem::exists(there) && !std::filesystem::is_regular_file(there) &&
                        !std::filesystem::is_directory(there);
  std::optional<UnfinishedFile> unfinished;
  if (!in_place) unfinished.emplace(target);
  const int file = in_place ? ::open(target.c_str(), O_WRONLY | O_CLOEXEC)
                            : ::open(unfinished->path().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) fail_to_write(path, errno);
  int error = 0;
  for (const auto& [data, size] : pieces)
    if (error == 0) error = write_whole(file, data, size);
  if (error == 0 && !in_place && ::fsync(file) != 0) error = errno;
  if (::close(file) != 0 && error == 0) error = errno;  // a network's disk may be found full only now
  if (error == 0 && !in_place && !unfinished->put_in_place()) error = errno;
  if (error == 0 && !in_place) error = flush_folder(target);
  if (error != 0) fail_to_write(path, error);
}

/// A JSON object whose keys are all different: the parser itself would keep the last of equal ones in silence.
json parse_header(const std::string& text, const std::function<void(const std::string&)>& fail) {
  std::set<std::string> names;
  const auto look = [&](int depth, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::key && depth == 1 && !names.insert(parsed.get<std::string>()).second)
      fail("its header names '" + parsed.get<std::string>() + "' twice");
    return true;
  };
  json header = json::parse(text, look, /*allow_exceptions=*/false);
  if (!header.is_object()) fail("its header is not JSON");
  return header;
}

/// Bytes of a tensor with this shape, or nothing if the product overflows.
uint64_t checked_bytes(const std::vector<int64_t>& shape, uint64_t element,
                       const std::function<void(const std::string&)>& fail) {
  uint64_t bytes = element;
  bool empty = false;
  for (const int64_t n : shape) {
    if (n < 0) fail("has a negative size");
    empty |= n == 0;  // strides go on without the zeros
    if (n > 0 && __builtin_mul_overflow(bytes, static_cast<uint64_t>(n), &bytes)) fail("has a size beyond 64 bits");
  }
  if (bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) fail("has a size beyond 64 bits");
  return empty ? 0 : bytes;
}

[[noreturn]] void fail_to_read(const std::filesystem::path& path, const std::string& what) {
  throw DataError("'" + path.string() + "' is not a whole safetensors file: " + what);
}

/// A file that is open at its data, with its header.
struct OpenFile {
  std::ifstream file;
  json header;
  uint64_t data_at = 0, data_size = 0;
};

OpenFile open_safetensors(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) throw UsageError("there is no file '" + path.string() + "'");
  OpenFile open{.file = std::ifstream(path, std::ios::binary | std::ios::ate), .header = {}};
  if (!open.file) throw UsageError("cannot read '" + path.string() + "'");
  const auto size =
      static_cast<uint64_t>(open.file.tellg());  // of what was opened: a training may put another file under the name
  open.file.seekg(0);

  uint64_t length = 0;
  if (size < sizeof length) fail_to_read(path, "it has " + std::to_string(size) + " bytes, 8 are the least");
  open.file.read(reinterpret_cast<char*>(&length), sizeof length);
  if (length > kHeaderLimit || length > size - sizeof length)
    fail_to_read(path, "its header claims " + std::to_string(length) + " bytes, the file has " + std::to_string(size));
  std::string text(length, '\0');
  open.file.read(text.data(), static_cast<std::streamsize>(length));
  open.header = parse_header(text, [&](const std::string& what) { fail_to_read(path, what); });
  open.data_at = sizeof length + length;
  open.data_size = size - open.data_at;
  return open;
}

}  // namespace

void write_file_atomically(const std::filesystem::path& path, const std::string& text) {
  write_pieces(path, {{text.data(), text.size()}});
}

void write_safetensors(const std::filesystem::path& path, const SafeTensors& contents) {
  json header = json::object();
  if (!contents.metadata.empty()) header["__metadata__"] = contents.metadata;
  std::vector<torch::Tensor> held;
  std::vector<std::pair<const void*, size_t>> pieces;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : contents.tensors) {
    const auto type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                   [&](const Type& t) { return t.type == tensor.scalar_type(); });
    TORCH_CHECK(type != std::end(kTypes), "tensor '", name, "' has type ", tensor.scalar_type(),
                ", which is not written");
    held.push_back(tensor.detach().contiguous());
    header[name] = {{"dtype", type->name},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, offset + held.back().nbytes()}}};
    offset += held.back().nbytes();
    pieces.emplace_back(held.back().data_ptr(), held.back().nbytes());
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // data starts aligned
  const uint64_t length = text.size();
  pieces.insert(pieces.begin(), {{&length, sizeof length}, {text.data(), text.size()}});
  write_pieces(path, pieces);
}

std::map<std::string, std::string> read_safetensors_metadata(const std::filesystem::path& path) {
  const OpenFile open = open_safetensors(path);
  try {
    return open.header.value("__metadata__", std::map<std::string, std::string>());
  } catch (const json::exception& e) {
    fail_to_read(path, std::string("its header is malformed (") + e.what() + ")");
  }
}

SafeTensors read_safetensors(const std::filesystem::path& path) {
  const auto fail = [&](const std::string& what) { fail_to_read(path, what); };
  OpenFile open = open_safetensors(path);
  SafeTensors contents;
  std::map<uint64_t, std::pair<uint64_t, std::string>> places;  // of the tensors with data: begin, end and name
  try {
    for (const auto& [name, entry] : open.header.items()) {
      if (name == "__metadata__") {
        contents.metadata = entry.get<std::map<std::string, std::string>>();
        continue;
      }
      const auto bad = [&, tensor = name](const std::string& what) { fail("tensor '" + tensor + "' " + what); };
      const auto dtype = entry.at("dtype").get<std::string>();
      const auto type =
          std::find_if(std::begin(kTypes), std::end(kTypes), [&](const Type& t) { return t.name == dtype; });
      if (type == std::end(kTypes))
        bad("has type " + dtype + ", F32, F64, F16, BF16, I64, I32, I16, I8, U8 or BOOL was expected");
      for (const char* key : {"shape", "data_offsets"})
        for (const json& n : entry.at(key))
          if (!n.is_number_integer()) bad(std::string(key) + " is not a list of whole numbers");
      const auto shape = entry.at("shape").get<std::vector<int64_t>>();
      const auto offsets = entry.at("data_offsets").get<std::vector<uint64_t>>();
      const uint64_t bytes = checked_bytes(shape, torch::elementSize(type->type), bad);
      if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > open.data_size ||
          offsets[1] - offsets[0] != bytes)
        bad("lies outside of the data or has another size than its shape says");
      if (bytes > 0 && !places.emplace(offsets[0], std::pair(offsets[1], name)).second)
        bad("lies where tensor '" + places.at(offsets[0]).second + "' does");
      torch::Tensor tensor = torch::empty(shape, type->type);
      open.file.seekg(static_cast<std::streamoff>(open.data_at + offsets[0]));
      open.file.read(static_cast<char*>(tensor.data_ptr()), static_cast<std::streamsize>(bytes));
      if (!open.file) bad("cannot be read");
      contents.tensors.emplace(name, tensor);
    }
  } catch (const json::exception& e) {
    fail(std::string("its header is malformed (") + e.what() + ")");
  }
  uint64_t end = 0;  // of the tensors so far: each begins where another ends, and the last ends with the file
  for (const auto& [begin, rest] : places) {
    if (begin != end)
      fail("tensor '" + rest.second + "' begins at byte " + std::to_string(begin) + " of the data, " +
           std::to_string(end) + " was expected");
    end = rest.first;
  }
  if (end != open.data_size)
    fail("its tensors end at byte " + std::to_string(end) + " of the data, which has " +
         std::to_string(open.data_size));
  return contents;
}

}  // namespace fewatoms
