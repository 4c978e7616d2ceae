#include "datasets/remarks.h"

#include <map>
#include <mutex>

namespace fewatoms {
namespace {

struct Noted {
  std::mutex mutex;
  std::map<RemarkKind, std::pair<std::string, std::string>> first;  // by kind: name, text
};

Noted& noted() {
  static Noted all;
  return all;
}

}  // namespace

void remark(RemarkKind kind, const std::string& name, const std::string& text) {
  const std::lock_guard lock(noted().mutex);
  const auto [at, is_new] = noted().first.try_emplace(kind, name, text);
  if (!is_new && name < at->second.first) at->second = {name, text};
}

std::vector<Remark> take_remarks() {
  const std::lock_guard lock(noted().mutex);
  std::vector<Remark> taken;
  for (const auto& [kind, of_kind] : noted().first) taken.push_back({kind, of_kind.first + " " + of_kind.second});
  noted().first.clear();
  return taken;
}

}  // namespace fewatoms
