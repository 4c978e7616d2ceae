#pragma once

#include "backbones/layer.h"

namespace fewatoms {

/// ReLU, or leaky ReLU with a slope. `smooth` makes softplus of it, for checks against central differences.
LayerPtr make_activation(double slope, bool smooth);

/// Whether a layer is max(x, 0), which kernels may fuse with what stands around it.
bool is_relu(const Layer& layer);

/// Square pooling by the largest element, or by the mean where `smooth`.
struct PoolShape {
  int size = 2, stride = 2, padding = 0;
  bool operator==(const PoolShape&) const = default;
};
LayerPtr make_pool(const PoolShape& shape, bool smooth);

/// Whether a layer is 2x2 max-pooling, which kernels may fuse with what stands before it.
bool is_max_pool2(const Layer& layer);

/// body(x) + shortcut(x); an empty shortcut is x itself (He, Zhang, Ren, Sun 2016, eq. 1 and 2).
LayerPtr make_residual(Sequence body, Sequence shortcut);

/// DropBlock (Ghiasi, Lin, Le 2018) in passes that drop: squares of 5x5 pixels are set to zero, about a share `rate` of
/// all, the rest scaled up. `index` tells the layers of a network apart.
LayerPtr make_drop_block(double rate, uint64_t index);

/// The last map [N, C, H, W] as features: the mean of each channel [N, C], or all [N, C*H*W].
LayerPtr make_features(bool mean);

}  // namespace fewatoms
