// Sums of thin products as one product: s a b + s' a' b' + ... is A B with the columns a, a' ... of
// A and the rows s b, s' b' ... of B next to each other. A direction of low rank is such a sum, and
// so is an estimate from many directions; one by one each product would write all of the result.
// That adds in another order and multiplies s by b first, so it is for products of draws and of
// modes alone (or CompileOptions::reassociate).
#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include <dualtape/core/pass.hpp>
#include <dualtape/core/registry.hpp>
#include <dualtape/ops/passes/own_draws.hpp>
#include <dualtape/ops/passes/passes.hpp>

namespace dualtape::detail {
namespace {

constexpr std::size_t most_products = 256;

bool is_matrix(const Type& type) { return type.shape.rank() == 2; }

// Which nodes are products, or sums of them, that nobody else reads.
class Sums {
 public:
  explicit Sums(const Plan& plan) : plan_(plan), draws_(plan), uses_(plan.values.size()) {
    for (const PlanNode& node : plan.nodes)
      for (const ValueId v : plan.operands_of(node)) ++uses_[v];
    for (const ValueId v : plan.outputs) ++uses_[v];
    for (const PlanAssign& a : plan.assigns) ++uses_[a.value];
    products_.resize(plan.values.size());
    of_draws_.resize(plan.values.size());
    for (const PlanNode& node : plan.nodes) {
      if (node.value_count != 1) continue;
      const auto in = plan.operands_of(node);
      const auto of_draws = [&](ValueId v) {
        return node.op->name() == "matmul" ? draws_.contains(v) : of_draws_[v];
      };
      products_[node.first_value] = count(node);
      of_draws_[node.first_value] =
          products_[node.first_value] > 0 && std::ranges::all_of(in, [&](ValueId v) {
            return plan.values[v].shape.rank() == 0 || of_draws(v);
          });
    }
    find_roots();
  }

  // Whether the value is a sum of several products and no part of a larger such sum.
  bool is_root(ValueId value) const { return value < is_root_.size() && is_root_[value]; }

 private:
  // Products in the value of the node; 0 if there is anything else in it.
  std::size_t count(const PlanNode& node) const {
    const auto in = plan_.operands_of(node);
    const Type& type = plan_.values[node.first_value];
    const std::string_view name = node.op->name();
    if (!is_matrix(type)) return 0;
    const auto part = [&](ValueId v) {
      return plan_.values[v] == type && uses_[v] == 1 ? products_[v] : 0;
    };
    const bool own = plan_.options.reassociate || is_emitted(node);
    if (name == "matmul") return own || (draws_.contains(in[0]) && draws_.contains(in[1])) ? 1 : 0;
    if (name == "neg") return part(in[0]);
    if (name == "mul") {
      const std::size_t scalar = plan_.values[in[0]].shape.rank() == 0 ? 0 : 1;
      if (plan_.values[in[scalar]].shape.rank() != 0) return 0;
      return own || of_draws_[in[1 - scalar]] ? part(in[1 - scalar]) : 0;
    }
    if (name != "add" && name != "sub") return 0;
    const std::size_t a = part(in[0]);
    const std::size_t b = part(in[1]);
    return a == 0 || b == 0 || a + b > most_products ? 0 : a + b;
  }

  void find_roots() {
    is_root_.resize(plan_.values.size());
    std::vector<bool> in_sum(plan_.values.size());
    for (std::size_t n = plan_.nodes.size(); n-- > 0;) {
      const PlanNode& node = plan_.nodes[n];
      if (node.value_count != 1 || products_[node.first_value] == 0) continue;
      const std::string_view name = node.op->name();
      const bool adds = name == "add" || name == "sub";
      const bool covered = in_sum[node.first_value];
      is_root_[node.first_value] = adds && !covered;
      if (name == "matmul" || (!adds && !covered)) continue;
      for (const ValueId v : plan_.operands_of(node)) in_sum[v] = true;
    }
  }

  const Plan& plan_;
  OwnDraws draws_;
  std::vector<std::size_t> uses_;
  std::vector<std::size_t> products_;  // in each value
  std::vector<bool> of_draws_;         // whether all of these are of draws
  std::vector<bool> is_root_;
};

// One product of the sum; `right` has its factors of rank 0 and its sign already.
struct Factors {
  ValueId left;
  ValueId right;
  bool transpose_left;
  bool transpose_right;
  std::vector<ValueId> scalars;
  bool negative = false;
};

void collect(const Rewriter& plan, const PlanNode& node, Factors so_far,
             std::vector<Factors>& products) {
  const auto in = plan.operands(node);
  const std::string_view name = node.op->name();
  if (name == "matmul") {
    so_far.left = in[0];
    so_far.right = in[1];
    so_far.transpose_left = node.attributes.get<bool>("transpose_a");
    so_far.transpose_right = node.attributes.get<bool>("transpose_b");
    products.push_back(std::move(so_far));
  } else if (name == "mul") {
    const std::size_t s = plan.type(in[0]).shape.rank() == 0 ? 0 : 1;
    so_far.scalars.push_back(in[s]);
    collect(plan, *plan.producer(in[1 - s]), std::move(so_far), products);
  } else {
    Factors second = so_far;
    second.negative = second.negative != (name != "add");
    if (name == "neg") return collect(plan, *plan.producer(in[0]), std::move(second), products);
    collect(plan, *plan.producer(in[0]), std::move(so_far), products);
    collect(plan, *plan.producer(in[1]), std::move(second), products);
  }
}

// One side of all the products, next to each other along the axis they are added up by.
struct Side {
  std::vector<ValueId> parts;
  bool transposed;  // as the product takes what is joined
  std::int64_t axis;
};

// `inner` is the axis of untransposed operands that products add up by.
std::optional<Side> side_of(Rewriter& plan, const std::vector<ValueId>& values,
                            const std::vector<bool>& transposed, std::int64_t inner) {
  const auto axis = [&](std::size_t i) {
    return static_cast<std::size_t>(transposed[i] ? 1 - inner : inner);
  };
  bool thinnest = true;
  bool alike = true;
  for (std::size_t i = 0; i < values.size(); ++i) {
    thinnest = thinnest && plan.type(values[i]).shape[axis(i)] == 1;
    alike = alike && transposed[i] == transposed[0];
  }
  if (alike && axis(0) == 0) return Side{values, transposed[0], 0};
  if (!thinnest) return alike ? std::optional(Side{values, transposed[0], 1}) : std::nullopt;
  // Vectors: rows are joined faster than columns.
  Side side{{}, inner == 1, 0};
  for (const ValueId value : values) {
    const Type type = plan.type(value);
    const Type row{{1, type.shape.count()}, type.dtype};
    side.parts.push_back(
        type == row ? value
                    : plan.add(require_op("reshape"), {{"sizes", row.shape.vector()}}, {value}));
  }
  return side;
}

ValueId joined(Rewriter& plan, const Side& side) {
  Type type = plan.type(side.parts[0]);
  std::vector<std::int64_t> sizes = type.shape.vector();
  for (std::size_t i = 1; i < side.parts.size(); ++i)
    sizes[static_cast<std::size_t>(side.axis)] +=
        plan.type(side.parts[i]).shape[static_cast<std::size_t>(side.axis)];
  type.shape = Shape(sizes);
  return plan.add(require_op("concat"), {{"axis", side.axis}}, side.parts);
}

// The right factor with what stands in front of the product.
ValueId scaled_right(Rewriter& plan, const Factors& product) {
  const Type type = plan.type(product.right);
  std::optional<ValueId> scale;
  for (const ValueId s : product.scalars)
    scale = scale ? plan.add(require_op("mul"), {}, {*scale, s}) : s;
  ValueId value = product.right;
  if (scale) value = plan.add(require_op("mul"), {}, {*scale, value});
  if (product.negative) value = plan.add(require_op("neg"), {}, {value});
  return value;
}

bool gathered(Rewriter& plan, const PlanNode& node) {
  const Type type = plan.type(node.first_value);
  const std::int64_t m = type.shape[0];
  const std::int64_t n = type.shape[1];
  std::vector<Factors> products;
  collect(plan, node, {}, products);
  std::int64_t inner = 0;
  for (const Factors& p : products) inner += plan.type(p.left).shape[p.transpose_left ? 0 : 1];
  // Joining copies; and a product with a vector adds up by rounding to the size of the sum.
  if (m < 2 || n < 2 || 4 * inner * (m + n) > m * n) return false;
  std::array<std::vector<ValueId>, 2> values;
  std::array<std::vector<bool>, 2> transposed;
  for (const Factors& p : products) {
    values[0].push_back(p.left);
    values[1].push_back(p.right);
    transposed[0].push_back(p.transpose_left);
    transposed[1].push_back(p.transpose_right);
  }
  const auto left = side_of(plan, values[0], transposed[0], 1);
  if (!left) return false;
  for (std::size_t i = 0; i < products.size(); ++i) values[1][i] = scaled_right(plan, products[i]);
  const auto right = side_of(plan, values[1], transposed[1], 0);
  if (!right) return false;
  plan.replace_by(plan.add(require_op("matmul"),
                           {{"transpose_a", left->transposed}, {"transpose_b", right->transposed}},
                           {joined(plan, *left), joined(plan, *right)}));
  return true;
}

}  // namespace

void sum_products(Plan& plan) {
  const Sums sums(plan);
  const std::array<Rewriter::Rule, 1> rules{[&](Rewriter& rewriter, const PlanNode& node) {
    return node.value_count == 1 && sums.is_root(node.first_value) && gathered(rewriter, node);
  }};
  rewrite(plan, rules, 1);
}

}  // namespace dualtape::detail
