// clang-format off
#include <cstdio>  // jpeglib.h needs it
#include <jpeglib.h>
// clang-format on

#include <csetjmp>
#include <vector>

#include "datasets/decoders.h"

namespace fewatoms {
namespace {

/// libjpeg's hooks: an error jumps out, the first warning is kept.
struct Hooks {
  jpeg_error_mgr base;  // first, so that libjpeg's pointer to it is one to this
  std::jmp_buf out;
  char error[JMSG_LENGTH_MAX], warning[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr info) {
  auto* hooks = reinterpret_cast<Hooks*>(info->err);
  hooks->base.format_message(info, hooks->error);
  std::longjmp(hooks->out, 1);
}

void on_message(j_common_ptr info, int level) {
  auto* hooks = reinterpret_cast<Hooks*>(info->err);
  if (level < 0 && hooks->warning[0] == '\0') hooks->base.format_message(info, hooks->warning);
}

void print_nothing(j_common_ptr) {}

/// Of OpenCV, which takes all CMYK files as Photoshop writes them: inverted.
void rgb_of_cmyk(const uint8_t* cmyk, uint8_t* rgb, int width) {
  for (int x = 0; x < width; ++x, cmyk += 4, rgb += 3)
    for (int c = 0; c < 3; ++c) rgb[c] = static_cast<uint8_t>(cmyk[3] - ((255 - cmyk[c]) * cmyk[3] >> 8));
}

/// Whether it came to its end. A jump may leave it, so nothing here has a destructor; `row` is memory of the caller.
bool decode(jpeg_decompress_struct& info, Hooks& hooks, std::string_view bytes, int reduction, cv::Mat& pixels,
            std::vector<uint8_t>& row) {
  if (setjmp(hooks.out) != 0) return false;
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&info, TRUE);
  info.scale_num = 1;
  info.scale_denom = static_cast<unsigned>(reduction);
  const bool cmyk = info.num_components == 4, grey = info.num_components == 1;
  info.out_color_space = cmyk ? JCS_CMYK : grey ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(&info);
  const int width = static_cast<int>(info.output_width);
  pixels.create(static_cast<int>(info.output_height), width, grey ? CV_8UC1 : CV_8UC3);
  row.resize(cmyk ? 4 * static_cast<size_t>(width) : 0);
  while (info.output_scanline < info.output_height) {
    uint8_t* to = pixels.ptr(static_cast<int>(info.output_scanline));
    uint8_t* at = cmyk ? row.data() : to;
    jpeg_read_scanlines(&info, &at, 1);
    if (cmyk) rgb_of_cmyk(at, to, width);
  }
  jpeg_finish_decompress(&info);
  return true;
}

}  // namespace

StoredPicture decode_jpeg(std::string_view bytes, const std::string& name, int reduction) {
  Hooks hooks{};
  jpeg_decompress_struct info{};
  info.err = jpeg_std_error(&hooks.base);
  hooks.base.error_exit = on_error;
  hooks.base.emit_message = on_message;
  hooks.base.output_message = print_nothing;
  StoredPicture picture;
  std::vector<uint8_t> row;
  bool done = false;
  try {
    done = decode(info, hooks, bytes, reduction, picture.pixels, row);
  } catch (...) {  // no memory for the pixels
    jpeg_destroy_decompress(&info);
    throw;
  }
  jpeg_destroy_decompress(&info);
  if (!done) cannot_decode(name, hooks.error);
  picture.damage = hooks.warning;
  return picture;
}

}  // namespace fewatoms
