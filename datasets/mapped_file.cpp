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

/// False, with errno, if not all could be written.
bool is_written(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

void write_temporary(int descriptor, std::string_view bytes) {
  if (!is_written(descriptor, bytes))
    throw DataError(std::string("temporary files cannot be written (TMPDIR names their folder): ") +
                    std::strerror(errno));
}

}  // namespace

FileBytes read_file(const fs::path& file, uintmax_t largest) {
  std::error_code error;
  const bool is_regular = fs::is_regular_file(file, error);
  std::ifstream in;
  if (is_regular) in.open(file, std::ios::binary);  // opening a pipe would wait for its other end
  const auto size = is_regular ? fs::file_size(file, error) : 0;
  if (!is_regular || !in || error) throw DataError(in_quotes(file) + " cannot be opened, expected a readable file");
  if (size > largest)
    throw DataError(in_quotes(file) + " has " + std::to_string(size) + " bytes, expected at most " +
                    std::to_string(largest));
  auto bytes = std::make_shared<std::string>(size, '\0');
  in.read(bytes->data(), static_cast<std::streamsize>(size));
  if (static_cast<uintmax_t>(in.gcount()) != size) throw DataError(in_quotes(file) + " cannot be read to its end");
  return {bytes, *bytes};
}

FileBytes map_file(const fs::path& file) {
  const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // or a pipe would keep us
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
  write_temporary(descriptor_, bytes);
  size_ += bytes.size();
}

FileBytes SpillFile::map() const { return map_descriptor(descriptor_, size_, "a temporary file"); }

NewFile::NewFile(fs::path file, std::string kind, int64_t bytes)
    : file_(std::move(file)),
      kind_(std::move(kind)),
      bytes_(bytes),
      temporary_(file_.string() + ".tmp" + std::to_string(getpid())) {
  descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail();
}

NewFile::~NewFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
}

void NewFile::fail() const {
  throw DataError(kind_ + " " + in_quotes(file_) + " cannot be written (" + std::strerror(errno) +
                  "): expected a writable folder with " + std::to_string(bytes_) + " bytes free");
}

void NewFile::write(std::string_view bytes) {
  if (!is_written(descriptor_, bytes)) fail();
}

void NewFile::write_at_start(std::string_view bytes) {
  if (lseek(descriptor_, 0, SEEK_SET) != 0 || !is_written(descriptor_, bytes)) fail();
}

void NewFile::put_in_place() {
  if (fsync(descriptor_) != 0 || rename(temporary_.c_str(), file_.c_str()) != 0) fail();
  close(descriptor_);
  descriptor_ = -1;
  const fs::path folder = file_.parent_path();
  const int opened = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (opened < 0) return;  // the name lasts when the system writes it
  fsync(opened);
  close(opened);
}

std::shared_ptr<const fs::path> named_copy(std::string_view bytes) {
  const auto [descriptor, path] = new_temporary();
  std::shared_ptr<const fs::path> named(new fs::path(path), [](const fs::path* p) {
    unlink(p->c_str());
    delete p;
  });
  const auto closed = std::shared_ptr<void>(nullptr, [d = descriptor](void*) { close(d); });
  write_temporary(descriptor, bytes);
  return named;
}

}  // namespace fewatoms
