#include "datasets/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "episodes/errors.h"

namespace fewatoms {
namespace {

namespace fs = std::filesystem;

FileBytes map_descriptor(int descriptor, uint64_t size, const std::string& name) {
  if (size == 0) return {std::make_shared<int>(0), {}};
  void* start = mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
  if (start == MAP_FAILED) throw DataError(name + " cannot be mapped: " + std::strerror(errno));
  std::shared_ptr<const void> owner(start, [size](const void* p) { munmap(const_cast<void*>(p), size); });
  return {std::move(owner), {static_cast<const char*>(start), size}};
}

/// A new file for what is too large for memory: its descriptor and path.
std::pair<int, std::string> new_temporary() {
  const char* given = std::getenv("TMPDIR");
  for (const char* folder : {given, "/var/tmp", "/tmp"}) {
    if (folder == nullptr) continue;
    std::string path = std::string(folder) + "/fewatoms-XXXXXX";
    const int descriptor = mkostemp(path.data(), O_CLOEXEC);
    if (descriptor >= 0) return {descriptor, path};
  }
  throw DataError("no folder for temporary files can be written: expected $TMPDIR, /var/tmp or /tmp");
}

void write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0)
      throw DataError(std::string("temporary files cannot be written (TMPDIR names their folder): ") +
                      std::strerror(errno));
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace

FileBytes read_file(const fs::path& file, uintmax_t largest) {
  std::ifstream in(file, std::ios::binary);
  std::error_code error;
  const bool is_regular = fs::is_regular_file(file, error);
  const auto size = is_regular ? fs::file_size(file, error) : 0;
  if (!in || error || !is_regular) throw DataError(in_quotes(file) + " cannot be opened, expected a readable file");
  if (size > largest)
    throw DataError(in_quotes(file) + " has " + std::to_string(size) + " bytes, expected at most " +
                    std::to_string(largest));
  auto bytes = std::make_shared<std::string>(size, '\0');
  in.read(bytes->data(), static_cast<std::streamsize>(size));
  if (static_cast<uintmax_t>(in.gcount()) != size) throw DataError(in_quotes(file) + " cannot be read to its end");
  return {bytes, *bytes};
}

FileBytes map_file(const fs::path& file) {
  const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (descriptor < 0 || fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    if (descriptor >= 0) close(descriptor);
    throw DataError(in_quotes(file) + " cannot be opened, expected a readable file");
  }
  const auto closed = std::shared_ptr<void>(nullptr, [descriptor](void*) { close(descriptor); });
  return map_descriptor(descriptor, static_cast<uint64_t>(status.st_size), in_quotes(file));
}

SpillFile::SpillFile() {
  const auto [descriptor, path] = new_temporary();
  descriptor_ = descriptor;
  unlink(path.c_str());
}

SpillFile::~SpillFile() { close(descriptor_); }

void SpillFile::append(std::string_view bytes) {
  write_all(descriptor_, bytes);
  size_ += bytes.size();
}

FileBytes SpillFile::map() const { return map_descriptor(descriptor_, size_, "a temporary file"); }

std::shared_ptr<const fs::path> named_copy(std::string_view bytes) {
  const auto [descriptor, path] = new_temporary();
  std::shared_ptr<const fs::path> named(new fs::path(path), [](const fs::path* p) {
    unlink(p->c_str());
    delete p;
  });
  const auto closed = std::shared_ptr<void>(nullptr, [d = descriptor](void*) { close(d); });
  write_all(descriptor, bytes);
  return named;
}

}  // namespace fewatoms
