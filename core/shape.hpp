// Shape: the sizes of a tensor, outermost first; rank 0 is a scalar, a size may be 0.
// A plain value: ranks up to 4 live inside the object, higher ones on the heap.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include <dualtape/core/dtype.hpp>
#include <dualtape/core/error.hpp>

namespace dualtape {

class Shape {
 public:
  Shape() = default;  // rank 0
  // Throws ShapeError if a size is negative or the element count overflows, or for more than 1024
  // sizes.
  Shape(std::initializer_list<std::int64_t> sizes, Location where = Location::current());
  explicit Shape(std::span<const std::int64_t> sizes, Location where = Location::current());
  explicit Shape(const std::vector<std::int64_t>& sizes, Location where = Location::current());
  Shape(const Shape& other);
  Shape(Shape&& other) noexcept;
  Shape& operator=(const Shape& other);
  Shape& operator=(Shape&& other) noexcept;
  ~Shape() = default;

  std::size_t rank() const { return rank_; }
  bool empty_rank() const { return rank_ == 0; }
  // ShapeError for an axis that is not there; none counts from the end.
  std::int64_t operator[](std::size_t axis) const {
    if (axis >= rank_) refuse_axis(axis);
    return data()[axis];
  }
  const std::int64_t* begin() const { return data(); }
  const std::int64_t* end() const { return data() + rank_; }
  std::int64_t back() const { return (*this)[std::size_t{rank_} - 1]; }  // of the last axis
  std::span<const std::int64_t> sizes() const { return {data(), rank_}; }
  std::vector<std::int64_t> vector() const { return {begin(), end()}; }

  std::int64_t count() const;  // number of elements; 1 for rank 0

  friend bool operator==(const Shape& a, const Shape& b);

 private:
  static constexpr std::size_t inline_rank = 4;
  const std::int64_t* data() const { return rank_ <= inline_rank ? inline_.data() : heap_.get(); }
  void assign(std::span<const std::int64_t> sizes);
  [[noreturn]] void refuse_axis(std::size_t axis) const;

  std::array<std::int64_t, inline_rank> inline_{};
  std::unique_ptr<std::int64_t[]> heap_;
  std::uint32_t rank_ = 0;
};

std::string to_string(const Shape& shape);  // "(64, 784)", "(3,)", "()" as in Python
std::ostream& operator<<(std::ostream& out, const Shape& shape);

// The shape two operands broadcast to by NumPy's rules; `ok` is false where they do not.
struct Broadcast {
  Shape shape;
  bool ok = false;
};
Broadcast broadcast(const Shape& a, const Shape& b);

// What is known of a value before it is computed.
struct Type {
  Shape shape;
  DType dtype = DType::float32;
  friend bool operator==(const Type&, const Type&) = default;
};
std::string to_string(const Type& type);  // "float32 (64, 784)"
std::ostream& operator<<(std::ostream& out, const Type& type);
inline std::size_t bytes_of(const Type& type) {
  return static_cast<std::size_t>(type.shape.count()) * size_of(type.dtype);
}

}  // namespace dualtape
