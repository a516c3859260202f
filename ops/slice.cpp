#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <tuple>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/declare/samples.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/kernels/rows/strided.hpp>
#include <dualtape/ops/slice.hpp>

namespace dualtape {
namespace {

using detail::dense_strides;
using detail::StridedCopy;
using detail::unary_case;

// Places of a slice: starts + i * steps, `counts` of them along each axis.
struct Slice {
  static constexpr auto name = "slice";
  static constexpr Shift shift{.sizes = "counts", .starts = "starts", .steps = "steps"};
  static constexpr auto doc = "every step-th element between two places, along each axis";
  static constexpr auto math =
      "y[i] = x[start + i * step]; linear: the vjp puts the cotangent into zeros at these places";
  static constexpr Example example{"slice(g.constant(Tensor{1, 2, 3, 4}), 0, 1, -1)", "[2. 3.]"};
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    inference.require_count(1);
    const Shape& shape = inference.shape(0);
    const Ints& starts = inference.attributes.get<Ints>("starts");
    const Ints& counts = inference.attributes.get<Ints>("counts");
    const Ints& steps = inference.attributes.get<Ints>("steps");
    if (starts.size() != shape.rank() || counts.size() != shape.rank() ||
        steps.size() != shape.rank())
      inference.shape_error("needs a start, a count and a step for each axis of " +
                            to_string(inference.in[0]));
    for (std::size_t d = 0; d < shape.rank(); ++d)
      check_places(inference, d, shape[d], starts[d], counts[d], steps[d]);
    inference.out = {{Shape(counts), inference.dtype(0)}};
  }
  static void check_places(const Inference& inference, std::size_t axis, std::int64_t size,
                           std::int64_t start, std::int64_t count, std::int64_t step) {
    if (step == 0)
      inference.value_error("the step of axis " + std::to_string(axis) + " is 0",
                            "give a step of 1 or more, or a negative one to go backwards");
    if (count == 0) return;
    std::int64_t last = 0;
    const bool too_far = __builtin_mul_overflow(count - 1, step, &last) ||
                         __builtin_add_overflow(start, last, &last);
    if (too_far || start < 0 || start >= size || last < 0 || last >= size)
      inference.shape_error(std::to_string(count) + " places from " + std::to_string(start) +
                                " in steps of " + std::to_string(step) + " leave axis " +
                                std::to_string(axis) + " of size " + std::to_string(size),
                            "choose start and step so that every place exists");
  }
  // Element strides of the places in a dense tensor of `shape`, `part` of them, and where the first
  // one lies. Starts and steps that are not used may be any number.
  static std::pair<Ints, std::int64_t> places(const Shape& shape, const Shape& part,
                                              const Attributes& attributes) {
    const Ints& starts = attributes.get<Ints>("starts");
    const Ints& steps = attributes.get<Ints>("steps");
    Ints strides = dense_strides(shape);
    std::int64_t offset = 0;
    for (std::size_t d = 0; d < strides.size(); ++d) {
      if (part[d] > 0) offset += starts[d] * strides[d];
      if (part[d] > 1) strides[d] *= steps[d];
    }
    return {std::move(strides), offset};
  }
  static Kernel kernel(const KernelRequest& request) {
    const Shape& out = request.out[0].shape;
    const auto [strides, offset] = places(request.in[0].shape, out, request.attributes);
    const StridedCopy plan(request.out[0].dtype, out.sizes(), strides, dense_strides(out), offset);
    return {[plan](const KernelArgs& args) { plan.run(args.in[0], args.out[0]); }};
  }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent) {
    return slice_scatter(cotangent, node.in[0].shape(), node.attributes.get<Ints>("starts"),
                         node.attributes.get<Ints>("steps"));
  }
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {unary_case("inside", {5}, [](Var x) { return slice(x, 0, 1, 4); }),
            unary_case("negative axis and end", {2, 5}, [](Var x) { return slice(x, -1, 1, -1); }),
            unary_case("step 2", {5, 2}, [](Var x) { return slice(x, 0, 0, 5, 2); }),
            unary_case("backwards", {4},
                       [](Var x) {
                         return slice(x, {Range{{}, {}, -1}});
                       }),
            unary_case("two axes", {3, 4, 2},
                       [](Var x) {
                         return slice(x, {Range{1, {}}, Range{{}, -1, 2}});
                       }),
            unary_case("empty", {3, 2}, [](Var x) { return slice(x, 0, 2, 1); })};
  }
};
constexpr Linear<Slice> slice_op;

struct SliceScatter {
  static constexpr auto name = "slice_scatter";
  static constexpr Shift shift{.sizes = "shape", .starts = "starts", .steps = "steps"};
  static constexpr auto doc = "zeros with a tensor put in at the places of a slice";
  static constexpr auto math =
      "y = 0 but y[start + i * step] = x[i]; linear: the vjp takes the slice of the cotangent";
  static constexpr Example example{"slice_scatter(g.constant(Tensor{1, 2}), {4}, {0}, {2})",
                                   "[1. 0. 2. 0.]"};
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    inference.require_count(1);
    const auto& shape = inference.attributes.get<Shape>("shape");
    const Shape& part = inference.shape(0);
    const Ints& starts = inference.attributes.get<Ints>("starts");
    const Ints& steps = inference.attributes.get<Ints>("steps");
    if (shape.rank() != part.rank() || starts.size() != part.rank() || steps.size() != part.rank())
      inference.shape_error("needs a size, a start and a step for each axis of " +
                                to_string(inference.in[0]) + ", but the shape asked for is " +
                                to_string(shape),
                            "unsqueeze() puts in an axis");
    for (std::size_t d = 0; d < shape.rank(); ++d)
      Slice::check_places(inference, d, shape[d], starts[d], part[d], steps[d]);
    inference.out = {{shape, inference.dtype(0)}};
  }
  static Kernel kernel(const KernelRequest& request) {
    const Shape& in = request.in[0].shape;
    const auto [strides, offset] = Slice::places(request.out[0].shape, in, request.attributes);
    const StridedCopy plan(request.out[0].dtype, in.sizes(), dense_strides(in), strides, 0, offset);
    return {[plan, bytes = bytes_of(request.out[0])](const KernelArgs& args) {
      if (bytes == 0) return;
      std::memset(args.out[0], 0, bytes);  // false, 0 and 0.0 are zero bytes
      plan.run(args.in[0], args.out[0]);
    }};
  }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent) {
    return slice_op(cotangent, {{"starts", node.attributes.get<Ints>("starts")},
                                {"counts", node.in[0].shape().vector()},
                                {"steps", node.attributes.get<Ints>("steps")}});
  }
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {unary_case("inside", {2}, [](Var x) { return slice_scatter(x, {5}, {2}, {1}); }),
            unary_case("two axes, one backwards", {2, 3},
                       [](Var x) {
                         return slice_scatter(x, {4, 3}, {1, 2}, {2, -1});
                       }),
            unary_case("scalar", {}, [](Var x) { return slice_scatter(x, {}, {}, {}); }),
            unary_case("empty", {0}, [](Var x) { return slice_scatter(x, {2}, {0}, {1}); })};
  }
};
constexpr Linear<SliceScatter> slice_scatter_op;

struct Pad {
  static constexpr auto name = "pad";
  static constexpr auto doc = "a tensor with a margin of one value";
  static constexpr auto math =
      "y = value but y[i + before] = x[i]; the vjp takes the inner part of the cotangent";
  static constexpr Example example{"pad(g.constant(Tensor{1, 2}), {1}, {2})", "[0. 1. 2. 0. 0.]"};
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {unary_case("zeros", {2, 3},
                       [](Var x) {
                         return pad(x, {1, 0}, {0, 2});
                       }),
            unary_case("a value", {2, 2},
                       [](Var x) {
                         return pad(x, {1, 1}, {0, 2}, 3.5);
                       }),
            unary_case("empty", {0}, [](Var x) { return pad(x, {1}, {1}); })};
  }
};

struct Flip {
  static constexpr auto name = "flip";
  static constexpr auto doc = "a tensor turned round along axes";
  static constexpr auto math = "y[i] = x[n - 1 - i]; linear: the vjp flips the cotangent. A slice.";
  static constexpr Example example{"flip(g.constant(Tensor{1, 2, 3}))", "[3. 2. 1.]"};
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {unary_case("a vector", {4}, [](Var x) { return flip(x); }),
            unary_case("all axes", {2, 3}, [](Var x) { return flip(x); }),
            unary_case("two of three", {2, 3, 2},
                       [](Var x) {
                         return flip(x, {-1, 0});
                       }),
            unary_case("a scalar", {}, [](Var x) { return flip(x); }),
            unary_case("empty", {0, 2}, [](Var x) { return flip(x, {0}); })};
  }
};

struct Roll {
  static constexpr auto name = "roll";
  static constexpr auto doc = "a tensor moved round along an axis";
  static constexpr auto math =
      "y[(i + shift) mod n] = x[i]; linear: the vjp rolls the cotangent back. Two slices joined.";
  static constexpr Example example{"roll(g.constant(Tensor{1, 2, 3}), 1)", "[3. 1. 2.]"};
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {unary_case("on", {5}, [](Var x) { return roll(x, 2); }),
            unary_case("back, the first axis", {4, 2}, [](Var x) { return roll(x, -1, 0); }),
            unary_case("more than once round", {2, 3}, [](Var x) { return roll(x, 8, 1); }),
            unary_case("once round", {2, 3}, [](Var x) { return roll(x, 3, 1); }),
            unary_case("empty", {0, 2}, [](Var x) { return roll(x, 1, 0); })};
  }
};

// Start and count of a range along an axis, by Python's rules.
std::pair<std::int64_t, std::int64_t> resolve(const Range& range, std::int64_t size) {
  const bool forward = range.step > 0;
  const std::int64_t lowest = forward ? 0 : -1;
  const std::int64_t highest = forward ? size : size - 1;
  const auto place = [&](std::optional<std::int64_t> given, std::int64_t otherwise) {
    if (!given) return otherwise;
    return std::clamp(*given < 0 ? *given + size : *given, lowest, highest);
  };
  const std::int64_t begin = place(range.begin, forward ? lowest : highest);
  const std::int64_t end = place(range.end, forward ? highest : lowest);
  const std::int64_t way = forward ? end - begin : begin - end;
  if (way <= 0) return {0, 0};
  // |step| by unsigned numbers, since the lowest int64 has no negative.
  const auto step =
      forward ? static_cast<std::uint64_t>(range.step) : 0 - static_cast<std::uint64_t>(range.step);
  return {begin, static_cast<std::int64_t>((static_cast<std::uint64_t>(way) - 1) / step) + 1};
}

Ints padded_sizes(const Shape& shape, const Ints& before, const Ints& after) {
  Ints sizes = shape.vector();
  for (std::size_t d = 0; d < sizes.size(); ++d)
    sizes[d] = detail::size_sum(sizes[d], detail::size_sum(before[d], after[d]));
  return sizes;
}

}  // namespace

Var slice(In x, const std::vector<Range>& ranges) {
  const Shape shape = detail::shape_of(x);
  if (ranges.size() > shape.rank())
    fail<ShapeError>({.op = "slice",
                      .what = std::to_string(ranges.size()) + " ranges for the " +
                              std::to_string(shape.rank()) + " axes of shape " + to_string(shape),
                      .where = x.where(),
                      .help = "give at most one range an axis"});
  Ints starts(shape.rank(), 0), counts = shape.vector(), steps(shape.rank(), 1);
  for (std::size_t d = 0; d < ranges.size(); ++d) {
    steps[d] = ranges[d].step;
    if (steps[d] != 0) std::tie(starts[d], counts[d]) = resolve(ranges[d], shape[d]);
  }
  return slice_op(x, {{"starts", starts}, {"counts", counts}, {"steps", steps}});
}
Var slice(In x, std::int64_t axis, std::int64_t begin, std::int64_t end, std::int64_t step) {
  const std::size_t place = detail::require_axis("slice", x, axis, detail::shape_of(x).rank());
  std::vector<Range> ranges(place + 1);
  ranges[place] = {begin, end, step};
  return slice(x, ranges);
}

Var slice_scatter(In x, const Shape& shape, const std::vector<std::int64_t>& starts,
                  const std::vector<std::int64_t>& steps) {
  return slice_scatter_op(x, {{"shape", shape}, {"starts", starts}, {"steps", steps}});
}

Var pad(In x, const std::vector<std::int64_t>& before, const std::vector<std::int64_t>& after,
        Number value) {
  const Shape shape = detail::shape_of(x);
  const auto negative = [](std::int64_t n) { return n < 0; };
  if (before.size() != shape.rank() || after.size() != shape.rank() ||
      std::ranges::any_of(before, negative) || std::ranges::any_of(after, negative))
    fail<ShapeError>({.op = "pad",
                      .what = "before " + to_string(Attribute(before)) + " and after " +
                              to_string(Attribute(after)) + " do not fit shape " + to_string(shape),
                      .where = x.where(),
                      .help = "give one number of 0 or more for each axis; slice() cuts off"});
  Ints sizes = shape.vector();
  const bool nothing = std::ranges::all_of(before, std::logical_not{}) &&
                       std::ranges::all_of(after, std::logical_not{});
  if (nothing || (value.real() == 0 && !std::signbit(value.real()))) {
    return detail::sized_by("pad", {&x, 1}, [&] {
      return slice_scatter(x, Shape(padded_sizes(shape, before, after)), before,
                           Ints(shape.rank(), 1));
    });
  }
  detail::sized_by("pad", {&x, 1}, [&] { return Shape(padded_sizes(shape, before, after)); });
  // Blocks of the value along each axis in turn, so that inf and NaN meet no arithmetic.
  const DType dtype = value.beside(detail::dtype_of_operand(x));
  const Composite c("pad", {x});
  Var padded = c[0];
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    if (before[d] == 0 && after[d] == 0) continue;
    const auto block = [&](std::int64_t size) {
      Ints of_block = sizes;
      of_block[d] = size;
      return full(Shape(of_block), value, dtype);
    };
    padded = concat({block(before[d]), padded, block(after[d])}, static_cast<std::int64_t>(d));
    sizes[d] += before[d] + after[d];
  }
  return padded;
}

Var flip(In x, const std::vector<std::int64_t>& axes) {
  const std::size_t rank = detail::shape_of(x).rank();
  std::vector<Range> ranges(rank);
  for (const std::int64_t axis : axes)
    ranges[detail::require_axis("flip", x, axis, rank)].step = -1;
  if (axes.empty())
    for (Range& range : ranges) range.step = -1;
  return slice(x, ranges);
}

Var roll(In x, std::int64_t shift, std::int64_t axis) {
  const Shape shape = detail::shape_of(x);
  const auto place = static_cast<std::int64_t>(detail::require_axis("roll", x, axis, shape.rank()));
  const std::int64_t size = shape[static_cast<std::size_t>(place)];
  const std::int64_t turns = size == 0 ? 0 : shift % size;
  const std::int64_t cut = turns > 0 ? size - turns : -turns;  // what comes first
  if (cut == 0) return slice(x, place, 0, size);
  const Composite c("roll", {x});
  return concat({slice(c[0], place, cut, size), slice(c[0], place, 0, cut)}, place);
}

namespace detail {

void register_slice() {
  slice_op.op();
  slice_scatter_op.op();
  register_composite<Pad>();
  register_composite<Flip>();
  register_composite<Roll>();
}

}  // namespace detail
}  // namespace dualtape
