// The exchange with xtensor: Tensors seen as xtensor arrays without a copy, and xtensor expressions
// made into Tensors. Header-only, and the only public header that includes xtensor; everything
// here may be called from any thread.
//
// Include it before any code that evaluates xtensor expressions: under C++20, g++ and xtensor 0.24
// take the temporary of every dynamic-rank expression for one of rank 4, so that
// xt::eval(array + array) has the wrong rank and immediate reducers corrupt memory
// (xtensor issue 1970). The specialisations below put that right for the whole file.
//
// xtensor's container types carry their alignment, which depends on compiler flags, in the type:
// pass Tensors between files compiled with different flags, not xtensor arrays.
#pragma once

#if __has_include(<xtensor/containers/xadapt.hpp>)
#include <xtensor/core/xexpression_traits.hpp>
#else
#include <xtensor/xexpression_traits.hpp>
#endif

#include <cstddef>

namespace xt::detail {

// svector<T, 4> is the shape of arrays of any rank, not the N of a fixed one.
template <>
struct xtype_for_shape<svector<std::size_t, 4, std::allocator<std::size_t>, true>> {
  template <class T, layout_type L>
  using type = xarray<T, L>;
};
template <>
struct xtype_for_shape<svector<std::ptrdiff_t, 4, std::allocator<std::ptrdiff_t>, true>> {
  template <class T, layout_type L>
  using type = xarray<T, L>;
};

}  // namespace xt::detail

#if __has_include(<xtensor/containers/xadapt.hpp>)
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/containers/xarray.hpp>
#include <xtensor/core/xnoalias.hpp>
#else
#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#include <xtensor/xnoalias.hpp>
#endif

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include <dualtape/core/tensor.hpp>

namespace dualtape {

// An xtensor array of any rank, row-major, over memory that it does not own; T may be const.
template <class T>
using XtensorView = xt::xarray_adaptor<
    xt::xbuffer_adaptor<T*, xt::no_ownership, std::allocator<std::remove_const_t<T>>>,
    xt::layout_type::row_major, xt::dynamic_shape<std::size_t>>;

namespace xtensor_exchange {

// C++ has more integer types than there are dtypes: long long is an int64, too.
template <class T>
constexpr auto element_for() {
  using Plain = std::remove_cvref_t<T>;
  if constexpr (Element<Plain>) {
    return Plain{};
  } else if constexpr (std::signed_integral<Plain> && sizeof(Plain) == sizeof(std::int64_t)) {
    return std::int64_t{};
  } else if constexpr (std::signed_integral<Plain> && sizeof(Plain) == sizeof(std::int32_t)) {
    return std::int32_t{};
  }
}
template <class T>
using ElementFor = decltype(element_for<T>());

template <class T>
XtensorView<T> view_of(T* data, const Shape& shape) {
  xt::dynamic_shape<std::size_t> sizes(shape.rank());
  std::transform(shape.begin(), shape.end(), sizes.begin(),
                 [](std::int64_t size) { return static_cast<std::size_t>(size); });
  const auto count = static_cast<std::size_t>(shape.count());
  return XtensorView<T>(typename XtensorView<T>::storage_type(data, count), sizes);
}

}  // namespace xtensor_exchange

// The elements of `tensor` as an xtensor array of the same shape, without a copy: writing to it
// writes to the tensor and to all that share its memory. Valid while the tensor or another copy of
// it lives; assign values to it, of the same shape, never a new shape.
// Throws TypeError if T is not the tensor's dtype.
template <Element T>
XtensorView<T> as_xarray(Tensor& tensor) {
  return xtensor_exchange::view_of(tensor.data<T>().data(), tensor.shape());
}
template <Element T>
XtensorView<const T> as_xarray(const Tensor& tensor) {
  return xtensor_exchange::view_of(tensor.data<T>().data(), tensor.shape());
}
template <Element T>
XtensorView<const T> as_xarray(const Tensor&& tensor) = delete;  // its memory may go with it

// Evaluates an xtensor expression of any rank and layout into a new Tensor whose dtype is that of
// the expression's values; the logical order of the elements stays. Values of other types
// (unsigned, as from xt::argmax, or complex) do not compile: wrap them in xt::cast.
template <class E>
Tensor from_xtensor(const xt::xexpression<E>& expression) {
  using T = xtensor_exchange::ElementFor<typename E::value_type>;
  static_assert(
      !std::is_void_v<T>,
      "dualtape: a Tensor holds bool, int32, int64, float or double; convert the expression "
      "first, as in from_xtensor(xt::cast<std::int64_t>(expression))");
  const E& source = expression.derived_cast();
  std::vector<std::int64_t> sizes;
  for (const auto size : source.shape()) sizes.push_back(static_cast<std::int64_t>(size));
  Tensor made = Tensor::uninitialised({Shape(sizes), dtype_of<T>});
  auto target = as_xarray<T>(made);
  xt::noalias(target) = source;
  return made;
}

}  // namespace dualtape
