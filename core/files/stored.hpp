// Elements as files store them, of more types than tensors have, and how they become elements of
// tensors: each of the type that holds all their values, so nothing is rounded. Pure functions; any
// thread may call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <dualtape/core/dtype.hpp>

namespace dualtape::detail {

enum class Stored : std::uint8_t { boolean, u8, i8, u16, i16, u32, i32, i64, f16, bf16, f32, f64 };
enum class ByteOrder : std::uint8_t { little, big };

std::size_t width_of(Stored stored);  // bytes of one
// bool; int32 of integers up to 16 bits and of int32; int64 of uint32 and int64; float32 of
// float16, bfloat16 and float32; float64.
DType widened(Stored stored);

// IEEE 754's binary16 and the upper half of binary32, of which float32 holds every value.
float from_float16(std::uint16_t bits);
float from_bfloat16(std::uint16_t bits);

// The elements in `from`, whole ones, into as many of widened(stored) at `to`. A bool is copied as
// it stands: what is neither 0 nor 1 is for the caller to refuse.
void widen(Stored stored, ByteOrder order, std::span<const std::byte> from, std::byte* to);

}  // namespace dualtape::detail
