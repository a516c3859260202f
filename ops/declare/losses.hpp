// What the losses share: reductions, checks of labels, sample calls.
// Private. Plain functions; graphs are built by one thread at a time.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dualtape/core/case.hpp>
#include <dualtape/core/error.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/losses.hpp>

namespace dualtape::detail {

// ValueError in the name of `loss` for a number that is no Reduction.
Var reduced(std::string_view loss, Var entries, Reduction reduction);

// Labels have the shape of the logits without its last axis.
bool are_labels_of(const Shape& logits, const Shape& labels);
std::string misfit_text(const Shape& logits, const Shape& labels);
void require_labels(std::string_view loss, const In& logits, const Shape& of_logits,
                    const Shape& of_labels);

// function(a, b, reduction) for each reduction.
template <class Function>
std::vector<Case> loss_cases(const Arg& a, const Arg& b, Function function) {
  std::vector<Case> cases;
  for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none})
    cases.push_back({"a matrix, reduction " + std::to_string(static_cast<int>(reduction)),
                     {a, b},
                     [=](std::span<const Var> in) {
                       return std::vector<Var>{function(in[0], in[1], reduction)};
                     }});
  return cases;
}
inline Arg sample_labels() { return {{4}, domain(0, 2.99), int64}; }  // of 4 rows and 3 classes

void require_one_shape(std::string_view loss, const In& a, const In& b);

Var cross_entropy_of_labels(In logits, In labels, Reduction reduction,
                            std::optional<std::int64_t> ignore_index);
std::vector<Case> cross_entropy_option_cases();
std::vector<Edge> cross_entropy_option_edges();

void register_cross_entropy();
void register_losses_of_classes();

}  // namespace dualtape::detail
