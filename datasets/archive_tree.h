#pragma once

#include <string>

#include "datasets/file_tree.h"

namespace fewatoms {

/// By the end of the name: .tar, .tar.gz, .tgz or .zip, in any case.
bool has_archive_extension(const std::string& name);

/// The files of an archive. What the archive stores uncompressed stays where it is; the rest goes into an unnamed
/// temporary file, so memory holds the index alone. `name` is for messages. Throws DataError: damaged or truncated,
/// encrypted, entries that leave the archive, more than 100 times its size unpacked.
FileTreePtr open_archive(FileBytes archive, const std::string& name);

}  // namespace fewatoms
