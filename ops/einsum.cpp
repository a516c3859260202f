#include <dualtape/ops/einsum.hpp>

#include <algorithm>
#include <cctype>
#include <map>
#include <string>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/slice.hpp>

namespace dualtape {
namespace {

// One axis: a letter, or a negative number for an axis under "...", counted from the last (-1).
using Label = int;
using Labels = std::vector<Label>;
using Sizes = std::map<Label, std::int64_t>;

bool has(const Labels& labels, Label label) {
  return std::ranges::find(labels, label) != labels.end();
}

std::string text_of(Label label) {
  return label > 0 ? "'" + std::string(1, static_cast<char>(label)) + "'"
                   : "'...', axis " + std::to_string(label);
}

// What a rule says before the operands' shapes are known: letters, with `dots` for "...".
constexpr Label dots = 0;
struct Rule {
  std::string_view text;
  Location where;
  std::vector<Labels> operands;
  Labels result;
  bool has_result = false;

  Rule(std::string_view rule, Location at) : text(rule), where(at) { parse(); }

  [[noreturn]] void value_error(std::string what, std::string help) const {
    fail<ValueError>({.op = "einsum",
                      .what = "\"" + std::string(text) + "\": " + std::move(what),
                      .where = where,
                      .help = std::move(help)});
  }
  [[noreturn]] void shape_error(std::string what, std::string help) const {
    fail<ShapeError>({.op = "einsum",
                      .what = "\"" + std::string(text) + "\": " + std::move(what),
                      .where = where,
                      .help = std::move(help)});
  }

 private:
  void parse() {
    Labels term;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == ' ') continue;
      if (std::isalpha(static_cast<unsigned char>(c)) != 0) {
        term.push_back(c);
      } else if (text.substr(i, 3) == "...") {
        if (has(term, dots)) value_error("\"...\" stands twice in one term", "once is enough");
        term.push_back(dots);
        i += 2;
      } else if (c == ',' && !has_result) {
        operands.push_back(std::move(term));
        term.clear();
      } else if (text.substr(i, 2) == "->" && !has_result) {
        operands.push_back(std::move(term));
        term.clear();
        has_result = true;
        ++i;
      } else {
        value_error("character " + std::to_string(i) + " is '" + std::string(1, c) + "'",
                    "write letters and \"...\" for each operand with commas between, then \"->\" "
                    "and those of the result: \"ij,jk->ik\"");
      }
    }
    if (!has_result)
      operands.push_back(std::move(term));
    else
      result = std::move(term);
    check_result();
  }
  void check_result() {
    std::map<Label, int> counts;
    for (const Labels& operand : operands)
      for (const Label label : operand) ++counts[label];
    if (!has_result) {
      for (const auto& [label, count] : counts)  // dots sort first
        if (label == dots || count == 1) result.push_back(label);
      return;
    }
    for (std::size_t i = 0; i < result.size(); ++i) {
      const std::string name = result[i] == dots ? "'...'" : text_of(result[i]);
      if (counts.count(result[i]) == 0)
        value_error(name + " stands in the result and in no operand", "leave it out");
      if (std::find(result.begin(), result.begin() + static_cast<std::ptrdiff_t>(i), result[i]) !=
          result.begin() + static_cast<std::ptrdiff_t>(i))
        value_error(name + " stands twice in the result", "name each axis of the result once");
    }
  }
};

// A tensor and the names of its axes.
struct Factor {
  Var value;
  Labels labels;
};

class Contraction {
 public:
  Contraction(const Rule& rule, const std::vector<Var>& operands) : rule_(rule) {
    if (operands.size() != rule.operands.size())
      rule.value_error("has " + std::to_string(rule.operands.size()) + " terms, and " +
                           std::to_string(operands.size()) + " operands are given",
                       "write one term for each operand, with commas between");
    for (std::size_t i = 0; i < operands.size(); ++i)
      factors_.push_back({operands[i], named_axes(i, operands[i].shape())});
    for (std::size_t i = 0; i < operands.size(); ++i) note_sizes(i);
    for (const Label label : rule.result) {
      if (label != dots) {
        result_.push_back(label);
        continue;
      }
      for (auto axis = static_cast<Label>(most_dots_); axis > 0; --axis) result_.push_back(-axis);
    }
    if (rule.has_result && most_dots_ > 0 && !has(rule.result, dots))
      rule.shape_error("the axes under '...' are not in the result, and " +
                           std::to_string(most_dots_) + " stand there",
                       "name '...' in the result, or give letters to axes to be summed");
    for (Factor& factor : factors_) {
      drop_broadcast(factor);
      take_diagonals(factor);
    }
  }

  Var run() {
    while (factors_.size() > 1) {
      const auto [i, j] = cheapest_pair();
      Factor left = factors_[i];
      Factor right = factors_[j];
      factors_.erase(factors_.begin() + static_cast<std::ptrdiff_t>(j));
      factors_.erase(factors_.begin() + static_cast<std::ptrdiff_t>(i));
      factors_.push_back(product(std::move(left), std::move(right)));
    }
    Factor last = factors_[0];
    factors_.clear();
    sum_alone(last, {});
    return arranged(last, result_).value;
  }

 private:
  std::int64_t count(const Labels& labels) const {
    std::int64_t product = 1;
    for (const Label label : labels) product *= sizes_.at(label);
    return product;
  }

  Labels named_axes(std::size_t i, const Shape& shape) {
    const Labels& term = rule_.operands[i];
    const bool open = has(term, dots);
    const std::size_t letters = term.size() - (open ? 1 : 0);
    if (open ? shape.rank() < letters : shape.rank() != letters)
      rule_.shape_error("operand " + std::to_string(i) + " has shape " + to_string(shape) +
                            ", and its term names " + std::to_string(letters) + " axes",
                        "write one letter for each axis; \"...\" stands for any number");
    const std::size_t hidden = shape.rank() - letters;
    most_dots_ = std::max(most_dots_, hidden);
    Labels labels;
    for (const Label label : term) {
      if (label != dots) {
        labels.push_back(label);
        continue;
      }
      for (auto axis = static_cast<Label>(hidden); axis > 0; --axis) labels.push_back(-axis);
    }
    return labels;
  }
  void note_sizes(std::size_t i) {
    const Factor& factor = factors_[i];
    for (std::size_t axis = 0; axis < factor.labels.size(); ++axis) {
      const Label label = factor.labels[axis];
      const std::int64_t size = factor.value.shape()[axis];
      const auto [known, added] = sizes_.try_emplace(label, size);
      if (added || known->second == size) continue;
      if (label < 0 && size == 1) continue;
      if (label < 0 && known->second == 1) {
        known->second = size;
        continue;
      }
      rule_.shape_error(text_of(label) + " has size " + std::to_string(known->second) +
                            " and, in operand " + std::to_string(i) + " of shape " +
                            to_string(factor.value.shape()) + ", size " + std::to_string(size),
                        "one letter stands for axes of one size");
    }
  }

  // An axis of size 1 that meets a larger one has no say in the product.
  void drop_broadcast(Factor& factor) {
    Ints kept;
    Labels labels;
    for (std::size_t axis = 0; axis < factor.labels.size(); ++axis) {
      const std::int64_t size = factor.value.shape()[axis];
      if (size != sizes_.at(factor.labels[axis])) continue;
      kept.push_back(size);
      labels.push_back(factor.labels[axis]);
    }
    if (labels.size() == factor.labels.size()) return;
    factor = {reshape(factor.value, kept), std::move(labels)};
  }
  // Axes of one letter, two at a time: put last, made one, and every (n + 1)-th element kept.
  void take_diagonals(Factor& factor) {
    for (std::size_t i = 0; i < factor.labels.size(); ++i) {
      const Label label = factor.labels[i];
      while (std::ranges::count(factor.labels, label) > 1) {
        Labels labels;
        Ints order, ends;
        for (std::size_t axis = 0; axis < factor.labels.size(); ++axis) {
          const bool one = factor.labels[axis] == label && ends.size() < 2;
          (one ? ends : order).push_back(static_cast<std::int64_t>(axis));
          if (!one) labels.push_back(factor.labels[axis]);
        }
        order.insert(order.end(), ends.begin(), ends.end());
        labels.push_back(label);
        const Var together = permute(factor.value, order);
        const std::int64_t n = sizes_.at(label);
        Ints sizes = together.shape().vector();
        sizes.pop_back();
        sizes.back() = n * n;
        const Var flat = reshape(together, sizes);
        factor = {slice(flat, -1, 0, n * n, n + 1), std::move(labels)};
        i = 0;
      }
    }
  }

  // Whether the result or a factor still in the list has the axis.
  bool needed(Label label) const {
    if (has(result_, label)) return true;
    return std::ranges::any_of(factors_, [&](const Factor& f) { return has(f.labels, label); });
  }
  // By the number of multiplications; of equal ones the first pair.
  std::pair<std::size_t, std::size_t> cheapest_pair() const {
    std::pair<std::size_t, std::size_t> best{0, 1};
    double least = -1;
    for (std::size_t i = 0; i < factors_.size(); ++i)
      for (std::size_t j = i + 1; j < factors_.size(); ++j) {
        double cost = 1;
        for (const auto& [label, size] : sizes_)
          if (has(factors_[i].labels, label) || has(factors_[j].labels, label))
            cost *= static_cast<double>(size);
        if (least < 0 || cost < least) {
          least = cost;
          best = {i, j};
        }
      }
    return best;
  }

  // Sums over axes that neither `other` nor anybody else has.
  void sum_alone(Factor& factor, const Labels& other) const {
    Ints axes;
    Labels labels;
    for (std::size_t axis = 0; axis < factor.labels.size(); ++axis) {
      const Label label = factor.labels[axis];
      if (has(other, label) || needed(label))
        labels.push_back(label);
      else
        axes.push_back(static_cast<std::int64_t>(axis));
    }
    if (axes.empty()) return;
    factor = {sum(factor.value, axes), std::move(labels)};
  }

  Factor arranged(const Factor& factor, const Labels& order) const {
    if (factor.labels == order) return factor;
    Ints axes;
    for (const Label label : order)
      axes.push_back(std::ranges::find(factor.labels, label) - factor.labels.begin());
    return {permute(factor.value, axes), order};
  }

  // The pair is no longer in the list.
  Factor product(Factor left, Factor right) const {
    sum_alone(left, right.labels);
    sum_alone(right, left.labels);
    Labels batch, inner, of_left, of_right;
    for (const Label label : left.labels)
      (!has(right.labels, label) ? of_left : needed(label) ? batch : inner).push_back(label);
    for (const Label label : right.labels)
      if (!has(left.labels, label)) of_right.push_back(label);
    Labels labels = joined({&batch, &of_left, &of_right});
    const Var value = inner.empty() ? broadcast_product(left, right, batch, of_left, of_right)
                                    : matrix_product(left, right, batch, inner, of_left, of_right);
    Ints sizes;
    for (const Label label : labels) sizes.push_back(sizes_.at(label));
    return {reshape(value, sizes), std::move(labels)};
  }
  static Labels joined(std::initializer_list<const Labels*> parts) {
    Labels all;
    for (const Labels* part : parts) all.insert(all.end(), part->begin(), part->end());
    return all;
  }
  Var broadcast_product(const Factor& left, const Factor& right, const Labels& batch,
                        const Labels& of_left, const Labels& of_right) const {
    const std::int64_t n = count(batch);
    const Var a = reshape(arranged(left, joined({&batch, &of_left})).value, {n, count(of_left), 1});
    const Var b =
        reshape(arranged(right, joined({&batch, &of_right})).value, {n, 1, count(of_right)});
    return mul(a, b);
  }
  // As (batch, rows, columns), and whether it is the other way round: copied only if it must be.
  std::pair<Var, bool> matrix(const Factor& factor, const Labels& batch, const Labels& rows,
                              const Labels& columns) const {
    const bool swapped = factor.labels == joined({&batch, &columns, &rows});
    const Factor ready = swapped ? factor : arranged(factor, joined({&batch, &rows, &columns}));
    Ints sizes{count(swapped ? columns : rows), count(swapped ? rows : columns)};
    if (!batch.empty()) sizes.insert(sizes.begin(), count(batch));
    return {reshape(ready.value, sizes), swapped};
  }
  Var matrix_product(const Factor& left, const Factor& right, const Labels& batch,
                     const Labels& inner, const Labels& of_left, const Labels& of_right) const {
    const auto [a, a_swapped] = matrix(left, batch, of_left, inner);
    const auto [b, b_swapped] = matrix(right, batch, inner, of_right);
    return matmul(a, b, {.transpose_a = a_swapped, .transpose_b = b_swapped});
  }

  const Rule& rule_;
  std::vector<Factor> factors_;
  Labels result_;
  Sizes sizes_;
  std::size_t most_dots_ = 0;
};

struct Einsum {
  static constexpr auto name = "einsum";
  static constexpr auto doc = "sums of products of tensors, written with index letters";
  static constexpr auto math =
      "\"ij,jk->ik\": y_ik = sum_j a_ij b_jk; linear in each operand: done by permute, matmul, mul "
      "and sum, which give the derivatives";
  static constexpr Example example{
      "einsum(\"ij,j->i\", {g.constant(Tensor{{1, 2}, {3, 4}}), g.constant(Tensor{1, 10})})",
      "[21. 43.]"};

  static std::vector<Edge> edges() { return detail::matrix_edges(name); }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    const auto add = [&](const std::string& rule, const std::vector<Shape>& shapes) {
      std::vector<Arg> args;
      for (const Shape& shape : shapes) args.push_back(Arg{shape});
      cases.push_back({rule, std::move(args), [rule](std::span<const Var> in) {
                         return std::vector<Var>{einsum(rule, {in.begin(), in.end()})};
                       }});
    };
    add("ij,jk->ik", {{2, 3}, {3, 4}});
    add("ij,kj->ki", {{2, 3}, {4, 3}});
    add("ii->i", {{3, 3}});
    add("iij->j", {{2, 2, 3}});
    add("ij", {{2, 3}});
    add("i,j", {{2}, {3}});
    add("bij,bjk", {{2, 2, 3}, {2, 3, 1}});
    add("...i,...i->...", {{2, 1, 3}, {2, 3}});
    add("ab,bc,cd->ad", {{2, 3}, {3, 2}, {2, 2}});
    add("i,i,i->", {{3}, {3}, {3}});
    add("ij,k->i", {{2, 3}, {2}});
    add("ij,jk->ik", {{2, 0}, {0, 2}});
    return cases;
  }
};

}  // namespace

Var einsum(std::string_view rule, const std::vector<In>& operands) {
  const Location where = operands.empty() ? Location{} : operands[0].where();
  const Rule parsed(rule, where);
  if (operands.empty()) parsed.value_error("there are no operands", "give one for each term");
  const Composite c("einsum", operands);
  std::vector<Var> vars = c.operands();
  for (Var& var : vars)
    if (!is_floating(var.dtype())) var = cast(var, float32);
  return Contraction(parsed, vars).run();
}

void detail::register_einsum() { register_composite<Einsum>(); }

}  // namespace dualtape
