#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "meta/adapter.h"

namespace fewatoms {

/// A network written out as TorchScript: what torch.jit.load opens (docs/export.md).
struct TorchScript {
  std::string source;                     // of the methods `embed` and `forward`
  std::map<std::string, Tensor> tensors;  // that the source names, "block1.conv.weight" for self.block1.conv.weight
  std::vector<std::string> statistics;    // those of them that are buffers, not weights
  std::vector<std::string> classes;  // of the answer's columns; empty: they have no names, or the answer is features
  // How pictures become its input; the last two are the caller's to fill in.
  int image_size = 0, channels = 0;  // pixels of a side
  int resize = 0;                    // pictures are resized to this square, of which the centre is taken
  std::string pixel_norm = "unit";
};

/// The network of a run. `embed` gives the features [n, d] that the head sees of images [n, channels, size, size] whose
/// pixels are prepared as the run's pixel-norm says; `forward` gives the scores [n, ways] of a head whose class weights
/// are meta-learned, before any task has changed them, and otherwise those features. Norms that normalise by batch do
/// so by the images of each call.
TorchScript torch_script(const Learner& learner, const ParameterSet& parameters);

/// The network that a task made of it: `forward` gives scores [n, classes] whose softmax are TaskClassifier's
/// probabilities, each image on its own. Throws as TaskClassifier does.
TorchScript torch_script(const Learner& learner, const ParameterSet& parameters, const Adapter& adapter,
                         const std::string& where);

/// Writes a TorchScript file, whole or not at all. `classes` and how pictures become input are attributes of the
/// module.
void save_torch_script(const std::filesystem::path& path, const TorchScript& script);

}  // namespace fewatoms
