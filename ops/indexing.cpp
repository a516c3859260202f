#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/indices.hpp>
#include <dualtape/ops/declare/running.hpp>
#include <dualtape/ops/indexing.hpp>

namespace dualtape {
namespace {

using detail::axis_of;
using detail::AxisSplit;
using detail::base_of;
using detail::called;
using detail::check_of;
using detail::dispatch_both;
using detail::index_arg;
using detail::IndexCheck;
using detail::infer_sum;
using detail::place_of;
using detail::require_index;
using detail::Running;
using detail::shape_of;
using detail::split_at;
using detail::sum_is_linear_in;
using detail::wrap_axis;

// Entries of each member's own choice: index (b, i ...) of x (b, a ..., n, c ...), by a gather of
// rows (b, i ..., a ... c ...).
Var take_of_each(Var x, Var index, std::int64_t axis) {
  const std::int64_t size = x.shape()[0];
  const std::int64_t choices = index.shape().count() / std::max<std::int64_t>(size, 1);
  const Var lines = move_axis(x, axis + 1, 1);
  Ints others(lines.shape().begin() + 2, lines.shape().end());
  std::int64_t width = 1;
  for (const std::int64_t n : others) width *= n;
  const Var rows = reshape(lines, {size, lines.shape()[1], width});
  const Var chosen =
      gather(rows, broadcast_to(reshape(index, {size, choices, 1}), {size, choices, width}), 1);
  // (b, i ..., a ..., c ...), and then i ... to the place they have in a member's result.
  Ints sizes(index.shape().begin(), index.shape().end());
  const std::int64_t inner = static_cast<std::int64_t>(sizes.size()) - 1;
  sizes.insert(sizes.end(), others.begin(), others.end());
  Ints order{0};
  for (std::int64_t a = 0; a < axis; ++a) order.push_back(1 + inner + a);
  for (std::int64_t k = 0; k < inner; ++k) order.push_back(1 + k);
  for (auto a = 1 + inner + axis; a < static_cast<std::int64_t>(sizes.size()); ++a)
    order.push_back(a);
  return permute(reshape(chosen, sizes), order);
}

struct Take {
  static constexpr auto name = "take";
  static constexpr auto doc = "entries of an axis chosen by an index tensor";
  static constexpr auto math =
      "y[a, i, b] = x[a, index[i], b]; linear in x: the vjp adds every cotangent entry to the "
      "place "
      "it came from (index_add)";
  static constexpr Example example{
      "take(g.constant(Tensor{{1, 2}, {3, 4}}), g.constant(Tensor::of({1, 0, 1})))",
      "[[3. 4.]\n [1. 2.]\n [3. 4.]]"};

  static bool linear_in(std::span<const bool> active) { return !active[1]; }
  static Shape shape_of(const Shape& x, const Shape& index, std::size_t axis) {
    Ints sizes(x.begin(), x.begin() + axis);
    sizes.insert(sizes.end(), index.begin(), index.end());
    sizes.insert(sizes.end(), x.begin() + axis + 1, x.end());
    return Shape(sizes);
  }
  static void infer(Inference& inference) {
    inference.require_count(2);
    require_index(inference, 1);
    const Shape& x = inference.shape(0);
    const std::size_t axis =
        inference.axis(inference.attributes.get<std::int64_t>("axis"), x.rank());
    inference.out = {{shape_of(x, inference.shape(1), axis), inference.dtype(0)}};
  }
  static Kernel kernel(const KernelRequest& request) {
    const Shape& x = request.in[0].shape;
    const AxisSplit split = split_at(x, axis_of(request.attributes, x.rank()));
    const Type& index = request.in[1];
    const IndexCheck check = check_of(request.attributes, index, split.size);
    return dispatch_both(request.in[0].dtype, index.dtype, [&]<class T, class I>() -> Kernel {
      return {[split, check, count = index.shape.count()](const KernelArgs& args) {
        const auto* from = args.input<T>(0);
        const auto* places = args.input<I>(1);
        auto* to = args.output<T>();
        if (split.outer == 1 && split.inner == 1) {
          // A call to copy one element would cost more, and so would reading the places twice.
          constexpr std::int64_t block = 1024;
          for (std::int64_t first = 0; first < count; first += block) {
            const std::int64_t last = std::min(first + block, count);
            check.check(places, first, last);
            for (std::int64_t i = first; i < last; ++i)
              to[i] = from[place_of(places[i], split.size)];
          }
          return;
        }
        check.run(args.in[1]);
        for (std::int64_t o = 0; o < split.outer; ++o, from += split.size * split.inner)
          for (std::int64_t i = 0; i < count; ++i, to += split.inner)
            std::copy_n(from + place_of(places[i], split.size) * split.inner, split.inner, to);
      }};
    });
  }
  static Var batch(const BatchView& view) {
    const Var x = view.node.in[0];
    const Var index = view.node.in[1];
    const auto axis = static_cast<std::int64_t>(axis_of(view.node.attributes, x.rank()));
    if (!view.in[1]) return take(*view.in[0], index, axis + 1);
    if (!view.in[0]) return move_axis(take(x, *view.in[1], axis), axis, 0);
    return take_of_each(*view.in[0], *view.in[1], axis);
  }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent);
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    const auto taken = [](std::int64_t axis) {
      return [axis](std::span<const Var> in) { return std::vector<Var>{take(in[0], in[1], axis)}; };
    };
    return {{"rows", {Arg{{3, 2}}, index_arg({4}, 3)}, taken(0)},
            {"columns by an int32 matrix", {Arg{{2, 4}}, index_arg({2, 3}, 4, int32)}, taken(-1)},
            {"middle axis by a scalar", {Arg{{2, 3, 2}}, index_arg({}, 3)}, taken(1)},
            {"no index", {Arg{{3, 2}}, index_arg({0}, 3)}, taken(0)}};
  }
};
constexpr Linear<Take> take_op;

// Which updates fall on each entry, in their order: by counting, so that sums can be kept in
// registers and need no memory of the size of what is added to.
struct Groups {
  std::int64_t size;   // entries
  std::int64_t count;  // updates

  std::size_t bytes() const {
    return static_cast<std::size_t>(size + count) * sizeof(std::int64_t);
  }
  // Fills memory with the end of each entry's updates among the updates in order of entries.
  template <class I>
  void sort(const I* places, std::int64_t* memory) const {
    std::int64_t* const ends = memory;
    std::int64_t* const order = memory + size;
    std::fill_n(ends, size, 0);
    for (std::int64_t i = 0; i < count; ++i) ++ends[place_of(places[i], size)];
    std::int64_t before = 0;
    for (std::int64_t k = 0; k < size; ++k) before += std::exchange(ends[k], before);
    for (std::int64_t i = 0; i < count; ++i) order[ends[place_of(places[i], size)]++] = i;
  }
  // f(numbers of the updates) for every entry.
  template <class F>
  void each(const std::int64_t* memory, F f) const {
    const std::int64_t* const order = memory + size;
    for (std::int64_t k = 0, begin = 0; k < size; begin = memory[k++])
      f(std::span(order + begin, order + memory[k]));
  }
};

// to = base (or 0) and the rows of `from` that are named, in this order.
template <class T>
void add_rows(const T* from, std::span<const std::int64_t> rows, std::int64_t width, const T* base,
              T* to) {
  constexpr std::int64_t at_once = 64;
  std::array<Running<T>, at_once> sums;
  for (std::int64_t column = 0; column < width; column += at_once) {
    const auto count = static_cast<std::size_t>(std::min(at_once, width - column));
    for (std::size_t k = 0; k < count; ++k)
      sums[k] = base == nullptr
                    ? 0
                    : static_cast<Running<T>>(base[column + static_cast<std::int64_t>(k)]);
    for (const std::int64_t row : rows) {
      const T* const part = from + row * width + column;
      for (std::size_t k = 0; k < count; ++k) sums[k] += static_cast<Running<T>>(part[k]);
    }
    for (std::size_t k = 0; k < count; ++k)
      to[column + static_cast<std::int64_t>(k)] = static_cast<T>(sums[k]);
  }
}

struct IndexAdd {
  static constexpr auto name = "index_add";
  static constexpr auto doc = "updates added to the entries of an axis that an index tensor names";
  static constexpr auto math =
      "y = x, then y[a, index[i], b] += u[a, i, b]; linear in x and u together: the vjp takes the "
      "cotangent for u at the index, and whole for x";
  static constexpr Example example{
      "index_add(g.constant(Tensor{1, 1, 1}), g.constant(Tensor::of({2, 0, 2})), "
      "g.constant(Tensor{10, 20, 30}))",
      "[21.  1. 41.]"};

  static bool linear_in(std::span<const bool> active) { return sum_is_linear_in(active); }
  static void infer(Inference& inference) {
    inference.require_count(inference.in.size() == 3 ? 3 : 2);
    require_index(inference, 1);
    const auto& shape = inference.attributes.get<Shape>("shape");
    const std::size_t axis =
        inference.axis(inference.attributes.get<std::int64_t>("axis"), shape.rank());
    const Shape wanted = Take::shape_of(shape, inference.shape(1), axis);
    if (inference.shape(0) != wanted)
      inference.shape_error("updates of shape " + to_string(inference.shape(0)) +
                                " cannot be added to " + to_string(shape) + " at an index of " +
                                to_string(inference.shape(1)) + " along axis " +
                                std::to_string(axis),
                            "give updates the shape " + to_string(wanted));
    infer_sum(inference, shape);
  }
  static Kernel kernel(const KernelRequest& request) {
    const Type& whole = request.out[0];
    const AxisSplit split = split_at(whole.shape, axis_of(request.attributes, whole.shape.rank()));
    const Type& index = request.in[1];
    const IndexCheck check = check_of(request.attributes, index, split.size);
    const Groups groups{split.size, index.shape.count()};
    const bool has_base = base_of(request.in) != nullptr;
    return dispatch_both(whole.dtype, index.dtype, [&]<class T, class I>() -> Kernel {
      return {[split, check, groups, has_base](const KernelArgs& args) {
                check.run(args.in[1]);
                auto* const memory = static_cast<std::int64_t*>(args.workspace);
                groups.sort(args.input<I>(1), memory);
                const auto* from = args.input<T>(0);
                const auto* base = has_base ? args.input<T>(2) : nullptr;
                auto* to = args.output<T>();
                for (std::int64_t o = 0; o < split.outer; ++o, from += groups.count * split.inner)
                  groups.each(memory, [&](std::span<const std::int64_t> updates) {
                    add_rows(from, updates, split.inner, base, to);
                    to += split.inner;
                    if (base != nullptr) base += split.inner;
                  });
              },
              groups.bytes()};
    });
  }
  // With one index for all members; otherwise one member after the other.
  static std::optional<std::vector<Var>> batch(const BatchView& view) {
    if (view.in[1]) return std::nullopt;
    std::vector<In> in{batched_operand(view, 0), view.node.in[1]};
    if (view.in.size() == 3) in.emplace_back(batched_operand(view, 2));
    return apply_all(view.node.op, in,
                     shifted_attributes(view, {.axis = "axis", .sizes = "shape"}));
  }
  static Var transpose(const NodeView& node, std::size_t i, Var cotangent) {
    return i == 2 ? cotangent
                  : take(cotangent, node.in[1], node.attributes.get<std::int64_t>("axis"));
  }
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    const auto added = [](std::int64_t axis) {
      return [axis](std::span<const Var> in) {
        return std::vector<Var>{index_add(in[0], in[1], in[2], axis)};
      };
    };
    return {{"rows", {Arg{{3, 2}}, index_arg({4}, 3), Arg{{4, 2}}}, added(0)},
            {"columns", {Arg{{2, 3}}, index_arg({2}, 3, int32), Arg{{2, 2}}}, added(-1)},
            {"nothing", {Arg{{3}}, index_arg({0}, 3), Arg{{0}}}, added(0)}};
  }
};
constexpr Linear<IndexAdd> index_add_op;

Var Take::transpose(const NodeView& node, std::size_t, Var cotangent) {
  Attributes attributes{{"axis", node.attributes.get<std::int64_t>("axis")},
                        {"shape", node.in[0].shape()}};
  if (node.attributes.has("of"))
    attributes = attributes.with("of", node.attributes.get<std::string>("of"));
  return index_add_op(cotangent, node.in[1], attributes);
}

struct OneHot {
  static constexpr auto name = "one_hot";
  static constexpr Shift shift{};
  static constexpr auto doc = "1 at the label and else 0, along a new last axis";
  static constexpr auto math = "y[i, k] = 1 if k = labels[i], else 0";
  static constexpr auto reason = "labels are integers";
  static constexpr Example example{"one_hot(g.constant(Tensor::of({2, 0})), 3)",
                                   "[[0. 0. 1.]\n [1. 0. 0.]]"};

  static void infer(Inference& inference) {
    inference.require_count(1);
    if (!is_integer(inference.dtype(0)))
      inference.type_error("labels must be int32 or int64, got " + to_string(inference.in[0]),
                           "cast(labels, dt::int64)");
    const auto classes = inference.attributes.get<std::int64_t>("classes");
    if (classes < 1)
      inference.value_error("the number of classes is " + std::to_string(classes),
                            "give 1 class or more");
    Ints sizes = inference.shape(0).vector();
    sizes.push_back(classes);
    inference.out = {{Shape(sizes), inference.attributes.get<DType>("dtype")}};
  }
  static Kernel kernel(const KernelRequest& request) {
    const Type& labels = request.in[0];
    const auto classes = request.attributes.get<std::int64_t>("classes");
    const IndexCheck check{called(request.attributes, "label"), labels.dtype, labels.shape, classes,
                           false};
    return dispatch_both(request.out[0].dtype, labels.dtype, [&]<class T, class I>() -> Kernel {
      return {[check, classes, count = labels.shape.count()](const KernelArgs& args) {
        check.run(args.in[0]);
        const auto* label = args.input<I>(0);
        auto* row = args.output<T>();
        std::fill_n(row, count * classes, T(0));
        for (std::int64_t i = 0; i < count; ++i, row += classes) row[label[i]] = T(1);
      }};
    });
  }
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {{"vector",
             {index_arg({4}, 3)},
             [](std::span<const Var> in) { return std::vector<Var>{one_hot(in[0], 3, float64)}; }},
            {"int32 scalar",
             {index_arg({}, 5, int32)},
             [](std::span<const Var> in) { return std::vector<Var>{one_hot(in[0], 5)}; }},
            {"empty", {index_arg({0}, 2)}, [](std::span<const Var> in) {
               return std::vector<Var>{one_hot(in[0], 2)};
             }}};
  }
};
constexpr ZeroDerivative<OneHot> one_hot_op;

}  // namespace

Var take(In x, In index, std::int64_t axis) {
  return take_op(x, index, Attributes{{"axis", wrap_axis(axis, shape_of(x).rank())}});
}
Var index_add(In x, In index, In updates, std::int64_t axis) {
  const Shape shape = shape_of(x);
  return index_add_op(updates, index, x,
                      {{"axis", wrap_axis(axis, shape.rank())}, {"shape", shape}});
}
Var one_hot(In labels, std::int64_t classes, DType dtype) {
  return one_hot_op(labels, {{"classes", classes}, {"dtype", dtype}});
}

namespace detail {

Var one_hot_of(std::string_view loss, In labels, std::int64_t classes, DType dtype) {
  return one_hot_op(
      labels, {{"classes", classes}, {"dtype", dtype}, {"of", std::string(loss) + ": label"}});
}

Var rows_of(std::string_view what, In table, In ids) {
  return take_op(table, ids, {{"axis", std::int64_t{0}}, {"of", std::string(what)}});
}

void register_indexing() { register_all(take_op, index_add_op, one_hot_op); }

}  // namespace detail
}  // namespace dualtape
