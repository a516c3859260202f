#include <dualtape/core/tensor.hpp>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <functional>
#include <new>

#include <dualtape/core/base/sole_owner.hpp>
#include <dualtape/core/machine/kernel.hpp>
#include <dualtape/core/tensor/arena.hpp>
#include <dualtape/core/tensor/new_tensor.hpp>

namespace dualtape {
namespace {

using detail::block_alignment;
constexpr std::size_t control_bytes = 64;  // room for the reference counts beside the elements

// What an empty tensor points to: never read, but no null pointer for memcpy and the like.
alignas(block_alignment) std::byte nothing[block_alignment];

// Puts the control block of a shared_ptr into the block that holds the elements, so that a tensor
// takes one allocation; the block goes when the control block does.
template <class T>
struct InBlock {
  using value_type = T;

  InBlock(void* whole, std::size_t bytes_of_block, void* counts)
      : block(whole), bytes(bytes_of_block), control(counts) {}
  template <class U>
  InBlock(const InBlock<U>& other)
      : block(other.block), bytes(other.bytes), control(other.control) {}

  T* allocate([[maybe_unused]] std::size_t count) {
    static_assert(sizeof(T) <= control_bytes);
    static_assert(alignof(T) <= block_alignment);
    assert(count == 1);
    return static_cast<T*>(control);
  }
  void deallocate(T* /*control*/, std::size_t /*count*/) { detail::free_block(block, bytes); }
  template <class U>
  bool operator==(const InBlock<U>& other) const {
    return block == other.block;
  }

  void* block;
  std::size_t bytes;
  void* control;
};

struct KeepBlock {
  void operator()(void* /*elements*/) const {}  // InBlock frees it as a whole
};

[[noreturn]] void refuse_memory(std::string_view function, const Type& type, Location where) {
  fail<MemoryError>({.op = function,
                     .what = "there is no memory for " + to_string(type) + ", " +
                             std::to_string(bytes_of(type)) + " bytes",
                     .where = where});
}

// The counts stand before the elements, but after those that fill huge pages: these begin at such a
// page, as a program's arena and the memory that users map do. 64 bytes further on, each store
// would have the place within its page that a load of such memory has next, which processors take
// for the same address: a fifth of the time of a step that reads the one and writes the other.
std::shared_ptr<void> allocate(const Type& type) {
  const std::size_t bytes = bytes_of(type);
  const std::size_t size = detail::aligned(bytes) + control_bytes;
  void* block = nullptr;
  try {
    block = detail::allocate_block(size);
  } catch (const std::bad_alloc&) {
    refuse_memory("Tensor", type, {});
  }
  const bool large = size >= detail::huge_page_bytes;
  auto* const begin = static_cast<std::byte*>(block);
  std::byte* const control = large ? begin + size - control_bytes : begin;
  std::byte* const elements = large ? begin : begin + control_bytes;
  return {elements, KeepBlock{}, InBlock<std::byte>(block, size, control)};
}

// The index from the front, or ShapeError.
std::int64_t checked_index(std::string_view op, std::int64_t index, std::int64_t size,
                           const Shape& shape, const std::string& axis, Location where) {
  if (index < -size || index >= size) {
    fail<ShapeError>({.op = op,
                      .what = "index " + std::to_string(index) + " is out of range for axis " +
                              axis + " of shape " + to_string(shape),
                      .where = where});
  }
  return index < 0 ? index + size : index;
}

void check_has_axis(std::string_view op, const Shape& shape, Location where) {
  if (shape.rank() == 0) {
    fail<ShapeError>({.op = op,
                      .what = "a tensor of shape () has no first axis",
                      .where = where,
                      .help = "item() for its value, or reshape({1})"});
  }
}

Type checked(Type type, Location where) {
  detail::check_dtype("Tensor", type.dtype, where);
  return type;
}

Shape without_first(const Shape& shape) { return Shape(shape.sizes().subspan(1)); }

Shape with_first(const Shape& shape, std::int64_t size) {
  std::vector<std::int64_t> sizes = shape.vector();
  sizes.front() = size;
  return Shape(sizes);
}

[[noreturn]] void fail_reshape(const Shape& from, const std::string& to, std::string help,
                               Location where) {
  fail<ShapeError>({.op = "reshape",
                    .what = "a tensor of shape " + to_string(from) + ", " +
                            std::to_string(from.count()) + " elements, does not fit " + to,
                    .where = where,
                    .help = std::move(help)});
}

// The sizes with the one -1 worked out.
Shape resolve_sizes(const Shape& from, std::span<const std::int64_t> sizes, Location where) {
  std::vector<std::int64_t> found(sizes.begin(), sizes.end());
  const auto open = std::find(found.begin(), found.end(), -1);
  if (open == found.end()) return Shape(found, where);
  if (std::find(open + 1, found.end(), -1) != found.end()) {
    fail<ShapeError>({.op = "reshape", .what = "more than one size is -1", .where = where});
  }
  *open = 1;
  const Shape rest(found, where);
  if (rest.count() == 0 || from.count() % rest.count() != 0) {
    fail_reshape(from, "a -1 beside sizes that multiply to " + std::to_string(rest.count()),
                 "known sizes whose product divides the count of elements", where);
  }
  *open = from.count() / rest.count();
  return Shape(found, where);
}

}  // namespace

Tensor Tensor::uninitialised(Type type) {
  Tensor made = view(nothing, std::move(type));
  if (const std::size_t bytes = made.bytes(); bytes > 0) {
    made.owner_ = allocate(made.type_);
    made.data_ = made.owner_.get();
  }
  return made;
}

Tensor Tensor::view(void* data, Type type) { return view(nullptr, data, std::move(type)); }

Tensor Tensor::view(std::shared_ptr<void> owner, void* data, Type type) {
  return Tensor(std::move(owner), data, std::move(type));
}

Tensor::Tensor(std::shared_ptr<void> owner, void* data, Type type)
    : owner_(std::move(owner)), data_(data), type_(std::move(type)) {
  if (data_ == nullptr && count() > 0)
    fail<ValueError>({.op = "Tensor::view",
                      .what = "a null pointer cannot hold " + to_string(type_),
                      .help = "give the address of the elements"});
}

Tensor::Tensor() : Tensor(nullptr, nothing, Type{Shape{0}, DType::float32}) {}

void Tensor::swap(Tensor& other) noexcept {
  owner_.swap(other.owner_);
  std::swap(data_, other.data_);
  std::swap(type_, other.type_);
}

Tensor::Tensor(Tensor&& other) noexcept : Tensor() { swap(other); }

Tensor& Tensor::operator=(Tensor&& other) noexcept {
  Tensor taken(std::move(other));
  swap(taken);
  return *this;
}

Tensor::Tensor(Shape shape, DType dtype, Location where)
    : Tensor(uninitialised(checked({std::move(shape), dtype}, where))) {
  std::memset(data_, 0, bytes());
}

Tensor::Tensor(float value) : Tensor(scalar(value)) {}
Tensor::Tensor(double value) : Tensor(scalar(static_cast<float>(value))) {}
Tensor::Tensor(bool value) : Tensor(scalar(value)) {}
Tensor::Tensor(int value) : Tensor(scalar(static_cast<std::int32_t>(value))) {}
Tensor::Tensor(std::int64_t value) : Tensor(scalar(value)) {}

Tensor::Tensor(std::initializer_list<Number> values)
    : Tensor(uninitialised({Shape{static_cast<std::int64_t>(values.size())}, DType::float32})) {
  std::transform(values.begin(), values.end(), data<float>().begin(),
                 [](Number number) { return number.to<float>(); });
}

Tensor::Tensor(std::initializer_list<std::initializer_list<double>> rows)
    : Tensor(of(rows, DType::float32, Location{})) {}

Tensor Tensor::of(std::initializer_list<Number> values, DType dtype, Location where) {
  detail::check_dtype("Tensor::of", dtype, where);
  Tensor made = uninitialised({Shape{static_cast<std::int64_t>(values.size())}, dtype});
  dispatch(dtype, [&]<class T>() {
    std::ranges::transform(values, made.data<T>().begin(),
                           [](const Number& number) { return number.to<T>(); });
  });
  return made;
}

Tensor Tensor::of(std::initializer_list<std::initializer_list<double>> rows, DType dtype,
                  Location where) {
  detail::check_dtype("Tensor::of", dtype, where);
  const std::size_t width = rows.size() == 0 ? 0 : rows.begin()->size();
  Tensor made = uninitialised(
      {Shape{static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(width)}, dtype});
  for (const auto& row : rows)
    if (row.size() != width)
      fail<ShapeError>({.op = "Tensor",
                        .what = "ragged rows: one of " + std::to_string(width) +
                                " elements, one of " + std::to_string(row.size()),
                        .where = where,
                        .help = "rows of equal length"});
  dispatch(dtype, [&]<class T>() {
    T* out = made.data<T>().data();
    for (const auto& row : rows)
      out = std::ranges::transform(row, out, &convert_element<T, double>).out;
  });
  return made;
}

Tensor Tensor::of(std::initializer_list<std::int64_t> values) {
  return from(std::span<const std::int64_t>(values.begin(), values.size()),
              Shape{static_cast<std::int64_t>(values.size())});
}

Tensor Tensor::from_bytes(const void* data, std::size_t count, Type type) {
  if (static_cast<std::size_t>(type.shape.count()) != count) {
    fail<ShapeError>({.op = "Tensor::from",
                      .what = std::to_string(count) + " values do not fit shape " +
                              to_string(type.shape) + ", which takes " +
                              std::to_string(type.shape.count())});
  }
  Tensor made = uninitialised(std::move(type));
  if (count > 0) std::memcpy(made.data_, data, made.bytes());
  return made;
}

std::int64_t Tensor::size(int axis, Location where) const {
  const auto axes = static_cast<std::int64_t>(rank());
  if (axis < -axes || axis >= axes) {
    fail<ShapeError>({.op = "size",
                      .what = "axis " + std::to_string(axis) + " is out of range for shape " +
                              to_string(shape()),
                      .where = where});
  }
  return shape()[static_cast<std::size_t>(axis < 0 ? axis + axes : axis)];
}

void Tensor::refuse_dtype(DType wanted, Location where) const {
  fail<TypeError>({.op = "data",
                   .what = "asked for the elements of a " + to_string(type_) + " tensor as " +
                           std::string(name_of(wanted)),
                   .where = where,
                   .help = "data of " + std::string(name_of(dtype())) + ", or convert with to()"});
}

void Tensor::check_single(Location where) const {
  if (count() != 1) {
    fail<ShapeError>({.op = "item",
                      .what = "a tensor of shape " + to_string(shape()) + " has " +
                              std::to_string(count()) + " elements, not one",
                      .where = where,
                      .help = "at({...}) for one element"});
  }
}

std::size_t Tensor::place_of(std::initializer_list<std::int64_t> index, Location where) const {
  if (index.size() != rank()) {
    fail<ShapeError>({.op = "at",
                      .what = std::to_string(index.size()) + " indices for a tensor of shape " +
                              to_string(shape()),
                      .where = where});
  }
  std::int64_t offset = 0;
  std::size_t axis = 0;
  for (const std::int64_t entry : index) {
    const std::int64_t size = shape()[axis];
    offset = offset * size + checked_index("at", entry, size, shape(), std::to_string(axis), where);
    ++axis;
  }
  return static_cast<std::size_t>(offset);
}

Tensor Tensor::copy(Location where) const {
  Tensor made = detail::new_tensor("copy", type_, where);
  made.assign(*this);
  return made;
}

Tensor Tensor::to(DType wanted, Location where) const {
  if (wanted == dtype()) return *this;
  Tensor made = detail::new_tensor("to", {shape(), wanted}, where);
  dispatch(dtype(), [&]<class From>() {
    dispatch(wanted, [&]<class To>() {
      const std::span<const From> in = data<From>();
      std::transform(in.begin(), in.end(), made.data<To>().begin(),
                     [](From value) { return convert_element<To>(value); });
    });
  });
  return made;
}

Tensor Tensor::reshape(Shape shape, Location where) const {
  if (shape.count() != count()) {
    fail_reshape(type_.shape, to_string(shape) + ", " + std::to_string(shape.count()) + " elements",
                 "", where);
  }
  return view(owner_, data_, {std::move(shape), dtype()});
}

Tensor Tensor::reshape(std::span<const std::int64_t> sizes, Location where) const {
  return reshape(resolve_sizes(shape(), sizes, where), where);
}

Tensor Tensor::row(std::int64_t index, Location where) const {
  check_has_axis("row", shape(), where);
  const std::int64_t from = checked_index("row", index, shape()[0], shape(), "0", where);
  Type type{without_first(shape()), dtype()};
  const std::size_t offset = static_cast<std::size_t>(from) * bytes_of(type);
  return view(owner_, static_cast<std::byte*>(data_) + offset, std::move(type));
}

Tensor Tensor::rows(std::int64_t begin, std::int64_t end, Location where) const {
  check_has_axis("rows", shape(), where);
  const std::int64_t size = shape()[0];
  if (begin < 0 || end < begin || end > size) {
    fail<ShapeError>({.op = "rows",
                      .what = "rows [" + std::to_string(begin) + ", " + std::to_string(end) +
                              ") do not lie in shape " + to_string(shape()),
                      .where = where,
                      .help = "0 <= begin <= end <= " + std::to_string(size)});
  }
  const std::size_t row_bytes = size == 0 ? 0 : bytes() / static_cast<std::size_t>(size);
  return view(owner_, static_cast<std::byte*>(data_) + static_cast<std::size_t>(begin) * row_bytes,
              {with_first(shape(), end - begin), dtype()});
}

void Tensor::fill(Number value) {
  dispatch(dtype(), [&]<class T>() { std::ranges::fill(data<T>(), value.to<T>()); });
}

void Tensor::assign(const Tensor& other, Location where) {
  if (type_.dtype != other.type_.dtype) {
    fail<TypeError>({.op = "assign",
                     .what = "a " + to_string(other.type_) + " tensor does not go into a " +
                             to_string(type_) + " one",
                     .where = where,
                     .help = "convert with to() first"});
  }
  if (!(type_.shape == other.type_.shape)) {
    fail<ShapeError>({.op = "assign",
                      .what = "a " + to_string(other.type_) + " tensor does not go into a " +
                              to_string(type_) + " one",
                      .where = where});
  }
  if (count() > 0) std::memmove(data_, other.data_, bytes());  // views may overlap
}

bool Tensor::alone() const { return detail::sole_owner(owner_); }

bool Tensor::shares_memory_with(const Tensor& other) const {
  return (owner_ != nullptr && owner_ == other.owner_) || overlaps(other);
}

bool Tensor::overlaps(const Tensor& other) const {
  const std::less<> before;  // for pointers into different memory, too
  const auto* mine = static_cast<const std::byte*>(data_);
  const auto* theirs = static_cast<const std::byte*>(other.data_);
  return bytes() > 0 && other.bytes() > 0 && before(mine, theirs + other.bytes()) &&
         before(theirs, mine + bytes());
}

Tensor detail::new_tensor(std::string_view function, Type type, Location where) {
  check_dtype(function, type.dtype, where);
  try {
    return Tensor::uninitialised(type);
  } catch (const MemoryError&) {
    refuse_memory(function, type, where);
  }
}

Tensor zeros(Shape shape, DType dtype, Location where) {
  Tensor made = detail::new_tensor("zeros", {std::move(shape), dtype}, where);
  std::memset(made.raw(), 0, made.bytes());
  return made;
}

Tensor ones(Shape shape, DType dtype, Location where) {
  Tensor made = detail::new_tensor("ones", {std::move(shape), dtype}, where);
  made.fill(1);
  return made;
}

Tensor full(Shape shape, Number value, DType dtype, Location where) {
  Tensor made = detail::new_tensor("full", {std::move(shape), dtype}, where);
  made.fill(value);
  return made;
}

bool identical(const Tensor& a, const Tensor& b) {
  return a.type() == b.type() && (a.count() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

bool all_close(const Tensor& a, const Tensor& b, double relative, double absolute) {
  if (!(a.shape() == b.shape())) return false;
  const Tensor left = a.to(DType::float64);
  const Tensor right = b.to(DType::float64);
  const std::span<const double> x = left.data<double>();
  const std::span<const double> y = right.data<double>();
  return std::equal(x.begin(), x.end(), y.begin(), [&](double p, double q) {
    // Infinities are close to themselves only; q = inf would else pass with every finite p.
    if (!std::isfinite(p) || !std::isfinite(q)) return p == q;
    return std::abs(p - q) <= absolute + relative * std::abs(q);
  });
}

}  // namespace dualtape
