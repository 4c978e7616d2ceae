#include <png.h>

#include <bit>
#include <cctype>
#include <csetjmp>
#include <cstring>
#include <vector>

#include "datasets/decoders.h"

namespace fewatoms {
namespace {

struct Input {
  std::string_view rest;
  char error[160] = "", warning[160] = "";
};

template <size_t N>
void keep(char (&into)[N], const char* text) {
  if (into[0] == '\0') std::strncpy(into, text, N - 1);
}

void read(png_structp png, png_bytep to, size_t count) {
  auto* input = static_cast<Input*>(png_get_io_ptr(png));
  if (count > input->rest.size()) png_error(png, "the file ends too early");
  std::memcpy(to, input->rest.data(), count);
  input->rest.remove_prefix(count);
}

[[noreturn]] void on_error(png_structp png, png_const_charp text) {
  keep(static_cast<Input*>(png_get_error_ptr(png))->error, text);
  png_longjmp(png, 1);
}

/// Of chunks that pixels do not depend on, as colour profiles (whose names start in lower case), faults do not matter.
void on_warning(png_structp png, png_const_charp text) {
  const bool of_chunk = std::strlen(text) > 5 && text[4] == ':';
  if (of_chunk && std::islower(static_cast<unsigned char>(text[0])) != 0 && std::strncmp(text, "tRNS", 4) != 0) return;
  keep(static_cast<Input*>(png_get_error_ptr(png))->warning, text);
}

/// Whether it came to its end. A jump may leave it, so nothing here has a destructor; `rows` is memory of the caller.
bool decode(png_structp png, png_infop info, cv::Mat& pixels, std::vector<png_bytep>& rows) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_read_info(png, info);
  const int bits = png_get_bit_depth(png, info), colour = png_get_color_type(png, info);
  if (bits == 16 && std::endian::native == std::endian::little) png_set_swap(png);
  if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (colour == PNG_COLOR_TYPE_GRAY && bits < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (png_get_valid(png, info, PNG_INFO_tRNS) != 0) png_set_tRNS_to_alpha(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  pixels.create(static_cast<int>(png_get_image_height(png, info)), static_cast<int>(png_get_image_width(png, info)),
                CV_MAKETYPE(png_get_bit_depth(png, info) == 16 ? CV_16U : CV_8U, png_get_channels(png, info)));
  if (png_get_rowbytes(png, info) > pixels.step[0]) png_error(png, "its rows are longer than its header says");
  rows.resize(static_cast<size_t>(pixels.rows));
  for (int y = 0; y < pixels.rows; ++y) rows[static_cast<size_t>(y)] = pixels.ptr(y);
  png_read_image(png, rows.data());
  png_read_end(png, nullptr);
  return true;
}

}  // namespace

StoredPicture decode_png(std::string_view bytes, const std::string& name) {
  Input input{.rest = bytes};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &input, on_error, on_warning);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  StoredPicture picture;
  std::vector<png_bytep> rows;
  bool done = false;
  try {
    if (info != nullptr) {
      png_set_read_fn(png, &input, read);
      done = decode(png, info, picture.pixels, rows);
    }
  } catch (...) {  // no memory for the pixels
    png_destroy_read_struct(&png, &info, nullptr);
    throw;
  }
  png_destroy_read_struct(&png, &info, nullptr);
  if (!done) cannot_decode(name, input.error);
  picture.damage = input.warning;
  return picture;
}

}  // namespace fewatoms
