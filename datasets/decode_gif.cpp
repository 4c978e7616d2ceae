#include <gif_lib.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "datasets/decoders.h"
#include "datasets/image_header.h"

namespace fewatoms {
namespace {

int read(GifFileType* gif, GifByteType* to, int count) {
  auto* rest = static_cast<std::string_view*>(gif->UserData);
  const size_t given = std::min(rest->size(), static_cast<size_t>(std::max(count, 0)));
  std::memcpy(to, rest->data(), given);
  rest->remove_prefix(given);
  return static_cast<int>(given);
}

[[noreturn]] void fail(const std::string& name, int error) {
  const char* text = GifErrorString(error);
  cannot_decode(name, text != nullptr ? text : "it is damaged");
}

/// The lines of the frame that was announced, put where they belong on the canvas (RGB and alpha).
void read_frame(GifFileType* gif, int transparent, const std::string& name, cv::Mat& canvas) {
  const GifImageDesc& frame = gif->Image;
  const ColorMapObject* colours = frame.ColorMap != nullptr ? frame.ColorMap : gif->SColorMap;
  if (colours == nullptr) cannot_decode(name, "it has no colours");
  require_possible_size(frame.Width, frame.Height, name);
  std::vector<GifPixelType> line(static_cast<size_t>(frame.Width));
  static constexpr int kStarts[] = {0, 4, 2, 1}, kSteps[] = {8, 8, 4, 2};  // of the four passes of an interlaced one
  for (int pass = 0; pass < (frame.Interlace ? 4 : 1); ++pass)
    for (int y = frame.Interlace ? kStarts[pass] : 0; y < frame.Height; y += frame.Interlace ? kSteps[pass] : 1) {
      if (DGifGetLine(gif, line.data(), frame.Width) != GIF_OK) fail(name, gif->Error);
      if (frame.Top + y < 0 || frame.Top + y >= canvas.rows) continue;
      for (int x = 0; x < frame.Width; ++x) {
        if (frame.Left + x < 0 || frame.Left + x >= canvas.cols) continue;
        const int index = line[static_cast<size_t>(x)];
        if (index == transparent) continue;
        if (index >= colours->ColorCount) cannot_decode(name, "it uses a colour that its table does not have");
        const GifColorType& c = colours->Colors[index];
        canvas.at<cv::Vec4b>(frame.Top + y, frame.Left + x) = cv::Vec4b(c.Red, c.Green, c.Blue, 255);
      }
    }
}

}  // namespace

StoredPicture decode_gif(std::string_view bytes, const std::string& name) {
  int error = 0;
  const std::unique_ptr<GifFileType, void (*)(GifFileType*)> gif(
      DGifOpen(&bytes, read, &error), [](GifFileType* opened) { DGifCloseFile(opened, nullptr); });
  if (!gif) fail(name, error);
  int transparent = NO_TRANSPARENT_COLOR;
  while (true) {
    GifRecordType record = UNDEFINED_RECORD_TYPE;
    if (DGifGetRecordType(gif.get(), &record) != GIF_OK) fail(name, gif->Error);
    if (record == IMAGE_DESC_RECORD_TYPE) break;
    if (record == TERMINATE_RECORD_TYPE) cannot_decode(name, "it holds no picture");
    int code = 0;
    GifByteType* block = nullptr;
    if (DGifGetExtension(gif.get(), &code, &block) != GIF_OK) fail(name, gif->Error);
    GraphicsControlBlock control{};
    if (code == GRAPHICS_EXT_FUNC_CODE && block != nullptr &&
        DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK)
      transparent = control.TransparentColor;
    while (block != nullptr)
      if (DGifGetExtensionNext(gif.get(), &block) != GIF_OK) fail(name, gif->Error);
  }
  if (DGifGetImageDesc(gif.get()) != GIF_OK) fail(name, gif->Error);
  const int width = gif->SWidth > 0 ? gif->SWidth : gif->Image.Width;
  const int height = gif->SHeight > 0 ? gif->SHeight : gif->Image.Height;
  require_possible_size(width, height, name);
  StoredPicture picture;
  picture.pixels = cv::Mat(height, width, CV_8UC4, cv::Scalar::all(0));
  read_frame(gif.get(), transparent, name, picture.pixels);
  return picture;
}

}  // namespace fewatoms
