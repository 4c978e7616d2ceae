#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fewatoms {

/// What an image file tells without being decoded.
struct ImageHeader {
  std::string format;             // "JPEG", "PNG", "HEIC", ...; empty: none that is known by its first bytes
  int64_t width = 0, height = 0;  // of the stored picture; 0: not told
  int orientation = 1;            // of the camera's tag, 1 (upright) to 8
};

/// The kinds of image files that are read, for messages.
extern const char* const kImageKinds;

/// Looks at an image file: its first bytes, where its parts lie and, with `checksums` (which touches all of it), those
/// of its parts. Throws DataError, naming `name`: empty, a web page or another thing that is no image, a JPEG or PNG
/// that is cut off, no pixels at all, more than 32,768 on a side or 2^28 in all.
ImageHeader image_header(std::string_view bytes, const std::string& name, bool checksums = false);

/// Throws DataError, as image_header, on such a size.
void require_possible_size(int64_t width, int64_t height, const std::string& name);

}  // namespace fewatoms
