#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <torch/types.h>

namespace fewatoms {

/// Contents of a safetensors file: named tensors and free text.
/// Format: u64 little-endian header length, JSON header, raw little-endian data.
struct SafeTensors {
  std::map<std::string, torch::Tensor> tensors;  // of the types that PyTorch 1.13 has; BOOL is read as uint8
  std::map<std::string, std::string> metadata;
};

/// Writes to a temporary name beside `path`, flushes to disk, renames and flushes the folder, so that `path` is always
/// whole: the old file or the new one. Throws UsageError if the folder is not there or may not be written to, DataError
/// if the disk is full or fails.
void write_safetensors(const std::filesystem::path& path, const SafeTensors& contents);

/// Reads a whole file. Throws UsageError if it is not there; DataError, naming the file and what is wrong, if the
/// header is longer than the file or 100 MB, is not JSON, names a tensor twice, or one whose type, shape and offsets do
/// not agree with the data, or if the tensors overlap or leave bytes of the data out.
SafeTensors read_safetensors(const std::filesystem::path& path);

/// The free text of a file alone: its header is read, its data are not. Throws as read_safetensors does on a bad
/// header.
std::map<std::string, std::string> read_safetensors_metadata(const std::filesystem::path& path);

/// Writes `text` the same way: whole or not at all.
void write_file_atomically(const std::filesystem::path& path, const std::string& text);

}  // namespace fewatoms
