// Rules of sparsity for single operators: those that add along axes or between matrices.
#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <dualtape/modes/sparsity/call.hpp>
#include <dualtape/ops/declare/matrix.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/kernels/rows/strided.hpp>

namespace dualtape::detail {
namespace {

using Id = ElementSets::Id;

std::size_t place(std::int64_t i) { return static_cast<std::size_t>(i); }

AxisSplit split_of(const SparsityCall& call, const Shape& shape) {
  const std::int64_t axis = wrap_axis(call.node.attributes.get<std::int64_t>("axis"), shape.rank());
  return split_at(shape, static_cast<std::size_t>(axis));
}

// Operators along an axis of operands that all have the result's shape: f(the sets of one line)
// gives those of its result.
template <class Line>
SetIds along_lines(const SparsityCall& call, Line line) {
  SetIds out = call.empty_out();
  const AxisSplit split = split_of(call, call.node.out[0].shape());
  std::vector<Id> ids(place(split.size));
  for (std::size_t i = 0; i < call.in.size(); ++i) {
    if (!call.active(i)) continue;
    for (std::int64_t o = 0; o < split.outer; ++o)
      for (std::int64_t k = 0; k < split.inner; ++k) {
        const std::int64_t first = o * split.size * split.inner + k;
        for (std::int64_t j = 0; j < split.size; ++j)
          ids[place(j)] = call.ids(i)[place(first + j * split.inner)];
        line(ids);
        for (std::int64_t j = 0; j < split.size; ++j) {
          Id& to = out[place(first + j * split.inner)];
          to = call.sets.unite(to, ids[place(j)]);
        }
      }
  }
  return out;
}

bool of_result_shape(const SparsityCall& call) {
  for (std::size_t i = 0; i < call.in.size(); ++i)
    if (call.active(i) && call.node.in[i].shape() != call.node.out[0].shape()) return false;
  return call.node.out[0].rank() > 0;
}

// Every element of a line depends on all of it.
OutputSets whole_lines(const SparsityCall& call) {
  if (!of_result_shape(call)) return std::nullopt;
  return of_one_output(along_lines(call, [&](std::vector<Id>& ids) {
    const Id all = call.sets.unite(ids);
    std::ranges::fill(ids, all);
  }));
}
// Every element depends on those before it, too.
OutputSets running(const SparsityCall& call) {
  if (!of_result_shape(call)) return std::nullopt;
  const bool reverse =
      call.node.attributes.has("reverse") && call.node.attributes.get<bool>("reverse");
  return of_one_output(along_lines(call, [&](std::vector<Id>& ids) {
    if (reverse) std::ranges::reverse(ids);
    for (std::size_t j = 1; j < ids.size(); ++j) ids[j] = call.sets.unite(ids[j - 1], ids[j]);
    if (reverse) std::ranges::reverse(ids);
  }));
}

// ---- matrices -----------------------------------------------------------------------------------

// The elements of matrices in a batch, a vector being one of a single row or column.
struct Matrices {
  Shape batch;
  std::int64_t rows = 1, columns = 1;
  bool transposed = false;

  static Matrices of(const Shape& shape, bool as_row, bool transposed) {
    if (shape.rank() == 1) return {Shape{}, as_row ? 1 : shape[0], as_row ? shape[0] : 1, false};
    return {batch_of(shape), rows_of(shape), columns_of(shape), transposed};
  }
  std::int64_t height() const { return transposed ? columns : rows; }
  std::int64_t width() const { return transposed ? rows : columns; }
  std::size_t at(std::int64_t matrix, std::int64_t i, std::int64_t j) const {
    const std::int64_t first = matrix * rows * columns;
    return place(first + (transposed ? j * columns + i : i * columns + j));
  }
};

bool has_zero(const Tensor& tensor) {
  const Tensor wide = tensor.to(float64);
  return std::ranges::find(wide.data<double>(), 0.0) != wide.data<double>().end();
}

// What a product's operand gives: for the rows of a left one (or the columns of a right one) the
// sets of all elements together, or, where the other operand is known to have zeros, one by one.
class ProductSide {
 public:
  ProductSide(const SparsityCall& call, std::size_t i, const Matrices& mine, const Matrices& other)
      : call_(call), i_(i), mine_(mine), other_(other) {
    if (std::optional<Tensor> value = call.values.constant(call.node.in[1 - i]);
        value && has_zero(*value))
      zeros_ = value->to(float64);
  }
  // Of line `line` of matrix `matrix` against line `across` of the other's.
  Id of(std::int64_t matrix, std::int64_t line, std::int64_t other_matrix, std::int64_t across) {
    if (!zeros_ && matrix == matrix_ && line == line_) return known_;
    matrix_ = matrix;
    line_ = line;
    ids_.clear();
    const std::int64_t inner = i_ == 0 ? mine_.width() : mine_.height();
    for (std::int64_t k = 0; k < inner; ++k) {
      const std::size_t at = i_ == 0 ? mine_.at(matrix, line, k) : mine_.at(matrix, k, line);
      if (zeros_) {
        const std::size_t with =
            i_ == 0 ? other_.at(other_matrix, k, across) : other_.at(other_matrix, across, k);
        if (std::as_const(*zeros_).data<double>()[with] == 0) continue;
      }
      ids_.push_back(call_.ids(i_)[at]);
    }
    return known_ = call_.sets.unite(ids_);
  }

 private:
  const SparsityCall& call_;
  std::size_t i_;
  const Matrices& mine_;
  const Matrices& other_;
  std::optional<Tensor> zeros_;
  std::vector<Id> ids_;
  std::int64_t matrix_ = -1, line_ = -1;
  Id known_ = ElementSets::none;
};

OutputSets products(const SparsityCall& call) {
  const Attributes& attributes = call.node.attributes;
  const Matrices a =
      Matrices::of(call.node.in[0].shape(), true, attributes.get<bool>("transpose_a"));
  const Matrices b =
      Matrices::of(call.node.in[1].shape(), false, attributes.get<bool>("transpose_b"));
  const Broadcast batch = broadcast(a.batch, b.batch);
  if (!batch.ok || batch.shape.count() * a.height() * b.width() != call.count_out())
    return std::nullopt;
  const std::vector<std::int64_t> of_a = broadcast_places(a.batch, batch.shape);
  const std::vector<std::int64_t> of_b = broadcast_places(b.batch, batch.shape);
  SetIds out = call.empty_out();
  for (const std::size_t i : {0U, 1U}) {
    if (!call.active(i)) continue;
    ProductSide side(call, i, i == 0 ? a : b, i == 0 ? b : a);
    const std::int64_t lines = i == 0 ? a.height() : b.width();
    const std::int64_t across = i == 0 ? b.width() : a.height();
    for (std::size_t m = 0; m < of_a.size(); ++m)
      for (std::int64_t l = 0; l < lines; ++l)
        for (std::int64_t c = 0; c < across; ++c) {
          const Id id = i == 0 ? side.of(of_a[m], l, of_b[m], c) : side.of(of_b[m], l, of_a[m], c);
          const std::int64_t first = static_cast<std::int64_t>(m) * a.height() * b.width();
          Id& to = out[place(first + (i == 0 ? l * b.width() + c : c * b.width() + l))];
          to = call.sets.unite(to, id);
        }
  }
  return of_one_output(std::move(out));
}

// Every element of a column of the right-hand sides' depends on all of that column.
OutputSets solved_columns(const SparsityCall& call) {
  if (call.active(0)) return std::nullopt;
  const Shape& out_shape = call.node.out[0].shape();
  const Shape& right = call.node.in[1].shape();
  const Matrices to = Matrices::of(out_shape, false, false);
  const Matrices from = Matrices::of(right, false, false);
  if (right.rank() == 1 ? out_shape != right : out_shape.rank() < right.rank()) return std::nullopt;
  const std::vector<std::int64_t> of_right = broadcast_places(from.batch, to.batch);
  SetIds out = call.empty_out();
  std::vector<Id> ids;
  for (std::size_t m = 0; m < of_right.size(); ++m)
    for (std::int64_t j = 0; j < to.columns; ++j) {
      ids.clear();
      for (std::int64_t i = 0; i < from.rows; ++i)
        ids.push_back(call.ids(1)[from.at(of_right[m], i, j)]);
      const Id all = call.sets.unite(ids);
      for (std::int64_t i = 0; i < to.rows; ++i)
        out[to.at(static_cast<std::int64_t>(m), i, j)] = all;
    }
  return of_one_output(std::move(out));
}

// Every element of a matrix depends on all of the operand's matrix.
OutputSets whole_matrices(const SparsityCall& call) {
  if (!of_result_shape(call) || call.node.out[0].rank() < 2) return std::nullopt;
  const Shape& shape = call.node.out[0].shape();
  const auto size = place(rows_of(shape) * columns_of(shape));
  SetIds out = call.empty_out();
  for (std::size_t i = 0; i < call.in.size(); ++i) {
    if (!call.active(i)) continue;
    for (std::size_t first = 0; first < out.size(); first += size) {
      const Id all = call.sets.unite(std::span(call.ids(i)).subspan(first, size));
      for (std::size_t e = first; e < first + size; ++e) out[e] = call.sets.unite(out[e], all);
    }
  }
  return of_one_output(std::move(out));
}

// ---- indices that are not known -----------------------------------------------------------------

// All of `whole`'s lines along the axis, each united.
SetIds united_lines(const SparsityCall& call, std::size_t i, const AxisSplit& split) {
  SetIds lines;
  std::vector<Id> ids(place(split.size));
  for (std::int64_t o = 0; o < split.outer; ++o)
    for (std::int64_t k = 0; k < split.inner; ++k) {
      for (std::int64_t j = 0; j < split.size; ++j)
        ids[place(j)] = call.ids(i)[place((o * split.size + j) * split.inner + k)];
      lines.push_back(call.sets.unite(ids));
    }
  return lines;
}

// Any entry of the axis may be taken. A gather's index may be shorter than x along other axes.
OutputSets taken(const SparsityCall& call) {
  if (call.active(1)) return std::nullopt;
  const Shape& x = call.node.in[0].shape();
  const AxisSplit split = split_of(call, x);
  const bool is_gather = call.node.op.name() == "gather";
  if (is_gather) {
    for (std::size_t d = 0; d < x.rank(); ++d)
      if (call.node.out[0].shape()[d] != x[d] &&
          static_cast<std::int64_t>(d) !=
              wrap_axis(call.node.attributes.get<std::int64_t>("axis"), x.rank()))
        return std::nullopt;
  }
  const SetIds lines = united_lines(call, 0, split);
  SetIds out = call.empty_out();
  const std::int64_t chosen =
      split.outer * split.inner == 0 ? 0 : call.count_out() / (split.outer * split.inner);
  for (std::size_t e = 0; e < out.size(); ++e) {
    const auto at = static_cast<std::int64_t>(e);
    const std::int64_t o = at / (chosen * split.inner), k = at % split.inner;
    out[e] = lines[place(o * split.inner + k)];
  }
  return of_one_output(std::move(out));
}

// Updates may be added to any entry of the axis; a base stays where it is.
OutputSets added(const SparsityCall& call) {
  const Shape& whole = call.node.out[0].shape();
  const AxisSplit split = split_of(call, whole);
  SetIds out = call.empty_out();
  if (call.active(0)) {
    const Shape& updates = call.node.in[0].shape();
    if (split.outer * split.inner == 0) return std::nullopt;
    const std::int64_t given = updates.count() / (split.outer * split.inner);
    if (given * split.outer * split.inner != updates.count()) return std::nullopt;
    if (call.node.op.name() == "scatter_add")
      for (std::size_t d = 0; d < whole.rank(); ++d)
        if (updates[d] != whole[d] &&
            static_cast<std::int64_t>(d) !=
                wrap_axis(call.node.attributes.get<std::int64_t>("axis"), whole.rank()))
          return std::nullopt;
    const SetIds lines = united_lines(call, 0, {split.outer, given, split.inner});
    for (std::size_t e = 0; e < out.size(); ++e) {
      const auto at = static_cast<std::int64_t>(e);
      out[e] = lines[place(at / (split.size * split.inner) * split.inner + at % split.inner)];
    }
  }
  if (call.in.size() == 3 && call.active(2))
    for (std::size_t e = 0; e < out.size(); ++e) out[e] = call.sets.unite(out[e], call.ids(2)[e]);
  return of_one_output(std::move(out));
}

// ---- the rest -----------------------------------------------------------------------------------

OutputSets unchanged(const SparsityCall& call) { return of_one_output(SetIds(call.ids(0))); }

// A rule may be asked before the operator is run on labels, where that would cost more, or after,
// where what it reads may be known.
struct NamedRule {
  std::string_view name;
  OutputSets (*rule)(const SparsityCall&);
};
constexpr std::array before{
    NamedRule{"cast", unchanged},
    NamedRule{"matmul", products},
    NamedRule{"conv2d", windows_rule},
    NamedRule{"conv2d_input_gradient", windows_rule},
    NamedRule{"conv2d_weight_gradient", windows_rule},
    NamedRule{"avg_pool2d", windows_rule},
    NamedRule{"avg_pool2d_spread", windows_rule},
    NamedRule{"cumsum", running},
    NamedRule{"linear_recurrence", running},
    NamedRule{"recurrence_change", running},
    NamedRule{"recurrence_slope", whole_lines},
    NamedRule{"softmax_slope", whole_lines},
    NamedRule{"log_softmax_slope", whole_lines},
    NamedRule{"solve", solved_columns},
    NamedRule{"triangular_solve", solved_columns},
    NamedRule{"cofactor_change", whole_matrices},
};
constexpr std::array after{
    NamedRule{"take", taken},
    NamedRule{"gather", taken},
    NamedRule{"index_add", added},
    NamedRule{"scatter_add", added},
    NamedRule{"max_pool2d_select", windows_rule},
    NamedRule{"max_pool2d_scatter", windows_rule},
};

OutputSets ask(std::span<const NamedRule> rules, const SparsityCall& call) {
  const auto found = std::ranges::find(rules, call.node.op.name(), &NamedRule::name);
  return found == rules.end() ? std::nullopt : found->rule(call);
}

}  // namespace

std::vector<std::int64_t> broadcast_places(const Shape& from, const Shape& whole) {
  std::vector<std::int64_t> places(place(whole.count()));
  std::vector<std::int64_t> strides(whole.rank());
  std::int64_t stride = 1;
  for (std::size_t d = from.rank(); d-- > 0;) {
    if (from[d] != 1) strides[d + whole.rank() - from.rank()] = stride;
    stride *= from[d];
  }
  std::vector<std::int64_t> index(whole.rank());
  std::int64_t at = 0;
  for (std::int64_t& to : places) {
    to = at;
    for (std::size_t d = whole.rank(); d-- > 0;) {
      at += strides[d];
      if (++index[d] < whole[d]) break;
      at -= strides[d] * whole[d];
      index[d] = 0;
    }
  }
  return places;
}

OutputSets sets_by_rule(const SparsityCall& call) {
  if (OutputSets found = ask(before, call)) return found;
  if (OutputSets found = probe_linear(call)) return found;
  return ask(after, call);
}

}  // namespace dualtape::detail
