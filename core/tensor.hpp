// Tensor: a dense, contiguous, row-major array of one dtype, held by reference count.
//
// Copying a Tensor shares its elements (as in PyTorch and NumPy); copy() makes new ones. Two
// threads may read one Tensor at the same time; writing needs the caller's own care. Memory is
// aligned to 64 bytes. Nothing here knows of graphs.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <dualtape/core/dtype.hpp>
#include <dualtape/core/error.hpp>
#include <dualtape/core/number.hpp>
#include <dualtape/core/shape.hpp>

namespace dualtape {

class Tensor {
 public:
  Tensor();  // empty: float32 of shape (0,)
  Tensor(const Tensor& other) = default;
  Tensor(Tensor&& other) noexcept;  // leaves `other` empty
  Tensor& operator=(const Tensor& other) = default;
  Tensor& operator=(Tensor&& other) noexcept;
  ~Tensor() = default;

  // Zeros. TypeError, at `where`, for what is no dtype.
  explicit Tensor(Shape shape, DType dtype = DType::float32, Location where = Location::current());
  explicit Tensor(Type type, Location where = Location::current())
      : Tensor(std::move(type.shape), type.dtype, where) {}

  // Rank 0. A C++ double or float literal makes float32, the default dtype; say
  // Tensor::scalar<double>(x) for float64. bool -> bool, int -> int32, long/int64_t -> int64.
  Tensor(float value);
  Tensor(double value);
  Tensor(bool value);
  Tensor(int value);
  Tensor(std::int64_t value);
  Tensor(const void*) = delete;  // a pointer would else become a bool
  template <Element T>
  static Tensor scalar(T value) {
    return from(std::span<const T>(&value, 1), Shape{});
  }

  // Rank 1 and 2 from lists, always float32: Tensor{1, 2.5}, Tensor{{1, 2}, {3, 4}}; others come
  // from of(). Throws ShapeError for ragged rows. (Number, where double would do, makes
  // Tensor{{1}, {2}} a column and not ambiguous.)
  Tensor(std::initializer_list<Number> values);
  Tensor(std::initializer_list<std::initializer_list<double>> rows);
  // The same in the dtype named: of({1, 0.1}, float64), of({{1, 0.1}}, float64). ValueError for an
  // integer that an integer dtype cannot hold.
  static Tensor of(std::initializer_list<Number> values, DType dtype,
                   Location where = Location::current());
  static Tensor of(std::initializer_list<std::initializer_list<double>> rows, DType dtype,
                   Location where = Location::current());
  static Tensor of(std::initializer_list<std::int64_t> values);  // int64, rank 1

  // Copies `values` into a new tensor. Throws ShapeError unless the count fits.
  template <Element T>
  static Tensor from(std::span<const T> values, Shape shape) {
    return from_bytes(values.data(), values.size(), Type{std::move(shape), dtype_of<T>});
  }
  template <Element T>
  static Tensor from(const std::vector<T>& values, Shape shape) requires(!std::same_as<T, bool>) {
    return from(std::span<const T>(values), std::move(shape));
  }
  // A view of memory that somebody else owns and that must outlive every copy of this handle; it
  // has the alignment of its elements at least. Allocates nothing for ranks up to 4.
  static Tensor view(void* data, Type type);
  // A view that keeps `owner` alive.
  static Tensor view(std::shared_ptr<void> owner, void* data, Type type);
  // Memory whose elements are not set.
  static Tensor uninitialised(Type type);

  const Shape& shape() const { return type_.shape; }
  DType dtype() const { return type_.dtype; }
  const Type& type() const { return type_; }
  std::size_t rank() const { return type_.shape.rank(); }
  std::int64_t count() const { return type_.shape.count(); }
  // Negative axes count from the end; ShapeError if out of range.
  std::int64_t size(int axis, Location where = Location::current()) const;
  std::size_t bytes() const { return bytes_of(type_); }

  // The elements in row-major order. Throws TypeError if T is not the dtype.
  template <Element T>
  std::span<T> data(Location where = Location::current()) & {
    check_dtype(dtype_of<T>, where);
    return {static_cast<T*>(data_), static_cast<std::size_t>(count())};
  }
  template <Element T>
  std::span<const T> data(Location where = Location::current()) const& {
    check_dtype(dtype_of<T>, where);
    return {static_cast<const T*>(data_), static_cast<std::size_t>(count())};
  }
  // Of a temporary, whose elements would be gone before anybody reads them.
  template <Element T>
  std::span<const T> data() const&& {
    static_assert(!Element<T>,
                  "dualtape: data() of a temporary Tensor would point at freed memory; give the "
                  "Tensor a name first: const dt::Tensor kept = t.to(dt::float64); for (double x : "
                  "kept.data<double>()) ...");
    return {};
  }
  void* raw() { return data_; }
  const void* raw() const { return data_; }

  // The only element, converted by convert_element. Throws ShapeError unless count() == 1.
  template <class T = double>
  requires std::is_arithmetic_v<T> T item(Location where = Location::current())
  const {
    check_single(where);
    return element<T>(0);
  }
  // One element, converted alike; negative indices count from the end. ShapeError if out of range.
  template <class T = double>
  requires std::is_arithmetic_v<T> T at(std::initializer_list<std::int64_t> index,
                                        Location where = Location::current())
  const { return element<T>(place_of(index, where)); }

  Tensor copy(Location where = Location::current()) const;
  // Converts by convert_element; shares where the dtype is already right.
  Tensor to(DType dtype, Location where = Location::current()) const;
  // Shares; one size of a list may be -1 and is worked out. ShapeError if the counts differ.
  Tensor reshape(Shape shape, Location where = Location::current()) const;
  Tensor reshape(std::span<const std::int64_t> sizes, Location where = Location::current()) const;
  Tensor reshape(std::initializer_list<std::int64_t> sizes,
                 Location where = Location::current()) const {
    return reshape(std::span<const std::int64_t>(sizes.begin(), sizes.size()), where);
  }
  // These share: entry `index` of the first axis, and [begin, end) of it.
  Tensor row(std::int64_t index, Location where = Location::current()) const;
  Tensor rows(std::int64_t begin, std::int64_t end, Location where = Location::current()) const;
  void fill(Number value);  // ValueError as of()
  // Copies other's elements into this memory; TypeError and ShapeError where the types differ.
  void assign(const Tensor& other, Location where = Location::current());

  // Whether no other Tensor holds this memory, as far as handles are counted. What other threads
  // did through handles that they have given up has then happened.
  bool alone() const;
  // True where both were made from one allocation or their bytes overlap.
  bool shares_memory_with(const Tensor& other) const;
  // True where bytes of both are the same.
  bool overlaps(const Tensor& other) const;

 private:
  void swap(Tensor& other) noexcept;
  Tensor(std::shared_ptr<void> owner, void* data, Type type);
  static Tensor from_bytes(const void* data, std::size_t count, Type type);
  void check_dtype(DType wanted, Location where) const {
    if (wanted != type_.dtype) refuse_dtype(wanted, where);
  }
  [[noreturn]] void refuse_dtype(DType wanted, Location where) const;
  void check_single(Location where) const;
  std::size_t place_of(std::initializer_list<std::int64_t> index, Location where) const;
  template <class T>
  T element(std::size_t place) const {
    return dispatch(dtype(), [&]<class E>() {
      return convert_element<T>(static_cast<const E*>(data_)[place]);
    });
  }

  std::shared_ptr<void> owner_;
  void* data_ = nullptr;
  Type type_;
};

// MemoryError and TypeError, at `where`, where there is no memory or no such dtype.
Tensor zeros(Shape shape, DType dtype = DType::float32, Location where = Location::current());
Tensor ones(Shape shape, DType dtype = DType::float32, Location where = Location::current());
// ValueError as of(), too.
Tensor full(Shape shape, Number value, DType dtype = DType::float32,
            Location where = Location::current());

// Same dtype, shape and bits (NaNs equal themselves).
bool identical(const Tensor& a, const Tensor& b);
// Same shape and |a - b| <= absolute + relative * |b| everywhere; NaNs differ from everything.
bool all_close(const Tensor& a, const Tensor& b, double relative = 1e-5, double absolute = 1e-8);

// Prints as NumPy does: nested brackets, aligned columns, long axes shortened with "...".
std::ostream& operator<<(std::ostream& out, const Tensor& tensor);
std::string to_string(const Tensor& tensor);

// NumPy's .npy format, versions 1 to 3, either byte order, C or Fortran order when reading. Beside
// the five dtypes other numbers are read into the smallest that holds them all: uint8, int8, uint16
// and int16 into int32, uint32 into int64, float16 into float32; uint64 and what is no number is
// refused by name. Throws DataError naming the file.
Tensor load_npy(const std::filesystem::path& path, Location here = Location::current());
// Writes the file whole or not at all, as save_safetensors() does.
void save_npy(const std::filesystem::path& path, const Tensor& tensor,
              Location here = Location::current());

}  // namespace dualtape
