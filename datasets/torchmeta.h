#pragma once

#include "datasets/forms.h"

namespace fewatoms {

/// torchmeta's files: {split}_data.hdf5, whose group `datasets` has a dataset per class, and {split}_labels.json with
/// the list of their names. Classes come sorted by name.
Form torchmeta_form();

/// torchmeta's CIFAR-100: data.hdf5 with <superclass>/<class>, and in `folder` (or beside it) {split}_labels.json with
/// a list of [superclass, class].
Form torchmeta_cifar_form(const std::string& folder);

}  // namespace fewatoms
