// What the operators that take an index tensor share: checks, places, sums.
// Private. Plans are immutable; run() may be called from any thread.
#pragma once

#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/kernels/rows/strided.hpp>

namespace dualtape::detail {

// Text for an index that is out of range; `flat` is its row-major number.
[[noreturn]] inline void refuse_index(std::string_view what, std::int64_t value, std::int64_t flat,
                                      const Shape& shape, std::int64_t size, bool counts_back) {
  std::string place;
  for (std::size_t axis = shape.rank(); axis-- > 0;) {
    place.insert(0, std::to_string(flat % shape[axis]).append(place.empty() ? "" : ", "));
    flat /= shape[axis];
  }
  const std::string least = counts_back ? std::to_string(-size) : "0";
  throw ValueError(std::string(what) + " " + std::to_string(value) + " at position (" + place +
                   ") is out of range: " +
                   (size == 0 ? "there is nothing to choose from"
                              : "it must be from " + least + " to " + std::to_string(size - 1)) +
                   (value < 0 && !counts_back ? "; negative ones do not count from the end" : ""));
}

// Where an index points: a negative one counts from the end.
template <class I>
std::int64_t place_of(I index, std::int64_t size) {
  const auto place = static_cast<std::int64_t>(index);
  return place < 0 ? place + size : place;
}

// What a kernel needs to check its indices; checked before anything is written.
struct IndexCheck {
  std::string what;
  DType dtype;
  Shape shape;
  std::int64_t size;        // of the axis they point into
  bool counts_back = true;  // whether -1 is the last place; labels do not count so

  void run(const void* index) const {
    if (dtype == int32)
      check(static_cast<const std::int32_t*>(index));
    else
      check(static_cast<const std::int64_t*>(index));
  }
  template <class I>
  void check(const I* index) const {
    check(index, 0, shape.count());
  }
  // Those from `first` to `last` - 1.
  template <class I>
  void check(const I* index, std::int64_t first, std::int64_t last) const {
    const std::int64_t least = counts_back ? -size : 0;
    bool wrong = false;  // no branch here: which one it is, is looked for afterwards
    for (std::int64_t i = first; i < last; ++i) wrong |= (index[i] < least) | (index[i] >= size);
    if (!wrong) return;
    for (std::int64_t i = first; i < last; ++i)
      if (index[i] < least || index[i] >= size)
        refuse_index(what, index[i], i, shape, size, counts_back);
  }
};

// The same operators within a function that users know, and not what it is made of: the attribute
// "of" says what the index is there, as "nll: label".
Var one_hot_of(std::string_view loss, In labels, std::int64_t classes, DType dtype);
Var gather_of(std::string_view loss, In x, In labels, std::int64_t axis);
Var rows_of(std::string_view what, In table, In ids);
inline std::string called(const Attributes& attributes, std::string_view otherwise) {
  if (attributes.has("of")) return attributes.get<std::string>("of");
  return std::string(otherwise);
}

// Labels and ids never count from the end.
inline IndexCheck check_of(const Attributes& attributes, const Type& index, std::int64_t size) {
  return {called(attributes, "index"), index.dtype, index.shape, size, !attributes.has("of")};
}

inline void require_index(const Inference& inference, std::size_t i) {
  if (is_integer(inference.dtype(i))) return;
  // A cast would take rows 0 and 1.
  if (inference.dtype(i) == DType::boolean)
    inference.type_error("the index is " + to_string(inference.in[i]) +
                             ", but truth values cannot select: how many they are would decide "
                             "the result's shape",
                         "keep the shape with where(mask, x, 0), or give the places as int64");
  inference.type_error("the index must be int32 or int64, got " + to_string(inference.in[i]),
                       "cast(index, dt::int64)");
}
inline std::size_t axis_of(const Attributes& attributes, std::size_t rank) {
  return static_cast<std::size_t>(wrap_axis(attributes.get<std::int64_t>("axis"), rank));
}

// Calls f.operator()<T, I>() for the dtypes of values and indices.
template <class F>
Kernel dispatch_both(DType values, DType index, F&& f) {
  return dispatch(values, [&]<class T>() {
    return index == int32 ? f.template operator()<T, std::int32_t>()
                          : f.template operator()<T, std::int64_t>();
  });
}

inline void require_sum(const Inference& inference, std::size_t i) {
  if (inference.dtype(i) == DType::boolean)
    inference.type_error("bool values have no sum", "cast(updates, dt::int64)");
}

// The operand that sums are added to is optional: (updates, index) adds to zeros, which is what
// transposes need; (updates, index, x) adds to x.
inline const Type* base_of(std::span<const Type> in) { return in.size() > 2 ? &in[2] : nullptr; }
inline void start_sum(const KernelArgs& args, bool has_base, std::size_t bytes) {
  if (bytes == 0) return;
  if (has_base)
    std::memcpy(args.out[0], args.in[2], bytes);
  else
    std::memset(args.out[0], 0, bytes);
}
inline void infer_sum(Inference& inference, const Shape& shape) {
  require_sum(inference, 0);
  if (inference.in.size() == 3 && inference.dtype(2) != inference.dtype(0))
    inference.type_error(
        "x is " + to_string(inference.in[2]) + " but the updates are " + to_string(inference.in[0]),
        "cast() one of them");
  if (inference.in.size() == 3 && inference.shape(2) != shape)
    inference.shape_error(
        "x is " + to_string(inference.in[2]) + " and the attribute shape is " + to_string(shape),
        "the operator's function takes the shape from x");
  inference.out = {{shape, inference.dtype(0)}};
}

// Sums are linear in what is added and what it is added to together, given the index.
inline bool sum_is_linear_in(std::span<const bool> active) {
  return !active[1] && (active.size() == 2 || active[0] == active[2]);
}

// Indices drawn from 0 ... size-1.
inline Arg index_arg(Shape shape, std::int64_t size, DType dtype = int64) {
  return {std::move(shape), domain(0, static_cast<double>(size - 1)), dtype};
}

}  // namespace dualtape::detail
