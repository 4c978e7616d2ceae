#pragma once

#include <string>

#include "datasets/forms.h"

namespace fewatoms {

/// CIFAR-100 in its authors' Python files: train, test and meta, in the root or in cifar-100-python/. Of each class the
/// images of both files are taken, those of train first; its group is its superclass. The files know nothing of
/// `dataset`, "cifar-fs" or "fc100", so its published split is built in.
Form cifar_python_form(const std::string& dataset);

}  // namespace fewatoms
