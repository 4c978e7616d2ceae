#include "datasets/cifar_python.h"
#include "datasets/entries.h"
#include "datasets/file_lists.h"
#include "datasets/forms.h"
#include "datasets/labelled_pickle.h"
#include "datasets/torchmeta.h"

// CIFAR-FS (Bertinetto et al. 2019) and FC100 (Oreshkin et al. 2018): the 100 classes of CIFAR-100 in two splits.
// FC100's follows the superclasses. Which class is where comes from the files, but for CIFAR's own Python files, which
// do not know (cifar_python.cpp).

namespace fewatoms {
namespace {

constexpr int kImagesPerClass = 600;

std::vector<Form> forms_of(const std::string& name) {
  const std::string stem = name == "fc100" ? "FC100" : "CIFAR_FS";
  return {split_folders_form(), class_list_form(), torchmeta_cifar_form(name),
          labelled_pickle_form(
              "pickle-lee", stem + "_train.pickle, _val.pickle and _test.pickle",
              {{"train", stem + "_train.pickle"}, {"val", stem + "_val.pickle"}, {"test", stem + "_test.pickle"}}),
          cifar_python_form(name)};
}

const std::vector<Form>& forms(const DatasetOptions& options) {
  static const std::vector<Form> cifar_fs = forms_of("cifar-fs"), fc100 = forms_of("fc100");
  return options.name == "fc100" ? fc100 : cifar_fs;
}

int official_classes(const std::string& name, const std::string& split) {
  if (name == "fc100") return split == "train" ? 60 : 20;
  return split == "train" ? 64 : split == "val" ? 16 : 20;
}

std::vector<std::string> cifar_splits(const DatasetOptions& options) { return splits_by_form(options, forms(options)); }

std::shared_ptr<const ImageSource> open_cifar(const DatasetOptions& options, const std::string& split) {
  OpenedForm opened = open_by_form(options, forms(options), split);
  const std::string smaller = shortfall(split, opened.set, official_classes(options.name, split), kImagesPerClass);
  if (!smaller.empty()) opened.info.notices.push_back(smaller);
  return cached_source(std::move(opened.info), opened.set.classes, options, std::move(opened.set.load));
}

DatasetEntry entry(const std::string& name, const std::string& summary) {
  return {.name = name,
          .summary = summary,
          .usual_size = 32,
          .usual_channels = 3,
          .split_rules = {},
          .splits = cifar_splits,
          .open = open_cifar};
}

}  // namespace

DatasetEntry cifar_fs_entry() {
  return entry(
      "cifar-fs",
      "CIFAR-FS: split folders, class folders with lists, pickles, HDF5 or cifar-100-python (64/16/20 classes)");
}
DatasetEntry fc100_entry() {
  return entry("fc100",
               "FC100: split folders, class folders with lists, pickles, HDF5 or cifar-100-python (60/20/20 classes)");
}

}  // namespace fewatoms
