#include "episodes/unfinished_file.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace fewatoms {
namespace {

static_assert(std::atomic<char*>::is_always_lock_free, "signal handlers may not wait for a lock");

/// Paths for signal handlers. One that finds no place is only removed at the end of its scope.
std::array<std::atomic<char*>, 64> g_unfinished{};

char* listed(const std::filesystem::path& path) {
  char* copy = ::strdup(path.c_str());
  for (std::atomic<char*>& place : g_unfinished) {
    char* empty = nullptr;
    if (copy != nullptr && place.compare_exchange_strong(empty, copy)) return copy;
  }
  std::free(copy);
  return nullptr;
}

/// Frees the copy, unless a signal handler has taken it: then the program is ending.
void unlist(char* copy) {
  if (copy == nullptr) return;
  for (std::atomic<char*>& place : g_unfinished) {
    char* expected = copy;
    if (place.compare_exchange_strong(expected, nullptr)) return std::free(copy);
  }
}

}  // namespace

UnfinishedFile::UnfinishedFile(const std::filesystem::path& name) : name_(name) {
  static std::atomic<unsigned> next = 0;  // threads of a process may write one name at a time
  path_ = name.string() + ".tmp" + std::to_string(::getpid()) + "-" + std::to_string(next++);
  listed_ = listed(path_);
}

UnfinishedFile::~UnfinishedFile() {
  const int error = errno;
  if (!path_.empty()) ::unlink(path_.c_str());
  unlist(listed_);
  errno = error;
}

bool UnfinishedFile::put_in_place() {
  if (::rename(path_.c_str(), name_.c_str()) != 0) return false;
  path_.clear();
  return true;
}

void remove_unfinished_files() noexcept {
  for (std::atomic<char*>& place : g_unfinished)
    if (const char* path = place.exchange(nullptr)) ::unlink(path);
}

}  // namespace fewatoms
