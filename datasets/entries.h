#pragma once

#include "datasets/dataset.h"

namespace fewatoms {

// One function per data set, defined in the file of its name.
DatasetEntry strokes_entry();
DatasetEntry mini_imagenet_entry();
DatasetEntry cub_entry();
DatasetEntry omniglot_entry();
DatasetEntry cifar_fs_entry();
DatasetEntry fc100_entry();
DatasetEntry tiered_imagenet_entry();
DatasetEntry fashion_mnist_entry();
DatasetEntry folders_entry();
DatasetEntry plugin_entry();
DatasetEntry manifest_entry();

}  // namespace fewatoms
