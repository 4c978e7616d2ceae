#pragma once

#include <string>
#include <vector>

#include "datasets/file_source.h"
#include "datasets/reading_notes.h"

namespace fewatoms {

/// One class per folder directly under `folder`, sorted by name, with the images in it at any depth: folders whose
/// names differ by spaces at the ends are one class. Throws DataError on a folder without images.
std::vector<FileClass> find_class_folders(const FileTree& tree, const std::string& folder, ReadingNotes& notes);

/// The class of one folder: its images, then those of the folders in it, each by file name, with their paths in the
/// tree. Throws DataError if there are none.
FileClass read_class_folder(const FileTree& tree, const std::string& folder, const std::string& name,
                            ReadingNotes& notes);

/// Images in a folder at any depth, as read_class_folder has them; maybe none.
std::vector<FileImage> images_in(const FileTree& tree, const std::string& folder, ReadingNotes& notes);

/// Whether images lie directly in a folder.
bool holds_images(const FolderListing& listing);

/// Whether a folder has a folder with images in it, at most two levels down.
bool holds_class_folders(const FileTree& tree, const std::string& folder);

}  // namespace fewatoms
