#include <algorithm>
#include <dualtape/core/error.hpp>
#include <dualtape/core/shape.hpp>
#include <limits>

namespace dualtape {
namespace {

std::string join(std::span<const std::int64_t> sizes) {
  std::string text = "(";
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(sizes[i]);
  }
  text += sizes.size() == 1 ? ",)" : ")";
  return text;
}

// Sizes of 0 are left out of the product: what remains then bounds every stride, too. The limit
// leaves room for eight bytes an element, so that a count of bytes never overflows either.
void check_sizes(std::span<const std::int64_t> sizes, Location where) {
  constexpr std::int64_t limit = std::numeric_limits<std::int64_t>::max() / 8;
  constexpr std::size_t most_axes = 1024;  // so that code that recurses over axes is safe
  if (sizes.size() > most_axes)
    fail<SizeError>({.op = "Shape",
                     .what = "a tensor cannot have " + std::to_string(sizes.size()) +
                             " axes, the limit is " + std::to_string(most_axes),
                     .where = where});
  std::int64_t product = 1;
  for (const std::int64_t size : sizes) {
    if (size < 0) {
      fail<ShapeError>({.op = "Shape",
                        .what = "negative size " + std::to_string(size) + " in " + join(sizes),
                        .where = where,
                        .help = "sizes of 0 or more; only reshape() takes a -1"});
    }
    if (size == 0) continue;
    if (product > limit / size) {
      fail<SizeError>({.op = "Shape",
                       .what = "too many elements in " + join(sizes) + ", the limit is " +
                               std::to_string(limit) + ", of up to 8 bytes each",
                       .where = where});
    }
    product *= size;
  }
}

}  // namespace

Shape::Shape(std::initializer_list<std::int64_t> sizes, Location where)
    : Shape(std::span<const std::int64_t>(sizes.begin(), sizes.size()), where) {}

Shape::Shape(std::span<const std::int64_t> sizes, Location where) {
  check_sizes(sizes, where);
  assign(sizes);
}

Shape::Shape(const std::vector<std::int64_t>& sizes, Location where)
    : Shape(std::span<const std::int64_t>(sizes), where) {}

Shape::Shape(const Shape& other) { assign(other.sizes()); }

Shape::Shape(Shape&& other) noexcept
    : inline_(other.inline_), heap_(std::move(other.heap_)), rank_(other.rank_) {
  other.rank_ = 0;
}

Shape& Shape::operator=(const Shape& other) {
  if (this != &other) assign(other.sizes());
  return *this;
}

Shape& Shape::operator=(Shape&& other) noexcept {
  if (this != &other) {
    inline_ = other.inline_;
    heap_ = std::move(other.heap_);
    rank_ = other.rank_;
    other.rank_ = 0;
  }
  return *this;
}

// `sizes` must not lie inside this object.
void Shape::assign(std::span<const std::int64_t> sizes) {
  if (sizes.size() > inline_rank) {
    auto heap = std::make_unique<std::int64_t[]>(sizes.size());
    std::copy(sizes.begin(), sizes.end(), heap.get());
    heap_ = std::move(heap);
  } else {
    heap_.reset();
    std::copy(sizes.begin(), sizes.end(), inline_.begin());
  }
  rank_ = static_cast<std::uint32_t>(sizes.size());
}

std::int64_t Shape::count() const {
  std::int64_t product = 1;
  for (const std::int64_t size : sizes()) {
    if (size == 0) return 0;
    product *= size;
  }
  return product;
}

bool operator==(const Shape& a, const Shape& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

std::string to_string(const Shape& shape) { return join(shape.sizes()); }

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << to_string(shape); }

void Shape::refuse_axis(std::size_t axis) const {
  fail<ShapeError>({.op = "Shape",
                    .what = "axis " + std::to_string(static_cast<std::int64_t>(axis)) + " of " +
                            to_string(*this) + " is asked for, which has " + std::to_string(rank_) +
                            " axes",
                    .help = "axes count from 0; the last one's size is shape.back()"});
}

Broadcast broadcast(const Shape& a, const Shape& b) {
  if (a == b) return {a, true};
  const std::size_t rank = std::max(a.rank(), b.rank());
  std::vector<std::int64_t> sizes(rank);
  for (std::size_t back = 1; back <= rank; ++back) {
    const std::int64_t of_a = back <= a.rank() ? a[a.rank() - back] : 1;
    const std::int64_t of_b = back <= b.rank() ? b[b.rank() - back] : 1;
    if (of_a != of_b && of_a != 1 && of_b != 1) return {};
    sizes[rank - back] = of_a == 1 ? of_b : of_a;
  }
  return {Shape(sizes), true};
}

std::string to_string(const Type& type) {
  return std::string(name_of(type.dtype)) + " " + to_string(type.shape);
}
std::ostream& operator<<(std::ostream& out, const Type& type) { return out << to_string(type); }

}  // namespace dualtape
