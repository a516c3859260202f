#include <algorithm>
#include <cstdint>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/declare/samples.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/kernels/rows/strided.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/slice.hpp>

namespace dualtape {
namespace {

using detail::dense_strides;
using detail::StridedCopy;
using detail::unary_case;
using detail::wrap_axis;

constexpr std::int64_t most_pieces = std::int64_t{1} << 24;

// A copy between `part` and its place in `whole`, from element `first` of the axis on.
StridedCopy part_copy(const Type& part, const Type& whole, std::size_t axis, std::int64_t first,
                      bool into_whole) {
  const Ints of_part = dense_strides(part.shape);
  const Ints of_whole = dense_strides(whole.shape);
  const std::int64_t offset = first * of_whole[axis];
  return into_whole ? StridedCopy(part.dtype, part.shape.sizes(), of_part, of_whole, 0, offset)
                    : StridedCopy(part.dtype, part.shape.sizes(), of_whole, of_part, offset, 0);
}

struct Concat {
  static constexpr auto name = "concat";
  static constexpr Shift shift{.axis = "axis"};
  static constexpr auto doc = "tensors one after the other along an axis";
  static constexpr auto math =
      "y = [x_0; x_1; ...]; linear in all operands together: the jvp joins the tangents, the vjp "
      "gives each operand its slice of the cotangent";
  static constexpr Example example{"concat({g.constant(Tensor{1, 2}), g.constant(Tensor{3})})",
                                   "[1. 2. 3.]"};
  static constexpr Promotion promotion = Promotion::common;
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    if (inference.in.empty()) inference.shape_error("needs at least one operand");
    const Shape& first = inference.shape(0);
    const std::size_t axis =
        inference.axis(inference.attributes.get<std::int64_t>("axis"), first.rank());
    Ints sizes = first.vector();
    for (std::size_t i = 1; i < inference.in.size(); ++i) {
      const Shape& shape = inference.shape(i);
      bool fits = shape.rank() == first.rank();
      for (std::size_t d = 0; fits && d < first.rank(); ++d)
        fits = d == axis || shape[d] == first[d];
      if (!fits)
        inference.shape_error("operand " + std::to_string(i) + " of shape " + to_string(shape) +
                                  " does not fit operand 0 of shape " + to_string(first) +
                                  " along axis " + std::to_string(axis),
                              "all sizes but that of the joined axis must be equal");
      sizes[axis] = detail::size_sum(sizes[axis], shape[axis]);
    }
    inference.out = {{Shape(sizes), inference.dtype(0)}};
  }
  static Kernel kernel(const KernelRequest& request) {
    const Type& whole = request.out[0];
    const auto axis = static_cast<std::size_t>(
        wrap_axis(request.attributes.get<std::int64_t>("axis"), whole.shape.rank()));
    std::vector<StridedCopy> copies;
    std::int64_t first = 0;
    for (const Type& part : request.in) {
      copies.push_back(part_copy(part, whole, axis, first, true));
      first += part.shape[axis];
    }
    return {[copies = std::move(copies)](const KernelArgs& args) {
      for (std::size_t i = 0; i < copies.size(); ++i) copies[i].run(args.in[i], args.out[0]);
    }};
  }
  static Var transpose(const NodeView& node, std::size_t i, Var cotangent) {
    std::vector<bool> wanted(node.in.size());
    wanted[i] = true;
    const MaybeVar whole = cotangent;
    return *transpose_all(node, wanted, {&whole, 1})[i];
  }
  static std::vector<MaybeVar> transpose_all(const NodeView& node, const std::vector<bool>& wanted,
                                             std::span<const MaybeVar> cotangents) {
    std::vector<MaybeVar> found(node.in.size());
    if (!cotangents[0]) return found;
    const auto axis = static_cast<std::size_t>(
        wrap_axis(node.attributes.get<std::int64_t>("axis"), cotangents[0]->rank()));
    std::int64_t first = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const std::int64_t size = node.in[i].shape()[axis];
      if (wanted[i])
        found[i] = slice(*cotangents[0], static_cast<std::int64_t>(axis), first, first + size);
      first += size;
    }
    return found;
  }
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    const auto joined = [](std::int64_t axis) {
      return [axis](std::span<const Var> in) {
        return std::vector<Var>{concat(std::vector<Var>(in.begin(), in.end()), axis)};
      };
    };
    return {{"vectors", {Arg{{2}}, Arg{{3}}}, joined(0)},
            {"last of three axes", {Arg{{2, 2, 1}}, Arg{{2, 2, 3}}, Arg{{2, 2, 2}}}, joined(-1)},
            {"first axis", {Arg{{1, 3}}, Arg{{2, 3}}}, joined(0)},
            {"one operand", {Arg{{2, 2}}}, joined(1)},
            {"an empty operand", {Arg{{2, 0}}, Arg{{2, 2}}}, joined(1)}};
  }
};
constexpr Linear<Concat> concat_op;

struct Split {
  static constexpr auto name = "split";
  static constexpr Shift shift{.axis = "axis"};
  static constexpr auto doc = "pieces of a tensor along an axis";
  static constexpr auto math =
      "y_k = x[..., o_k : o_k + n_k, ...] with o_k = n_0 + ... + n_(k-1); linear: the vjp joins "
      "the "
      "cotangents of the pieces, zeros where a piece has none";
  static constexpr Example example{"split(g.constant(Tensor{1, 2, 3}), {2, 1})[0]", "[1. 2.]"};
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    inference.require_count(1);
    const Shape& shape = inference.shape(0);
    const std::size_t axis =
        inference.axis(inference.attributes.get<std::int64_t>("axis"), shape.rank());
    const Ints& sizes = inference.attributes.get<Ints>("sizes");
    std::int64_t left = shape[axis];
    for (const std::int64_t size : sizes) {
      if (size < 0 || size > left || std::ssize(sizes) > most_pieces) {
        left = -1;
        break;
      }
      left -= size;
      Ints piece = shape.vector();
      piece[axis] = size;
      inference.out.push_back({Shape(piece), inference.dtype(0)});
    }
    if (left != 0 || sizes.empty())
      inference.shape_error("the sizes " + to_string(Attribute(sizes)) + " do not add up to " +
                                std::to_string(shape[axis]) + ", the size of axis " +
                                std::to_string(axis) + " of " + to_string(inference.in[0]),
                            "give sizes of 0 or more that add up; slice() takes a part only");
  }
  static Kernel kernel(const KernelRequest& request) {
    const Type& whole = request.in[0];
    const auto axis = static_cast<std::size_t>(
        wrap_axis(request.attributes.get<std::int64_t>("axis"), whole.shape.rank()));
    std::vector<StridedCopy> copies;
    std::int64_t first = 0;
    for (const Type& part : request.out) {
      copies.push_back(part_copy(part, whole, axis, first, false));
      first += part.shape[axis];
    }
    // A piece that nobody reads may have no memory.
    return {[copies = std::move(copies)](const KernelArgs& args) {
      for (std::size_t i = 0; i < copies.size(); ++i)
        if (args.out[i] != nullptr) copies[i].run(args.in[0], args.out[i]);
    }};
  }
  static MaybeVar transpose(const NodeView& node, std::size_t,
                            std::span<const MaybeVar> cotangents) {
    const Shape& shape = node.in[0].shape();
    const auto axis = static_cast<std::size_t>(
        wrap_axis(node.attributes.get<std::int64_t>("axis"), shape.rank()));
    const Ints& sizes = node.attributes.get<Ints>("sizes");
    const auto present = std::ranges::count_if(cotangents, &MaybeVar::has_value);
    if (present == 0) return std::nullopt;
    const Var some = **std::ranges::find_if(cotangents, &MaybeVar::has_value);
    Graph& home = some.graph().parent() != nullptr ? *some.graph().parent() : some.graph();
    std::vector<Var> pieces;
    Ints starts(shape.rank(), 0);
    for (std::size_t k = 0; k < cotangents.size(); ++k) {
      if (present == 1 && cotangents[k])
        return slice_scatter(some, shape, starts, Ints(shape.rank(), 1));
      starts[axis] += sizes[k];
      if (cotangents[k]) {
        pieces.push_back(*cotangents[k]);
      } else if (present > 1) {
        Ints piece = shape.vector();
        piece[axis] = sizes[k];
        pieces.push_back(home.constant(Tensor(Shape(piece), some.dtype())));
      }
    }
    return concat(pieces, static_cast<std::int64_t>(axis));
  }
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {{"sizes",
             {Arg{{5}}},
             [](std::span<const Var> in) {
               return split(in[0], {2, 0, 3});
             }},
            {"sections of the last axis",
             {Arg{{2, 6}}},
             [](std::span<const Var> in) { return split(in[0], 3, -1); }},
            {"some pieces unused",
             {Arg{{4, 2}}},
             [](std::span<const Var> in) {
               const auto pieces = split(in[0], 4, 0);
               return std::vector<Var>{pieces[2], pieces[0]};
             }},
            unary_case("one piece used", {3, 2, 2}, [](Var x) {
              return split(x, {1, 2}, 0)[1];
            })};
  }
};
constexpr Linear<Split> split_op;

struct Stack {
  static constexpr auto name = "stack";
  static constexpr auto doc = "tensors of one shape along a new axis";
  static constexpr auto math = "concat of the operands, each with a new axis of size 1";
  static constexpr Example example{"stack({g.constant(Tensor{1, 2}), g.constant(Tensor{3, 4})}, 1)",
                                   "[[1. 3.]\n [2. 4.]]"};
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    const auto stacked = [](std::int64_t axis) {
      return [axis](std::span<const Var> in) {
        return std::vector<Var>{stack(std::vector<Var>(in.begin(), in.end()), axis)};
      };
    };
    return {{"scalars", {Arg{{}}, Arg{{}}}, stacked(0)},
            {"last axis", {Arg{{2, 2}}, Arg{{2, 2}}}, stacked(-1)}};
  }
};
std::vector<In> ins(const std::vector<Var>& vars, Location where) {
  std::vector<In> parts;
  parts.reserve(vars.size());
  for (const Var var : vars) parts.emplace_back(var, where);
  return parts;
}

}  // namespace

Var concat(std::span<const In> parts, std::int64_t axis) {
  if (parts.empty())
    fail<GraphError>({.op = "concat",
                      .what = "needs at least one operand",
                      .help = "the list is empty; leave the call out where there is nothing to "
                              "join"});
  return apply(concat_op.op(), parts,
               {{"axis", wrap_axis(axis, detail::shape_of(parts[0]).rank())}});
}
Var concat(std::initializer_list<In> parts, std::int64_t axis) {
  return concat(std::span<const In>(parts.begin(), parts.size()), axis);
}
Var concat(const std::vector<Var>& parts, std::int64_t axis, Location where) {
  return concat(ins(parts, where), axis);
}

Var stack(std::span<const In> parts, std::int64_t axis) {
  if (parts.empty()) fail<GraphError>({.op = "stack", .what = "needs at least one operand"});
  const Shape first = detail::shape_of(parts[0]);
  const Composite c("stack", parts);
  std::vector<In> with_axis;
  for (const In& part : parts) {
    if (detail::shape_of(part) != first)
      fail<ShapeError>({.op = "stack",
                        .what = "operand " + std::to_string(with_axis.size()) + " has shape " +
                                to_string(detail::shape_of(part)) + ", operand 0 has " +
                                to_string(first),
                        .where = part.where(),
                        .help = "all operands must have one shape; concat() joins unequal ones"});
    with_axis.emplace_back(unsqueeze(c[with_axis.size()], axis));
  }
  return detail::sized_by("stack", parts,
                          [&] { return concat(with_axis, wrap_axis(axis, first.rank() + 1)); });
}
Var stack(std::initializer_list<In> parts, std::int64_t axis) {
  return stack(std::span<const In>(parts.begin(), parts.size()), axis);
}
Var stack(const std::vector<Var>& parts, std::int64_t axis, Location where) {
  return stack(ins(parts, where), axis);
}

std::vector<Var> split(In x, const std::vector<std::int64_t>& sizes, std::int64_t axis) {
  const std::int64_t wrapped = wrap_axis(axis, detail::shape_of(x).rank());
  return apply_all(split_op.op(), std::span<const In>(&x, 1),
                   {{"sizes", sizes}, {"axis", wrapped}});
}
std::vector<Var> split(In x, std::initializer_list<std::int64_t> sizes, std::int64_t axis) {
  return split(x, Ints(sizes), axis);
}
std::vector<Var> split(In x, std::int64_t sections, std::int64_t axis) {
  const Shape shape = detail::shape_of(x);
  const std::size_t place = detail::require_axis("split", x, axis, shape.rank());
  if (sections < 1 || sections > most_pieces || shape[place] % sections != 0)
    fail<ShapeError>({.op = "split",
                      .what = "axis " + std::to_string(axis) + " of shape " + to_string(shape) +
                              " cannot be cut into " + std::to_string(sections) + " equal sections",
                      .where = x.where(),
                      .help = "give a number that divides the size, or a list of sizes"});
  const Ints sizes(static_cast<std::size_t>(sections), shape[place] / sections);
  return split(x, sizes, axis);
}

namespace detail {

void register_join() {
  concat_op.op();
  split_op.op();
  register_composite<Stack>();
}

}  // namespace detail
}  // namespace dualtape
