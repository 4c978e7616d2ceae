#include <libheif/heif.h>

#include <cstring>
#include <memory>

#include "datasets/decoders.h"
#include "datasets/image_header.h"

namespace fewatoms {
namespace {

template <class T, class Release>
std::unique_ptr<T, Release> owned(T* what, Release release) {
  return {what, release};
}

void require_done(const heif_error& error, const std::string& name) {
  if (error.code == heif_error_Ok) return;
  const std::string reason = error.message != nullptr ? error.message : "no reason given";
  if (error.code == heif_error_Unsupported_filetype || error.code == heif_error_Unsupported_feature)
    cannot_decode(name, reason +
                            " (libheif needs a decoder for it: Debian 13 has them in the packages "
                            "libheif-plugin-libde265 and libheif-plugin-dav1d)");
  cannot_decode(name, reason);
}

}  // namespace

StoredPicture decode_heif(std::string_view bytes, const std::string& name) {
  const auto context = owned(heif_context_alloc(), heif_context_free);
  heif_context_set_max_decoding_threads(context.get(), 0);  // pictures are decoded in parallel already
  require_done(heif_context_read_from_memory_without_copy(context.get(), bytes.data(), bytes.size(), nullptr), name);
  heif_image_handle* found = nullptr;
  require_done(heif_context_get_primary_image_handle(context.get(), &found), name);
  const auto handle = owned(found, heif_image_handle_release);
  require_possible_size(heif_image_handle_get_width(found), heif_image_handle_get_height(found), name);
  const bool alpha = heif_image_handle_has_alpha_channel(found) != 0;
  heif_image* decoded = nullptr;
  require_done(heif_decode_image(found, &decoded, heif_colorspace_RGB,
                                 alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB, nullptr),
               name);
  const auto image = owned(decoded, heif_image_release);
  int step = 0;
  const uint8_t* from = heif_image_get_plane_readonly(decoded, heif_channel_interleaved, &step);
  const int width = heif_image_get_width(decoded, heif_channel_interleaved),
            height = heif_image_get_height(decoded, heif_channel_interleaved);
  require_possible_size(width, height, name);
  if (from == nullptr) cannot_decode(name, "it has no pixels");
  StoredPicture picture;
  picture.premultiplied = alpha && heif_image_handle_is_premultiplied_alpha(found) != 0;
  picture.pixels.create(height, width, alpha ? CV_8UC4 : CV_8UC3);
  for (int y = 0; y < height; ++y)
    std::memcpy(picture.pixels.ptr(y), from + static_cast<ptrdiff_t>(y) * step,
                static_cast<size_t>(width) * picture.pixels.elemSize());
  heif_error warning{};
  if (heif_image_get_decoding_warnings(decoded, 0, &warning, 1) > 0)
    picture.damage = warning.message != nullptr ? warning.message : "the decoder warned of it";
  return picture;
}

}  // namespace fewatoms
