#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace fewatoms {

/// SHA-256 of what is added, piece by piece.
class Sha256 {
 public:
  Sha256();
  void add(std::string_view bytes);
  /// As 64 hexadecimal digits. Ends the computation.
  std::string digits();

 private:
  std::shared_ptr<void> context_;
};

/// Two hexadecimal digits for each byte.
std::string hex_digits(std::span<const uint8_t> bytes);

/// Of zip and PNG files.
uint32_t crc32_of(std::string_view bytes);

}  // namespace fewatoms
