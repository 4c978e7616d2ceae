#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "datasets/decoders.h"
#include "datasets/image_header.h"

namespace fewatoms {
namespace {

constexpr tmsize_t kMostMemory = tmsize_t{1} << 30;  // bytes of a strip or tile

/// The file in memory, and the first complaints of libtiff.
struct Input {
  std::string_view bytes;
  uint64_t at = 0;
  std::string error = {}, warning = {};
};

Input& of(thandle_t handle) { return *static_cast<Input*>(handle); }

tmsize_t read(thandle_t handle, void* to, tmsize_t count) {
  Input& input = of(handle);
  const uint64_t left = input.at < input.bytes.size() ? input.bytes.size() - input.at : 0;
  const uint64_t given = std::min(left, static_cast<uint64_t>(std::max<tmsize_t>(count, 0)));
  if (given > 0) std::memcpy(to, input.bytes.data() + input.at, given);
  input.at += given;
  return static_cast<tmsize_t>(given);
}

tmsize_t write_nothing(thandle_t, void*, tmsize_t) { return 0; }

toff_t seek(thandle_t handle, toff_t to, int from) {
  Input& input = of(handle);
  input.at = from == SEEK_SET ? to : from == SEEK_CUR ? input.at + to : input.bytes.size() + to;
  return input.at;
}

int close_nothing(thandle_t) { return 0; }

toff_t size_of(thandle_t handle) { return of(handle).bytes.size(); }

std::string text_of(const char* format, va_list arguments) {
  char text[200];
  std::vsnprintf(text, sizeof text, format, arguments);
  return text;
}

int on_error(TIFF*, void* input, const char*, const char* format, va_list arguments) {
  std::string& error = static_cast<Input*>(input)->error;
  if (error.empty()) error = text_of(format, arguments);
  return 1;  // nothing is printed
}

/// Only what libtiff says of the structure is damage: tags of programs it does not know are none.
int on_warning(TIFF*, void* input, const char*, const char* format, va_list arguments) {
  const std::string said = text_of(format, arguments);
  std::string& warning = static_cast<Input*>(input)->warning;
  if (warning.empty() && said.find("Bogus") != std::string::npos) warning = said;
  return 1;
}

/// The samples of a picture of 16 bits as they are. False if it is not grey or RGB with at most one more channel.
bool read_16_bits(TIFF* tiff, int width, int height, cv::Mat& pixels) {
  uint16_t samples = 1, kind = 0, layout = PLANARCONFIG_CONTIG;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
  TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &kind);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &layout);
  const int colours = kind == PHOTOMETRIC_RGB ? 3 : 1;
  if (kind != PHOTOMETRIC_RGB && kind != PHOTOMETRIC_MINISBLACK && kind != PHOTOMETRIC_MINISWHITE) return false;
  if (samples < colours || samples > colours + 1) return false;
  pixels = cv::Mat(height, width, CV_16UC(samples), cv::Scalar::all(0));
  const bool tiled = TIFFIsTiled(tiff) != 0, planes = layout == PLANARCONFIG_SEPARATE;
  uint32_t part_width = static_cast<uint32_t>(width), part_height = static_cast<uint32_t>(height);
  TIFFGetFieldDefaulted(tiff, tiled ? TIFFTAG_TILELENGTH : TIFFTAG_ROWSPERSTRIP, &part_height);
  if (tiled) TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &part_width);
  part_height = std::min(part_height, static_cast<uint32_t>(tiled ? 1 << 16 : height));
  const tmsize_t bytes = tiled ? TIFFTileSize(tiff) : TIFFStripSize(tiff);
  const uint32_t step = planes ? 1 : samples;  // samples of a pixel that lie together
  if (bytes > kMostMemory || part_width < 1 || part_height < 1 || part_width > (1 << 16) || bytes < 1 ||
      static_cast<uint64_t>(bytes) < uint64_t{2} * step * part_width * part_height)
    return false;
  std::vector<uint16_t> part(static_cast<size_t>(bytes + 1) / 2);
  for (uint16_t plane = 0; plane < (planes ? samples : 1); ++plane)
    for (uint32_t top = 0; top < static_cast<uint32_t>(height); top += part_height)
      for (uint32_t left = 0; left < static_cast<uint32_t>(width); left += part_width) {
        std::fill(part.begin(), part.end(), uint16_t{0});
        if (tiled)
          TIFFReadEncodedTile(tiff, TIFFComputeTile(tiff, left, top, 0, plane), part.data(), bytes);
        else
          TIFFReadEncodedStrip(tiff, TIFFComputeStrip(tiff, top, plane), part.data(), bytes);
        for (uint32_t y = 0; y < part_height && top + y < static_cast<uint32_t>(height); ++y)
          for (uint32_t x = 0; x < part_width && left + x < static_cast<uint32_t>(width); ++x)
            for (uint32_t s = 0; s < step; ++s)
              pixels.ptr<uint16_t>(static_cast<int>(top + y))[(left + x) * samples + plane + s] =
                  part[(static_cast<size_t>(y) * part_width + x) * step + s];
      }
  if (kind == PHOTOMETRIC_MINISWHITE)
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x) {
        uint16_t& value = pixels.ptr<uint16_t>(y)[x * samples];
        value = static_cast<uint16_t>(65535 - value);
      }
  return true;
}

/// Any other kind, as libtiff makes eight bits of it.
void read_8_bits(TIFF* tiff, int width, int height, cv::Mat& pixels) {
  std::vector<uint32_t> raster(static_cast<size_t>(width) * static_cast<size_t>(height));
  TIFFReadRGBAImageOriented(tiff, static_cast<uint32_t>(width), static_cast<uint32_t>(height), raster.data(),
                            ORIENTATION_TOPLEFT, 0);
  uint16_t extra = 0, *kinds = nullptr, samples = 1, kind = 0;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_EXTRASAMPLES, &extra, &kinds);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
  TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &kind);
  const bool alpha = extra > 0 && kinds != nullptr && kinds[0] != EXTRASAMPLE_UNSPECIFIED;
  pixels.create(height, width, alpha ? CV_8UC4 : CV_8UC3);
  const int channels = pixels.channels();
  for (int y = 0; y < height; ++y) {
    uint8_t* to = pixels.ptr(y);
    for (int x = 0; x < width; ++x, to += channels) {
      const uint32_t value = raster[static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)];
      to[0] = static_cast<uint8_t>(TIFFGetR(value));
      to[1] = static_cast<uint8_t>(TIFFGetG(value));
      to[2] = static_cast<uint8_t>(TIFFGetB(value));
      if (alpha) to[3] = static_cast<uint8_t>(TIFFGetA(value));
    }
  }
}

}  // namespace

StoredPicture decode_tiff(std::string_view bytes, const std::string& name) {
  Input input{.bytes = bytes};
  const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(),
                                                                             TIFFOpenOptionsFree);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), on_error, &input);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), on_warning, &input);
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), kMostMemory);
  const std::unique_ptr<TIFF, void (*)(TIFF*)> tiff(
      TIFFClientOpenExt("image", "rm", &input, read, write_nothing, seek, close_nothing, size_of, nullptr, nullptr,
                        options.get()),
      TIFFClose);
  if (!tiff) cannot_decode(name, input.error);
  uint32_t width = 0, height = 0;
  uint16_t bits = 1, format = SAMPLEFORMAT_UINT;
  TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &width);
  TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &height);
  require_possible_size(width, height, name);
  TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_BITSPERSAMPLE, &bits);
  TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_SAMPLEFORMAT, &format);
  if (bits > 16 || (format != SAMPLEFORMAT_UINT && format != SAMPLEFORMAT_VOID))
    cannot_decode(name, "it has values that are not of 8 or 16 bits");
  TIFFSetField(tiff.get(), TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);  // turning is for the caller
  const int w = static_cast<int>(width), h = static_cast<int>(height);
  char refused[1024] = "";
  StoredPicture picture;
  if (bits != 16 || !read_16_bits(tiff.get(), w, h, picture.pixels)) {
    if (TIFFRGBAImageOK(tiff.get(), refused) == 0) cannot_decode(name, refused);
    read_8_bits(tiff.get(), w, h, picture.pixels);
    picture.premultiplied = picture.pixels.channels() == 4;
  } else if (picture.pixels.channels() % 2 == 0) {
    uint16_t extra = 0, *kinds = nullptr;
    TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_EXTRASAMPLES, &extra, &kinds);
    picture.premultiplied = extra > 0 && kinds != nullptr && kinds[0] == EXTRASAMPLE_ASSOCALPHA;
  }
  if (input.error.starts_with("Read error")) cannot_decode(name, input.error);  // it is cut off
  picture.damage = input.error.empty() ? input.warning : input.error;
  return picture;
}

}  // namespace fewatoms
