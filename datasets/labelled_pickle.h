#pragma once

#include <string>
#include <vector>

#include "datasets/forms.h"

namespace fewatoms {

/// A form of one pickle for each split: {"data": [N, H, W, 3], "labels": [...], "catname2label": {name: label}}, as
/// Gidaris & Komodakis (CVPR 2018) and Lee et al. (CVPR 2019) have written them. Without "catname2label" classes are
/// called by their labels. `candidates` are the files' names.
Form labelled_pickle_form(std::string name, std::string expected, std::vector<FoundSplit> candidates);

}  // namespace fewatoms
