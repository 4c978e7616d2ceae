#include "apps/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "episodes/errors.h"

namespace fewatoms {
namespace {

constexpr int kTries = 20;
constexpr std::chrono::milliseconds kPause{100};

/// Who has the lock, as the holder wrote it: "a training, process 123 on host".
std::string text_in(int file) {
  std::array<char, 200> text{};
  const ssize_t count = ::pread(file, text.data(), text.size(), 0);
  const std::string holder(text.data(), count > 0 ? static_cast<size_t>(count) : 0);
  return holder.substr(0, holder.find('\n'));
}

std::string own_text(const std::string& what) {
  std::array<char, 100> host{};
  ::gethostname(host.data(), host.size() - 1);
  return "a " + what + ", process " + std::to_string(::getpid()) + " on " + host.data() + "\n";
}

/// Whether the file still has its name: another process may have removed it at its end.
bool has_name(int file, const std::filesystem::path& path) {
  struct stat open {
  }, named{};
  return ::fstat(file, &open) == 0 && ::stat(path.c_str(), &named) == 0 && open.st_ino == named.st_ino &&
         open.st_dev == named.st_dev;
}

}  // namespace

FolderLock::FolderLock(const std::filesystem::path& folder, const std::string& what) : path_(folder / ".lock") {
  int error = 0;
  for (int tries = 1; error == 0; ++tries) {
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT, 0644);
    if (file_ < 0) {
      error = errno;
      break;
    }
    const bool locked = ::flock(file_, LOCK_EX | LOCK_NB) == 0;
    if (!locked && errno != EWOULDBLOCK && errno != EINTR) error = errno;
    if (locked && has_name(file_, path_)) break;
    const std::string holder = text_in(file_);
    ::close(file_);
    file_ = -1;
    if (error == 0 && tries >= kTries)
      throw UsageError("'" + folder.string() + "' is in use by " + (holder.empty() ? "another process" : holder) +
                       ": expected one at a time");
    if (!locked && error == 0) std::this_thread::sleep_for(kPause);
  }
  if (file_ < 0) {
    notice_ = "'" + folder.string() + "' cannot be locked (" + std::strerror(error) + "): that no other " + what +
              " works in it is for you to see to";
    return;
  }
  const std::string text = own_text(what);
  // It holds without a name too.
  [[maybe_unused]] const bool named = ::ftruncate(file_, 0) == 0 && ::pwrite(file_, text.data(), text.size(), 0) > 0;
}

FolderLock::~FolderLock() {
  if (file_ < 0) return;
  if (has_name(file_, path_)) ::unlink(path_.c_str());
  ::close(file_);
}

}  // namespace fewatoms
