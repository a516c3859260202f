#include <algorithm>
#include <vector>

#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/indices.hpp>
#include <dualtape/ops/declare/running.hpp>
#include <dualtape/ops/indexing.hpp>

namespace dualtape {
namespace {

using detail::axis_of;
using detail::base_of;
using detail::check_of;
using detail::dispatch_both;
using detail::index_arg;
using detail::IndexCheck;
using detail::infer_sum;
using detail::place_of;
using detail::require_index;
using detail::Running;
using detail::shape_of;
using detail::start_sum;
using detail::sum_is_linear_in;
using detail::wrap_axis;

// Element by element of an index tensor as gather reads it: calls f(flat place in the index, flat
// place in the tensor pointed into, with 0 along the axis). Odometers over at most `rank` axes.
struct GatherWalk {
  struct Axis {
    std::int64_t size;
    std::int64_t stride;  // in the tensor pointed into; 0 along the axis chosen
  };
  std::vector<Axis> axes;  // of the index; at least one
  std::int64_t axis_stride = 1;

  GatherWalk(const Shape& whole, const Shape& index, std::size_t axis) {
    const Ints strides = detail::dense_strides(whole);
    axis_stride = strides[axis];
    for (std::size_t d = 0; d < index.rank(); ++d)
      axes.push_back({index[d], d == axis ? 0 : strides[d]});
  }
  template <class F>
  void run(F&& f) const {
    std::int64_t flat = 0;
    walk(axes, 0, flat, f);
  }
  template <class F>
  static void walk(std::span<const Axis> axes, std::int64_t base, std::int64_t& flat, F& f) {
    const Axis axis = axes[0];
    if (axes.size() == 1) {
      for (std::int64_t i = 0; i < axis.size; ++i) f(flat++, base + i * axis.stride);
      return;
    }
    for (std::int64_t i = 0; i < axis.size; ++i)
      walk(axes.subspan(1), base + i * axis.stride, flat, f);
  }
};

// Infers gather's operands: `whole` is pointed into, operand 1 is the index.
void check_gather(Inference& inference, const Shape& whole) {
  require_index(inference, 1);
  const Shape& index = inference.shape(1);
  if (whole.rank() == 0)
    inference.shape_error("a scalar has no axis to choose from", "unsqueeze(x, 0) makes one");
  const std::size_t axis =
      inference.axis(inference.attributes.get<std::int64_t>("axis"), whole.rank());
  bool fits = index.rank() == whole.rank();
  for (std::size_t d = 0; fits && d < whole.rank(); ++d) fits = d == axis || index[d] <= whole[d];
  if (!fits)
    inference.shape_error("the index of shape " + to_string(index) + " does not fit " +
                              to_string(whole) + " along axis " + std::to_string(axis),
                          "give the index the rank of x and no larger sizes but along the axis; "
                          "take() chooses whole rows");
}
struct Gather {
  static constexpr auto name = "gather";
  static constexpr Shift shift{.axis = "axis"};
  static constexpr auto doc = "one element of an axis for every element of an index tensor";
  static constexpr auto math =
      "y[i, j] = x[index[i, j], j] for axis 0 and so on; linear in x: the vjp adds every cotangent "
      "element to the place it came from (scatter_add)";
  static constexpr Example example{
      "gather(g.constant(Tensor{{1, 2}, {3, 4}}), "
      "reshape(g.constant(Tensor::of({1, 0})), {2, 1}), 1)",
      "[[2.]\n [3.]]"};

  static bool linear_in(std::span<const bool> active) { return !active[1]; }
  static void infer(Inference& inference) {
    inference.require_count(2);
    check_gather(inference, inference.shape(0));
    inference.out = {{inference.shape(1), inference.dtype(0)}};
  }
  // From one x for all members their indices stand side by side on the axis.
  static std::optional<std::vector<Var>> batch(const BatchView& view) {
    if (view.in[0]) return std::nullopt;
    const Var index = *view.in[1];
    const auto axis =
        static_cast<std::int64_t>(detail::axis_of(view.node.attributes, view.node.in[0].rank()));
    Ints order;
    for (std::int64_t k = 1; k <= axis; ++k) order.push_back(k);
    order.push_back(0);
    for (std::int64_t k = axis + 1; k < static_cast<std::int64_t>(index.rank()); ++k)
      order.push_back(k);
    const Var beside = permute(index, order);
    Ints sizes = beside.shape().vector();
    const auto at = sizes.begin() + axis;
    at[1] *= at[0];
    sizes.erase(at);
    const Var out = gather(view.node.in[0], reshape(beside, sizes), axis);
    Ints back(order.size());
    for (std::size_t k = 0; k < order.size(); ++k)
      back[static_cast<std::size_t>(order[k])] = static_cast<std::int64_t>(k);
    return std::vector{permute(reshape(out, beside.shape()), back)};
  }
  static Kernel kernel(const KernelRequest& request) {
    const Shape& x = request.in[0].shape;
    const std::size_t axis = axis_of(request.attributes, x.rank());
    const Type& index = request.in[1];
    const GatherWalk walk(x, index.shape, axis);
    const IndexCheck check = check_of(request.attributes, index, x[axis]);
    return dispatch_both(request.in[0].dtype, index.dtype, [&]<class T, class I>() -> Kernel {
      return {[walk, check](const KernelArgs& args) {
        check.run(args.in[1]);
        const auto* from = args.input<T>(0);
        const auto* places = args.input<I>(1);
        auto* to = args.output<T>();
        walk.run(
            [=, size = check.size, stride = walk.axis_stride](std::int64_t i, std::int64_t base) {
              to[i] = from[base + place_of(places[i], size) * stride];
            });
      }};
    });
  }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent);
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    const auto gathered = [](std::int64_t axis) {
      return
          [axis](std::span<const Var> in) { return std::vector<Var>{gather(in[0], in[1], axis)}; };
    };
    return {{"one of each row", {Arg{{3, 4}}, index_arg({3, 1}, 4)}, gathered(1)},
            {"axis 0, fewer columns", {Arg{{3, 4}}, index_arg({5, 2}, 3, int32)}, gathered(-2)},
            {"vector", {Arg{{3}}, index_arg({5}, 3)}, gathered(0)},
            {"three axes", {Arg{{2, 3, 2}}, index_arg({2, 2, 2}, 3)}, gathered(1)},
            {"no index", {Arg{{3, 2}}, index_arg({0, 2}, 3)}, gathered(0)}};
  }
};
constexpr Linear<Gather> gather_op;

// The lines along the axis chosen, up to `at_once` neighbours side by side. Sums of a line are kept
// apart, wider than its elements, at the places that it touches only.
struct ScatterWalk {
  static constexpr std::int64_t at_once = 8;
  struct Axis {
    std::int64_t size;
    std::int64_t in_index;  // strides
    std::int64_t in_whole;
  };
  std::vector<Axis> others;  // outermost first
  Axis line;
  std::int64_t places;  // of a line of the tensor pointed into

  ScatterWalk(const Shape& whole, const Shape& index, std::size_t axis) : places(whole[axis]) {
    const Ints of_index = detail::dense_strides(index);
    const Ints of_whole = detail::dense_strides(whole);
    line = {index[axis], of_index[axis], of_whole[axis]};
    for (std::size_t d = 0; d < index.rank(); ++d)
      if (d != axis) others.push_back({index[d], of_index[d], of_whole[d]});
  }
  std::size_t sums() const { return static_cast<std::size_t>(places * at_once); }

  // f(flat place in the index, in the tensor pointed into, lines side by side)
  template <class F>
  void run(F&& f) const {
    walk(others, 0, 0, f);
  }
  template <class F>
  static void walk(std::span<const Axis> axes, std::int64_t index, std::int64_t whole, F& f) {
    if (axes.empty()) return f(index, whole, std::int64_t{1});
    const Axis axis = axes[0];
    const bool dense = axes.size() == 1 && axis.in_index == 1 && axis.in_whole == 1;
    for (std::int64_t i = 0; i < axis.size; i += dense ? at_once : 1) {
      if (dense)
        f(index + i, whole + i, std::min(at_once, axis.size - i));
      else
        walk(axes.subspan(1), index + i * axis.in_index, whole + i * axis.in_whole, f);
    }
  }
  template <class T, class I>
  void add(const T* from, const I* index, std::int64_t width, T* to, Running<T>* sums) const {
    const auto each = [&](auto f) {
      for (std::int64_t i = 0; i < line.size; ++i)
        for (std::int64_t k = 0; k < width; ++k) {
          const std::int64_t at = i * line.in_index + k;
          const std::int64_t place = place_of(index[at], places);
          f(sums[place * at_once + k], to[place * line.in_whole + k], from[at]);
        }
    };
    if (line.size == 1)  // nothing is added twice
      return each([](Running<T>&, T& y, T x) {
        y = static_cast<T>(static_cast<Running<T>>(y) + static_cast<Running<T>>(x));
      });
    each([](Running<T>& sum, T& y, T) { sum = static_cast<Running<T>>(y); });
    each([](Running<T>& sum, T&, T x) { sum += static_cast<Running<T>>(x); });
    each([](Running<T>& sum, T& y, T) { y = static_cast<T>(sum); });
  }
};

struct ScatterAdd {
  static constexpr auto name = "scatter_add";
  static constexpr Shift shift{.axis = "axis", .sizes = "shape"};
  static constexpr auto doc = "updates added to elements that an index tensor names";
  static constexpr auto math =
      "y = x, then y[index[i, j], j] += u[i, j] for axis 0 and so on; linear in x and u together: "
      "the vjp gathers the cotangent for u, and passes it whole to x";
  static constexpr Example example{
      "scatter_add(g.constant(Tensor{0, 0, 0}), g.constant(Tensor::of({2, 2, 0})), "
      "g.constant(Tensor{1, 2, 3}), 0)",
      "[3. 0. 3.]"};

  static bool linear_in(std::span<const bool> active) { return sum_is_linear_in(active); }
  static void infer(Inference& inference) {
    inference.require_count(inference.in.size() == 3 ? 3 : 2);
    const auto& shape = inference.attributes.get<Shape>("shape");
    check_gather(inference, shape);
    if (inference.shape(0) != inference.shape(1))
      inference.shape_error("updates of shape " + to_string(inference.shape(0)) +
                                " and the index of shape " + to_string(inference.shape(1)) +
                                " must have one shape",
                            "broadcast_to() repeats the smaller one");
    infer_sum(inference, shape);
  }
  static Kernel kernel(const KernelRequest& request) {
    const Type& whole = request.out[0];
    const std::size_t axis = axis_of(request.attributes, whole.shape.rank());
    const Type& index = request.in[1];
    const ScatterWalk walk(whole.shape, index.shape, axis);
    const IndexCheck check = check_of(request.attributes, index, whole.shape[axis]);
    const bool has_base = base_of(request.in) != nullptr;
    return dispatch_both(whole.dtype, index.dtype, [&]<class T, class I>() -> Kernel {
      return {[walk, check, has_base, bytes = bytes_of(whole)](const KernelArgs& args) {
                check.run(args.in[1]);
                start_sum(args, has_base, bytes);
                auto* const sums = static_cast<Running<T>*>(args.workspace);
                walk.run([&](std::int64_t from, std::int64_t to, std::int64_t width) {
                  walk.add(args.input<T>(0) + from, args.input<I>(1) + from, width,
                           args.output<T>() + to, sums);
                });
              },
              walk.sums() * sizeof(Running<T>)};
    });
  }
  static Var transpose(const NodeView& node, std::size_t i, Var cotangent) {
    return i == 2 ? cotangent
                  : gather(cotangent, node.in[1], node.attributes.get<std::int64_t>("axis"));
  }
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    const auto added = [](std::int64_t axis) {
      return [axis](std::span<const Var> in) {
        return std::vector<Var>{scatter_add(in[0], in[1], in[2], axis)};
      };
    };
    return {{"vector", {Arg{{3}}, index_arg({5}, 3), Arg{{5}}}, added(0)},
            {"one of each row", {Arg{{3, 4}}, index_arg({3, 1}, 4, int32), Arg{{3, 1}}}, added(-1)},
            {"nothing", {Arg{{3}}, index_arg({0}, 3), Arg{{0}}}, added(0)}};
  }
};
constexpr Linear<ScatterAdd> scatter_add_op;

Var Gather::transpose(const NodeView& node, std::size_t, Var cotangent) {
  Attributes attributes{{"axis", node.attributes.get<std::int64_t>("axis")},
                        {"shape", node.in[0].shape()}};
  if (node.attributes.has("of"))
    attributes = attributes.with("of", node.attributes.get<std::string>("of"));
  return scatter_add_op(cotangent, node.in[1], attributes);
}

}  // namespace

Var gather(In x, In index, std::int64_t axis) {
  return gather_op(x, index, Attributes{{"axis", wrap_axis(axis, shape_of(x).rank())}});
}
Var scatter_add(In x, In index, In updates, std::int64_t axis) {
  const Shape shape = shape_of(x);
  return scatter_add_op(updates, index, x,
                        {{"axis", wrap_axis(axis, shape.rank())}, {"shape", shape}});
}

namespace detail {

Var gather_of(std::string_view loss, In x, In labels, std::int64_t axis) {
  return gather_op(x, labels,
                   Attributes{{"axis", wrap_axis(axis, shape_of(x).rank())},
                              {"of", std::string(loss) + ": label"}});
}

void register_gather() { register_all(gather_op, scatter_add_op); }

}  // namespace detail
}  // namespace dualtape
