#include "datasets/class_folders.h"

#include "datasets/files.h"

namespace fewatoms {

namespace fs = std::filesystem;

ClassFolders find_class_folders(const fs::path& folder) {
  ClassFolders found;
  int ignored = 0;
  std::vector<std::string> empty;
  for (const auto& name : list_folder(folder).folders) {
    const FolderListing inside = list_folder(folder / name);
    FileClass images{name, {}, 0};
    for (const auto& file : inside.files) {
      if (has_image_extension(file))
        images.images.push_back({(folder / name / file).string(), {}});
      else
        ++ignored;
    }
    if (images.images.empty())
      empty.push_back(name);
    else
      found.classes.push_back(std::move(images));
  }
  if (ignored > 0)
    found.notices.push_back("ignored " + std::to_string(ignored) + (ignored == 1 ? " file" : " files") + " under " +
                            in_quotes(folder) + " without an image extension");
  if (!empty.empty())
    found.notices.push_back("ignored " + std::to_string(empty.size()) + (empty.size() == 1 ? " folder" : " folders") +
                            " under " + in_quotes(folder) + " without images: '" + empty.front() + "'" +
                            (empty.size() > 1 ? ", ..." : ""));
  return found;
}

std::vector<std::string> split_folders(const fs::path& root) {
  std::vector<std::string> splits;
  for (const char* name : {"train", "val", "test"})
    if (fs::is_directory(root / name)) splits.emplace_back(name);
  return splits;
}

}  // namespace fewatoms
