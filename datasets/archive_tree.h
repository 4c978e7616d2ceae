#pragma once

#include <string>

#include "datasets/file_tree.h"

namespace fewatoms {

/// By the end of the name: .zip, or .tar with or without .gz (.tgz), .bz2 (.tbz, .tbz2), .xz (.txz) or .zst, in any
/// case.
bool has_archive_extension(const std::string& name);

/// The files of an archive. What the archive stores uncompressed stays where it is; the rest goes into an unnamed
/// temporary file, so memory holds the index alone. `name` is for messages. Names that do not say their encoding are in
/// `name_encoding` (open_file_tree). Throws DataError: damaged or truncated, encrypted, entries or links that leave the
/// archive, links to what is not there, more than 100 times its size unpacked.
FileTreePtr open_archive(FileBytes archive, const std::string& name, const std::string& name_encoding = {});

}  // namespace fewatoms
