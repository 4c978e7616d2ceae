#pragma once

#include <string>
#include <vector>

#include "backbones/backbone.h"
#include "backbones/safetensors.h"

namespace fewatoms {

/// Whose names a file of PyTorch's tensors has.
std::vector<std::string> torch_sources();

/// The backbone, width and channels of such a file, from the shapes in it; the rest of the options as in `options`.
/// Throws UsageError on an unknown source; DataError, naming what was looked for, if the file has not its names.
NetworkOptions network_of_torch(const SafeTensors& file, const std::string& where, const std::string& source,
                                NetworkOptions options);

struct TorchImport {
  ParameterSet parameters;             // the network's, with the body of the file
  std::string names;                   // which convention was found, "closerlook"
  int taken = 0;                       // tensors of the file that are in `parameters`
  std::vector<std::string> dropped;    // understood, and without effect: counters, copies, statistics that the network
                                       // does not keep, and biases in front of a norm (which running means absorb)
  std::vector<std::string> left_over;  // not understood: a classifier, as a rule
};

/// `initial`, the parameters of a network of standard convolutions on `backbone`, with the body of a file. Kernels
/// [out, in, k, k] and norms have PyTorch's layouts. Throws DataError if tensors of the body are missing, naming them,
/// or have other shapes.
TorchImport import_torch(const SafeTensors& file, const std::string& where, const std::string& source,
                         const Backbone& backbone, const ParameterSet& initial);

}  // namespace fewatoms
