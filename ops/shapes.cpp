#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/declare/samples.hpp>
#include <dualtape/ops/kernels/rows/strided.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

using detail::unary_case;
using detail::wrap_axis;

// Alias operators share memory; this runs only where the program wants the elements twice.
Kernel copy_kernel(const KernelRequest& request) {
  return {[bytes = bytes_of(request.out[0])](const KernelArgs& args) {
    if (bytes > 0) std::memcpy(args.out[0], args.in[0], bytes);
  }};
}

struct Reshape {
  static constexpr auto name = "reshape";
  static constexpr Shift shift{.sizes = "sizes"};
  static constexpr auto doc = "the same elements under another shape";
  static constexpr auto math =
      "y = vec^-1(vec(x)); linear: the jvp reshapes the tangent, the vjp reshapes the cotangent "
      "back";
  static constexpr Example example{"reshape(g.constant(Tensor{1, 2, 3, 4, 5, 6}), {2, -1})",
                                   "[[1. 2. 3.]\n [4. 5. 6.]]"};
  static constexpr bool is_alias = true;

  // The sizes with -1 worked out; nothing where they do not fit `count` elements.
  static std::optional<Ints> resolve(Ints sizes, std::int64_t count) {
    std::int64_t* open = nullptr;
    std::int64_t product = 1;
    for (std::int64_t& size : sizes) {
      if (size == -1 && open == nullptr) {
        open = &size;
      } else if (size < 0 || __builtin_mul_overflow(product, size, &product)) {
        return std::nullopt;
      }
    }
    if (open != nullptr) {
      if (product == 0 || count % product != 0) return std::nullopt;
      *open = count / product;
      return sizes;
    }
    return product == count ? std::optional(std::move(sizes)) : std::nullopt;
  }
  static void infer(Inference& inference) {
    inference.require_count(1);
    const Ints& wanted = inference.attributes.get<Ints>("sizes");
    const std::optional<Ints> sizes = resolve(wanted, inference.shape(0).count());
    if (!sizes)
      inference.shape_error("cannot give " + to_string(inference.in[0]) + " with " +
                                std::to_string(inference.shape(0).count()) +
                                " elements the sizes " + to_string(Attribute(wanted)),
                            "sizes of 0 or more with the same product; one may be -1 and is "
                            "worked out if the others divide the count");
    inference.out = {{Shape(*sizes), inference.dtype(0)}};
  }
  static Kernel kernel(const KernelRequest& request) { return copy_kernel(request); }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent) {
    return reshape(cotangent, node.in[0].shape());
  }
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {unary_case("(6) to (2, 3)", {6},
                       [](Var x) {
                         return reshape(x, {2, 3});
                       }),
            unary_case("(2, 3, 2) to (4, -1)", {2, 3, 2},
                       [](Var x) {
                         return reshape(x, {4, -1});
                       }),
            unary_case("scalar to (1, 1)", {},
                       [](Var x) {
                         return reshape(x, {1, 1});
                       }),
            unary_case("(1, 1) to scalar", {1, 1}, [](Var x) { return reshape(x, {}); }),
            unary_case("empty", {0, 3}, [](Var x) {
              return reshape(x, {3, 0, 2});
            })};
  }
};
constexpr Linear<Reshape> reshape_op;

struct Permute {
  static constexpr auto name = "permute";
  static constexpr Shift shift{.permutation = "axes"};
  static constexpr auto doc = "the axes in another order";
  static constexpr auto math =
      "y[i_0, i_1, ...] = x[i_p(0), ...] with axis k of y being axis p(k) of x; linear: the vjp "
      "permutes the cotangent by the inverse of p";
  static constexpr Example example{"permute(g.constant(Tensor{{1, 2, 3}, {4, 5, 6}}), {1, 0})",
                                   "[[1. 4.]\n [2. 5.]\n [3. 6.]]"};
  static constexpr bool can_fail = false;

  static std::vector<std::size_t> order(const Attributes& attributes, std::size_t rank) {
    std::vector<std::size_t> axes;
    for (const std::int64_t axis : attributes.get<Ints>("axes"))
      axes.push_back(static_cast<std::size_t>(wrap_axis(axis, rank)));
    return axes;
  }
  static void infer(Inference& inference) {
    inference.require_count(1);
    const Ints& axes = inference.attributes.get<Ints>("axes");
    const Shape& shape = inference.shape(0);
    std::vector<bool> seen(shape.rank());
    Ints sizes;
    for (const std::int64_t given : axes) {
      const std::size_t axis = inference.axis(given, shape.rank());
      if (seen[axis])
        inference.shape_error(
            "axis " + std::to_string(axis) + " stands twice in " + to_string(Attribute(axes)),
            "name every axis of the operand once");
      seen[axis] = true;
      sizes.push_back(shape[axis]);
    }
    if (sizes.size() != shape.rank())
      inference.shape_error("axes " + to_string(Attribute(axes)) + " do not name all " +
                                std::to_string(shape.rank()) + " axes of " +
                                to_string(inference.in[0]),
                            "name every axis of the operand once");
    inference.out = {{Shape(sizes), inference.dtype(0)}};
  }
  static Kernel kernel(const KernelRequest& request) {
    const Shape& out = request.out[0].shape;
    const Ints dense = detail::dense_strides(request.in[0].shape);
    Ints strides;
    for (const std::size_t axis : order(request.attributes, out.rank()))
      strides.push_back(dense[axis]);
    const detail::StridedCopy plan(request.out[0].dtype, out.sizes(), strides,
                                   detail::dense_strides(out));
    return {[plan](const KernelArgs& args) { plan.run(args.in[0], args.out[0]); }};
  }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent) {
    const auto axes = order(node.attributes, node.in[0].rank());
    Ints inverse(axes.size());
    for (std::size_t i = 0; i < axes.size(); ++i) inverse[axes[i]] = static_cast<std::int64_t>(i);
    return permute(cotangent, inverse);
  }
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {unary_case("matrix", {2, 3},
                       [](Var x) {
                         return permute(x, {1, 0});
                       }),
            unary_case("cycle of three", {2, 3, 4},
                       [](Var x) {
                         return permute(x, {2, 0, 1});
                       }),
            unary_case("negative axes", {2, 3, 2, 2},
                       [](Var x) {
                         return permute(x, {-1, 1, -4, 2});
                       }),
            unary_case("scalar", {}, [](Var x) { return permute(x, {}); }),
            unary_case("empty", {0, 3}, [](Var x) {
              return permute(x, {1, 0});
            })};
  }
};
constexpr Linear<Permute> permute_op;

struct BroadcastTo {
  static constexpr auto name = "broadcast_to";
  static constexpr auto doc = "the elements repeated until they fill a shape, by NumPy's rules";
  static constexpr auto math =
      "y[i] = x[i without the axes that are repeated]; linear: the vjp sums the cotangent over the "
      "axes that are repeated";
  static constexpr Example example{"broadcast_to(g.constant(Tensor{1, 2}), {2, 2})",
                                   "[[1. 2.]\n [1. 2.]]"};
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    inference.require_count(1);
    const auto& shape = inference.attributes.get<Shape>("shape");
    const Broadcast together = broadcast(inference.shape(0), shape);
    if (!together.ok || together.shape != shape)
      inference.shape_error(
          to_string(inference.shape(0)) + " does not broadcast to " + to_string(shape),
          "sizes, compared from the last axis, must be equal or 1 in the "
          "operand; unsqueeze() puts in an axis");
    inference.out = {{shape, inference.dtype(0)}};
  }
  static Kernel kernel(const KernelRequest& request) {
    const Shape& in = request.in[0].shape;
    const Shape& out = request.out[0].shape;
    const Ints dense = detail::dense_strides(in);
    const std::size_t added = out.rank() - in.rank();
    Ints strides(out.rank(), 0);
    for (std::size_t axis = 0; axis < in.rank(); ++axis)
      if (in[axis] != 1) strides[added + axis] = dense[axis];
    const detail::StridedCopy plan(request.out[0].dtype, out.sizes(), strides,
                                   detail::dense_strides(out));
    return {[plan](const KernelArgs& args) { plan.run(args.in[0], args.out[0]); }};
  }
  // Whoever asks sums the cotangent to the operand's shape, as after every broadcast.
  static Var batch(const BatchView& view) {
    const Shape& member = view.node.out[0].shape();
    return broadcast_to(aligned_operand(view, 0, member.rank()), batched_shape(member, view.size));
  }
  static Var transpose(const NodeView&, std::size_t, Var cotangent) { return cotangent; }
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {unary_case("new axis", {3},
                       [](Var x) {
                         return broadcast_to(x, {2, 3});
                       }),
            unary_case("inner axis", {2, 1},
                       [](Var x) {
                         return broadcast_to(x, {2, 4});
                       }),
            unary_case("both", {2, 1, 3},
                       [](Var x) {
                         return broadcast_to(x, {2, 2, 4, 3});
                       }),
            unary_case("scalar", {},
                       [](Var x) {
                         return broadcast_to(x, {2, 2});
                       }),
            unary_case("same shape", {2, 2},
                       [](Var x) {
                         return broadcast_to(x, {2, 2});
                       }),
            unary_case("to nothing", {1, 3}, [](Var x) {
              return broadcast_to(x, {0, 3});
            })};
  }
};
constexpr Linear<BroadcastTo> broadcast_to_op;

struct StopGradient {
  static constexpr auto name = "stop_gradient";
  static constexpr Shift shift{};
  static constexpr auto doc = "x itself, held constant by every mode";
  static constexpr auto math = "y = x, and dy/dx = 0 by definition";
  static constexpr auto reason = "stop_gradient holds its operand constant";
  static constexpr bool by_definition = true;
  static constexpr Example example{"stop_gradient(g.constant(Tensor{1, 2}))", "[1. 2.]"};
  static constexpr bool is_alias = true;
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    inference.require_count(1);
    inference.out = {inference.in[0]};
  }
  static Kernel kernel(const KernelRequest& request) { return copy_kernel(request); }
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {unary_case("matrix", {2, 3}, [](Var x) { return stop_gradient(x); }),
            unary_case("scalar", {}, [](Var x) { return stop_gradient(x); })};
  }
};
constexpr ZeroDerivative<StopGradient> stop_gradient_op;

struct Flatten {
  static constexpr auto name = "flatten";
  static constexpr auto doc = "several neighbouring axes made one";
  static constexpr auto math = "a reshape";
  static constexpr Example example{"flatten(g.constant(Tensor{{1, 2}, {3, 4}}))", "[1. 2. 3. 4.]"};
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {unary_case("all", {2, 3}, [](Var x) { return flatten(x); }),
            unary_case("all but the first", {2, 3, 2}, [](Var x) { return flatten(x, 1); }),
            unary_case("scalar", {}, [](Var x) { return flatten(x); }),
            unary_case("empty", {0, 2, 3}, [](Var x) { return flatten(x, 1, -1); })};
  }
};
struct Squeeze {
  static constexpr auto name = "squeeze";
  static constexpr auto doc = "without axes of size 1";
  static constexpr auto math = "a reshape";
  static constexpr Example example{"squeeze(g.constant(Tensor{{1, 2}}))", "[1. 2.]"};
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {unary_case("all", {1, 3, 1}, [](Var x) { return squeeze(x); }),
            unary_case("last", {1, 3, 1}, [](Var x) { return squeeze(x, {-1}); })};
  }
};
struct Unsqueeze {
  static constexpr auto name = "unsqueeze";
  static constexpr auto doc = "with a new axis of size 1";
  static constexpr auto math = "a reshape";
  static constexpr Example example{"unsqueeze(g.constant(Tensor{1, 2}), 0)", "[[1. 2.]]"};
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {unary_case("first", {3}, [](Var x) { return unsqueeze(x, 0); }),
            unary_case("last", {2, 3}, [](Var x) { return unsqueeze(x, -1); }),
            unary_case("scalar", {}, [](Var x) { return unsqueeze(x, 0); })};
  }
};
struct Transpose {
  static constexpr auto name = "transpose";
  static constexpr auto doc = "two axes exchanged, the last two unless said otherwise";
  static constexpr auto math = "y[..., j, i] = x[..., i, j]; a permute";
  static constexpr Example example{"transpose(g.constant(Tensor{{1, 2}, {3, 4}}))",
                                   "[[1. 3.]\n [2. 4.]]"};
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {unary_case("matrix", {2, 3}, [](Var x) { return transpose(x); }),
            unary_case("batch", {2, 3, 4}, [](Var x) { return transpose(x); }),
            unary_case("outer axes", {2, 3, 2}, [](Var x) { return transpose(x, 0, -1); })};
  }
};

}  // namespace

Var reshape(In x, const std::vector<std::int64_t>& sizes) {
  // Resolved here where possible, so that equal reshapes are equal nodes.
  const auto resolved = Reshape::resolve(sizes, detail::shape_of(x).count());
  return reshape_op(x, {{"sizes", resolved.value_or(sizes)}});
}
Var reshape(In x, std::initializer_list<std::int64_t> sizes) { return reshape(x, Ints(sizes)); }
Var reshape(In x, const Shape& shape) { return reshape(x, shape.vector()); }

Var flatten(In x, std::int64_t start, std::int64_t end) {
  const Shape shape = detail::shape_of(x);
  if (shape.rank() == 0) return reshape(x, {1});
  const std::size_t first = detail::require_axis("flatten", x, start, shape.rank());
  const std::size_t last = detail::require_axis("flatten", x, end, shape.rank());
  if (first > last)
    fail<ShapeError>({.op = "flatten",
                      .what = "axis " + std::to_string(start) + " comes after axis " +
                              std::to_string(end) + " in shape " + to_string(shape),
                      .where = x.where(),
                      .help = "give the first axis to join, then the last"});
  Ints sizes(shape.begin(), shape.begin() + first);
  std::int64_t joined = 1;
  for (std::size_t axis = first; axis <= last; ++axis) joined *= shape[axis];
  sizes.push_back(joined);
  sizes.insert(sizes.end(), shape.begin() + last + 1, shape.end());
  return reshape(x, sizes);
}

Var squeeze(In x, const std::vector<std::int64_t>& axes) {
  const Shape shape = detail::shape_of(x);
  std::vector<bool> dropped(shape.rank());
  for (const std::int64_t given : axes) {
    const std::size_t axis = detail::require_axis("squeeze", x, given, shape.rank());
    if (shape[axis] != 1)
      fail<ShapeError>({.op = "squeeze",
                        .what = "axis " + std::to_string(given) + " of shape " + to_string(shape) +
                                " has size " + std::to_string(shape[axis]) + ", not 1",
                        .where = x.where(),
                        .help = "only axes of size 1 can be left out; flatten() joins others"});
    dropped[axis] = true;
  }
  Ints sizes;
  for (std::size_t axis = 0; axis < shape.rank(); ++axis)
    if (axes.empty() ? shape[axis] != 1 : !dropped[axis]) sizes.push_back(shape[axis]);
  return reshape(x, sizes);
}

Var unsqueeze(In x, std::int64_t axis) {
  const Shape shape = detail::shape_of(x);
  const std::size_t place = detail::require_axis("unsqueeze", x, axis, shape.rank() + 1);
  Ints sizes = shape.vector();
  sizes.insert(sizes.begin() + static_cast<std::ptrdiff_t>(place), 1);
  return reshape(x, sizes);
}

Var permute(In x, const std::vector<std::int64_t>& axes) {
  Ints wrapped = axes;
  for (std::int64_t& axis : wrapped) axis = wrap_axis(axis, detail::shape_of(x).rank());
  return permute_op(x, {{"axes", std::move(wrapped)}});
}

Var transpose(In x) {
  const Shape shape = detail::shape_of(x);
  if (shape.rank() < 2)
    fail<ShapeError>(
        {.op = "transpose",
         .what = "the operand of shape " + to_string(shape) + " has no two axes to exchange",
         .where = x.where(),
         .help = "unsqueeze(x, 0) makes a row of a vector, unsqueeze(x, 1) a column"});
  return transpose(x, -2, -1);
}
Var transpose(In x, std::int64_t a, std::int64_t b) {
  const std::size_t rank = detail::shape_of(x).rank();
  Ints axes(rank);
  for (std::size_t i = 0; i < rank; ++i) axes[i] = static_cast<std::int64_t>(i);
  std::swap(axes[detail::require_axis("transpose", x, a, rank)],
            axes[detail::require_axis("transpose", x, b, rank)]);
  return permute(x, axes);
}

Var broadcast_to(In x, const Shape& shape) { return broadcast_to_op(x, {{"shape", shape}}); }

Var stop_gradient(In x) { return stop_gradient_op(x); }

namespace detail {

void register_shapes() {
  reshape_op.op();
  permute_op.op();
  broadcast_to_op.op();
  stop_gradient_op.op();
  register_composite<Flatten>();
  register_composite<Squeeze>();
  register_composite<Unsqueeze>();
  register_composite<Transpose>();
}

}  // namespace detail
}  // namespace dualtape
