#include <dualtape/core/files/crc32c.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace dualtape::detail;

TEST_CASE("checksums are those that are published") {
  // The check value of CRC catalogues, and the examples of RFC 3720, appendix B.4.
  CHECK(crc32c("123456789") == 0xE3069283U);
  CHECK(crc32c("") == 0);
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAU);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62A8AB43U);
  std::string up;
  std::string down;
  for (char byte = 0; byte < 32; ++byte) {
    up += byte;
    down += static_cast<char>(31 - byte);
  }
  CHECK(crc32c(up) == 0x46DD794EU);
  CHECK(crc32c(down) == 0x113FDB5CU);
  CHECK(crc32c("a") == 0xC1D04330U);
  CHECK(hex8(0xE3069283U) == "e3069283");
  CHECK(hex8(0x1AU) == "0000001a");
}

TEST_CASE("a checksum of parts is that of the whole, however it is cut") {
  std::string text;
  for (int i = 0; i < 100; ++i) text += static_cast<char>(i * 37);
  const auto bytes = std::as_bytes(std::span(text));
  for (std::size_t cut = 0; cut <= text.size(); ++cut)
    CHECK(crc32c(bytes.subspan(cut), crc32c(bytes.first(cut))) == crc32c(text));
}

TEST_CASE("every single bit and every pair of them changes the checksum") {
  std::string text = "sixteen bytes...";
  const std::uint32_t whole = crc32c(text);
  const auto flip = [&](std::size_t bit) {
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ 1 << bit % 8);
  };
  for (std::size_t a = 0; a < 8 * text.size(); ++a) {
    flip(a);
    CHECK(crc32c(text) != whole);
    for (std::size_t b = 0; b < a; ++b) {
      flip(b);
      CHECK(crc32c(text) != whole);
      flip(b);
    }
    flip(a);
  }
}
